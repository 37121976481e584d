# SPDX-License-Identifier: Apache-2.0
"""Derivatives of functions (autograd.functional, func) against PyTorch's."""

import deepseek as ds
import numpy as np
import pytest
import torch

X = np.array([[0.3, -1.2], [0.7, 0.4]])
Y = np.array([1.5, -0.5])


def one_to_one(lib):
    return lambda x: (x * x).sum(0) + lib.sin(x[0])


def two_to_two(lib):
    return lambda x, y: (x @ y, lib.exp(y).sum() * x)


def scalar(lib):
    return lambda x, y: (lib.sin(x) @ y).pow(2).sum() + (y * y * y).sum()


def scalar_of_one(lib):
    return lambda y: (y * y * y).sum() + y.prod()


def arrays(value):
    if isinstance(value, tuple | list):
        return [a for v in value for a in arrays(v)]
    return [value.detach().numpy()]


def structure(value):
    if isinstance(value, tuple | list):
        return [structure(v) for v in value]
    return tuple(value.shape)


def check(mine, theirs):
    assert structure(mine) == structure(theirs)
    for m, t in zip(arrays(mine), arrays(theirs), strict=False):
        np.testing.assert_allclose(m, t, rtol=1e-10, atol=1e-12)


def of(lib, *values):
    return tuple(lib.tensor(np.asarray(v), dtype=lib.float64) for v in values)


CALLS = {
    "jacobian_one": lambda lib, f: f.jacobian(one_to_one(lib), *of(lib, X)),
    "jacobian_two": lambda lib, f: f.jacobian(two_to_two(lib), of(lib, X, Y)),
    "hessian_one": lambda lib, f: f.hessian(scalar_of_one(lib), *of(lib, Y)),
    "hessian_two": lambda lib, f: f.hessian(scalar(lib), of(lib, X, Y)),
    "vjp": lambda lib, f: f.vjp(one_to_one(lib), *of(lib, X), *of(lib, Y)),
    "vjp_two": lambda lib, f: f.vjp(two_to_two(lib), of(lib, X, Y), of(lib, Y, X)),
    "jvp": lambda lib, f: f.jvp(one_to_one(lib), *of(lib, X), *of(lib, X + 1)),
    "jvp_two": lambda lib, f: f.jvp(two_to_two(lib), of(lib, X, Y), of(lib, X - 1, Y + 2)),
    "vhp": lambda lib, f: f.vhp(scalar(lib), of(lib, X, Y), of(lib, X + 1, Y)),
    "hvp": lambda lib, f: f.hvp(scalar(lib), of(lib, X, Y), of(lib, X + 1, Y)),
}


@pytest.mark.parametrize("name", CALLS)
def test_functional(name):
    check(CALLS[name](ds, ds.autograd.functional), CALLS[name](torch, torch.autograd.functional))


def test_create_graph_lets_the_result_be_differentiated():
    grads = []
    for lib in (ds, torch):
        (y,) = of(lib, Y)
        y.requires_grad_()
        f = lib.autograd.functional
        f.jacobian(scalar_of_one(lib), y, create_graph=True).sum().backward()
        grads.append(y.grad.numpy())
    np.testing.assert_allclose(*grads)


def test_wrong_vectors_are_errors():
    with pytest.raises(ds.ShapeError, match="must have those of"):
        ds.autograd.functional.vjp(one_to_one(ds), ds.ones(2, 2), ds.ones(3))
    with pytest.raises(ds.ShapeError, match="one element"):
        ds.autograd.functional.hessian(one_to_one(ds), ds.ones(2, 2))
    with pytest.raises(TypeError, match="tuple of tensors"):
        ds.autograd.functional.jacobian(one_to_one(ds), 3.0)


def with_aux(lib):
    return lambda x, y: (scalar(lib)(x, y), x + 1)


def nested(lib, f):
    x, y = of(lib, X, Y)
    return f.grad(lambda b: f.grad(scalar(lib), argnums=1)(x, b).pow(2).sum())(y)


