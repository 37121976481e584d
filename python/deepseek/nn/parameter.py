# SPDX-License-Identifier: Apache-2.0
"""Parameter and Buffer: tensors that a module registers when they are assigned to it."""

from .. import _core


class _ParameterMeta(type):
    def __instancecheck__(cls, instance):
        return isinstance(instance, _core.Tensor) and instance._is_parameter


class Parameter(metaclass=_ParameterMeta):
    """A leaf that shares the values of `data` and is trained; every Parameter is a Tensor."""

    def __new__(cls, data=None, requires_grad=True):
        return _core.nn._make_parameter(data, requires_grad)


class UninitializedParameter:
    """Not available: lazy layers are not part of this library."""

    def __init__(self, *args, **kwargs):
        raise _core.NotImplementedError(
            "UninitializedParameter: lazy layers are not available; give the sizes"
        )
