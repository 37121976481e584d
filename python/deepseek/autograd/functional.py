# SPDX-License-Identifier: Apache-2.0
"""Derivatives of functions at a point, as torch.autograd.functional. A function takes one tensor or
several and returns one or several; results have the structure of what goes in and comes out."""

from .. import _core
from .._core import Tensor
from .._modes import enable_grad


def _tuple(values, what: str) -> tuple[bool, tuple]:
    """Whether there were several, and all of them."""
    if isinstance(values, Tensor):
        return False, (values,)
    if not isinstance(values, tuple | list) or not all(isinstance(v, Tensor) for v in values):
        raise TypeError(f"{what} must be a tensor or a tuple of tensors")
    return True, tuple(values)


def _like(many: bool, values):
    return tuple(values) if many else values[0]


def _leaves(inputs, create_graph: bool) -> tuple:
    """Inputs to differentiate for; with create_graph the result depends on the ones given."""
    if create_graph:
        return tuple(
            x.view(x.shape) if x.requires_grad else x.detach().requires_grad_() for x in inputs
        )
    return tuple(x.detach().requires_grad_() for x in inputs)


def _gradients(outputs, inputs, weights, create_graph: bool) -> tuple:
    """Vector-Jacobian products; zeros for what outputs do not depend on."""
    pairs = [(y, w) for y, w in zip(outputs, weights, strict=False) if y.requires_grad]
    found = [None] * len(inputs)
    if pairs:
        found = _core._grad(
            [y for y, _ in pairs], list(inputs), [w for _, w in pairs], True, create_graph, True
        )
    return tuple(
        _core.zeros_like(x) if g is None else g for g, x in zip(found, inputs, strict=False)
    )


def _done(values, create_graph: bool) -> tuple:
    return tuple(values) if create_graph else tuple(v.detach() for v in values)


def _call(func, inputs, create_graph: bool):
    many_in, given = _tuple(inputs, "inputs")
    leaves = _leaves(given, create_graph)
    with enable_grad():
        many_out, outputs = _tuple(func(*leaves), "the result of func")
    return many_in, leaves, many_out, outputs


def _weights(v, like, what: str) -> tuple:
    if v is None:
        if len(like) != 1 or like[0].numel() != 1:
            raise _core.ValueError(f"{what} can be left out only for a result of one element")
        return tuple(_core.ones_like(x) for x in like)
    _, weights = _tuple(v, what)
    if [tuple(w.shape) for w in weights] != [tuple(x.shape) for x in like]:
        raise _core.ShapeError(
            f"{what} has the shapes {[tuple(w.shape) for w in weights]}; it must have those of "
            f"{[tuple(x.shape) for x in like]}"
        )
    return weights


def jacobian(
    func,
    inputs,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    strategy: str = "reverse-mode",
):
    """d(output)/d(input) for every pair, of shape output + input. strict, vectorize and strategy
    are accepted and change nothing."""
    many_in, leaves, many_out, outputs = _call(func, inputs, create_graph)
    table = []
    for output in outputs:
        rows = [[] for _ in leaves]
        flat = output.reshape(-1)
        for element in flat.unbind() if flat.numel() else ():
            grads = _gradients([element], leaves, [_core.ones_like(element)], create_graph)
            for row, grad in zip(rows, grads, strict=False):
                row.append(grad)
        table.append(
            _like(
                many_in,
                _done(
                    [
                        _core.stack(row).reshape(tuple(output.shape) + tuple(x.shape))
                        if row
                        else _core.zeros(tuple(output.shape) + tuple(x.shape), dtype=x.dtype)
                        for row, x in zip(rows, leaves, strict=False)
                    ],
                    create_graph,
                ),
            )
        )
    return _like(many_out, table)


def hessian(
    func,
    inputs,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    outer_jacobian_strategy: str = "reverse-mode",
):
    """The second derivatives of a function of one element, for every pair of inputs."""
    many_in, given = _tuple(inputs, "inputs")

    def first(*xs):
        output = func(*xs)
        if not isinstance(output, Tensor) or output.numel() != 1:
            raise _core.ShapeError("hessian: func must return a tensor of one element")
        return _gradients([output], xs, [_core.ones_like(output)], True)

    table = jacobian(first, given, create_graph)
    return table if many_in else table[0][0]


def vjp(func, inputs, v=None, create_graph: bool = False, strict: bool = False):
    """func(inputs), and v times its Jacobian."""
    many_in, leaves, many_out, outputs = _call(func, inputs, create_graph)
    grads = _gradients(outputs, leaves, _weights(v, outputs, "v"), create_graph)
    return (
        _like(many_out, _done(outputs, create_graph)),
        _like(many_in, _done(grads, create_graph)),
    )


def jvp(func, inputs, v=None, create_graph: bool = False, strict: bool = False):
    """func(inputs), and its Jacobian times v: the derivative of u -> u J, which is linear in u, in
    the direction v."""
    many_in, leaves, many_out, outputs = _call(func, inputs, create_graph)
    directions = _weights(v, leaves, "v")
    dummies = [_core.zeros_like(y).requires_grad_() for y in outputs]
    with enable_grad():
        grads = _gradients(outputs, leaves, dummies, True)
    products = _gradients(grads, dummies, directions, create_graph)
    return (
        _like(many_out, _done(outputs, create_graph)),
        _like(many_out, _done(products, create_graph)),
    )


def _second(func, inputs, v, create_graph: bool):
    many_in, leaves, _, outputs = _call(func, inputs, create_graph)
    if len(outputs) != 1 or outputs[0].numel() != 1:
        raise _core.ShapeError("vhp, hvp: func must return a tensor of one element")
    directions = _weights(v, leaves, "v")
    with enable_grad():
        first = _gradients(outputs, leaves, [_core.ones_like(outputs[0])], True)
    product = _gradients(first, leaves, directions, create_graph)
    return (_done(outputs, create_graph)[0], _like(many_in, _done(product, create_graph)))


def vhp(func, inputs, v=None, create_graph: bool = False, strict: bool = False):
    """func(inputs), and v times its Hessian."""
    return _second(func, inputs, v, create_graph)


def hvp(func, inputs, v=None, create_graph: bool = False, strict: bool = False):
    """func(inputs), and its Hessian times v (the same, for it is symmetric)."""
    return _second(func, inputs, v, create_graph)


__all__ = ["hessian", "hvp", "jacobian", "jvp", "vhp", "vjp"]
