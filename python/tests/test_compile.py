# SPDX-License-Identifier: Apache-2.0
"""ds.compile: calls are replayed, and every change that the plain call would see is seen. Expected
values are those of the same call without it, or of PyTorch."""

import collections
import copy
import dataclasses
import gc
import pickle
import random
import types
import weakref

import deepseek as ds
import numpy as np
import pytest
import torch
from deepseek.models import BertConfig, BertForSequenceClassification

SCALE = 2.0
SETTINGS = types.SimpleNamespace(shift=1.0)
KEPT = []


class Net(ds.nn.Module):
    def __init__(self):
        super().__init__()
        self.first = ds.nn.Linear(4, 8)
        self.norm = ds.nn.BatchNorm1d(8)
        self.drop = ds.nn.Dropout(0.5)
        self.second = ds.nn.Linear(8, 3)
        self.factor = 1.0
        self.steps = [1.0]

    def forward(self, x, scale=1.0):
        h = self.drop(ds.relu(self.norm(self.first(x))))
        for step in self.steps:
            h = h * step
        return self.second(h) * self.factor * scale


def calls(f, *args, times=4, **kwargs):
    """The result of the last of several calls without gradients."""
    with ds.no_grad():
        for _ in range(times):
            out = f(*args, **kwargs)
    return out


def replayed(f) -> int:
    return ds.debug.replays(f).replayed


def compiled_net():
    model = Net().eval()
    return ds.compile(model), copy.deepcopy(model)


def check(model, plain, x):
    """Both give the same, in the next call and in those after it."""
    for _ in range(3):
        with ds.no_grad():
            assert model(x).tolist() == plain(x).tolist()


def test_a_module_is_replayed_and_stays_itself():
    model, plain = compiled_net()
    assert isinstance(model, Net)
    keys = list(model.state_dict())
    x = ds.randn(5, 4)
    check(model, plain, x)
    assert replayed(model) == 1
    check(model, plain, ds.randn(5, 4))
    assert ds.debug.replays(model) == (4, 2, "")
    assert list(model.state_dict()) == keys and len(list(model.parameters())) == 6
    assert ds.compile(model) is model and replayed(model) == 4
    pickle.loads(pickle.dumps(model))(x)


def test_agrees_with_pytorch():
    theirs = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.ReLU())
    mine = ds.nn.Sequential(ds.nn.Conv2d(3, 4, 3), ds.nn.BatchNorm2d(4), ds.nn.ReLU())
    mine.load_state_dict({k: ds.tensor(v.numpy()) for k, v in theirs.state_dict().items()})
    ds.compile(mine.eval())
    theirs.eval()
    for seed in range(4):
        image = np.random.default_rng(seed).standard_normal((2, 3, 9, 7)).astype(np.float32)
        image[0, 0, 0, 0] = np.nan
        with torch.no_grad(), ds.inference_mode():
            np.testing.assert_allclose(
                mine(ds.tensor(image)).numpy(), theirs(torch.tensor(image)), atol=1e-5
            )
    assert replayed(mine) == 2


def test_functions_and_decorators():
    @ds.compile
    def f(x, y=None, *, power=2):
        return {"sum": x + y if y is not None else x, "power": [x**power, (x, None, "text")]}

    x = ds.arange(3.0)
    for _ in range(4):
        out = f(x, y=x, power=3)
        assert out["sum"].tolist() == [0, 2, 4] and out["power"][0].tolist() == [0, 1, 8]
        assert out["power"][1] == (x, None, "text") and out["power"][1][0] is x
    for _ in range(4):
        assert f(x, y=ds.ones(3), power=3)["sum"].tolist() == [1, 2, 3]
        assert f(x)["power"][0].tolist() == [0, 1, 4]
    assert replayed(f) == 6 and f.__name__ == "f"
    assert ds.compile(mode="max-autotune")(len)([1]) == 1
    assert ds.compile(f, disable=True) is f and ds.compile(f) is f
    with pytest.raises(TypeError, match="a module or a function"):
        ds.compile(3)
    with pytest.raises(TypeError, match="compile returned"):
        ds.debug.replays(len)


@dataclasses.dataclass
class Answer:
    logits: ds.Tensor
    name: str


Point = collections.namedtuple("Point", "x y")


def test_structures_of_outputs():
    f = ds.compile(lambda x: (Answer(x + 1, "a"), Point(x * 2, 5)))
    for i in range(4):
        answer, point = f(ds.full((2,), i))
        assert answer.logits.tolist() == [i + 1] * 2 and answer.name == "a"
        assert isinstance(point, Point) and point.x.tolist() == [2 * i] * 2 and point.y == 5
    assert replayed(f) == 2


def test_outputs_of_models():
    config = BertConfig()
    for name in ("hidden_size", "intermediate_size"):
        setattr(config, name, 16)
    config.num_attention_heads, config.num_hidden_layers, config.vocab_size = 2, 1, 30
    model = ds.compile(BertForSequenceClassification(config).eval())
    plain = copy.deepcopy(model)
    for i in range(4):
        ids = ds.tensor([[1, 2 + i, 3]])
        with ds.no_grad():
            out = model(input_ids=ids, attention_mask=ds.ones_like(ids))
            wanted = plain(input_ids=ids, attention_mask=ds.ones_like(ids))
        assert out.logits.tolist() == wanted.logits.tolist() and out.loss is None
    assert replayed(model) == 2


