# SPDX-License-Identifier: Apache-2.0
"""Every tensor function against PyTorch, on PyTorch's own sample inputs: values, shapes, dtypes and
gradients."""

import warnings

import deepseek as ds
import numpy as np
import pytest
import torch
import torch_samples as samples

# Values are drawn, so only shape and dtype are compared.
RANDOM = {
    "bernoulli",
    "empty",
    "empty_like",
    "multinomial",
    "new_empty",
    "normal",
    "normal.in_place",
    "normal.number_mean",
    "rand_like",
    "randint",
    "randint_like",
    "randn",
    "randn_like",
}
# Functions that draw inside, compared where the sample switches that off.
DRAWS = {
    "nn.functional.dropout",
    "nn.functional.dropout2d",
    "nn.functional.dropout3d",
    "nn.functional.alpha_dropout",
    "nn.functional.feature_alpha_dropout.with_train",
    "nn.functional.rrelu",
}
# PyTorch's table passes the arguments in another order than the function takes them.
REORDERED = {
    "nn.functional.embedding": (1, 0),
    "nn.functional.embedding_bag": (1, 0),
    "where": (1, 0, 2),
    "einsum": (1, 0),
    "polygamma": (1, 0),
    "special.polygamma": (1, 0),
}
# What differs on purpose or is not there yet: a reason each.
DIFFERENT = {
    "as_strided.partial_views": "strides count in the view's own elements, not in its base's",
    "as_strided_scatter": "the input's gradient is for the elements that are kept",
    "cholesky_inverse": "the gradient of the unread half of the factor is 0 here",
    "cholesky_solve": "the gradient of the unread half of the factor is 0 here",
    "linalg.eigh": "eigenvectors are unique up to sign; test_linalg compares products",
    "linalg.lstsq.grad_oriented": "rank-deficient and wide systems of the sample",
    "linalg.lstsq": "the optional results are shaped as in NumPy",
    "linalg.pinv.hermitian": "the gradient is for the half that is read",
    "linalg.pinv.singular": "the sample passes two factors",
    "nn.functional.ctc_loss": "the gradient is for log_probs themselves; test_losses checks it "
    "through log_softmax",
    "linalg.norm.subgradients_at_zero": "orders below 1 have no gradient at 0 to agree on",
    "nextafter": "no gradient here",
    "polygamma.polygamma_n_2": "n above 1 is not available",
    "polygamma.polygamma_n_3": "n above 1 is not available",
    "polygamma.polygamma_n_4": "n above 1 is not available",
    "normal.in_place": "the sample is a method call",
    "zero_": "the sample writes into a leaf",
}
# Not compared for integers: factors of the sample are fractions that PyTorch cuts off, or ties are
# broken in another order.
NOT_FOR_INTEGERS = {"addmv", "addbmm", "baddbmm", "topk", "kthvalue"}
# Looser where the method differs: (relative, absolute) of values and gradients.
TOLERANCES = {
    "matrix_exp": (5e-3, 1e-3),
    "logcumsumexp": (5e-3, 5e-3),
    "nn.functional.conv_transpose3d": (1e-3, 1e-3),
}
# Of values and gradients; the absolute one of bfloat16, which rounds to 8 bits, counts from the
# largest value, because sums cancel.
OTHER_FLOATS = {torch.float64: (1e-7, 1e-9), torch.bfloat16: (2e-2, 1e-2)}
# Not compared in bfloat16, which has many ties and few bits: a reason each.
NOT_FOR_BFLOAT16 = {
    "argsort": "ties are broken in another order",
    "matrix_exp": "PyTorch's overflows to nan",
    "sort": "ties are broken in another order",
    "topk": "ties are broken in another order",
}
# Arguments or results of PyTorch that have no counterpart; the error says so.
ABSENT = (ds.NotImplementedError,)

# PyTorch also takes inputs without the channel or class dimension that these are about.
NEEDS_CHANNELS = {
    "nn.functional.batch_norm",
    "nn.functional.multi_margin_loss",
    "nn.functional.multilabel_margin_loss",
    "nn.functional.feature_alpha_dropout.without_train",
}

