# SPDX-License-Identifier: Apache-2.0
"""gather and scatter_add with an index that was expanded over whole slices, as graph networks write
them, against PyTorch: values, gradients, second derivatives, indices out of range."""

import deepseek as ds
import numpy as np
import pytest
import torch

# Shape, dimension, size of the index along it.
CASES = [((5, 3), 0, 8), ((4, 5, 3), 1, 8), ((3, 5), 1, 8), ((5, 3), 0, 1), ((1, 3), 0, 8)]


def results(lib, shape, dim, count):
    rng = np.random.default_rng(0)
    edges = lib.from_numpy(rng.integers(0, shape[dim], count))
    wide = list(shape)
    wide[dim] = count
    index = edges.view(*[-1 if d == dim else 1 for d in range(len(shape))]).expand(*wide)
    x = lib.from_numpy(rng.standard_normal(shape)).requires_grad_()
    src = lib.from_numpy(rng.standard_normal(wide)).requires_grad_()
    picked, added = x.gather(dim, index), x.scatter_add(dim, index, src)
    inplace = lib.zeros(*shape, dtype=lib.float64).scatter_add_(dim, index, src)
    loss = (picked**3).sum() + (added**2).sum() + (inplace**2).sum()
    grads = lib.autograd.grad(loss, (x, src), create_graph=True)
    second = lib.autograd.grad((grads[0] ** 2).sum() + (grads[1] ** 2).sum(), (x, src))
    return [picked, added, inplace, *grads, *second]


@pytest.mark.parametrize(("shape", "dim", "count"), CASES)
def test_index_of_slices(shape, dim, count):
    ours, theirs = results(ds, shape, dim, count), results(torch, shape, dim, count)
    for a, b in zip(ours, theirs, strict=True):
        assert tuple(a.shape) == tuple(b.shape)
        np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-10)


@pytest.mark.parametrize("place", [5, -1])
def test_places_out_of_range_are_errors(place):
    index = ds.tensor([0, place]).view(-1, 1).expand(-1, 3)
    for call in (
        lambda: ds.ones(5, 3).gather(0, index),
        lambda: ds.ones(5, 3).scatter_add(0, index, ds.ones(2, 3)),
    ):
        with pytest.raises(ds.IndexError):
            call().numpy()


def test_an_index_over_part_of_the_input():
    # As many columns as the index has, of more that the input has.
    index = np.array([[3], [1]]).repeat(2, 1)
    ours = ds.ones(5, 3).scatter_add(0, ds.tensor([3, 1]).view(-1, 1).expand(-1, 2), ds.ones(2, 2))
    theirs = torch.ones(5, 3).scatter_add(0, torch.from_numpy(index), torch.ones(2, 2))
    np.testing.assert_array_equal(ours.numpy(), theirs.numpy())
    picked = ds.arange(15).view(5, 3).gather(0, ds.tensor([3, 1]).view(-1, 1).expand(-1, 2))
    np.testing.assert_array_equal(picked.numpy(), [[9, 10], [3, 4]])
