# SPDX-License-Identifier: Apache-2.0
"""Views and in-place writes alias exactly as PyTorch's: the same random program in both."""

import deepseek as ds
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

# Each makes a view of x, or None where x's shape does not allow it.
VIEWS = {
    "transpose": lambda x: x.transpose(0, -1) if x.dim() > 1 else None,
    "select": lambda x: x[0] if x.dim() and x.shape[0] else None,
    "last": lambda x: x[..., -1] if x.dim() and x.shape[-1] else None,
    "slice": lambda x: x[1:] if x.dim() else None,
    "step": lambda x: x[..., ::2] if x.dim() else None,
    "flat": lambda x: x.view(-1),
    "unsqueeze": lambda x: x.unsqueeze(0) if x.dim() < 5 else None,
    "squeeze": lambda x: x.squeeze(),
    "diagonal": lambda x: x.diagonal() if x.dim() > 1 else None,
    "narrow": lambda x: x.narrow(0, 0, x.shape[0] // 2) if x.dim() else None,
    "detach": lambda x: x.detach(),
    "unfold": lambda x: x.unfold(0, 2, 2) if x.dim() and x.shape[0] >= 2 else None,
}
WRITES = {
    "add_": lambda x: x.add_(1.5),
    "mul_": lambda x: x.mul_(2),
    "zero_": lambda x: x.zero_(),
    "fill_": lambda x: x.fill_(3.25),
    "sub_self": lambda x: x.sub_(x * 0.5),
    "set": lambda x: x.__setitem__(Ellipsis, 7.0),
    "relu_": lambda x: x.relu_(),
    "clamp_": lambda x: x.clamp_(-1, 1),
    "iadd": lambda x: x.__iadd__(1.0),
}


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from([*VIEWS, *WRITES]), st.integers(0, 7)), min_size=1, max_size=12
    )
)
def test_random_programs_alias_alike(program):
    start = np.arange(24, dtype=np.float32).reshape(2, 3, 4) - 10
    mine, theirs = [ds.tensor(start)], [torch.tensor(start)]
    for name, place in program:
        at = place % len(mine)
        if name in WRITES:
            WRITES[name](theirs[at])
            WRITES[name](mine[at])
            continue
        try:
            view = VIEWS[name](theirs[at])
        except RuntimeError:  # PyTorch cannot view strided memory as flat
            continue
        if view is not None:
            theirs.append(view)
            mine.append(VIEWS[name](mine[at]))
    for m, t in zip(mine, theirs, strict=False):
        np.testing.assert_array_equal(m.numpy(), t.numpy())


def test_a_view_sees_writes_to_its_base_and_back():
    x = ds.zeros(2, 3)
    row, flat = x[0], x.view(-1)
    row += 1
    flat[5] = 9
    assert x.tolist() == [[1, 1, 1], [0, 0, 9]]
    x.zero_()
    assert row.tolist() == [0, 0, 0] and flat.sum().item() == 0


def test_gradients_flow_through_in_place_writes():
    def run(lib, a):
        x = lib.tensor(a, requires_grad=True)
        y = x * 2
        y[0] = y[0] * 3
        y[:, 1] += x[:, 0]
        y += 1
        y.sum().backward()
        return np.asarray(x.grad.tolist())

    a = [[1.0, 2.0], [3.0, 4.0]]
    np.testing.assert_allclose(run(ds, a), run(torch, a))


def test_writes_to_leaves_that_require_grad_are_refused():
    x = ds.ones(3, requires_grad=True)
    with pytest.raises(ds.StateError, match="leaf that requires grad"):
        x.add_(1)
    with pytest.raises(ds.StateError, match="view of a leaf"):
        x[0] = 1
    with ds.no_grad():
        x[0] = 5
    assert x.tolist() == [5, 1, 1] and x.requires_grad


def test_a_write_through_an_expanded_tensor_is_refused():
    x = ds.zeros(1, 3).expand(2, 3)
    with pytest.raises(ds.StateError, match="clone"):
        x.add_(1)


def test_detach_shares_the_value():
    x = ds.ones(2, requires_grad=True)
    x.detach().mul_(4)
    assert x.tolist() == [4, 4]


INDICES = [
    "0",
    "-1",
    "slice(1, None)",
    "slice(None, None, 2)",
    "None",
    "...",
    "(0, 1)",
    "(slice(None), -1)",
    "(..., 0)",
    "(None, 1, ..., None)",
    "(slice(1, None), slice(None, None, 2))",
    "([0, 1, 1],)",
    "([0, 1], [2, 0])",
    "(slice(None), [0, 2])",
    "([0, 1], slice(None), [3, 0])",
    "(0, [0, 2])",
    "(slice(None), [[0, 1], [2, 2]])",
    "(None, [1, 0])",
    "([-1, -2],)",
    "(slice(None), slice(None), [0, -1])",
    "()",
    "([],)",
    "(slice(0, 0),)",
]


