# SPDX-License-Identifier: Apache-2.0
"""Gradient clipping, parameters as one vector, parametrized and fused layers."""

from ... import _core
from ..._modes import no_grad
from . import fusion, parametrizations, parametrize, rnn
from .fusion import (
    fuse_conv_bn_eval,
    fuse_conv_bn_weights,
    fuse_linear_bn_eval,
    fuse_linear_bn_weights,
)


def _tensors(parameters) -> list:
    return [parameters] if isinstance(parameters, _core.Tensor) else list(parameters)


def clip_grad_norm_(parameters, max_norm, norm_type=2.0, error_if_nonfinite=False, foreach=None):
    """Scales the gradients so that their total norm is at most max_norm; returns the norm before.
    ValueError for a norm that is not finite, if asked."""
    return _core.optim.clip_grad_norm_(
        _tensors(parameters), float(max_norm), float(norm_type), error_if_nonfinite
    )


def clip_grad_value_(parameters, clip_value, foreach=None):
    """Cuts every gradient element to [-clip_value, clip_value]."""
    _core.optim.clip_grad_value_(_tensors(parameters), float(clip_value))


def get_total_norm(tensors, norm_type=2.0, error_if_nonfinite=False, foreach=None):
    """The norm of all tensors together."""
    tensors = _tensors(tensors)
    if not tensors:
        return _core.tensor(0.0)
    norms = [_core._linalg.vector_norm(tensor, float(norm_type)) for tensor in tensors]
    total = _core._linalg.vector_norm(_core.stack(norms), float(norm_type))
    if error_if_nonfinite and not bool(_core.isfinite(total)):
        raise _core.StateError("get_total_norm: the norm is not finite")
    return total


def clip_grads_with_norm_(parameters, max_norm, total_norm, foreach=None):
    """Scales the gradients as clip_grad_norm_ does, for a norm that get_total_norm computed."""
    factor = _core.clamp_max(max_norm / (total_norm + 1e-6), 1.0)
    with no_grad():
        for parameter in _tensors(parameters):
            if parameter.grad is not None:
                parameter.grad.mul_(factor.to(parameter.grad.dtype))


def skip_init(module_cls, *args, **kwargs):
    """The module; its parameters are initialised all the same."""
    kwargs.pop("device", None)
    return module_cls(*args, **kwargs)


def parameters_to_vector(parameters):
    """All elements of the parameters, one after the other."""
    return _core.cat([parameter.reshape(-1) for parameter in parameters])


def vector_to_parameters(vec, parameters):
    """Writes the slices of a vector into the parameters."""
    start = 0
    with no_grad():
        for parameter in parameters:
            size = parameter.numel()
            parameter.copy_(vec[start : start + size].reshape(parameter.shape))
            start += size


__all__ = [
    "clip_grad_norm_",
    "clip_grad_value_",
    "clip_grads_with_norm_",
    "fuse_conv_bn_eval",
    "fuse_conv_bn_weights",
    "fuse_linear_bn_eval",
    "fuse_linear_bn_weights",
    "fusion",
    "get_total_norm",
    "parameters_to_vector",
    "parametrizations",
    "parametrize",
    "rnn",
    "skip_init",
    "vector_to_parameters",
]
