# SPDX-License-Identifier: Apache-2.0
"""Batch normalisation folded into the layer before it, for inference, as torch.nn.utils.fusion."""

import copy

from ... import _core
from ..parameter import Parameter


def _fused(weight, bias, bn_mean, bn_var, bn_eps, bn_weight, bn_bias, shape):
    scale = _core.rsqrt(bn_var + bn_eps)
    if bn_weight is not None:
        scale = bn_weight * scale
    bias = _core.zeros_like(bn_mean) if bias is None else bias
    shift = (bias - bn_mean) * scale
    if bn_bias is not None:
        shift = shift + bn_bias
    grad = weight.requires_grad
    return (
        Parameter((weight * scale.reshape(shape)).to(weight.dtype).detach(), grad),
        Parameter(shift.to(bias.dtype).detach(), grad),
    )


def fuse_conv_bn_weights(conv_w, conv_b, bn_rm, bn_rv, bn_eps, bn_w, bn_b, transpose=False):
    """Weight and bias of the convolution that does what conv and then bn do in evaluation."""
    shape = [1] * conv_w.dim()
    shape[1 if transpose else 0] = -1
    return _fused(conv_w, conv_b, bn_rm, bn_rv, bn_eps, bn_w, bn_b, shape)


def fuse_linear_bn_weights(linear_w, linear_b, bn_rm, bn_rv, bn_eps, bn_w, bn_b):
    """Weight and bias of the linear layer that does what linear and then bn do in evaluation."""
    return _fused(linear_w, linear_b, bn_rm, bn_rv, bn_eps, bn_w, bn_b, (-1, 1))


def _fuse(layer, bn, weights, **options):
    if layer.training or bn.training:
        raise _core.StateError("fuse: both modules must be in evaluation mode; call eval()")
    fused = copy.deepcopy(layer)
    weight, bias = weights(
        fused.weight,
        fused.bias,
        bn.running_mean,
        bn.running_var,
        bn.eps,
        bn.weight,
        bn.bias,
        **options,
    )
    fused.weight = weight
    fused.bias = bias
    return fused


def fuse_conv_bn_eval(conv, bn, transpose: bool = False):
    """A copy of conv with bn folded into it. StateError in training mode."""
    return _fuse(conv, bn, fuse_conv_bn_weights, transpose=transpose)


def fuse_linear_bn_eval(linear, bn):
    """A copy of linear with bn folded into it. StateError in training mode."""
    return _fuse(linear, bn, fuse_linear_bn_weights)


__all__ = [
    "fuse_conv_bn_eval",
    "fuse_conv_bn_weights",
    "fuse_linear_bn_eval",
    "fuse_linear_bn_weights",
]
