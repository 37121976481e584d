# SPDX-License-Identifier: Apache-2.0
"""Convolutions that do what follows them before they store agree with PyTorch: NaN and infinities
stay where they are, whatever kernel is taken."""

import itertools
import platform

import deepseek as ds
import numpy as np
import pytest
import torch

SPECIAL = {"finite": [], "nan": [np.nan], "inf": [np.inf, -np.inf], "all": [np.nan, np.inf, 3e38]}


def block(nn, dims, groups, end):
    """A convolution of 8 to 12 channels, batch norm and what `end` names."""
    conv = getattr(nn, f"Conv{dims}d")
    norm = getattr(nn, f"BatchNorm{dims}d")
    out = 8 if groups == 8 else 12
    stride = 2 if end == "relu6" else 1
    # Without a bias the scale of the norm goes into the weights.
    bias = end in ("bias", "hardtanh")
    layers = [conv(8, out, 3, padding=1, stride=stride, groups=groups, bias=bias)]
    if end != "bias":
        layers.append(norm(out))
    ends = {
        "relu": nn.ReLU,
        "bias": nn.ReLU,
        "relu6": nn.ReLU6,
        "hardtanh": lambda: nn.Hardtanh(-0.5, 0.25),
        "hardswish": nn.Hardswish,
        "silu": nn.SiLU,
        "gelu": nn.GELU,
        "gelu_tanh": lambda: nn.GELU("tanh"),
        "sigmoid": nn.Sigmoid,
    }
    if end in ends:
        layers.append(ends[end]())
    return nn.Sequential(*layers)


def pair(dims, groups, end):
    theirs = block(torch.nn, dims, groups, end).eval()
    random = np.random.default_rng(7)
    for value in theirs.state_dict().values():
        if value.is_floating_point():
            value.copy_(
                torch.tensor(random.uniform(0.2, 1, tuple(value.shape)) - 0.3 * (value.dim() > 1))
            )
    mine = block(ds.nn, dims, groups, end).eval()
    mine.load_state_dict({k: ds.tensor(v.numpy()) for k, v in theirs.state_dict().items()})
    return mine, theirs


