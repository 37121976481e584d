# SPDX-License-Identifier: Apache-2.0
"""Layers that take their input size from the first input, against PyTorch's."""

import copy
import pickle

import deepseek as ds
import numpy as np
import pytest
import torch

CASES = [
    ("LazyLinear", (4,), {}, (2, 5, 3)),
    ("LazyLinear", (4,), {"bias": False}, (6,)),
    ("LazyConv1d", (4, 3), {"padding": 1}, (2, 3, 8)),
    ("LazyConv2d", (4, 3), {"groups": 2}, (2, 6, 8, 8)),
    ("LazyConv2d", (4, 3, 2, 1, 1, 2), {}, (6, 8, 8)),
    ("LazyConv3d", (4, 2), {}, (1, 2, 4, 4, 4)),
    ("LazyConvTranspose1d", (4, 3), {}, (2, 3, 8)),
    ("LazyConvTranspose2d", (4, 3), {"stride": 2, "groups": 2}, (2, 6, 5, 5)),
    ("LazyConvTranspose3d", (4, 2), {}, (1, 2, 3, 3, 3)),
    ("LazyBatchNorm1d", (), {}, (4, 3)),
    ("LazyBatchNorm2d", (), {"affine": False}, (4, 3, 5, 5)),
    ("LazyBatchNorm3d", (), {"track_running_stats": False}, (4, 3, 2, 2, 2)),
    ("LazyInstanceNorm1d", (), {"affine": False}, (2, 3, 5)),
    ("LazyInstanceNorm2d", (1e-3, 0.2, True, False), {}, (2, 3, 5, 5)),
    ("LazyInstanceNorm3d", (), {}, (2, 3, 4, 4, 4)),
]


def pair(name, args, kwargs, shape):
    data = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    theirs, ours = (getattr(lib.nn, name)(*args, **kwargs) for lib in (torch, ds))
    return theirs, ours, torch.from_numpy(data), ds.from_numpy(data)


def state_of(module):
    return {name: ds.from_numpy(value.numpy()) for name, value in module.state_dict().items()}


@pytest.mark.parametrize(("name", "args", "kwargs", "shape"), CASES)
def test_becomes_the_layer_and_computes_what_it_computes(name, args, kwargs, shape):
    theirs, ours, x, y = pair(name, args, kwargs, shape)
    lazy = [isinstance(p, torch.nn.UninitializedParameter) for p in theirs.parameters()]
    assert [isinstance(p, ds.nn.UninitializedParameter) for p in ours.parameters()] == lazy
    assert ours.has_uninitialized_params() == any(lazy)
    before = list(ours.parameters())
    ours(y), theirs(x)
    assert type(ours) is getattr(ds.nn, name.removeprefix("Lazy"))
    assert repr(ours) == repr(theirs)
    assert all(p is q for p, q in zip(before, ours.parameters(), strict=True))
    assert {n: tuple(t.shape) for n, t in ours.state_dict().items()} == {
        n: tuple(t.shape) for n, t in theirs.state_dict().items()
    }
    ours.load_state_dict(state_of(theirs))
    np.testing.assert_allclose(
        ours(y).detach().numpy(), theirs(x).detach().numpy(), rtol=1e-4, atol=1e-5
    )
    again = pickle.loads(pickle.dumps(copy.deepcopy(ours)))
    np.testing.assert_array_equal(again.eval()(y).detach().numpy(), ours.eval()(y).detach().numpy())


def test_first_values_have_the_layers_distribution():
    ds.manual_seed(0)
    layer = ds.nn.LazyLinear(400)
    layer(ds.ones(2, 100))
    values = layer.weight.detach().numpy()
    assert abs(values).max() <= 0.1 and values.std() == pytest.approx(0.1 / 3**0.5, rel=0.02)


def test_an_input_without_a_batch():
    # PyTorch takes the wrong dimension here.
    layer = ds.nn.LazyInstanceNorm2d()
    layer(ds.randn(3, 5, 6))
    assert layer.num_features == 3


def test_a_state_decides_the_size_too():
    source = ds.nn.Sequential(ds.nn.Conv2d(6, 4, 3, groups=2), ds.nn.BatchNorm2d(4))
    target = ds.nn.Sequential(ds.nn.LazyConv2d(4, 3, groups=2), ds.nn.LazyBatchNorm2d())
    target.load_state_dict(source.state_dict())
    assert type(target[0]) is ds.nn.Conv2d and target[0].in_channels == 6
    x = ds.randn(2, 6, 5, 5)
    np.testing.assert_array_equal(
        target.eval()(x).detach().numpy(), source.eval()(x).detach().numpy()
    )


def test_an_optimizer_made_before_the_first_input_trains():
    model = ds.nn.Sequential(ds.nn.LazyLinear(4), ds.nn.ReLU(), ds.nn.LazyLinear(1))
    optimizer = ds.optim.Adam(model.parameters(), lr=0.05)
    x = ds.randn(32, 3)
    losses = []
    for _ in range(40):
        loss = (model(x) - x.sum(1, keepdim=True)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


def test_wrong_inputs_are_typed_errors():
    with pytest.raises(ds.ShapeError, match="3 or 4 dimensions"):
        ds.nn.LazyConv2d(4, 3)(ds.ones(2, 2))
    with pytest.raises(ds.ValueError, match="not divisible by groups 2"):
        ds.nn.LazyConv2d(4, 3, groups=2)(ds.ones(1, 3, 5, 5))
