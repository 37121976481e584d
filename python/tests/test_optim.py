# SPDX-License-Identifier: Apache-2.0
"""Optimizers against torch.optim (LAMB and Lion against their papers' formulas in NumPy)."""

import copy
import pickle

import deepseek as ds
import deepseek.nn as nn
import numpy as np
import pytest
import torch
from deepseek import optim
from deepseek.amp import GradScaler

RULES = [
    ("SGD", {"lr": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.9}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.3, "weight_decay": 0.01}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "maximize": True}),
    ("Adam", {"lr": 0.05}),
    ("Adam", {"lr": 0.05, "weight_decay": 0.1, "amsgrad": True}),
    ("Adam", {"lr": 0.05, "betas": (0.8, 0.9), "eps": 1e-4, "maximize": True}),
    ("AdamW", {"lr": 0.05}),
    ("AdamW", {"lr": 0.05, "weight_decay": 0.3, "amsgrad": True}),
    ("RMSprop", {"lr": 0.01}),
    ("RMSprop", {"lr": 0.01, "momentum": 0.9, "centered": True, "weight_decay": 0.1}),
    ("Adagrad", {"lr": 0.1}),
    ("Adagrad", {"lr": 0.1, "lr_decay": 0.1, "initial_accumulator_value": 0.5}),
    ("Adadelta", {"lr": 0.5, "weight_decay": 0.1}),
    ("Adamax", {"lr": 0.05, "betas": (0.8, 0.9)}),
    ("NAdam", {"lr": 0.05, "weight_decay": 0.1}),
    ("NAdam", {"lr": 0.05, "weight_decay": 0.1, "decoupled_weight_decay": True}),
    ("RAdam", {"lr": 0.05}),
    ("RAdam", {"lr": 0.05, "betas": (0.9, 0.6), "weight_decay": 0.1}),
    ("Rprop", {"lr": 0.05, "etas": (0.4, 1.5)}),
    ("ASGD", {"lr": 0.05, "lambd": 0.1, "t0": 2}),
    ("Adafactor", {"lr": 0.1}),
    ("Adafactor", {"lr": 0.1, "weight_decay": 0.1, "eps": (1e-20, 1e-2), "d": 2.0}),
]
SHAPES = [(3, 4), (5,), (2, 3, 4), ()]


def start(tensor):
    rng = np.random.default_rng(0)
    return [tensor(rng.standard_normal(shape).astype(np.float32)) for shape in SHAPES]


def torch_params():
    return [torch.nn.Parameter(p) for p in start(torch.tensor)]


def our_params():
    return [nn.Parameter(p) for p in start(ds.tensor)]


def set_grads(params, tensor, seed):
    rng = np.random.default_rng(seed)
    for param in params:
        param.grad = tensor(rng.standard_normal(tuple(param.shape)).astype(np.float32))


def run(optimizer, params, tensor, steps, first=0):
    for step in range(first, first + steps):
        optimizer.zero_grad()
        set_grads(params, tensor, 100 + step)
        optimizer.step()


def assert_equal(ours, theirs, tolerance=2e-5):
    for p, q in zip(ours, theirs, strict=False):
        np.testing.assert_allclose(
            p.detach().numpy(), q.detach().numpy(), rtol=tolerance, atol=tolerance
        )


@pytest.mark.parametrize(("name", "kwargs"), RULES)
def test_five_steps_equal_torch(name, kwargs):
    theirs, ours = torch_params(), our_params()
    a, b = getattr(torch.optim, name)(theirs, **kwargs), getattr(optim, name)(ours, **kwargs)
    run(a, theirs, torch.tensor, 5)
    run(b, ours, ds.tensor, 5)
    assert_equal(ours, theirs)


@pytest.mark.parametrize(("name", "kwargs"), RULES)
def test_state_continues_and_torchs_state_loads(name, kwargs):
    theirs, ours, loaded = torch_params(), our_params(), our_params()
    a, b = getattr(torch.optim, name)(theirs, **kwargs), getattr(optim, name)(ours, **kwargs)
    run(a, theirs, torch.tensor, 2)
    run(b, ours, ds.tensor, 2)
    for p, q in zip(loaded, ours, strict=False):
        p.data = q.data
    c = getattr(optim, name)(loaded, lr=7.0)
    c.load_state_dict(copy.deepcopy(b.state_dict()))
    from_torch = [nn.Parameter(ds.tensor(q.detach().numpy())) for q in theirs]
    d = getattr(optim, name)(from_torch, lr=7.0)
    d.load_state_dict(a.state_dict())
    assert c.param_groups[0]["lr"] == d.param_groups[0]["lr"] == kwargs["lr"]
    run(a, theirs, torch.tensor, 3, 2)
    run(c, loaded, ds.tensor, 3, 2)
    run(d, from_torch, ds.tensor, 3, 2)
    assert_equal(loaded, theirs)
    assert_equal(from_torch, theirs)


