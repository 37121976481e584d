# SPDX-License-Identifier: Apache-2.0
"""L-BFGS against torch.optim.LBFGS, in f64, call by call of the closure."""

import copy

import deepseek as ds
import numpy as np
import pytest
import torch

SEARCHES = [None, "strong_wolfe"]


def valley(lib):
    """Rosenbrock's function in six dimensions, over two parameters of different shapes."""
    params = [
        lib.nn.Parameter(lib.tensor([[-1.2, 1.0], [0.7, -0.4]], dtype=lib.float64)),
        lib.nn.Parameter(lib.tensor([0.3, 1.5], dtype=lib.float64)),
    ]

    def loss():
        x = lib.cat([param.reshape(-1) for param in params])
        return (10 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()

    return params, loss


def train(lib, steps, start=None, state=None, **options):
    """Losses that the closure gave, the parameters and the optimizer."""
    params, loss = valley(lib)
    for param, value in zip(params, start or [], strict=False):
        param.data = lib.from_numpy(value)
    optimizer = lib.optim.LBFGS(params, **options)
    if state is not None:
        optimizer.load_state_dict(state)
    losses = []

    def closure():
        optimizer.zero_grad()
        value = loss()
        value.backward()
        losses.append(value.item())
        return value

    for _ in range(steps):
        optimizer.step(closure)
    return losses, [param.detach().numpy().copy() for param in params], optimizer


@pytest.mark.parametrize("search", SEARCHES)
@pytest.mark.parametrize("history", [3, 100])
def test_every_loss_equals_torch(search, history):
    options = {
        "lr": 0.02 if search is None else 1,
        "max_iter": 7,
        "history_size": history,
        "line_search_fn": search,
    }
    ours, theirs = train(ds, 3, **options), train(torch, 3, **options)
    assert len(ours[0]) > 15
    np.testing.assert_allclose(ours[0], theirs[0], rtol=1e-7)
    for a, b in zip(ours[1], theirs[1], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-7)


def test_the_search_reaches_the_minimum_and_stops():
    start = [np.full((2, 2), 0.5), np.full(2, -0.5)]
    options = {"max_iter": 200, "line_search_fn": "strong_wolfe"}
    losses, params, optimizer = train(ds, 1, start, **options)
    assert losses[-1] < 1e-9 and len(losses) < 100
    np.testing.assert_allclose(np.concatenate([p.reshape(-1) for p in params]), 1, atol=1e-4)
    state = optimizer.state[optimizer.param_groups[0]["params"][0]]
    assert state["func_evals"] == len(losses)


@pytest.mark.parametrize("source", [ds, torch])
def test_a_state_continues(source):
    options = {"max_iter": 5, "line_search_fn": "strong_wolfe"}
    _, middle, optimizer = train(source, 1, **options)
    state = copy.deepcopy(optimizer.state_dict())
    ours = train(ds, 2, middle, state, **options)
    theirs = train(torch, 3, **options)
    np.testing.assert_allclose(ours[0], theirs[0][-len(ours[0]) :], rtol=1e-6)


def test_wrong_arguments():
    param = ds.nn.Parameter(ds.ones(2))
    with pytest.raises(ds.ValueError, match="strong_wolfe"):
        ds.optim.LBFGS([param], line_search_fn="armijo")
    with pytest.raises(ds.ValueError, match="lr is -1"):
        ds.optim.LBFGS([param], lr=-1)
    groups = [{"params": [param]}, {"params": [ds.nn.Parameter(ds.ones(2))]}]
    with pytest.raises(ds.ValueError, match="one group"):
        ds.optim.LBFGS(groups)


@pytest.mark.parametrize(
    "loss, rate",
    [(lambda w: w.sum(), 1.0), (lambda w: w.exp().sum() - 2 * w.sum(), 1000.0)],
    ids=["a line", "overflow"],
)
def test_searches_without_a_cubic_go_on(loss, rate):
    w = ds.nn.Parameter(ds.zeros(2))
    optimizer = ds.optim.LBFGS([w], lr=rate, max_iter=3, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        value = loss(w)
        value.backward()
        return value

    before = float(optimizer.step(closure))
    assert np.isfinite(w.detach().numpy()).all() and float(loss(w)) < before
