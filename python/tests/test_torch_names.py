# SPDX-License-Identifier: Apache-2.0
"""Names that PyTorch scripts use around the tensor functions: limits of dtypes, switches, weight
normalisation, averaged models, data sets."""

import deepseek as ds
import numpy as np
import pytest
import torch

FLOATS = ["float64", "float32", "float16", "bfloat16"]
INTEGERS = ["int64", "int32", "int16", "int8", "uint8"]


@pytest.mark.parametrize("name", FLOATS)
def test_finfo(name):
    mine, theirs = ds.finfo(getattr(ds, name)), torch.finfo(getattr(torch, name))
    for field in ("bits", "max", "min", "tiny", "smallest_normal", "eps", "resolution", "dtype"):
        expected = getattr(theirs, field)
        if field in ("resolution",):
            assert getattr(mine, field) == pytest.approx(expected, rel=1e-3), field
        else:
            assert getattr(mine, field) == expected, field


@pytest.mark.parametrize("name", INTEGERS)
def test_iinfo(name):
    mine, theirs = ds.iinfo(getattr(ds, name)), torch.iinfo(getattr(torch, name))
    for field in ("bits", "max", "min", "dtype"):
        assert getattr(mine, field) == getattr(theirs, field), field


def test_limits_of_the_other_kind_are_errors():
    with pytest.raises(TypeError, match="use iinfo"):
        ds.finfo(ds.int32)
    with pytest.raises(TypeError, match="use finfo"):
        ds.iinfo(ds.float32)


@pytest.mark.parametrize("a", FLOATS + INTEGERS + ["bool"])
def test_can_cast(a):
    for b in FLOATS + INTEGERS + ["bool"]:
        expected = torch.can_cast(getattr(torch, a), getattr(torch, b))
        assert ds.can_cast(getattr(ds, a), getattr(ds, b)) == expected, (a, b)


def test_questions_about_tensors():
    x = ds.tensor([1.5])
    assert ds.is_floating_point(x) and not ds.is_floating_point(x.long())
    assert not ds.is_complex(x) and ds.is_nonzero(x) and ds.numel(x) == 1
    with pytest.raises(ds.ValueError):
        ds.is_nonzero(ds.ones(2))
    assert ds.typename("text") == torch.typename("text")
    assert ds.get_num_threads() >= 1


def test_switches():
    assert ds.get_float32_matmul_precision() == "highest"
    ds.set_float32_matmul_precision("high")
    assert ds.get_float32_matmul_precision() == "high"
    ds.set_float32_matmul_precision("highest")
    with pytest.raises(ds.ValueError, match="must be"):
        ds.set_float32_matmul_precision("low")
    ds.use_deterministic_algorithms(True)
    assert ds.are_deterministic_algorithms_enabled()


def test_fork_rng_puts_the_state_back():
    ds.manual_seed(7)
    assert ds.initial_seed() == 7
    with ds.random.fork_rng():
        inside = ds.rand(3).tolist()
    assert ds.rand(3).tolist() == inside
    assert ds.seed() == ds.initial_seed()


def same_layers(mine, theirs) -> None:
    """Gives both the same weights."""
    theirs.load_state_dict(
        {
            name: torch.from_numpy(value.detach().numpy().copy())
            for name, value in mine.state_dict().items()
        }
    )


def close(mine, theirs, **tolerance) -> None:
    np.testing.assert_allclose(
        mine.detach().numpy(), theirs.detach().numpy(), **{"rtol": 1e-5, "atol": 1e-6, **tolerance}
    )


def layers(name):
    rng = np.random.default_rng(1)
    if name == "linear":
        pair = ds.nn.Linear(4, 3), torch.nn.Linear(4, 3)
        shape = (5, 4)
    elif name == "conv":
        pair = ds.nn.Conv2d(2, 3, 3), torch.nn.Conv2d(2, 3, 3)
        shape = (2, 2, 5, 5)
    else:
        pair = ds.nn.ConvTranspose1d(2, 3, 2), torch.nn.ConvTranspose1d(2, 3, 2)
        shape = (2, 2, 5)
    same_layers(*pair)
    return *pair, rng.standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("dim", [0, 1, None])
