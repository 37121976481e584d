# SPDX-License-Identifier: Apache-2.0
"""Functions of functions, as torch.func: derivatives, models as functions of their parameters, and
a function over a batch."""

import contextlib

from . import _core
from ._core import Tensor
from ._modes import enable_grad
from .autograd import functional


def _picked(argnums, args: tuple) -> tuple[bool, list[int]]:
    many = isinstance(argnums, tuple | list)
    places = list(argnums) if many else [argnums]
    return many, [place % len(args) for place in places]


def _closed(func, args: tuple, kwargs: dict, places: list[int], has_aux: bool, aux: list):
    """func of the picked arguments alone; what it returns beside goes to aux."""

    def run(*values):
        full = list(args)
        for place, value in zip(places, values, strict=False):
            full[place] = value
        out = func(*full, **kwargs)
        if has_aux:
            out, extra = out
            aux[:] = [extra]
        return out

    return run


def grad_and_value(func, argnums=0, has_aux: bool = False):
    """A function that returns the gradient of func, which has one element, and its value."""

    def run(*args, **kwargs):
        many, places = _picked(argnums, args)
        aux: list = []
        inner = _closed(func, args, kwargs, places, has_aux, aux)
        values = [args[place] for place in places]
        leaves = functional._leaves(values, True)
        with enable_grad():
            out = inner(*leaves)
            if not isinstance(out, Tensor) or out.numel() != 1:
                raise _core.ShapeError("grad: the function must return a tensor of one element")
            outer = any(v.requires_grad for v in values)
            grads = functional._gradients([out], leaves, [_core.ones_like(out)], True)
        grads = functional._done(grads, outer)
        out = out if outer else out.detach()
        found = functional._like(many, grads)
        return (found, (out, aux[0])) if has_aux else (found, out)

    return run


def grad(func, argnums=0, has_aux: bool = False):
    """A function that returns the gradient of func, which has one element."""
    both = grad_and_value(func, argnums, has_aux)

    def run(*args, **kwargs):
        found, value = both(*args, **kwargs)
        return (found, value[1]) if has_aux else found

    return run


def vjp(func, *primals, has_aux: bool = False):
    """func(*primals), and a function of the outputs' weights that returns the inputs' gradients."""
    aux: list = []
    inner = _closed(func, primals, {}, list(range(len(primals))), has_aux, aux)
    leaves = functional._leaves(primals, True)
    with enable_grad():
        many, outputs = functional._tuple(inner(*leaves), "the result of func")

    def pull(*weights):
        given = weights[0] if len(weights) == 1 else weights
        grads = functional._gradients(
            outputs, leaves, functional._weights(given, outputs, "the weights"), True
        )
        return tuple(grads)

    value = functional._like(many, outputs)
    return (value, pull, aux[0]) if has_aux else (value, pull)


def jvp(func, primals, tangents):
    """func(*primals), and its derivative in the direction of the tangents."""
    return functional.jvp(func, tuple(primals), tuple(tangents), create_graph=True)


def jacrev(func, argnums=0, has_aux: bool = False):
    """A function that returns the Jacobian of func."""

    def run(*args, **kwargs):
        many, places = _picked(argnums, args)
        aux: list = []
        inner = _closed(func, args, kwargs, places, has_aux, aux)
        values = tuple(args[place] for place in places)
        table = functional.jacobian(inner, values if many else values[0], create_graph=True)
        return (table, aux[0]) if has_aux else table

    return run


jacfwd = jacrev


def hessian(func, argnums=0):
    """A function that returns the second derivatives of func."""
    return jacrev(jacrev(func, argnums), argnums)


def _restore(owner, parameters: dict, buffers: dict, persistent: set) -> None:
    """Registers what the module had, in the order it had it in."""
    for name in [*parameters, *buffers]:
        if hasattr(owner, name):
            delattr(owner, name)
    for name, value in parameters.items():
        owner.register_parameter(name, value)
    for name, value in buffers.items():
        owner.register_buffer(name, value, name in persistent)


@contextlib.contextmanager
def _replaced(module, tensors: dict):
    """The module with these values, by dotted names; those it had come back at the end."""
    before: dict = {}
    try:
        for name, value in tensors.items():
            path, _, last = name.rpartition(".")
            owner = module.get_submodule(path) if path else module
            if last not in owner._parameters and last not in owner._buffers:
                raise _core.KeyError(f"functional_call: the module has no tensor named '{name}'")
            if id(owner) not in before:
                before[id(owner)] = (
                    owner,
                    dict(owner._parameters),
                    dict(owner._buffers),
                    set(owner.state_dict()),
                )
            if last in owner._parameters:
                delattr(owner, last)
            setattr(owner, last, value)
        yield
    finally:
        for entry in before.values():
            _restore(*entry)