def check(mine, theirs, x):
    with torch.no_grad(), ds.no_grad():
        wanted = theirs(torch.tensor(x)).numpy()
        for _ in range(2):
            np.testing.assert_allclose(mine(ds.tensor(x)).numpy(), wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("special", SPECIAL)
@pytest.mark.parametrize(
    "dims,groups,end",
    [
        *itertools.product(
            (2,), (1, 8), ("relu", "relu6", "hardtanh", "bias", "hardswish", "silu", "")
        ),
        (2, 1, "sigmoid"),
        (1, 1, "relu"),
        (3, 1, "relu6"),
        (2, 4, "relu"),
    ],
)
def test_agrees_with_pytorch(dims, groups, end, special):
    mine, theirs = pair(dims, groups, end)
    random = np.random.default_rng(0)
    for size in (5, 9):
        x = random.standard_normal((2, 8, *[size] * dims)).astype(np.float32)
        for value in SPECIAL[special]:
            # PyTorch multiplies by 6 before it divides by 6, which overflows earlier.
            x.flat[random.integers(x.size)] = value / 100 if end == "hardswish" else value
        check(mine, theirs, x)


@pytest.mark.parametrize("special", SPECIAL)
def test_residual_sums(special):
    """A sum joins the convolution as well; what came before is read where it lies."""

    def run(lib, a, b, x):
        y = lib.nn.functional.relu(a(x))
        return lib.nn.functional.relu(b(y) + x), lib.nn.functional.relu(x + b(y)) + y

    (a, a_), (b, b_) = pair(2, 8, ""), pair(2, 8, "relu6")
    (c, c_) = pair(2, 8, "")
    x = np.random.default_rng(1).standard_normal((2, 8, 6, 7)).astype(np.float32)
    for i, value in enumerate(SPECIAL[special]):
        x[0, i, 2, 3] = value
    with torch.no_grad(), ds.no_grad():
        for mine, theirs in zip(
            run(ds, a, c, ds.tensor(x)), run(torch, a_, c_, torch.tensor(x)), strict=True
        ):
            np.testing.assert_allclose(mine.numpy(), theirs.numpy(), rtol=1e-4, atol=1e-5)
    check(b, b_, x)


@pytest.mark.parametrize("special", SPECIAL)
@pytest.mark.parametrize("groups", [1, 8])
@pytest.mark.parametrize("end", ["relu", "relu6", "hardtanh", "bias", "hardswish", "silu", ""])
def test_in_bfloat16(groups, end, special):
    """As near to FP32 as 16 bits allow; NaN and infinities where PyTorch's autocast has them."""
    mine, theirs = pair(2, groups, end)
    random = np.random.default_rng(3)
    x = random.standard_normal((2, 8, 7, 9)).astype(np.float32)
    for value in SPECIAL[special]:
        x.flat[random.integers(x.size)] = value / 100 if end == "hardswish" else value
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        wanted = theirs(torch.tensor(x)).float().numpy()
    with ds.no_grad(), ds.autocast("cpu", dtype=ds.bfloat16):
        found = mine(ds.tensor(x))
    assert found.dtype == ds.bfloat16
    np.testing.assert_allclose(found.float().numpy(), wanted, rtol=0.03, atol=0.03)


def test_residual_sums_in_bfloat16():
    def run(lib, a, b, x):
        with lib.no_grad(), lib.autocast("cpu", dtype=lib.bfloat16):
            y = lib.nn.functional.relu(a(x))
            return lib.nn.functional.relu(b(y) + y).float().numpy()

    (a, a_), (b, b_) = pair(2, 8, ""), pair(2, 8, "")
    x = np.random.default_rng(1).standard_normal((2, 8, 6, 7)).astype(np.float32)
    x[0, 1, 2, 3] = np.nan
    wanted = run(torch, a_, b_, torch.tensor(x))
    assert np.isnan(wanted).any() and not np.isnan(wanted).all()
    np.testing.assert_allclose(run(ds, a, b, ds.tensor(x)), wanted, rtol=0.03, atol=0.03)


def test_weights_that_are_nan():
    mine, theirs = pair(2, 1, "relu")
    with torch.no_grad(), ds.no_grad():
        mine[0].weight[3, 2, 1, 1] = float("nan")
        theirs[0].weight[3, 2, 1, 1] = float("nan")
        mine[1].bias[5] = float("nan")
        theirs[1].bias[5] = float("nan")
    check(mine, theirs, np.ones((1, 8, 5, 5), np.float32))


def other_state(lib, model):
    rows = {k: v.numpy()[::-1].copy() for k, v in model.state_dict().items() if v.ndim}
    model.load_state_dict({k: lib.tensor(v) for k, v in rows.items()}, strict=False)


def train(lib, model):
    x = np.linspace(-2, 2, 2 * 8 * 36, dtype=np.float32).reshape(2, 8, 6, 6)
    model.train()
    model(lib.tensor(x))
    model.eval()


CHANGES = {
    "nothing": lambda lib, model: None,
    "statistics": lambda lib, model: model[1].running_var.mul_(3.0),
    "the norm's weight": lambda lib, model: model[1].weight.sub_(1.0),
    "the norm's bias": lambda lib, model: model[1].bias.add_(0.5),
    "the convolution's weight": lambda lib, model: model[0].weight.add_(0.25),
    "another state": other_state,
    "training": train,
}


@pytest.mark.parametrize("half", [False, True])
def test_what_is_kept_follows_its_parameters(half):
    mine, theirs = pair(2, 1, "relu")
    x = np.random.default_rng(4).standard_normal((2, 8, 9, 9)).astype(np.float32)
    tolerance = 0.05 if half else 1e-4
    for name, change in CHANGES.items():
        with torch.no_grad(), ds.no_grad():
            change(ds, mine)
            change(torch, theirs)
            for batch in (1, 2, 1):
                wanted = theirs(torch.tensor(x[:batch])).numpy()
                with ds.autocast("cpu", dtype=ds.bfloat16, enabled=half):
                    found = mine(ds.tensor(x[:batch])).float().numpy()
                np.testing.assert_allclose(
                    found, wanted, rtol=tolerance, atol=tolerance, err_msg=name
                )


def test_one_convolution_before_two_norms():
    conv, norms = (
        ds.nn.Conv2d(8, 12, 1, bias=False),
        [ds.nn.BatchNorm2d(12).eval() for _ in range(2)],
    )
    x = ds.randn(1, 8, 5, 5)
    with ds.no_grad():
        norms[1].running_var.mul_(4.0)
        for _ in range(3):
            plain = conv(x).numpy()
            for norm, scale in zip(norms, (1, 2), strict=True):
                np.testing.assert_allclose(
                    norm(conv(x)).numpy(), plain / scale, rtol=1e-4, atol=1e-5
                )


def test_statistics_that_numpy_writes_to():
    conv, norm = ds.nn.Conv2d(8, 12, 1, bias=False), ds.nn.BatchNorm2d(12).eval()
    x = ds.randn(1, 8, 5, 5)
    with ds.no_grad():
        before = norm(conv(x)).numpy()
        shared = norm.running_var.numpy()
        shared[:] = 4.0
        np.testing.assert_allclose(norm(conv(x)).numpy(), before / 2, rtol=1e-4, atol=1e-5)
        shared[:] = 16.0
        np.testing.assert_allclose(norm(conv(x)).numpy(), before / 4, rtol=1e-4, atol=1e-5)


def test_weights_are_scaled_once():
    mine, _ = pair(2, 1, "relu6")
    x = ds.randn(1, 8, 16, 16).evaluate()
    with ds.no_grad():
        mine(x).numpy()
        with ds.debug.profile() as prof:
            mine(x).numpy()
    made = [step.seconds for step in prof.steps if step.kernel == "cpu:scaled weights"]
    assert made == [0]


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("end", ["ReLU", "SiLU"])
def test_a_bias_that_is_one_number(end, half):
    """Such as that of a fresh model: it is in memory once for all channels."""
    random = np.random.default_rng(5)
    for value in (0.0, 0.5):
        conv = ds.nn.Conv2d(24, 160, 1)
        with ds.no_grad():
            conv.bias.fill_(value)
        model = ds.nn.Sequential(conv, getattr(ds.nn, end)()).eval()
        theirs = torch.nn.Sequential(torch.nn.Conv2d(24, 160, 1), getattr(torch.nn, end)())
        theirs.load_state_dict({k: torch.tensor(v.numpy()) for k, v in model.state_dict().items()})
        with ds.no_grad():
            conv.bias.fill_(value)
        x = random.standard_normal((1, 24, 3, 3)).astype(np.float32)
        with ds.no_grad(), ds.autocast("cpu", dtype=ds.bfloat16, enabled=half):
            found = model(ds.tensor(x)).float().numpy()
        with torch.no_grad():
            wanted = theirs(torch.tensor(x)).numpy()
        tolerance = 0.03 if half else 1e-4
        np.testing.assert_allclose(found, wanted, rtol=tolerance, atol=tolerance)


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the flag is that of x86")
@pytest.mark.parametrize("end", ["silu", "gelu", "gelu_tanh", "sigmoid"])
def test_a_sweep_does_what_is_left(end):
    """Scale and shift of a norm are the convolution's where it cannot do the activation."""
    mine, theirs = pair(2, 1, end)
    x = np.random.default_rng(6).standard_normal((1, 8, 9, 9)).astype(np.float32)
    x[0, 2, 4, 4] = np.nan
    with ds.no_grad(), ds.debug.profile() as prof:
        mine(ds.tensor(x)).numpy()
    assert any(f"+mul+add+{end}" in step.kernel for step in prof.steps), [
        step.kernel for step in prof.steps
    ]
    check(mine, theirs, x)


def test_gradients_go_through():
    mine, theirs = pair(2, 1, "bias")
    x = np.random.default_rng(2).standard_normal((2, 8, 6, 6)).astype(np.float32)
    mine(ds.tensor(x)).square().sum().backward()
    theirs(torch.tensor(x)).square().sum().backward()
    for ours, other in zip(mine.parameters(), theirs.parameters(), strict=True):
        np.testing.assert_allclose(ours.grad.numpy(), other.grad.numpy(), rtol=1e-3, atol=1e-3)


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the flag is that of x86")
@pytest.mark.parametrize("half", [False, True])
def test_no_sweep_is_left(half):
    if half and not ds.cpu_info()["bf16"]:
        pytest.skip("no arithmetic in bfloat16")
    mine, _ = pair(2, 1, "relu6")
    x = ds.randn(1, 8, 16, 16).evaluate()
    with ds.no_grad(), ds.autocast("cpu", dtype=ds.bfloat16, enabled=half):
        mine(x).float().numpy()
        with ds.debug.profile() as prof:
            mine(x).float().numpy()
    assert any("+minimum" in step.kernel or "+maximum" in step.kernel for step in prof.steps), [
        step.kernel for step in prof.steps
    ]


def test_a_clamp_joins():
    mine, theirs = pair(2, 1, "")
    x = np.random.default_rng(4).standard_normal((2, 8, 6, 6)).astype(np.float32)
    x[0, 1, 2, 3] = np.nan
    with torch.no_grad(), ds.no_grad(), ds.debug.profile() as prof:
        for limits in ({"min": -0.5, "max": 0.25}, {"min": 0}, {"max": 0.25}):
            found = mine(ds.tensor(x)).clamp(**limits).numpy()
            wanted = theirs(torch.tensor(x)).clamp(**limits).numpy()
            np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)
    # Numbers that have changed from one call to the next are inputs, which do not join.
    kernels = [step.kernel for step in prof.steps]
    if platform.machine() == "x86_64":
        assert any("+maximum+minimum" in kernel for kernel in kernels), kernels


def test_kept_scales_tell_a_parameter_from_its_transpose():
    random = np.random.default_rng(3)
    draw = lambda *shape: random.standard_normal(shape).astype(np.float32)  # noqa: E731
    weights, x, scale = draw(64, 3, 3, 3), draw(1, 3, 6, 6), np.abs(draw(8, 8))

    def scaled(fw, x, weights, scale):
        factor = (scale + 0.5).rsqrt().reshape(1, 64, 1, 1)
        return fw.nn.functional.relu(fw.nn.functional.conv2d(x, weights, padding=1) * factor)

    theirs = [torch.tensor(v) for v in (x, weights, scale)]
    mine = [ds.tensor(v) for v in (x, weights, scale)]
    with torch.no_grad(), ds.no_grad():
        for _ in range(3):
            for turn in (lambda s: s, lambda s: s.t()):
                wanted = scaled(torch, *theirs[:2], turn(theirs[2])).numpy()
                got = scaled(ds, *mine[:2], turn(mine[2])).numpy()
                np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-5)
