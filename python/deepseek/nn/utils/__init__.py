# SPDX-License-Identifier: Apache-2.0
"""Gradient clipping and parameters as one vector."""

from ... import _core
from ..._modes import no_grad
from . import rnn


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
    norms = [_core.linalg.vector_norm(tensor, float(norm_type)) for tensor in tensors]
    total = _core.linalg.vector_norm(_core.stack(norms), float(norm_type))
    if error_if_nonfinite and not bool(_core.isfinite(total)):
        raise _core.StateError("get_total_norm: the norm is not finite")
    return total


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
    "get_total_norm",
    "parameters_to_vector",
    "rnn",
    "vector_to_parameters",
]