@pytest.mark.parametrize(
    "name",
    [
        "SGD",
        "Adam",
        "AdamW",
        "RMSprop",
        "Adagrad",
        "Adafactor",
        "Adadelta",
        "Adamax",
        "NAdam",
        "RAdam",
        "Rprop",
        "ASGD",
    ],
)
def test_state_dict_has_torchs_layout(name):
    kwargs = {"momentum": 0.9} if name == "SGD" else {}
    theirs, ours = torch_params(), our_params()
    a, b = getattr(torch.optim, name)(theirs, **kwargs), getattr(optim, name)(ours, **kwargs)
    run(a, theirs, torch.tensor, 1)
    run(b, ours, ds.tensor, 1)
    expected, got = a.state_dict(), b.state_dict()
    assert set(got) == set(expected)
    assert got["state"].keys() == expected["state"].keys()
    for index, values in expected["state"].items():
        named = {key for key, value in values.items() if value is not None}
        assert set(got["state"][index]) == named | {"step"} & set(got["state"][index])
    for group, other in zip(got["param_groups"], expected["param_groups"], strict=False):
        assert group["params"] == other["params"]
        for key in ("lr", "weight_decay", "maximize", "betas", "momentum", "nesterov", "amsgrad"):
            assert (key in group) == (key in other)
            assert group.get(key) == other.get(key)


def lamb(p, m, v, g, step, lr=0.01, b1=0.9, b2=0.999, eps=1e-6, decay=0.1):
    m[...] = b1 * m + (1 - b1) * g
    v[...] = b2 * v + (1 - b2) * g * g
    r = m / (1 - b1**step) / (np.sqrt(v / (1 - b2**step)) + eps) + decay * p
    trust = np.sqrt((p * p).sum()) / np.sqrt((r * r).sum())
    p[...] -= lr * trust * r


def lion(p, m, _v, g, _step, lr=0.01, b1=0.9, b2=0.99, decay=0.1):
    p[...] *= 1 - lr * decay
    p[...] -= lr * np.sign(b1 * m + (1 - b1) * g)
    m[...] = b2 * m + (1 - b2) * g


@pytest.mark.parametrize(("name", "formula"), [("LAMB", lamb), ("Lion", lion)])
def test_five_steps_equal_the_papers_formula(name, formula):
    ours = our_params()
    expected = start(lambda a: np.asarray(a, dtype=np.float64).copy())
    state = [(np.zeros_like(p), np.zeros_like(p)) for p in expected]
    optimizer = getattr(optim, name)(ours, lr=0.01, weight_decay=0.1)
    for step in range(1, 6):
        rng = np.random.default_rng(100 + step)
        for param, p, (m, v) in zip(ours, expected, state, strict=False):
            grad = rng.standard_normal(p.shape).astype(np.float32)
            param.grad = ds.tensor(grad)
            formula(p, m, v, grad, step)
        optimizer.step()
    for param, p in zip(ours, expected, strict=False):
        np.testing.assert_allclose(param.detach().numpy(), p, rtol=1e-4, atol=1e-5)


def test_groups_have_their_own_numbers_and_change_between_steps():
    theirs, ours = torch_params(), our_params()

    def groups(params):
        return [{"params": params[:2]}, {"params": params[2:3], "lr": 0.5, "momentum": 0.5}]

    a = torch.optim.SGD(groups(theirs), lr=0.1, momentum=0.9)
    b = optim.SGD(groups(ours), lr=0.1, momentum=0.9)
    a.add_param_group({"params": theirs[3], "name": "last"})
    b.add_param_group({"params": ours[3], "name": "last"})
    for step in range(4):
        for optimizer, params, tensor in ((a, theirs, torch.tensor), (b, ours, ds.tensor)):
            run(optimizer, params, tensor, 1, step)
            for group in optimizer.param_groups:
                group["lr"] *= 0.5
            optimizer.param_groups[0]["momentum"] = 0.3
    assert_equal(ours, theirs)
    assert [g["lr"] for g in b.param_groups] == [g["lr"] for g in a.param_groups]
    assert b.param_groups[2]["name"] == "last"
    assert b.param_groups[0]["params"][0] is ours[0]
    assert list(b.state_dict()["param_groups"][2]["params"]) == [3]


def test_schedule_does_not_plan_again():
    param = nn.Parameter(ds.ones(4))
    optimizer = optim.Adam([param], lr=0.1)
    counts = []
    for step in range(5):
        optimizer.zero_grad()
        (param * param).sum().backward()
        optimizer.param_groups[0]["lr"] = 0.1 / (step + 1)
        optimizer.param_groups[0]["betas"] = (0.9 - 0.01 * step, 0.999)
        optimizer.step()
        counts.append(ds._core.engine_stats()["plans"])
    assert counts[-1] == counts[1]


def test_closure_runs_with_gradients_and_its_loss_is_returned():
    param = nn.Parameter(ds.tensor([2.0]))
    optimizer = optim.SGD([param], lr=0.1)

    def closure():
        optimizer.zero_grad()
        loss = (param * param).sum()
        loss.backward()
        return loss

    with ds.no_grad():
        loss = optimizer.step(closure)
    assert loss.item() == 4.0
    np.testing.assert_allclose(param.detach().numpy(), [1.6], rtol=1e-6)


