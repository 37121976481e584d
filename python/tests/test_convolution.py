# SPDX-License-Identifier: Apache-2.0
"""Convolutions whose kernel covers one side of the image, against PyTorch: values, gradients and a
second derivative. They run with that side as channels."""

import deepseek as ds
import numpy as np
import pytest
import torch

# Input, weight, stride, padding, dilation.
CASES = [
    ((3, 1, 9, 20), (4, 1, 3, 20), 1, 0, 1),
    ((2, 3, 9, 20), (4, 3, 3, 20), (2, 3), (1, 0), (2, 1)),
    ((2, 1, 20, 9), (4, 1, 20, 3), 1, 0, 1),
    ((2, 3, 20, 9), (4, 3, 20, 4), (5, 2), (0, 2), (1, 2)),
    ((1, 20, 9), (4, 1, 20, 3), 1, 0, 1),  # without a batch
    ((2, 2, 5, 7), (4, 2, 5, 7), 1, 0, 1),  # both sides
    ((2, 2, 5, 7), (4, 2, 5, 1), 1, 0, 1),
    ((2, 2, 5, 7), (4, 1, 5, 3), 1, 0, 1),  # two groups
    ((2, 1, 5, 7), (4, 1, 3, 7), 1, 1, 1),  # padded
]


def results(lib, case):
    shape, weight_shape, stride, padding, dilation = case
    rng = np.random.default_rng(0)
    x = lib.from_numpy(rng.standard_normal(shape)).requires_grad_()
    weight = lib.from_numpy(rng.standard_normal(weight_shape)).requires_grad_()
    bias = lib.from_numpy(rng.standard_normal(weight_shape[0])).requires_grad_()
    groups = shape[-3] // weight_shape[1]
    y = lib.nn.functional.conv2d(x, weight, bias, stride, padding, dilation, groups)
    inputs = (x, weight, bias)
    grads = lib.autograd.grad((y * y).sum(), inputs, create_graph=True)
    second = lib.autograd.grad((grads[0] ** 2).sum(), (x, weight))
    return [y, *grads, *second]


@pytest.mark.parametrize("case", CASES)
def test_kernel_over_one_side(case):
    for ours, theirs in zip(results(ds, case), results(torch, case), strict=True):
        assert tuple(ours.shape) == tuple(theirs.shape)
        np.testing.assert_allclose(ours.detach().numpy(), theirs.detach().numpy(), rtol=1e-9)


def test_a_kernel_that_does_not_fit_is_named_as_it_is():
    with pytest.raises(ds.ShapeError, match=r"kernel \[9,20\]"):
        ds.nn.functional.conv2d(ds.ones(2, 1, 5, 20), ds.ones(4, 1, 9, 20)).evaluate()
