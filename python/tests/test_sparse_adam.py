# SPDX-License-Identifier: Apache-2.0
"""SparseAdam against torch.optim.SparseAdam over embeddings with sparse gradients."""

import copy

import deepseek as ds
import numpy as np
import pytest
import torch

OPTIONS = [{}, {"lr": 0.1, "betas": (0.8, 0.9), "eps": 1e-4}, {"maximize": True}]


def train(lib, options, steps, start=None, state=None, first=0):
    rng = np.random.default_rng(0)
    weight = rng.standard_normal((20, 3)) if start is None else start
    table = lib.nn.Embedding(20, 3, sparse=True, dtype=lib.float64)
    with lib.no_grad():
        table.weight.copy_(lib.from_numpy(weight))
    optimizer = lib.optim.SparseAdam(table.parameters(), **options)
    if state is not None:
        optimizer.load_state_dict(state)
    for step in range(first, first + steps):
        rows = np.random.default_rng(step).integers(0, 20, 4)
        optimizer.zero_grad()
        (table(lib.from_numpy(rows)) ** 3).sum().backward()
        optimizer.step()
    return table.weight.detach().numpy().copy(), optimizer


@pytest.mark.parametrize("options", OPTIONS)
def test_rows_equal_torch(options):
    ours, theirs = train(ds, options, 6)[0], train(torch, options, 6)[0]
    np.testing.assert_allclose(ours, theirs, rtol=1e-9)
    start = np.random.default_rng(0).standard_normal((20, 3))
    seen = np.unique([np.random.default_rng(step).integers(0, 20, 4) for step in range(6)])
    assert 0 < len(seen) < 20
    still = np.setdiff1d(np.arange(20), seen)
    np.testing.assert_array_equal(ours[still], start[still])


@pytest.mark.parametrize("source", [ds, torch])
def test_a_state_continues(source):
    weight, optimizer = train(source, {}, 3)
    state = copy.deepcopy(optimizer.state_dict())
    ours, _ = train(ds, {}, 3, weight, state, 3)
    np.testing.assert_allclose(ours, train(torch, {}, 6)[0], rtol=1e-9)


def test_wrong_arguments():
    with pytest.raises(ds.ValueError, match="lr 0 and eps"):
        ds.optim.SparseAdam([ds.nn.Parameter(ds.ones(2))], lr=0)