@pytest.mark.parametrize("index", INDICES)
def test_reading_and_writing_by_index(index):
    start = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    key = eval(index)
    x, t = ds.tensor(start), torch.tensor(start)
    np.testing.assert_array_equal(x[key].numpy(), t[key].numpy())
    x[key] = -1.0
    t[key] = -1.0
    np.testing.assert_array_equal(x.numpy(), t.numpy())
    value = np.random.default_rng(0).standard_normal(tuple(t[key].shape)).astype(np.float32)
    if "1, 1" not in index:  # which of two writes to one place wins is not defined
        x[key] = ds.tensor(value)
        t[key] = torch.tensor(value)
        np.testing.assert_array_equal(x.numpy(), t.numpy())


def test_masks():
    start = np.arange(12, dtype=np.float32).reshape(3, 4)
    x, t = ds.tensor(start), torch.tensor(start)
    np.testing.assert_array_equal(x[x > 5].numpy(), t[t > 5].numpy())
    np.testing.assert_array_equal(
        x[ds.tensor([True, False, True])].numpy(), t[torch.tensor([True, False, True])].numpy()
    )
    np.testing.assert_array_equal(
        x[:, ds.tensor([True, False, True, False])].numpy(),
        t[:, torch.tensor([True, False, True, False])].numpy(),
    )
    x[x > 7] = 0
    t[t > 7] = 0
    x[x < 3] = ds.tensor([10.0, 11.0, 12.0, 13.0, 14.0, 15.0, 16.0])
    t[t < 3] = torch.tensor([10.0, 11.0, 12.0, 13.0, 14.0, 15.0, 16.0])
    np.testing.assert_array_equal(x.numpy(), t.numpy())


def test_index_gradients():
    def run(lib):
        x = lib.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], requires_grad=True)
        i = lib.tensor([0, 1, 1])
        (x[i] * x[:, i % 3].sum() + x[x > 2].sum()).sum().backward()
        return x.grad.tolist()

    assert run(ds) == run(torch)


@pytest.mark.parametrize(
    "index, error",
    [
        ("5", ds.IndexError),
        ("(0, 0, 0)", ds.IndexError),
        ("slice(None, None, -1)", ds.ValueError),
        ("'a'", ds.IndexError),
        ("1.5", ds.IndexError),
    ],
)
def test_bad_indices(index, error):
    with pytest.raises(error):
        ds.zeros(2, 3)[eval(index)]


def test_an_index_tensor_out_of_range_is_an_error_where_it_is_read():
    x = ds.zeros(2, 3)
    with pytest.raises(ds.IndexError, match="out of range"):
        x[ds.tensor([0, 7])].sum().item()
    with pytest.raises(ds.IndexError, match="out of range"):
        x[ds.tensor([0, 0]), ds.tensor([0, 3])].sum().item()


def test_iteration_and_unpacking():
    a, b = ds.tensor([[1, 2], [3, 4]])
    assert a.tolist() == [1, 2] and [r.tolist() for r in ds.tensor([5, 6])] == [5, 6]
    assert b.tolist() == [3, 4]
    with pytest.raises(TypeError):
        iter(ds.tensor(1.0))


def test_shapes_change_in_place_where_nothing_else_looks_on():
    x, t = ds.arange(6.0).reshape(2, 3).clone(), torch.arange(6.0).reshape(2, 3).clone()
    for name, args in [
        ("unsqueeze_", (0,)),
        ("squeeze_", (0,)),
        ("t_", ()),
        ("transpose_", (0, 1)),
        ("swapaxes_", (0, 1)),
        ("swapdims_", (1, 0)),
    ]:
        assert getattr(x, name)(*args) is x
        getattr(t, name)(*args)
        assert x.tolist() == t.tolist(), name
    with pytest.raises(ds.NotImplementedError, match="assign the result"):
        x[0].unsqueeze_(0)


def write_through_array(lib):
    """An array of a tensor shares its memory with it and its views, and with nothing else."""
    found = []

    def computed(*shape):
        t = lib.arange(float(np.prod(shape))).reshape(shape).clone()
        t.tolist()
        return t

    source = computed(3)
    copy = source.clone()
    copy.numpy()[0] = 5
    found += [source, copy]

    source, target = computed(2), lib.zeros(2)
    target.copy_(source)
    target.numpy()[0] = 3
    found += [source, target]

    source = computed(4)
    view, later = source[1:3], source + 1  # recorded before the write
    view.tolist()
    source.numpy()[1] = 9
    view.numpy()[1] = 8
    found += [source, view, later]

    first, second = (lib.nn.Linear(2, 2, bias=False) for _ in range(2))
    with lib.no_grad():
        first.weight.copy_(computed(2, 2))
    second.load_state_dict({k: v.clone() for k, v in first.state_dict().items()})
    second.weight.detach().numpy()[:] = 7
    third = lib.nn.Linear(2, 2, bias=False)
    third.load_state_dict(first.state_dict())
    third.weight.detach().numpy()[:] = 6
    found += [first.weight, second.weight, third.weight]

    weight = computed(3).requires_grad_()
    loss = (weight * 3).sum()
    loss.item()
    weight.detach().numpy()
    loss.backward()
    found.append(weight.grad)
    return [t.detach().tolist() for t in found]


def test_writes_through_an_array_reach_its_tensor_only():
    assert write_through_array(ds) == write_through_array(torch)