CASES = [name for name in samples.table() if name not in DIFFERENT]
# The functions of networks take floating tensors.
INTEGER_CASES = [name for name in CASES if not name.startswith("nn.functional.")]
MOST_SAMPLES = 12


def differs_by_chance(name: str, kwargs: dict) -> bool:
    if name == "nn.functional.scaled_dot_product_attention":
        return kwargs.get("dropout_p", 0) > 0
    return name in DRAWS and kwargs.get("training", True) and kwargs.get("p", 0.5) not in (0, 1)


def compare(mine, theirs, rtol: float, atol: float, what: str) -> None:
    assert tuple(mine.shape) == tuple(theirs.shape), what
    np.testing.assert_allclose(
        samples.to_numpy(mine),
        samples.to_numpy(theirs + 0 if theirs.dtype != torch.bool else theirs),
        rtol=rtol,
        atol=atol,
        err_msg=what,
    )


def compare_gradients(mine, theirs, my_inputs, their_inputs, rtol, atol) -> None:
    pairs = [(m, t) for m, t in zip(mine, theirs, strict=False) if t.requires_grad]
    if not pairs:
        return
    weights = [torch.randn_like(t) for _, t in pairs]
    expected = torch.autograd.grad([t for _, t in pairs], their_inputs, weights, allow_unused=True)
    found = [None] * len(my_inputs)
    kept = [(m, w) for (m, _), w in zip(pairs, weights, strict=False) if m.requires_grad]
    if kept:
        found = ds.autograd.grad(
            [m for m, _ in kept],
            my_inputs,
            [samples.from_torch(w) for _, w in kept],
            allow_unused=True,
        )
    for i, (f, e) in enumerate(zip(found, expected, strict=False)):
        e = torch.zeros_like(their_inputs[i]) if e is None else e
        f = ds.zeros(tuple(e.shape)) if f is None else f
        compare(f, e, rtol, atol, f"gradient {i}")