def test_new_signatures():
    model, plain = compiled_net()
    for x in (ds.randn(5, 4), ds.randn(2, 4), ds.randn(0, 4), ds.randn(4, 5).t()):
        check(model, plain, x)
    for scale in (1.0, 2.0, True, 1):
        with ds.no_grad():
            for _ in range(3):
                x = ds.randn(5, 4)
                assert model(x, scale=scale).tolist() == plain(x, scale=scale).tolist()
    assert replayed(model) > 4


def change_weight(model):
    with ds.no_grad():
        model.first.weight.mul_(2)


def replace_weight(model):
    model.first.weight = ds.nn.Parameter(ds.ones(8, 4))


def replace_layer(model):
    model.second = ds.nn.Linear(8, 3)
    with ds.no_grad():
        model.second.weight.fill_(0.5)
        model.second.bias.zero_()


def load(model):
    model.load_state_dict({k: v * 0 + 1 for k, v in model.state_dict().items()})


def step(model):
    optimizer = ds.optim.SGD(model.parameters(), lr=0.5)
    model(ds.ones(2, 4)).sum().backward()
    optimizer.step()
    optimizer.zero_grad()


def set_data(model):
    model.first.bias.data = ds.ones(8)


CHANGES = [
    change_weight,
    replace_weight,
    replace_layer,
    load,
    step,
    set_data,
    lambda model: model.to(ds.bfloat16).to(ds.float32),
    lambda model: model.norm.running_mean.add_(1),
    lambda model: setattr(model, "factor", 3.0),
    lambda model: setattr(model.norm, "eps", 0.5),
    lambda model: model.steps.append(2.0),
    lambda model: model.steps.__setitem__(0, 5.0),
    lambda model: model.__dict__.update(factor=4.0),
    lambda model: setattr(model, "drop", ds.nn.Identity()),
    lambda model: model.second.register_forward_hook(lambda m, args, out: out + 1),
    lambda model: setattr(model.first, "forward", lambda x: ds.zeros(x.shape[0], 8)),
]


@pytest.mark.parametrize("change", CHANGES)
def test_changes_are_seen(change):
    model, plain = compiled_net()
    x = ds.randn(5, 4)
    check(model, plain, x)
    assert replayed(model) == 1
    before = plain(x).tolist()
    change(model)
    change(plain)
    check(model, plain, x)
    assert before != plain(x).tolist() or change in CHANGES[6:7] + CHANGES[13:14]


def test_modes_are_seen():
    model, plain = compiled_net()
    x = ds.randn(64, 4)
    check(model, plain, x)
    with ds.autocast("cpu", dtype=ds.bfloat16):
        check(model, plain, x)
        assert model(x).dtype == ds.bfloat16
    model.to(ds.bfloat16)
    plain.to(ds.bfloat16)
    check(model, plain, x.to(ds.bfloat16))
    model.to(ds.float32).train()
    plain.to(ds.float32).train()
    before = model.norm.running_mean.tolist()
    first, second = calls(model, x, times=3), calls(model, x, times=1)
    assert first.tolist() != second.tolist()  # dropout draws anew
    assert model.norm.running_mean.tolist() != before
    assert model.norm.num_batches_tracked.item() == 4
    model.eval()
    plain.load_state_dict(model.state_dict())
    plain.eval()
    check(model, plain, x)


def test_gradients_are_recorded():
    model, plain = compiled_net()
    x = ds.randn(5, 4)
    check(model, plain, x)
    for net in (model, plain):
        for _ in range(4):
            net(x).square().sum().backward()
    for mine, theirs in zip(model.parameters(), plain.parameters(), strict=True):
        assert mine.grad.tolist() == theirs.grad.tolist()
    check(model, plain, x)
    model.requires_grad_(False)
    inputs = ds.randn(5, 4, requires_grad=True)
    model(inputs).sum().backward()
    assert inputs.grad is not None


def refused(f, *args) -> str:
    """Why calls of a function are recorded each time."""
    with ds.no_grad():
        for _ in range(4):
            f(*args)
    assert replayed(f) == 0
    return ds.debug.replays(f).reason


def test_what_is_not_replayed():
    x = ds.ones(4)
    assert "random" in refused(ds.compile(lambda x: x + ds.randn(4)), x)
    assert "value" in refused(ds.compile(lambda x: x * 2 if x.sum() > 0 else x), x)
    assert "changes what it reads" in refused(ds.compile(lambda x: x * random.random()), x)
    assert "RandomState" in refused(ds.compile(lambda x: x * np.random.rand()), x)
    assert "host data" in refused(ds.compile(lambda x: x + ds.tensor([1.0])), x)
    assert "writes" in refused(ds.compile(lambda x: x.mul_(1)), x)
    assert "shares memory" in refused(ds.compile(lambda x: x[1:]), x)
    assert "share memory" in refused(ds.compile(lambda x: (x + 1).chunk(2)), x)
    assert "kept" in refused(ds.compile(lambda x: KEPT.append(x + 1) or x * 2), x)
    assert len(KEPT) == 4
    assert "type" in refused(ds.compile(lambda x, y: x + float(y[0])), x, np.ones(1))
    array = np.ones(1)
    assert "ndarray" in refused(ds.compile(lambda x: x + array[0]), x)
    numbers = (n for n in [1] * 9)
    assert "generator" in refused(ds.compile(lambda x: x * next(numbers)), x)
    assert "returns" in refused(ds.compile(lambda x: iter([x])), x)