@pytest.mark.parametrize("kind", ["linear", "conv", "transposed"])
def test_weight_norm(kind, dim):
    mine, theirs, x = layers(kind)
    ds.nn.utils.parametrizations.weight_norm(mine, dim=dim)
    torch.nn.utils.parametrizations.weight_norm(theirs, dim=dim)
    assert list(mine.state_dict()) == list(theirs.state_dict())
    same_layers(mine, theirs)
    out, expected = mine(ds.from_numpy(x)), theirs(torch.from_numpy(x))
    close(out, expected)
    out.square().sum().backward(), expected.square().sum().backward()
    for (_name, p), (_, q) in zip(mine.named_parameters(), theirs.named_parameters(), strict=False):
        close(p.grad, q.grad, rtol=1e-4, atol=1e-4)
    with ds.no_grad():
        mine.weight = ds.ones(tuple(mine.weight.shape))
    close(mine.weight, torch.ones(tuple(theirs.weight.shape)))
    close(
        mine.parametrizations.weight.original0,
        torch.norm_except_dim(
            torch.ones(tuple(theirs.weight.shape)), 2, -1 if dim is None else dim
        ),
    )


@pytest.mark.parametrize("kind", ["linear", "conv", "transposed"])
def test_spectral_norm(kind):
    mine, theirs, x = layers(kind)
    ds.nn.utils.parametrizations.spectral_norm(mine)
    torch.nn.utils.parametrizations.spectral_norm(theirs)
    assert list(mine.state_dict()) == list(theirs.state_dict())
    same_layers(mine, theirs)
    for _ in range(3):
        out, expected = mine(ds.from_numpy(x)), theirs(torch.from_numpy(x))
        close(out, expected)
    out.square().sum().backward(), expected.square().sum().backward()
    for (_name, p), (_, q) in zip(mine.named_parameters(), theirs.named_parameters(), strict=False):
        close(p.grad, q.grad, rtol=1e-3, atol=1e-4)
    mine.eval(), theirs.eval()
    close(mine(ds.from_numpy(x)), theirs(torch.from_numpy(x)))


def test_parametrized_layers_train_inside_a_model():
    model = ds.nn.Sequential(
        ds.nn.utils.parametrizations.weight_norm(ds.nn.Linear(4, 8)),
        ds.nn.Tanh(),
        ds.nn.utils.parametrizations.spectral_norm(ds.nn.Linear(8, 1)),
    )
    x = ds.randn(16, 4)
    optimizer = ds.optim.Adam(model.parameters(), lr=0.05)
    losses = []
    for _ in range(30):
        optimizer.zero_grad()
        loss = (model(x) - x.sum(1, keepdim=True)).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]


class Symmetric(ds.nn.Module):
    def forward(self, x):
        return x.triu() + x.triu(1).transpose(-1, -2)

    def right_inverse(self, x):
        return x.triu()


class Halved(ds.nn.Module):
    def forward(self, x):
        return x * 0.5


def test_parametrizations_chain_and_come_off():
    parametrize = ds.nn.utils.parametrize
    layer = ds.nn.Linear(3, 3)
    parametrize.register_parametrization(layer, "weight", Symmetric())
    parametrize.register_parametrization(layer, "weight", Halved())
    w = layer.parametrizations.weight.original.detach().numpy()
    expected = 0.5 * (np.triu(w) + np.triu(w, 1).T)
    np.testing.assert_allclose(layer.weight.detach().numpy(), expected, rtol=1e-6)
    assert parametrize.is_parametrized(layer, "weight")
    assert not parametrize.is_parametrized(layer, "bias")
    assert parametrize.type_before_parametrizations(layer) is ds.nn.Linear
    with parametrize.cached():
        assert layer.weight is layer.weight
    with pytest.raises(ds.NotImplementedError, match="right_inverse"):
        layer.weight = ds.ones(3, 3)
    parametrize.remove_parametrizations(layer, "weight")
    assert type(layer) is ds.nn.Linear and isinstance(layer.weight, ds.nn.Parameter)
    np.testing.assert_allclose(layer.weight.detach().numpy(), expected, rtol=1e-6)
    with pytest.raises(ds.ValueError, match="no parameter or buffer"):
        parametrize.register_parametrization(layer, "nothing", Halved())


