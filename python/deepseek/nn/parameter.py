# SPDX-License-Identifier: Apache-2.0
"""Parameter and Buffer: tensors that a module registers when they are assigned to it."""

from .. import _core


class _ParameterMeta(type):
    def __instancecheck__(cls, instance):
        return cls is Parameter and isinstance(instance, _core.Tensor) and instance._is_parameter


class Parameter(metaclass=_ParameterMeta):
    """A leaf that shares the values of `data` and is trained; every Parameter is a Tensor."""

    def __new__(cls, data=None, requires_grad=True):
        return _core.nn._make_parameter(data, requires_grad)


class _BufferMeta(type):
    def __instancecheck__(cls, instance):
        return isinstance(instance, _core.Tensor) and hasattr(instance, "_buffer_persistent")


class Buffer(metaclass=_BufferMeta):
    """A tensor that a module registers as a buffer when it is assigned to it."""

    def __new__(cls, data=None, *, persistent=True):
        data = (_core.empty(0) if data is None else data).detach()
        data._buffer_persistent = persistent
        return data
