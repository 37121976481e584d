# SPDX-License-Identifier: Apache-2.0
"""The largest batch that fits, from plans alone."""

from collections import Counter
from collections.abc import Callable

from . import _core
from .memory import format_bytes


def state_bytes(make: Callable, parameters) -> int:
    """What an optimizer, made by make([parameter]), keeps for the parameters: it steps once for one
    parameter of each shape."""
    counts = Counter((tuple(p.shape), p.dtype) for p in parameters)
    total = 0
    for (shape, dtype), count in counts.items():
        parameter = _core.zeros(shape, dtype=dtype, device="null").requires_grad_()
        parameter.grad = _core.zeros(shape, dtype=dtype, device="null")
        optimizer = make([parameter])
        optimizer.step()
        state = optimizer.state[parameter].values()
        total += count * sum(
            value.numel() * value.dtype.itemsize
            for value in state
            if isinstance(value, _core.Tensor) and value.dim() > 0
        )
    return total


def state_bytes_of(optimizer) -> int:
    """What an optimizer that exists keeps, or will keep after its first step."""
    total = 0
    for group in optimizer.param_groups:
        options = {name: value for name, value in group.items() if name != "params"}
        total += state_bytes(
            lambda p, options=options: type(optimizer)([{**options, "params": p}]),
            group["params"],
        )
    return total


def largest(peak: Callable[[int], int], limit: int, at_most: int) -> int:
    """The largest count up to at_most with peak(count) <= limit, where peaks grow with the count;
    OutOfMemoryError when not even one fits."""
    least = peak(1)
    if least > limit:
        raise _core.OutOfMemoryError(
            f"batch size: one sample needs {least} bytes ({format_bytes(least)}) without "
            f"recomputation, the budget is {limit}; raise it, set a batch size so that the step "
            "is planned within it, or take a smaller model"
        )
    fits, fails = 1, at_most + 1
    while fits + 1 < fails:
        middle = min(2 * fits, (fits + fails) // 2) if fails > at_most else (fits + fails) // 2
        if peak(middle) <= limit:
            fits = middle
        else:
            fails = middle
    return fits


def confirmed(peak: Callable[[int], int], limit: int, count: int) -> int:
    """The count, or a smaller one whose peak by a closer look is within the limit, where the first
    was a little above."""
    while count > 1 and (found := peak(count)) > limit:
        count = min(count - 1, max(1, count * limit // found))
    return count


def largest_divisor(number: int, at_most: int) -> int:
    """The largest divisor that is not larger than at_most."""
    return max(d for d in range(1, min(number, at_most) + 1) if number % d == 0)
