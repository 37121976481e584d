# SPDX-License-Identifier: Apache-2.0
"""Gradients of values and operations with gradients of one's own, as torch.autograd."""

from collections.abc import Sequence

from .. import _core
from .._core import Tensor
from .._modes import enable_grad, inference_mode, no_grad, set_grad_enabled

__all__ = [
    "Function",
    "backward",
    "enable_grad",
    "functional",
    "grad",
    "gradcheck",
    "inference_mode",
    "no_grad",
    "set_grad_enabled",
]


def _list(tensors) -> list:
    return [tensors] if isinstance(tensors, Tensor) else list(tensors)


def grad(
    outputs: Tensor | Sequence[Tensor],
    inputs: Tensor | Sequence[Tensor],
    grad_outputs=None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    allow_unused: bool = False,
) -> tuple[Tensor | None, ...]:
    """d(sum of outputs times grad_outputs)/d(inputs), one tensor per input.

    StateError for an input that outputs do not depend on, unless allow_unused (then None)."""
    outputs = _list(outputs)
    grads = [] if grad_outputs is None else _list(grad_outputs)
    if grads and len(grads) != len(outputs):
        raise _core.ValueError(
            f"grad: {len(outputs)} outputs and {len(grads)} grad_outputs; give one each"
        )
    if any(g is None for g in grads):
        grads = [
            _core.ones_like(o) if g is None else g for g, o in zip(grads, outputs, strict=False)
        ]
    retain = create_graph if retain_graph is None else retain_graph
    return tuple(_core._grad(outputs, _list(inputs), grads, retain, create_graph, allow_unused))


def backward(
    tensors: Tensor | Sequence[Tensor],
    grad_tensors=None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
) -> None:
    """Adds gradients of the sum of tensors to the grad of every leaf."""
    tensors = _list(tensors)
    grads = [None] * len(tensors) if grad_tensors is None else _list(grad_tensors)
    for i, (tensor, g) in enumerate(zip(tensors, grads, strict=True)):
        keep = retain_graph or create_graph or i + 1 < len(tensors)
        tensor.backward(g, retain_graph=keep, create_graph=create_graph)


class _Context:
    """What Function.forward leaves for Function.backward."""

    def __init__(self, needs_input_grad: tuple[bool, ...]):
        self.needs_input_grad = needs_input_grad
        self.saved_tensors: tuple = ()
        self._silent: tuple = ()

    def save_for_backward(self, *tensors) -> None:
        self.saved_tensors = tensors

    def mark_non_differentiable(self, *tensors: Tensor) -> None:
        self._silent = tensors


class Function:
    """An operation with a gradient of one's own: subclass with static forward(ctx, ...) and
    backward(ctx, *grads), call with apply(...).

    With several outputs, backward is called once for each output that a gradient reaches, with
    zeros for the others; the results are added, which is the same for every true gradient."""

    @staticmethod
    def forward(ctx, *args, **kwargs):
        raise NotImplementedError("Function: define a static method forward(ctx, ...)")

    @staticmethod
    def backward(ctx, *grads):
        raise NotImplementedError("Function: define a static method backward(ctx, *grads)")

    @classmethod
    def apply(cls, *args, **kwargs):
        ctx = _Context(tuple(isinstance(a, Tensor) and a.requires_grad for a in args))
        with no_grad():
            result = cls.forward(ctx, *args, **kwargs)
        inputs = [a for a in args if isinstance(a, Tensor)]
        if not _core.is_grad_enabled() or not any(ctx.needs_input_grad):
            return result
        if isinstance(result, Tensor):
            return _core._custom_gradient(result, inputs, cls._gradients(ctx, args, [result], 0))
        outputs = list(result)
        for i, output in enumerate(outputs):
            silent = any(output is s for s in ctx._silent)
            if isinstance(output, Tensor) and output.is_floating_point() and not silent:
                outputs[i] = _core._custom_gradient(
                    output, inputs, cls._gradients(ctx, args, list(result), i)
                )
        return type(result)(outputs)

    @classmethod
    def _gradients(cls, ctx, args, outputs, place):
        def run(gradient):
            grads = [gradient if i == place else _core.zeros_like(o) for i, o in enumerate(outputs)]
            result = cls.backward(ctx, *grads)
            result = result if isinstance(result, tuple) else (result,)
            if len(result) < len(args):
                raise _core.ValueError(
                    f"{cls.__name__}.backward returned {len(result)} gradients for {len(args)} "
                    "inputs; return one each, None where there is none"
                )
            return [g for a, g in zip(args, result, strict=False) if isinstance(a, Tensor)]

        return run


from . import functional  # noqa: E402
from .check import gradcheck  # noqa: E402