def functional_call(
    module,
    parameter_and_buffer_dicts,
    args=None,
    kwargs=None,
    *,
    tie_weights: bool = True,
    strict: bool = False,
):
    """module(*args, **kwargs) with other values for its parameters and buffers, by their names."""
    dicts = parameter_and_buffer_dicts
    tensors: dict = {}
    for part in [dicts] if isinstance(dicts, dict) else dicts:
        tensors.update(part)
    known = {*dict(module.named_parameters()), *dict(module.named_buffers())}
    if strict and (known - set(tensors) or set(tensors) - known):
        raise _core.KeyError("functional_call: the names differ from the module's")
    args = () if args is None else args if isinstance(args, tuple) else (args,)
    with _replaced(module, tensors):
        return module(*args, **(kwargs or {}))


def stack_module_state(models) -> tuple[dict, dict]:
    """Parameters and buffers of models of one kind, stacked along a new first dimension."""
    models = list(models)
    if not models:
        raise _core.ValueError("stack_module_state: no models are given")
    names = [name for name, _ in models[0].named_parameters()]
    parameters = [dict(model.named_parameters()) for model in models]
    buffers = [dict(model.named_buffers()) for model in models]
    stacked = {n: _core.stack([p[n].detach() for p in parameters]).requires_grad_() for n in names}
    return stacked, {n: _core.stack([b[n] for b in buffers]) for n in buffers[0]}


def _slices(value, dim, size: int) -> list:
    if isinstance(value, tuple | list):
        dims = dim if isinstance(dim, tuple | list) else [dim] * len(value)
        parts = [_slices(v, d, size) for v, d in zip(value, dims, strict=False)]
        return [type(value)(row) for row in zip(*parts, strict=False)]
    if isinstance(value, dict):
        parts = {
            k: _slices(v, dim[k] if isinstance(dim, dict) else dim, size) for k, v in value.items()
        }
        return [{k: v[i] for k, v in parts.items()} for i in range(size)]
    return (
        [value] * size if dim is None or not isinstance(value, Tensor) else list(value.unbind(dim))
    )


def _size(value, dim) -> int | None:
    """The size of the batch in an argument; None where nothing is mapped."""
    if isinstance(value, Tensor):
        return None if dim is None else value.shape[dim]
    if isinstance(value, dict):
        found = [_size(v, dim[k] if isinstance(dim, dict) else dim) for k, v in value.items()]
    elif isinstance(value, tuple | list):
        dims = dim if isinstance(dim, tuple | list) else [dim] * len(value)
        found = [_size(v, d) for v, d in zip(value, dims, strict=False)]
    else:
        found = []
    return next((size for size in found if size is not None), None)


def _stacked(values: list, dim):
    first = values[0]
    if isinstance(first, Tensor):
        return _core.stack(values, 0 if dim is None else dim)
    if isinstance(first, dict):
        return {k: _stacked([v[k] for v in values], dim) for k in first}
    dims = dim if isinstance(dim, tuple | list) else [dim] * len(first)
    return type(first)(_stacked([v[i] for v in values], d) for i, d in enumerate(dims))


def vmap(func, in_dims=0, out_dims=0, randomness: str = "error", *, chunk_size=None):
    """func for every slice along in_dims of the arguments, results stacked along out_dims. func is
    called once a slice; the graph of all calls is compiled together."""

    def run(*args, **kwargs):
        dims = in_dims if isinstance(in_dims, tuple | list) else [in_dims] * len(args)
        size = _size(list(args), list(dims))
        size = _size(kwargs, 0) if size is None else size
        if size is None:
            raise _core.ValueError("vmap: no argument has a dimension to map over")
        rows = [_slices(a, d, size) for a, d in zip(args, dims, strict=False)]
        named = _slices(kwargs, 0, size)
        results = [func(*(row[i] for row in rows), **named[i]) for i in range(size)]
        return _stacked(results, out_dims)

    return run


__all__ = [
    "functional_call",
    "grad",
    "grad_and_value",
    "hessian",
    "jacfwd",
    "jacrev",
    "jvp",
    "stack_module_state",
    "vjp",
    "vmap",
]
