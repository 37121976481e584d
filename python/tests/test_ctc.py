# SPDX-License-Identifier: Apache-2.0
"""CTC against PyTorch: values and gradients, with repeated labels, short inputs and targets,
targets in one piece and alignments that are impossible."""

import deepseek as ds
import numpy as np
import pytest
import torch

LENGTHS = [12, 9, 3, 7]  # of the inputs
LABELS = [[1, 1, 2, 4], [3, 2, 3, 0], [4, 4, 4, 0], [0, 0, 0, 0]]
SIZES = [4, 3, 3, 0]  # the third needs five steps and has three


def loss_and_gradient(lib, sizes, options, flat=False):
    rng = np.random.default_rng(0)
    scores = lib.from_numpy(rng.standard_normal((12, 4, 5))).requires_grad_()
    labels = [row[:size] for row, size in zip(LABELS, sizes, strict=True)]
    targets = lib.tensor(sum(labels, []) if flat else LABELS)
    blank = options.get("blank", 0)
    if blank:
        targets = (targets + blank) % 5
    loss = lib.nn.functional.ctc_loss(
        scores.log_softmax(2), targets, lib.tensor(LENGTHS), lib.tensor(sizes), **options
    )
    loss.sum().backward()
    return loss.detach().numpy(), scores.grad.numpy()


@pytest.mark.parametrize(
    "options",
    [
        {"reduction": "none"},
        {"reduction": "sum", "blank": 2},
        {"reduction": "mean"},
    ],
)
@pytest.mark.parametrize("flat", [False, True])
def test_equals_torch(options, flat):
    ours = loss_and_gradient(ds, [4, 3, 1, 0], options, flat)
    theirs = loss_and_gradient(torch, [4, 3, 1, 0], options, flat)
    np.testing.assert_allclose(ours[0], theirs[0], rtol=1e-10)
    np.testing.assert_allclose(ours[1], theirs[1], rtol=1e-8, atol=1e-12)


def test_impossible_alignments():
    ours, _ = loss_and_gradient(ds, SIZES, {"reduction": "none"})
    theirs, _ = loss_and_gradient(torch, SIZES, {"reduction": "none"})
    assert np.isinf(ours[2])
    np.testing.assert_allclose(ours, theirs, rtol=1e-10)
    options = {"reduction": "none", "zero_infinity": True}
    ours, theirs = loss_and_gradient(ds, SIZES, options), loss_and_gradient(torch, SIZES, options)
    assert ours[0][2] == 0 and not ours[1][:, 2].any()
    np.testing.assert_allclose(ours[0], theirs[0], rtol=1e-10)
    np.testing.assert_allclose(ours[1], theirs[1], rtol=1e-8, atol=1e-12)