def test_optimizer_written_in_python():
    class Sign(optim.Optimizer):
        def __init__(self, params, lr=0.1):
            super().__init__(params, {"lr": lr})

        def step(self, closure=None):
            with ds.no_grad():
                for group in self.param_groups:
                    for p in group["params"]:
                        state = self.state[p]
                        state["step"] = state.get("step", 0) + 1
                        p.add_(p.grad.sign(), alpha=-group["lr"])

    param = nn.Parameter(ds.tensor([1.0, -1.0]))
    optimizer = Sign([param])
    calls = []
    handle = optimizer.register_step_post_hook(lambda opt, args, kwargs: calls.append(opt))
    param.grad = ds.tensor([3.0, -2.0])
    optimizer.step()
    handle.remove()
    optimizer.step()
    np.testing.assert_allclose(param.detach().numpy(), [0.8, -0.8], rtol=1e-6)
    assert calls == [optimizer]
    assert optimizer.state[param]["step"] == 2
    assert optimizer.state_dict()["state"] == {0: {"step": 2}}


def test_errors():
    param = nn.Parameter(ds.ones(2))
    with pytest.raises(ValueError, match="empty parameter list"):
        optim.SGD([], lr=0.1)
    with pytest.raises(TypeError, match="iterable of Tensors or dicts"):
        optim.SGD(param)
    with pytest.raises(TypeError, match="can only optimize Tensors"):
        optim.SGD([3.0])
    with pytest.raises(ValueError, match="non-leaf"):
        optim.SGD([param * 2])
    with pytest.raises(ValueError, match="more than one parameter group"):
        optim.SGD([{"params": [param]}, {"params": [param]}])
    with pytest.raises(ValueError, match="lr"):
        optim.Adam([param], lr=-1.0)
    with pytest.raises(TypeError, match="unexpected keyword"):
        optim.Adam([param], learning_rate=1.0)
    with pytest.raises(ValueError, match="different number of parameter groups"):
        optim.SGD([param]).load_state_dict({"state": {}, "param_groups": []})
    with pytest.raises(ValueError, match="doesn't match the size"):
        optim.SGD([param]).load_state_dict({"state": {}, "param_groups": [{"params": [0, 1]}]})


def test_repr_and_pickle():
    param = nn.Parameter(ds.ones(2))
    optimizer = optim.Adam([param], lr=0.25)
    text = repr(optimizer)
    assert text.startswith("Adam (\nParameter Group 0\n") and "    lr: 0.25\n" in text
    param.grad = ds.ones(2)
    optimizer.step()
    again = pickle.loads(pickle.dumps(optimizer))
    assert again.param_groups[0]["lr"] == 0.25
    assert again.state_dict()["state"][0]["step"] == 1


@pytest.mark.parametrize("norm", [1.0, 2.0, float("inf")])
def test_clipping_equals_torch(norm):
    theirs, ours = torch_params(), our_params()
    set_grads(theirs, torch.tensor, 1)
    set_grads(ours, ds.tensor, 1)
    expected = torch.nn.utils.clip_grad_norm_(theirs, 1.5, norm)
    got = nn.utils.clip_grad_norm_(ours, 1.5, norm)
    np.testing.assert_allclose(got.item(), expected.item(), rtol=1e-5)
    assert_equal([p.grad for p in ours], [p.grad for p in theirs])
    torch.nn.utils.clip_grad_value_(theirs, 0.1)
    nn.utils.clip_grad_value_(iter(ours), 0.1)
    assert_equal([p.grad for p in ours], [p.grad for p in theirs])


def test_parameters_as_one_vector():
    ours, theirs = our_params(), torch_params()
    vector = nn.utils.parameters_to_vector(ours)
    np.testing.assert_array_equal(
        vector.detach().numpy(), torch.nn.utils.parameters_to_vector(theirs).detach().numpy()
    )
    nn.utils.vector_to_parameters(vector.detach() * 2, ours)
    assert_equal(ours, [p * 2 for p in theirs])


def test_grad_scaler_skips_and_backs_off():
    param = nn.Parameter(ds.ones(2))
    optimizer = optim.SGD([param], lr=0.5)
    scaler = GradScaler(init_scale=8.0, growth_interval=2)
    before = param.detach().numpy().copy()
    scaler.scale((param * float("inf")).sum()).backward()
    scaler.step(optimizer)
    scaler.update()
    np.testing.assert_array_equal(param.detach().numpy(), before)
    assert scaler.get_scale() == 4.0 and scaler.skipped_steps() == 1
    for _ in range(2):
        optimizer.zero_grad()
        scaler.scale(param.sum()).backward()
        scaler.unscale_(optimizer)
        np.testing.assert_array_equal(param.grad.numpy(), [1.0, 1.0])
        scaler.step(optimizer)
        scaler.update()
    np.testing.assert_array_equal(param.detach().numpy(), [0.0, 0.0])
    assert scaler.get_scale() == 8.0
    other = GradScaler()
    other.load_state_dict(scaler.state_dict())
    assert other.get_scale() == 8.0