def test_counters_go_on():
    class Counting(ds.nn.Module):
        def __init__(self):
            super().__init__()
            self.count = 0
            self.seen = {}

        def forward(self, x):
            self.count += 1
            self.seen[self.count] = True
            return x + self.count

    model = ds.compile(Counting())
    assert [model(ds.zeros(1)).item() for _ in range(6)] == [1, 2, 3, 4, 5, 6]
    assert len(model.seen) == 6


def test_names_are_seen():
    global SCALE
    local = 1.0

    def helper(x):
        return x * SCALE

    @ds.compile
    def f(x):
        return helper(x) + local + SETTINGS.shift

    x = ds.ones(1)
    assert calls(f, x).item() == 4 and replayed(f) == 2
    SCALE = 3.0
    assert calls(f, x).item() == 5
    SCALE = 2.0
    SETTINGS.shift = 7.0
    assert calls(f, x).item() == 10
    SETTINGS.shift = 1.0
    local = 5.0
    assert calls(f, x).item() == 8


def test_tensors_that_are_read():
    table = ds.ones(2)
    f = ds.compile(lambda x: x * table)
    x = ds.tensor([1.0, 2.0])
    assert calls(f, x).tolist() == [1, 2] and replayed(f) == 2
    table.add_(1)
    assert calls(f, x).tolist() == [2, 4] and replayed(f) == 6
    table = ds.zeros(2)
    assert calls(f, x).tolist() == [0, 0]


def test_one_tensor_as_two_arguments():
    f = ds.compile(lambda x, y: x - y)
    a, b = ds.ones(2), ds.full((2,), 3.0)
    assert calls(f, a, a).tolist() == [0, 0]
    assert calls(f, a, b).tolist() == [-2, -2]
    assert calls(f, b, a).tolist() == [2, 2]
    assert calls(f, b, b).tolist() == [0, 0]
    g = ds.compile(lambda x: x * a)
    assert calls(g, a).tolist() == [1, 1]
    assert calls(g, b).tolist() == [3, 3]
    h = ds.compile(lambda x: x * a)
    assert calls(h, a.detach()).tolist() == [1, 1]
    assert calls(h, b).tolist() == [3, 3]
    k = ds.compile(lambda x, y: x - y)
    assert calls(k, a, a.detach()).tolist() == [0, 0]
    assert calls(k, a, b).tolist() == [-2, -2]


def test_views_and_pending_arguments():
    f = ds.compile(lambda x: x.t() @ x + x.sum())
    base = ds.arange(12.0).reshape(3, 4)
    for i in range(4):
        x = (base + i)[:, 1:3]
        wanted = (lambda n: n.T @ n + n.sum())(base.numpy()[:, 1:3] + i)
        np.testing.assert_allclose(f(x).numpy(), wanted)
        np.testing.assert_allclose(f(ds.tensor(x.numpy()).detach()).numpy(), wanted)
    assert replayed(f) == 6


def test_results_are_new_tensors():
    f = ds.compile(lambda x: x + 1)
    x = ds.zeros(2)
    results = [f(x) for _ in range(4)]
    results[-1].add_(5)
    assert [r.tolist() for r in results] == [[1, 1]] * 3 + [[6, 6]]


def test_nested_and_methods():
    model = Net().eval()
    plain = copy.deepcopy(model)
    ds.compile(model.first)
    model.forward = ds.compile(model.forward)
    check(model, plain, ds.randn(5, 4))
    outer = ds.nn.Sequential(ds.compile(ds.nn.Linear(4, 4)), ds.nn.ReLU())
    unwrapped = copy.deepcopy(outer)
    check(outer, unwrapped, ds.randn(5, 4))
    assert replayed(outer[0]) == 1


def test_nothing_is_held():
    model, _ = compiled_net()
    calls(model, ds.ones(1, 4))
    held = weakref.ref(model)
    del model
    gc.collect()
    assert held() is None


def test_errors_pass():
    model, _ = compiled_net()
    for _ in range(4):
        with ds.no_grad(), pytest.raises(ds.ShapeError):
            model(ds.ones(2, 5))
    assert calls(model, ds.ones(2, 4)).shape == (2, 3)


def test_errors_name_the_line():
    f = ds.compile(lambda table, at: table[at] * 2)
    table = ds.ones(3)
    calls(f, table, ds.tensor([0]))
    with pytest.raises(ds.IndexError, match=r"test_compile\.py"):
        f(table, ds.tensor([7])).tolist()