FUNC_CALLS = {
    "grad": lambda lib, f: f.grad(scalar(lib))(*of(lib, X, Y)),
    "grad_argnums": lambda lib, f: f.grad(scalar(lib), argnums=(1, 0))(*of(lib, X, Y)),
    "grad_aux": lambda lib, f: f.grad(with_aux(lib), has_aux=True)(*of(lib, X, Y)),
    "grad_and_value": lambda lib, f: f.grad_and_value(scalar(lib))(*of(lib, X, Y)),
    "grad_of_grad": nested,
    "jacrev": lambda lib, f: f.jacrev(one_to_one(lib))(*of(lib, X)),
    "jacfwd": lambda lib, f: f.jacfwd(one_to_one(lib))(*of(lib, X)),
    "hessian": lambda lib, f: f.hessian(scalar_of_one(lib))(*of(lib, Y)),
    "jvp": lambda lib, f: f.jvp(one_to_one(lib), of(lib, X), of(lib, X + 1)),
    "vmap": lambda lib, f: f.vmap(lambda a, b: (a * b).sum())(*of(lib, X, X + 2)),
    "vmap_dims": lambda lib, f: f.vmap(lambda a, b: a * b, in_dims=(1, None), out_dims=1)(
        *of(lib, X, Y)
    ),
    "vmap_grad": lambda lib, f: f.vmap(f.grad(scalar_of_one(lib)))(*of(lib, X)),
}


@pytest.mark.parametrize("name", FUNC_CALLS)
def test_func(name):
    check(FUNC_CALLS[name](ds, ds.func), FUNC_CALLS[name](torch, torch.func))


def test_func_vjp():
    results = []
    for lib in (ds, torch):
        value, pull = lib.func.vjp(two_to_two(lib), *of(lib, X, Y))
        results.append((value, pull(of(lib, Y, X))))
    check(*results)


def test_functional_call_uses_the_given_tensors_and_leaves_the_module():
    model = ds.nn.Sequential(ds.nn.Linear(2, 3), ds.nn.BatchNorm1d(3))
    state = {name: p.detach() * 2 for name, p in model.named_parameters()}
    before = {name: t.numpy().copy() for name, t in model.state_dict().items()}
    theirs = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.BatchNorm1d(3))
    theirs.load_state_dict({n: torch.from_numpy(v.copy()) for n, v in before.items()})
    expected = torch.func.functional_call(
        theirs,
        {n: p.detach() * 2 for n, p in theirs.named_parameters()},
        torch.from_numpy(X).float(),
    )
    found = ds.func.functional_call(model, state, ds.tensor(X, dtype=ds.float32))
    np.testing.assert_allclose(
        found.detach().numpy(), expected.detach().numpy(), rtol=1e-5, atol=1e-6
    )
    assert [n for n, _ in model.named_parameters()] == [n for n, _ in theirs.named_parameters()]
    for name, p in model.named_parameters():
        np.testing.assert_array_equal(p.detach().numpy(), before[name])
    with pytest.raises(ds.KeyError, match="no tensor named"):
        ds.func.functional_call(model, {"0.nothing": ds.ones(1)}, ds.ones(1, 2))


def test_gradients_reach_the_tensors_of_functional_call():
    model = ds.nn.Linear(2, 1)
    weight = ds.ones(1, 2).requires_grad_()
    grad = ds.func.grad(
        lambda w: ds.func.functional_call(
            model, {"weight": w, "bias": ds.zeros(1)}, ds.tensor([[2.0, 3.0]])
        ).sum()
    )(weight.detach())
    assert grad.tolist() == [[2.0, 3.0]]


def test_stacked_models_run_under_vmap():
    models = [ds.nn.Linear(2, 2) for _ in range(3)]
    parameters, buffers = ds.func.stack_module_state(models)
    x = ds.tensor(X, dtype=ds.float32)
    found = ds.vmap(lambda p, b: ds.func.functional_call(models[0], (p, b), x))(parameters, buffers)
    for row, model in zip(found.detach().numpy(), models, strict=False):
        np.testing.assert_allclose(row, model(x).detach().numpy(), rtol=1e-6)


class Wrong(ds.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * x

    @staticmethod
    def backward(ctx, grad):
        return grad


def test_gradcheck():
    x, y = of(ds, X, Y)
    x.requires_grad_(), y.requires_grad_()
    assert ds.autograd.gradcheck(two_to_two(ds), (x, y))
    assert not ds.autograd.gradcheck(Wrong.apply, y, raise_exception=False)
    with pytest.raises(ds.StateError, match="differs"):
        ds.autograd.gradcheck(Wrong.apply, y)
