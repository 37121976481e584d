# SPDX-License-Identifier: Apache-2.0
"""torch.utils.checkpoint: parts of a network that the backward pass computes again."""

import contextlib
from collections.abc import Callable, Sequence

from .. import _core
from .._core import Tensor

__all__ = [
    "checkpoint",
    "checkpoint_sequential",
    "noop_context_fn",
    "set_checkpoint_early_stop",
]


def noop_context_fn():
    """Two contexts that do nothing: the default of checkpoint()'s context_fn."""
    return contextlib.nullcontext(), contextlib.nullcontext()


@contextlib.contextmanager
def set_checkpoint_early_stop(enable: bool):
    """PyTorch's switch for recomputing no more than gradients read. That is how it is here either
    way: the recomputation is part of the plan, and what nothing reads is in no plan."""
    yield


def _tensors(value) -> list[Tensor]:
    """The tensors in nested tuples, lists and dicts, in order."""
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, tuple | list):
        return []
    return [tensor for item in value for tensor in _tensors(item)]


def _replaced(value, tensors):
    """`value` with its tensors, in the order of _tensors, taken from the iterator."""
    if isinstance(value, Tensor):
        return next(tensors)
    if isinstance(value, dict):
        return type(value)((key, _replaced(item, tensors)) for key, item in value.items())
    if isinstance(value, tuple | list):
        items = [_replaced(item, tensors) for item in value]
        return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
    return value


def checkpoint(
    function: Callable,
    *args,
    use_reentrant: bool | None = None,
    preserve_rng_state: bool = True,
    context_fn: Callable = noop_context_fn,
    determinism_check: str = "default",
    debug: bool = False,
    **kwargs,
):
    """function(*args, **kwargs), of which nothing inside is kept for the backward pass: that
    computes it again from its inputs. Results are the same bit for bit, dropout included.

    The function runs once; the recomputation is recorded from its graph. use_reentrant,
    preserve_rng_state, determinism_check and debug are PyTorch's and change nothing here.
    NotImplementedError for a context_fn of your own."""
    if context_fn is not noop_context_fn:
        raise _core.NotImplementedError(
            "checkpoint: context_fn has no effect on a graph that is recorded once; leave it out"
        )
    mark = _core._checkpoint_mark()
    result = function(*args, **kwargs)
    return _replaced(result, iter(_core._checkpoint_since(mark, _tensors(result))))


def checkpoint_sequential(
    functions: Sequence[Callable],
    segments: int,
    input,
    *,
    use_reentrant: bool | None = None,
    preserve_rng_state: bool = True,
):
    """Runs `functions` (or the children of a Sequential) one after the other in `segments` parts of
    nearly equal length, each but the last checkpointed. ValueError for segments below 1 or above
    the number of functions."""
    functions = list(functions)
    if not 1 <= segments <= len(functions):
        raise _core.ValueError(
            f"checkpoint_sequential: {segments} segments of {len(functions)} functions; give 1 to "
            f"{len(functions)}"
        )
    size = len(functions) // segments

    def run(start, end):
        def part(x):
            for function in functions[start:end]:
                x = function(x)
            return x

        return part

    last = size * (segments - 1)
    for start in range(0, last, size):
        input = checkpoint(
            run(start, start + size),
            input,
            use_reentrant=use_reentrant,
            preserve_rng_state=preserve_rng_state,
        )
    return run(last, len(functions))(input)