class Cut(ds.nn.Module):
    def forward(self, x):
        return x[:1]


def test_a_parametrization_keeps_the_shape():
    with pytest.raises(ds.ValueError, match="unsafe=True"):
        ds.nn.utils.parametrize.register_parametrization(ds.nn.Linear(2, 2), "weight", Cut())


@pytest.mark.parametrize("transpose", [False, True])
def test_fused_convolution_and_normalisation(transpose):
    cls, norm = ("ConvTranspose2d" if transpose else "Conv2d"), "BatchNorm2d"
    conv, bn = getattr(ds.nn, cls)(2, 3, 3), ds.nn.BatchNorm2d(3)
    their_conv, their_bn = getattr(torch.nn, cls)(2, 3, 3), getattr(torch.nn, norm)(3)
    with ds.no_grad():
        for p in [*bn.parameters(), bn.running_mean, bn.running_var]:
            p.copy_(ds.rand(3) + 0.5)
    same_layers(conv, their_conv), same_layers(bn, their_bn)
    with pytest.raises(ds.StateError, match="evaluation"):
        ds.nn.utils.fuse_conv_bn_eval(conv, bn)
    for module in (conv, bn, their_conv, their_bn):
        module.eval()
    fused = ds.nn.utils.fuse_conv_bn_eval(conv, bn, transpose)
    theirs = torch.nn.utils.fuse_conv_bn_eval(their_conv, their_bn, transpose)
    close(fused.weight, theirs.weight), close(fused.bias, theirs.bias)
    x = ds.randn(2, 2, 5, 5)
    close(fused(x), bn(conv(x)), rtol=1e-4, atol=1e-5)


def test_fused_linear_and_normalisation():
    linear, bn = ds.nn.Linear(4, 3, bias=False), ds.nn.BatchNorm1d(3)
    linear.eval(), bn.eval()
    x = ds.randn(5, 4)
    close(ds.nn.utils.fuse_linear_bn_eval(linear, bn)(x), bn(linear(x)))


def test_total_norm_and_clipping_with_it():
    x, t = ds.ones(3).requires_grad_(), torch.ones(3, requires_grad=True)
    (x * ds.tensor([1.0, 2.0, 2.0])).sum().backward()
    (t * torch.tensor([1.0, 2.0, 2.0])).sum().backward()
    norm = ds.nn.utils.get_total_norm([x.grad])
    assert norm.item() == pytest.approx(3.0)
    ds.nn.utils.clip_grads_with_norm_(x, 1.5, norm)
    torch.nn.utils.clip_grads_with_norm_(t, 1.5, torch.tensor(3.0))
    close(x.grad, t.grad)


@pytest.mark.parametrize("ema", [False, True])
def test_averaged_model(ema):
    results = []
    start = np.arange(6, dtype=np.float32).reshape(2, 3)
    for lib in (ds, torch):
        swa = lib.optim.swa_utils
        model = lib.nn.Linear(3, 2)
        options = {"multi_avg_fn": swa.get_ema_multi_avg_fn(0.9)} if ema else {}
        averaged = swa.AveragedModel(model, **options)
        for step in range(4):
            with lib.no_grad():
                model.weight.copy_(lib.from_numpy(start * (step + 1) ** 2))
                model.bias.copy_(lib.ones(2) * step)
            averaged.update_parameters(model)
        assert int(averaged.n_averaged) == 4
        results.append(averaged)
    assert list(results[0].state_dict()) == list(results[1].state_dict())
    close(results[0].module.weight, results[1].module.weight)
    close(results[0].module.bias, results[1].module.bias)
    x = np.ones((2, 3), np.float32)
    close(results[0](ds.from_numpy(x)), results[1](torch.from_numpy(x)))


