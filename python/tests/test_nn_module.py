# SPDX-License-Identifier: Apache-2.0
"""Module as a PyTorch user knows it: attributes, registration, hooks, state, copies, lifetime.
Behaviour that PyTorch defines is checked by running the same code against both libraries."""

import abc
import copy
import gc
import pickle
import weakref
from collections import OrderedDict
from typing import Generic, TypeVar

import deepseek as ds
import deepseek.nn as nn
import deepseek.nn.functional as F
import numpy as np
import pytest
import torch

BOTH = pytest.mark.parametrize("lib", [torch, ds], ids=["torch", "deepseek"])


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 2)
        self.register_buffer("mean", ds.zeros(2))
        self.register_buffer("cache", ds.zeros(1), persistent=False)
        self.scale = nn.Parameter(ds.ones(2))
        self.body = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.BatchNorm1d(3))

    def forward(self, x, factor=1.0):
        y = self.fc(x) * self.scale * factor + self.mean
        return y, {"body": self.body(y)}


def make(lib):
    """The same module in either library."""

    class Same(lib.nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = lib.nn.Linear(4, 2)
            self.register_buffer("mean", lib.zeros(2))
            self.register_buffer("cache", lib.zeros(1), persistent=False)
            self.scale = lib.nn.Parameter(lib.ones(2))
            self.body = lib.nn.Sequential(lib.nn.Linear(2, 3), lib.nn.ReLU())
            self.absent = None
            self.note = "text"

        def forward(self, x):
            return self.body(self.fc(x) * self.scale)

    return Same()


def test_names_orders_and_repr_equal_torch():
    theirs, ours = make(torch), make(ds)
    assert repr(ours) == repr(theirs)
    for method in ("named_parameters", "named_buffers", "named_modules", "named_children"):
        expected = [name for name, _ in getattr(theirs, method)()]
        assert [name for name, _ in getattr(ours, method)()] == expected
    for call in (
        lambda m: [n for n, _ in m.named_parameters(prefix="p", recurse=False)],
        lambda m: [n for n, _ in m.named_modules(prefix="root")],
        lambda m: list(m.state_dict()),
        lambda m: list(m.state_dict(prefix="x.")),
        lambda m: list(m._modules),
        lambda m: list(m._parameters),
        lambda m: list(m._buffers),
        lambda m: type(m.state_dict()).__name__,
    ):
        assert call(ours) == call(theirs)
    assert next(ours.parameters()) is ours.scale
    assert set(theirs.__dict__) - {"training"} >= {"note", "absent"} <= set(ours.__dict__)


def test_forward_takes_and_returns_anything():
    net = Net()
    y, rest = net(ds.ones(3, 4), factor=2.0)
    assert y.shape == (3, 2) and rest["body"].shape == (3, 3)
    with pytest.raises(NotImplementedError, match='missing the required "forward" function'):
        nn.Module()(1)
    with pytest.raises(TypeError):
        net()


@BOTH
def test_attributes(lib):
    nn = lib.nn
    net = make(lib)
    net.fc = nn.Linear(4, 5)
    assert net.fc.out_features == 5
    assert [n for n, _ in net.named_children()] == ["fc", "body"]
    with pytest.raises(TypeError, match="cannot assign .* as child module 'fc'"):
        net.fc = 3
    with pytest.raises(TypeError, match="cannot assign .* as parameter 'scale'"):
        net.scale = lib.zeros(2)
    with pytest.raises(TypeError, match="cannot assign .* as buffer 'mean'"):
        net.mean = "no"
    net.mean = lib.ones(2)
    assert "mean" in net.state_dict()
    net.scale = None
    assert net.scale is None and "scale" not in net.state_dict()
    net.fc = None
    assert net.fc is None
    del net.body
    assert not hasattr(net, "body")
    with pytest.raises(AttributeError, match="'Same' object has no attribute 'body'"):
        net.body  # noqa: B018
    with pytest.raises(AttributeError):
        del net.body
    net.note = nn.Linear(1, 1)
    assert "note" not in net.__dict__ and "note.weight" in net.state_dict()
    net.fc = nn.Linear(1, 1)
    net.absent = nn.Parameter(lib.zeros(1))
    assert "absent" in dict(net.named_parameters())
    assert {"mean", "fc", "absent", "forward"} <= set(dir(net))


@BOTH
def test_registries_are_live(lib):
    net = make(lib)
    net._modules["fc"] = lib.nn.Linear(4, 2, bias=False)
    assert net.fc.bias is None and net._modules["fc"] is net.fc
    net._parameters["extra"] = lib.nn.Parameter(lib.zeros(1))
    net._buffers["mean"] = lib.ones(2)
    assert "extra" in net.state_dict() and net.mean.sum().item() == 2
    del net._modules["body"]
    assert not hasattr(net, "body") and len(net._modules) == 1
    net._modules.pop("fc")
    assert list(net._modules.items()) == []
    net.table = lib.nn.Buffer(lib.ones(3), persistent=False)
    assert "table" not in net.state_dict() and net.table is dict(net.named_buffers())["table"]


@BOTH
def test_registration(lib):
    net = make(lib)
    with pytest.raises(KeyError, match="already exists"):
        net.register_buffer("fc", lib.zeros(1))
    with pytest.raises(KeyError, match="already exists"):
        net.register_parameter("forward", None)
    with pytest.raises(KeyError, match="can.*t contain"):
        net.register_buffer("a.b", None)
    with pytest.raises(KeyError, match="can.*t contain"):
        net.add_module("a.b", None)
    with pytest.raises(KeyError, match="empty string"):
        net.register_parameter("", None)
    with pytest.raises(TypeError, match="is not a Module subclass"):
        net.register_module("x", 3)
    with pytest.raises(TypeError, match="cannot assign .* to parameter 'w'"):
        net.register_parameter("w", lib.zeros(1))
    with pytest.raises(TypeError, match="cannot assign .* to buffer 'w'"):
        net.register_buffer("w", 3)
    net.register_parameter("empty", None)
    net.register_module("nothing", None)
    assert net.empty is None and net.nothing is None
    assert "(nothing): None" in repr(net)
    assert net.get_submodule("body.0") is net.body[0]
    assert net.get_parameter("body.0.weight") is net.body[0].weight
    assert net.get_buffer("mean") is net.mean
    assert net.get_submodule("") is net
    with pytest.raises(AttributeError):
        net.get_submodule("body.7")
    with pytest.raises(AttributeError):
        net.get_parameter("mean")


@BOTH
def test_init_must_come_first(lib):
    nn = lib.nn

    class Early(nn.Module):
        def __init__(self, value):
            self.plain = 1
            self.value = value

    with pytest.raises(AttributeError, match="cannot assign module before Module.__init__"):
        Early(nn.Linear(1, 1))
    with pytest.raises(AttributeError, match="cannot assign parameters before Module.__init__"):
        Early(nn.Parameter(lib.zeros(1)))
    assert Early(3).plain == 1


@BOTH
def test_train_eval_apply_and_requires_grad(lib):
    net = make(lib)
    seen = []

    class Frozen(lib.nn.Module):
        def train(self, mode=True):
            seen.append(mode)
            return super().train(False)

    net.frozen = Frozen()
    assert net.eval() is net and not net.training and not net.body[0].training
    assert net.train() is net and net.body[1].training and not net.frozen.training
    assert seen == [False, True]
    names = []
    assert net.apply(lambda m: names.append(type(m).__name__)) is net
    assert names == ["Linear", "Linear", "ReLU", "Sequential", "Frozen", "Same"]
    assert net.requires_grad_(False) is net
    assert not any(p.requires_grad for p in net.parameters())
    net.training = False
    assert not net.training and net.body.training


@BOTH
def test_to_keeps_the_parameter_objects(lib):
    net = make(lib)
    weight, mean = net.fc.weight, net.mean
    weight.mark = "kept"
    assert net.double() is net
    assert net.fc.weight is weight and weight.dtype == lib.float64 and weight.mark == "kept"
    assert net.mean.dtype == lib.float64
    assert net.to(lib.float32).fc.weight.dtype == lib.float32
    assert net.to("cpu", dtype=lib.float16).fc.bias.dtype == lib.float16
    assert net.bfloat16().scale.dtype == lib.bfloat16
    assert net.float().scale.dtype == lib.float32 and net.half().scale.dtype == lib.float16
    assert weight.requires_grad and weight.is_leaf
    del mean
    with pytest.raises(TypeError):
        net.to(lib.int64)


@BOTH
def test_hooks(lib):
    net = make(lib).eval()
    x = lib.ones(2, 4)
    plain = net(x)
    log = []
    handles = [
        net.register_forward_pre_hook(lambda m, args: log.append(("pre", m is net, len(args)))),
        net.register_forward_pre_hook(
            lambda m, args, kwargs: ((args[0] * 0,), kwargs), with_kwargs=True
        ),
        net.register_forward_hook(lambda m, args, out: log.append(("post", out.shape[1]))),
        net.register_forward_hook(lambda m, args, kwargs, out: (out, kwargs), with_kwargs=True),
    ]
    net.register_forward_hook(lambda m, args, out: log.append("first"), prepend=True)
    out, kwargs = net(x)
    assert kwargs == {}
    assert len(net._forward_hooks) == 3 and all(map(callable, net._forward_pre_hooks.values()))
    assert log == [("pre", True, 1), "first", ("post", 3)]
    np.testing.assert_allclose(out.detach().numpy(), net.body(net.fc(x * 0)).detach().numpy())
    for handle in handles:
        handle.remove()
        handle.remove()
    np.testing.assert_array_equal(net(x).detach().numpy(), plain.detach().numpy())
    with net.register_forward_hook(lambda m, args, out: 7):
        assert net(x) == 7
    failures = []
    net.body.register_forward_hook(lambda m, a, o: failures.append(o), always_call=True)
    net.fc.register_forward_hook(lambda m, a, o: o[:, :1])
    with pytest.raises((ds.ShapeError, RuntimeError)):
        net.body(lib.ones(2, 99))
    assert failures == [None]


def test_hook_on_a_layer_of_a_cpp_stack_runs():
    layer = nn.TransformerEncoderLayer(4, 2, 8, 0.0)
    shapes = []
    layer.linear1.register_forward_hook(lambda m, args, out: shapes.append(out.shape))
    layer(ds.ones(3, 1, 4))
    assert shapes == [(3, 1, 8)]

    class Wide(nn.Linear):
        def forward(self, x):
            return super().forward(x) * 0

    layer.linear2 = Wide(8, 4)
    with_zero = layer(ds.ones(3, 1, 4))
    assert with_zero.shape == (3, 1, 4)
    assert "(linear2): Wide(in_features=8, out_features=4, bias=True)" in repr(layer)

    class Odd(nn.Module):
        def forward(
            self, q, k, v, key_padding_mask=None, need_weights=True, attn_mask=None, is_causal=False
        ):
            assert not need_weights
            shapes.append(attn_mask.shape)
            return q * 0, None

    layer.self_attn = Odd()
    layer(ds.ones(3, 1, 4), src_mask=ds.zeros(3, 3))
    assert (3, 3) in shapes
    layer.self_attn = nn.ReLU()
    with pytest.raises(RuntimeError, match="self_attn.*replaced by ReLU"):
        layer(ds.ones(3, 1, 4))


@BOTH
def test_load_state_dict_reports_as_torch(lib):
    net, other = make(lib), make(lib)
    state = net.state_dict()
    result = other.load_state_dict(state)
    assert repr(result) == "<All keys matched successfully>"
    np.testing.assert_array_equal(other.fc.weight.detach().numpy(), net.fc.weight.detach().numpy())
    state["odd"] = lib.zeros(1)
    del state["fc.bias"]
    with pytest.raises(RuntimeError) as error:
        other.load_state_dict(state)
    assert "Error(s) in loading state_dict for Same:" in str(error.value)
    assert 'Missing key(s) in state_dict: "fc.bias". ' in str(error.value)
    assert 'Unexpected key(s) in state_dict: "odd". ' in str(error.value)
    result = other.load_state_dict(state, strict=False)
    assert result.missing_keys == ["fc.bias"] and result.unexpected_keys == ["odd"]
    missing, unexpected = result
    assert (missing, unexpected) == (["fc.bias"], ["odd"])
    with pytest.raises(RuntimeError, match="size mismatch for fc.bias: copying a param with shape"):
        other.load_state_dict({"fc.bias": lib.zeros(9)}, strict=False)
    with pytest.raises(TypeError):
        other.load_state_dict(3)


@BOTH
def test_state_hooks(lib):
    net, log = make(lib), []

    def rename(module, state, prefix, metadata, strict, missing, unexpected, errors):
        if prefix + "old" in state:
            state[prefix + "weight"] = state.pop(prefix + "old")

    def done(module, keys):
        log.append(len(keys.unexpected_keys))

    def add(module, state, prefix, metadata):
        state[prefix + "added"] = lib.ones(1)

    net.fc.register_load_state_dict_pre_hook(rename)
    net.register_load_state_dict_post_hook(done)
    state = net.state_dict()
    state["fc.old"] = state.pop("fc.weight") * 0
    net.load_state_dict(state)
    assert log == [0] and net.fc.weight.abs().sum().item() == 0
    handle = net.body.register_state_dict_post_hook(add)
    assert "body.added" in net.state_dict()
    handle.remove()
    assert "body.added" not in net.state_dict()


def test_failed_load_changes_nothing():
    net = make(ds)
    before = net.fc.weight.detach().numpy().copy()
    with pytest.raises(RuntimeError):
        net.load_state_dict({"fc.weight": ds.zeros(2, 4), "fc.bias": ds.zeros(3)}, strict=False)
    np.testing.assert_array_equal(net.fc.weight.detach().numpy(), before)


def test_loaded_values_are_copies():
    net = nn.Linear(2, 2)
    array = np.ones((2, 2), np.float32)
    net.load_state_dict({"weight": ds.from_numpy(array), "bias": np.zeros(2, np.float32)})
    array[:] = 7
    np.testing.assert_array_equal(net.weight.detach().numpy(), np.ones((2, 2)))


def test_state_dict_shares_values_with_the_module():
    net = nn.Linear(2, 2)
    state = net.state_dict()
    assert not state["weight"].requires_grad
    state["weight"].zero_()
    np.testing.assert_array_equal(net.weight.detach().numpy(), np.zeros((2, 2)))
    assert net.state_dict(keep_vars=True)["weight"] is net.weight


@BOTH
def test_shared_parameters_appear_once(lib):
    net = lib.nn.Sequential(lib.nn.Linear(3, 3), lib.nn.Linear(3, 3))
    net[1].weight = net[0].weight
    net.append(net[0])
    assert [n for n, _ in net.named_parameters()] == ["0.weight", "0.bias", "1.bias"]
    assert len(list(net.named_parameters(remove_duplicate=False))) == 6
    assert len(list(net.modules())) == 3 and len(net.state_dict()) == 6
    copied = copy.deepcopy(net)
    assert copied[1].weight is copied[0].weight and copied[2] is copied[0]
    assert copied[0].weight is not net[0].weight


@BOTH
def test_a_plain_tensor_stands_in_for_a_removed_parameter(lib):
    """How weight normalisation and pruning work: the weight is computed before each forward."""
    layer = lib.nn.Linear(3, 2)
    weight = layer.weight.detach().clone()
    del layer._parameters["weight"]
    layer.register_parameter("weight_v", lib.nn.Parameter(weight))
    layer.register_parameter("weight_g", lib.nn.Parameter(lib.ones(2, 1)))

    def compute(module, args):
        v = module.weight_v
        module.weight = module.weight_g * v / v.norm(dim=1, keepdim=True)

    layer.register_forward_pre_hook(compute)
    out = layer(lib.ones(1, 3))
    out.sum().backward()
    unit = weight.numpy() / np.linalg.norm(weight.numpy(), axis=1, keepdims=True)
    expected = unit.sum(1) + layer.bias.detach().numpy()
    np.testing.assert_allclose(out.detach().numpy()[0], expected, rtol=1e-5)
    assert layer.weight_g.grad is not None and layer.weight_v.grad is not None
    assert set(layer.state_dict()) == {"weight_v", "weight_g", "bias"}
    del layer.weight
    layer._forward_pre_hooks.clear()
    layer.weight = lib.nn.Parameter(weight * 0)
    assert "weight" in layer.state_dict()


@BOTH
def test_parameter(lib):
    nn = lib.nn
    data = lib.zeros(3)
    parameter = nn.Parameter(data)
    assert isinstance(parameter, nn.Parameter) and isinstance(parameter, lib.Tensor)
    assert not isinstance(data, nn.Parameter) and not data.requires_grad
    assert parameter.requires_grad and parameter.is_leaf
    with lib.no_grad():
        parameter.add_(1)
    np.testing.assert_array_equal(data.numpy(), np.ones(3))
    assert repr(parameter).startswith("Parameter containing:\ntensor([1., 1., 1.]")
    assert not nn.Parameter(data, requires_grad=False).requires_grad
    derived = nn.Parameter(parameter * 2)
    assert derived.is_leaf and derived.requires_grad
    parameter.data = lib.ones(2, 2)
    assert parameter.shape == (2, 2) and parameter.requires_grad
    assert not isinstance(parameter + 1, nn.Parameter)


@BOTH
def test_sequential(lib):
    nn = lib.nn
    net = nn.Sequential(OrderedDict(a=nn.Linear(2, 3), b=nn.ReLU()))
    assert list(net.state_dict()) == ["a.weight", "a.bias"] and net[-1] is net.b
    net = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
    assert len(net) == 3 and isinstance(net[1], nn.ReLU) and isinstance(net[:2], nn.Sequential)
    assert len(net[:2]) == 2 and net[:2][0] is net[0]
    net.append(nn.Tanh()).extend([nn.Sigmoid()])
    net.insert(1, nn.Identity())
    assert [type(m).__name__ for m in net] == [
        "Linear",
        "Identity",
        "ReLU",
        "Linear",
        "Tanh",
        "Sigmoid",
    ]
    del net[1]
    assert isinstance(net.pop(-1), nn.Sigmoid)
    net[3] = nn.GELU()
    assert list(net._modules) == ["0", "1", "2", "3"] and isinstance(net[3], nn.GELU)
    with pytest.raises(IndexError):
        net[4]
    assert net(lib.ones(5, 2)).shape == (5, 1)
    assert len(net + nn.Sequential(nn.ReLU())) == 5
    pair = nn.Sequential(Swap(lib), Swap(lib))
    assert pair((1, 2)) == (1, 2)


def Swap(lib):
    class Swap(lib.nn.Module):
        def forward(self, both):
            return both[1], both[0]

    return Swap()


@BOTH
def test_module_list_and_dict(lib):
    nn = lib.nn
    items = nn.ModuleList([nn.Linear(2, 2) for _ in range(3)])
    items.append(nn.ReLU())
    items += [nn.ReLU()]
    items.insert(0, nn.Tanh())
    assert len(items) == 6 and isinstance(items[0], nn.Tanh) and isinstance(items[-1], nn.ReLU)
    assert [type(m).__name__ for m in items[1:3]] == ["Linear", "Linear"]
    assert isinstance(items[1:], nn.ModuleList)
    items[0] = nn.GELU()
    del items[-1]
    assert isinstance(items.pop(0), nn.GELU) and len(items) == 4
    assert repr(items) == repr(
        torch.nn.ModuleList([*(torch.nn.Linear(2, 2) for _ in range(3)), torch.nn.ReLU()])
    )
    table = nn.ModuleDict({"a": nn.Linear(1, 2), "b": nn.ReLU()})
    table["c"] = nn.Tanh()
    table.update({"a": nn.Linear(1, 3)})
    assert list(table) == ["a", "b", "c"] and "b" in table and len(table) == 3
    assert table["a"].out_features == 3 and [k for k, _ in table.items()] == ["a", "b", "c"]
    assert isinstance(table.pop("b"), nn.ReLU) and "b" not in table
    with pytest.raises(KeyError):
        table["zzz"]
    table.clear()
    assert len(table) == 0


@BOTH
def test_parameter_list_and_dict(lib):
    nn = lib.nn
    items = nn.ParameterList([lib.zeros(2), nn.Parameter(lib.ones(3))])
    items.append(lib.ones(4))
    assert len(items) == 3 and all(isinstance(p, nn.Parameter) for p in items)
    assert items[-1].shape == (4,) and list(items.state_dict()) == ["0", "1", "2"]
    table = nn.ParameterDict({"a": lib.zeros(2)})
    table["b"] = nn.Parameter(lib.ones(1))
    assert list(table.keys()) == ["a", "b"] and isinstance(table["a"], nn.Parameter)
    assert [n for n, _ in table.named_parameters()] == ["a", "b"]
    del table["a"]
    assert "a" not in table


def test_parameter_containers_are_copied_and_pickled():
    for made in (nn.ParameterList([ds.ones(2)]), nn.ParameterDict({"k": ds.ones(2)})):
        for other in (copy.deepcopy(made), pickle.loads(pickle.dumps(made))):
            assert len(other) == 1 and list(other.state_dict()) == list(made.state_dict())


def test_copies_and_pickles():
    net = Net().eval()
    net.extra = {"list": [1, 2]}
    net.fc.weight.requires_grad_(False)
    x = ds.ones(2, 4)
    expected = net(x)[0].detach().numpy()
    for other in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        np.testing.assert_array_equal(other(x)[0].detach().numpy(), expected)
        assert other.extra == net.extra and other.extra is not net.extra
        assert not other.training and not other.fc.weight.requires_grad
        assert other.scale.requires_grad and isinstance(other.scale, nn.Parameter)
        assert list(other.state_dict()) == list(net.state_dict())
        other.scale.data = ds.zeros(2)
        assert net.scale.detach().numpy().sum() == 2
    shallow = copy.copy(net)
    assert shallow.scale is net.scale and shallow.fc is net.fc and shallow is not net


def test_copying_draws_no_random_numbers():
    ds.manual_seed(3)
    net = nn.Linear(2, 2)
    state = ds.get_rng_state().numpy().copy()
    pickle.loads(pickle.dumps(copy.deepcopy(net)))
    np.testing.assert_array_equal(ds.get_rng_state().numpy(), state)


class WithState(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(1, 1)
        self.secret = 1

    def __getstate__(self):
        state = self.__dict__.copy()
        del state["secret"]
        return state

    def __setstate__(self, state):
        self.__dict__.update(state)
        self.secret = 2


def test_own_getstate_and_setstate_are_used():
    other = pickle.loads(pickle.dumps(WithState()))
    assert other.secret == 2 and other.fc.in_features == 1


def test_cycles_are_collected_and_children_live():
    net = Net()
    net.fc.parent = net
    net.scale.owner = [net]
    net.body[0].register_forward_hook(lambda m, a, o, net=net: None)
    child, weight = net.body, net.body[0].weight
    gone = weakref.ref(net)
    del net
    gc.collect()
    assert child[0].weight is weight  # the hook keeps everything alive through the child
    assert gone() is not None
    child[0].__dict__.clear()
    del child
    gc.collect()
    assert gone() is None
    assert weight.shape == (3, 2)


def test_collecting_in_use_is_safe():
    nets = []
    for i in range(50):
        net = nn.Sequential(*(nn.Sequential(nn.Linear(2, 2)) for _ in range(4)))
        net[0].root = [net]
        net[1].append(net[0])
        nets.append(net if i % 3 else net[1])
        if i % 10 == 0:
            gc.collect()
    del net
    gc.collect()
    for net in nets:
        assert net(ds.ones(1, 2)).shape == (1, 2)
    refs = [weakref.ref(net) for net in nets]
    nets.clear()
    del net
    gc.collect()
    assert all(ref() is None for ref in refs)


def test_child_outlives_its_parent():
    layer = nn.TransformerEncoderLayer(4, 2, 8)
    attention = layer.self_attn
    assert layer.self_attn is attention
    attention.note = 1
    assert layer.self_attn.note == 1
    del layer
    gc.collect()
    out, _ = attention(ds.ones(2, 1, 4), ds.ones(2, 1, 4), ds.ones(2, 1, 4))
    assert out.shape == (2, 1, 4)


def test_mixins_abc_and_generic():
    class Mixin:
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            self.mixed = True

        def double_forward(self, x):
            return self(self(x))

    class Abstract(nn.Module, abc.ABC):
        @abc.abstractmethod
        def forward(self, x): ...

    T = TypeVar("T")

    class Both(Mixin, Abstract, Generic[T]):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(2, 2)

        def forward(self, x):
            return self.fc(x)

    class Extended(nn.Linear, Mixin):
        def __init__(self):
            nn.Linear.__init__(self, 2, 2, bias=False)

        def forward(self, x):
            return super().forward(x) + 1

    with pytest.raises(TypeError, match="abstract"):
        Abstract()
    assert Both().double_forward(ds.ones(1, 2)).shape == (1, 2) and Both().mixed
    layer = Extended()
    assert repr(layer) == "Extended(in_features=2, out_features=2, bias=False)"
    np.testing.assert_allclose(
        layer(ds.ones(1, 2)).detach().numpy(),
        F.linear(ds.ones(1, 2), layer.weight).detach().numpy() + 1,
        rtol=1e-6,
    )


def test_layer_attributes_change_what_it_does():
    conv = nn.Conv2d(1, 1, 3)
    assert conv.kernel_size == (3, 3) and conv.stride == (1, 1) and conv.padding == (0, 0)
    conv.padding = (1, 1)
    conv.stride = 2
    assert conv(ds.ones(1, 1, 8, 8)).shape == (1, 1, 4, 4) and conv.stride == (2, 2)
    norm = nn.BatchNorm1d(3)
    norm.momentum = 1.0
    norm.eps = 1e-3
    norm(ds.ones(4, 3) * 5)
    np.testing.assert_allclose(norm.running_mean.numpy(), [5, 5, 5])
    assert "eps=0.001" in repr(norm)


def test_layers_take_dtype_and_device():
    layer = nn.Linear(2, 2, device="cpu", dtype=ds.float64)
    assert layer.weight.dtype == ds.float64
    assert nn.BatchNorm2d(2, dtype=ds.float16).running_mean.dtype == ds.float16


def test_zero_grad_and_training_a_net():
    ds.manual_seed(0)
    net = nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 1))
    optimizer = ds.optim.Adam(net.parameters(), lr=0.05)
    x = ds.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    y = ds.tensor([[0.0], [1.0], [1.0], [0.0]])
    for _ in range(150):
        optimizer.zero_grad()
        loss = F.mse_loss(net(x), y)
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.01
    net.zero_grad()
    assert all(p.grad is None for p in net.parameters())