def check_sample(name: str, sample, function, with_gradient: bool, dtype=torch.float32) -> None:
    args = [sample.input, *sample.args]
    kwargs = sample.kwargs
    op, _ = samples.table()[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = samples.flat_tensors(op.op(*args, **kwargs), torch.Tensor)
    my_args = samples.to_ds(args)
    my_kwargs = samples.to_ds({k: v for k, v in kwargs.items() if k != "layout"})
    their_inputs = [
        t for t in samples.flat_tensors([*args, *kwargs.values()], torch.Tensor) if t.requires_grad
    ]
    my_inputs = [
        t
        for t in samples.flat_tensors([*my_args, *my_kwargs.values()], ds.Tensor)
        if t.requires_grad
    ]
    order = REORDERED.get(op.name)
    if order:
        my_args[: len(order)] = [my_args[i] for i in order]
    if op.name == "einsum":
        my_args = [my_args[0], *my_args[1]]
    mine = samples.flat_tensors(function(*my_args, **my_kwargs), ds.Tensor)
    assert len(mine) == len(theirs)
    rtol, atol = TOLERANCES.get(name, (1e-4, 2e-5))
    if dtype in OTHER_FLOATS:
        rtol, atol = OTHER_FLOATS[dtype]
    for m, t in zip(mine, theirs, strict=False):
        assert m.dtype == samples.DTYPES[t.dtype]
        if name in RANDOM or differs_by_chance(name, kwargs):
            assert tuple(m.shape) == tuple(t.shape)
            return
        largest = t.double().abs().max().item() if dtype == torch.bfloat16 and t.numel() else 1
        compare(m, t, rtol, atol * max(1, largest), "value")
    if with_gradient:
        if dtype == torch.float32:
            rtol, atol = max(rtol, 1e-3), max(atol, 2e-4)
        compare_gradients(mine, theirs, my_inputs, their_inputs, rtol, atol)


def check_floats(name: str, dtype: torch.dtype, most: int) -> None:
    op, function = samples.table()[name]
    if dtype not in op.dtypes:
        pytest.skip(f"PyTorch has no {dtype} version")
    torch.manual_seed(0)
    with_gradient = op.supports_autograd and dtype in op.backward_dtypes and dtype != torch.bfloat16
    drawn = list(op.sample_inputs("cpu", dtype, requires_grad=with_gradient))
    compared = 0
    for sample in drawn[:most]:
        try:
            check_sample(name, sample, function, with_gradient, dtype)
        except ABSENT:
            continue
        except Exception as error:
            if isinstance(error, ds.ShapeError) and name in NEEDS_CHANNELS:
                continue
            shapes = [
                tuple(a.shape) if isinstance(a, torch.Tensor) else a
                for a in (sample.input, *sample.args)
            ]
            raise AssertionError(f"{name}{shapes} {sample.kwargs}: {error}") from error
        compared += 1
    if compared == 0:
        pytest.skip("every sample uses an argument that is not available")


@pytest.mark.parametrize("name", CASES)
def test_float32(name):
    check_floats(name, torch.float32, MOST_SAMPLES)


@pytest.mark.parametrize("name", CASES)
def test_float64(name):
    check_floats(name, torch.float64, 4)


@pytest.mark.parametrize("name", [name for name in CASES if name not in NOT_FOR_BFLOAT16])
def test_bfloat16(name):
    check_floats(name, torch.bfloat16, 4)


@pytest.mark.parametrize("name", INTEGER_CASES)
def test_integers(name):
    op, function = samples.table()[name]
    if torch.int64 not in op.dtypes or name in RANDOM | NOT_FOR_INTEGERS:
        pytest.skip("PyTorch has no int64 version, draws values or rounds otherwise")
    torch.manual_seed(0)
    for sample in list(op.sample_inputs("cpu", torch.int64, requires_grad=False))[:4]:
        try:
            check_sample(name, sample, function, False)
        except ABSENT:
            continue


# What PyTorch refuses and we take, beside numbers in place of tensors: a reason each.
TAKEN = {
    "gradient": "a list of one spacing serves all dimensions",
    "nn.functional.adaptive_avg_pool1d": "a size of -1 keeps the input's, as None does",
    "nn.functional.adaptive_max_pool1d": "a size of -1 keeps the input's, as None does",
    "narrow": "a bool tensor of one element counts as 0 or 1",
}


def refused_by_pytorch(op, sample) -> bool:
    """PyTorch refuses the arguments for another reason than that a number is no tensor."""
    try:
        op.op(sample.input, *sample.args, **sample.kwargs)
    except TypeError:
        return isinstance(sample.input, torch.Tensor) and not any(
            isinstance(a, int | float) for a in sample.args
        )
    except Exception:
        return True
    return False


@pytest.mark.parametrize(
    "name",
    [
        name
        for name, (op, _) in samples.table().items()
        if op.error_inputs_func is not None and name not in TAKEN
    ],
)
def test_what_pytorch_refuses_is_a_typed_error(name):
    op, function = samples.table()[name]
    for error_input in op.error_inputs("cpu"):
        sample = error_input.sample_input
        if {"out", "layout"} & sample.kwargs.keys() or not refused_by_pytorch(op, sample):
            continue
        try:
            args, kwargs = samples.to_ds([sample.input, *sample.args]), samples.to_ds(sample.kwargs)
        except Exception:  # a complex or sparse argument that can not be made here
            continue
        order = REORDERED.get(op.name)
        if order and len(args) >= len(order):
            args[: len(order)] = [args[i] for i in order]
        if op.name == "einsum":
            args = [args[0], *args[1]]
        with pytest.raises((ds.Error, TypeError)):
            for t in samples.flat_tensors(function(*args, **kwargs), ds.Tensor):
                t.tolist()


def test_there_are_at_least_180_functions():
    names = {op.name for op, _ in samples.table().values()}
    assert len(names) >= 300