@pytest.mark.parametrize(
    "options",
    [{}, {"anneal_strategy": "linear", "anneal_epochs": 4}, {"anneal_epochs": 0}],
)
def test_rates_of_averaging(options):
    results = []
    for lib in (ds, torch):
        params = [lib.nn.Parameter(lib.ones(2)) for _ in range(2)]
        groups = [{"params": params[:1]}, {"params": params[1:], "lr": 0.5}]
        optimizer = lib.optim.SGD(groups, lr=0.1)
        schedule = lib.optim.swa_utils.SWALR(optimizer, [0.05, 0.02], **options)
        rates = []
        for _ in range(12):
            rates.append([group["lr"] for group in optimizer.param_groups])
            optimizer.step()
            schedule.step()
        results.append(rates)
    assert results[0][-1] == [0.05, 0.02]
    np.testing.assert_allclose(results[0], results[1], rtol=1e-12)
    with pytest.raises(ds.ValueError, match="3 values of swa_lr for 1 "):
        ds.optim.swa_utils.SWALR(ds.optim.SGD([ds.nn.Parameter(ds.ones(2))]), [1, 2, 3])


def test_update_bn():
    rng = np.random.default_rng(0)
    batches = [rng.standard_normal((8, 3)).astype(np.float32) for _ in range(3)]
    results = []
    for lib in (ds, torch):
        model = lib.nn.Sequential(lib.nn.BatchNorm1d(3))
        model.eval()
        lib.optim.swa_utils.update_bn([(lib.from_numpy(b), 0) for b in batches], model)
        assert not model.training and model[0].momentum == 0.1
        results.append(model[0])
    close(results[0].running_mean, results[1].running_mean)
    close(results[0].running_var, results[1].running_var)


def test_data_sets():
    data = ds.utils.data
    chain = data.ChainDataset([[1, 2], [3]])
    assert list(chain) == [1, 2, 3] and len(chain) == 3
    stack = data.StackDataset(a=[1, 2], b=[3, 4])
    assert len(stack) == 2 and stack[1] == {"a": 2, "b": 4}
    assert data.StackDataset([1, 2], [3, 4])[0] == (1, 3)
    with pytest.raises(ds.ValueError, match="lengths"):
        data.StackDataset([1], [1, 2])
    value = {"x": np.ones(2), "y": ("text", [np.float32(3)])}
    mine, theirs = data.default_convert(value), torch.utils.data.default_convert(value)
    close(mine["x"], theirs["x"])
    assert mine["y"][0] == "text" and mine["y"][1][0].item() == 3


class Doubled(ds.autograd.Function):
    seen: list = []

    @staticmethod
    @ds.amp.custom_fwd(device_type="cpu", cast_inputs=ds.float32)
    def forward(ctx, x):
        Doubled.seen.append((x.dtype, ds.ones(2, 2).matmul(ds.ones(2, 2)).dtype))
        return x * 2

    @staticmethod
    @ds.amp.custom_bwd(device_type="cpu")
    def backward(ctx, grad):
        Doubled.seen.append(ds.ones(2, 2).matmul(ds.ones(2, 2)).dtype)
        return (grad * 2).to(ds.bfloat16)


def test_functions_of_ones_own_under_autocast():
    x = ds.ones(2, dtype=ds.bfloat16).requires_grad_()
    with ds.autocast("cpu", dtype=ds.bfloat16):
        out = Doubled.apply(x)
        out.sum().backward()
    assert Doubled.seen == [(ds.float32, ds.float32), ds.float32]
    assert ds.amp.is_autocast_available("cpu") and not ds.amp.is_autocast_available("cuda")


def test_special_names_are_the_functions():
    x = np.array([0.2, 0.7])
    for name in ds.special.__all__:
        assert hasattr(torch.special, name), name
    for name in ("expit", "gammaln", "psi", "entr", "ndtri", "logit"):
        close(
            getattr(ds.special, name)(ds.tensor(x)),
            getattr(torch.special, name)(torch.from_numpy(x)),
        )
    close(
        ds.special.multigammaln(ds.tensor(x + 3), 2),
        torch.special.multigammaln(torch.from_numpy(x + 3), 2),
    )


def test_dtypes_and_devices_compare_with_anything():
    for mine, theirs in ((ds.float32, torch.float32), (ds.device("cpu"), torch.device("cpu"))):
        for other in (None, 3, [], object()):
            assert (mine == other) is (theirs == other) is False
            assert mine != other and other not in (mine,)