@BOTH
def test_full_backward_hook(lib):
    net = make(lib)
    seen = []
    handle = net.fc.register_full_backward_hook(
        lambda m, grad_in, grad_out: seen.append((grad_in[0].shape, grad_out[0].shape))
    )
    x = lib.ones(3, 4, requires_grad=True)
    net(x).sum().backward()
    assert [tuple(map(tuple, row)) for row in seen] == [((3, 4), (3, 2))]
    handle.remove()
    net.fc.register_full_backward_hook(lambda m, gi, go: (gi[0] * 0,))
    x.grad = None
    net(x).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), np.zeros((3, 4)))


def test_functional_inplace_writes_its_input():
    x = ds.tensor([-1.0, 2.0])
    assert F.relu(x, inplace=True) is x
    np.testing.assert_array_equal(x.numpy(), [0.0, 2.0])
    F.elu_(x.sub_(1))
    np.testing.assert_allclose(x.numpy(), [np.exp(-1) - 1, 1.0], rtol=1e-6)


@BOTH
def test_private_names_that_users_import(lib):
    nn = lib.nn
    assert isinstance(nn.BatchNorm2d(2), nn.modules.batchnorm._BatchNorm)
    assert isinstance(nn.Conv1d(1, 1, 1), nn.modules.conv._ConvNd)
    assert isinstance(nn.MSELoss(), nn.modules.loss._Loss) and isinstance(nn.GRU(1, 1), nn.RNNBase)
    assert not isinstance(nn.LayerNorm(2), nn.modules.batchnorm._BatchNorm)
    assert nn.modules.utils._pair(3) == (3, 3) and nn.modules.utils._triple((1, 2, 3)) == (1, 2, 3)
    assert nn.modules.Linear is nn.Linear and nn.modules.container.Sequential is nn.Sequential
    assert nn.modules.activation.ReLU is nn.ReLU and nn.modules.module.Module is nn.Module
