# SPDX-License-Identifier: Apache-2.0
"""Rows whose ends fill no vector, and products of a few rows, against PyTorch in FP32 and in
bfloat16: NaN and infinities at the end stay there."""

import deepseek as ds
import numpy as np
import pytest
import torch

SIZES = [1, 2, 7, 8, 15, 16, 17, 31, 40, 49, 65]


def compare(function, *arrays, half):
    """Both compute in bfloat16 from the same rounded numbers."""

    def run(lib):
        dtype = lib.bfloat16 if half else lib.float32
        return function(lib, *(lib.tensor(a).to(dtype) for a in arrays)).float().numpy()

    found, wanted = run(ds), run(torch)
    tolerance = 0.02 if half else 1e-5
    np.testing.assert_allclose(found, wanted, rtol=tolerance, atol=tolerance)


def rows(size, special):
    x = np.random.default_rng(size).standard_normal((5, size)).astype(np.float32)
    if special is not None:
        x[3, -1] = special
    return x


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("special", [None, np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("size", SIZES)
def test_norms_and_softmax(size, special, half):
    x = rows(size, special)
    compare(lambda lib, x: lib.softmax(x, -1), x, half=half)
    compare(lambda lib, x: lib.nn.functional.silu(x) + lib.exp(x), x, half=half)
    if size > 1:
        compare(lambda lib, x: lib.nn.functional.layer_norm(x, (size,)), x, half=half)


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("special", [None, np.nan, np.inf])
@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_few_rows_times_weights(count, special, half):
    random = np.random.default_rng(count)
    for inner, outer in ((8, 3), (37, 130), (300, 70)):
        x = random.standard_normal((count, inner)).astype(np.float32)
        weights = random.standard_normal((outer, inner)).astype(np.float32) / np.sqrt(inner)
        if special is not None:
            weights[outer // 2, -1] = special
        compare(lambda lib, x, w: lib.nn.functional.linear(x, w), x, weights, half=half)
        compare(lambda lib, w, v: lib.mv(w, v), weights, x[0], half=half)
