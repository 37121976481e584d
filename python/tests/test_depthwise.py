# SPDX-License-Identifier: Apache-2.0
"""Depthwise convolutions and their gradients against PyTorch, in FP32 and in bfloat16, by kernels
that are made for them."""

import deepseek as ds
import numpy as np
import pytest
import torch

# Channels, size, kernel, stride, padding, dilation.
CASES = [
    (16, 12, 3, 1, 1, 1),
    (16, 13, 3, 2, 1, 1),
    (24, 11, 5, 1, 2, 1),
    (24, 14, 5, 2, 2, 1),
    (21, 15, 7, 1, 3, 1),
    (13, 17, 7, 2, 0, 1),
    (32, 16, 5, 1, 4, 2),
    (1, 9, 5, 1, 2, 1),
]


def results(lib, case, half):
    channels, size, kernel, stride, padding, dilation = case
    random = np.random.default_rng(0)

    def draw(*shape):
        values = random.standard_normal(shape).astype(np.float32)
        return lib.tensor(values).to(lib.bfloat16).float().requires_grad_()

    x, weight = draw(2, channels, size, size), draw(channels, 1, kernel, kernel)
    with lib.autocast("cpu", dtype=lib.bfloat16, enabled=half):
        y = lib.nn.functional.conv2d(x, weight, None, stride, padding, dilation, channels)
    y = y.float()
    (y * y).sum().backward()
    return [y.detach(), x.grad, weight.grad]


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("case", CASES)
def test_agrees_with_pytorch(case, half):
    if half:
        pairs = zip(results(ds, case, True), results(torch, case, False), strict=True)
        tolerance = 0.02
    else:
        pairs = zip(results(ds, case, False), results(torch, case, False), strict=True)
        tolerance = 1e-4
    for ours, theirs in pairs:
        theirs = theirs.numpy()
        largest = np.abs(theirs).max()
        np.testing.assert_allclose(ours.numpy(), theirs, rtol=0, atol=tolerance * largest)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_special_values_reach_the_gradient(value):
    def gradient(lib):
        x = np.ones((1, 16, 12, 12), np.float32)
        x[0, 3, 5, 5] = value
        weight = lib.ones(16, 1, 5, 5).requires_grad_()
        with lib.autocast("cpu", dtype=lib.bfloat16):
            y = lib.nn.functional.conv2d(lib.tensor(x), weight, padding=2, groups=16)
        y.float().sum().backward()
        return weight.grad.numpy()

    np.testing.assert_allclose(gradient(ds), gradient(torch), rtol=0.02)


# oneDNN has none where one channel is left or taps are apart.
@pytest.mark.parametrize("case", [case for case in CASES if case[0] > 1 and case[-1] == 1])
def test_no_kernel_for_groups_is_taken(case):
    with ds.debug.profile() as prof:
        for value in results(ds, case, True):
            value.numpy()
    kernels = [step.kernel for step in prof.steps if "conv" in step.op and step.flops]
    assert kernels
    assert all("_dw" in kernel or "depthwise" in kernel for kernel in kernels), kernels
