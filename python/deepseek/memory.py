# SPDX-License-Identifier: Apache-2.0
"""What a step needs in memory, known from its plan before it runs."""

import os
from collections.abc import Callable
from typing import NamedTuple

from . import _core
from ._format import format_bytes
from ._timeline import Moment, Timeline

__all__ = [
    "Block",
    "Moment",
    "Point",
    "Summary",
    "Timeline",
    "available",
    "budget",
    "format_bytes",
    "frontier",
    "parse_bytes",
    "summary",
    "timeline",
]


class Block(NamedTuple):
    """A block of memory in use at the peak: its kind, bytes, the operation that writes it (empty
    for what is there before the step), what that computes and your line."""

    kind: str
    bytes: int
    op: str
    type: str
    location: str


class Summary(NamedTuple):
    """A plan's memory in bytes. `arena` is the block for all temporaries, `lower_bound` the most of
    it in use at one moment, `by_kind` and `blocks` what is in use at the peak; `offloaded` lies in
    files meanwhile."""

    peak: int
    arena: int
    lower_bound: int
    offloaded: int
    by_kind: dict[str, int]
    blocks: list[Block]

    @property
    def fragmentation(self) -> float:
        """The share of the arena that no moment needs."""
        return self.arena / self.lower_bound - 1 if self.lower_bound else 0.0

    def table(self, limit: int = 10) -> str:
        """The peak by kind and the largest tensors with your lines."""
        lines = [
            f"peak {format_bytes(self.peak)}, of it arena {format_bytes(self.arena)} "
            f"({self.fragmentation:.1%} above the least)"
        ]
        if self.offloaded:
            lines[0] += f", {format_bytes(self.offloaded)} in files"
        lines += [
            f"  {kind:16} {format_bytes(size):>12}" for kind, size in self.by_kind.items() if size
        ]
        lines.append("largest at the peak")
        lines += [
            f"  {format_bytes(b.bytes):>12}  {b.kind:16} {b.op:24.24} {b.type:24} "
            f"{b.location}".rstrip()
            for b in self.blocks[:limit]
        ]
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.table()


class Point(NamedTuple):
    """A way to run a step: how much it recomputes (0 is nothing), its peak in bytes, its time by a
    model of the machine relative to level 0."""

    level: int
    peak: int
    time: float


def _summary(report: dict) -> Summary:
    report["blocks"] = [Block(*row) for row in report["blocks"]]
    return Summary(**report)


def summary(step: Callable[[], object] | None = None) -> Summary:
    """The memory of a training step: of the last one that ran, or of `step`, a function that is
    called once and whose largest plan counts. Inputs and parameters are included; what other
    tensors of the program hold is not."""
    if step is None:
        return _summary(_core._memory_report())
    _core._reset_largest_plan()
    step()
    return _summary(_core._largest_memory_report())


def parse_bytes(amount: int | str) -> int:
    """Bytes of a number or a text such as "2GiB"; ValueError for what is no amount of memory."""
    return _core._parse_bytes(str(amount))


def available() -> int:
    """Bytes that this process may still take: what the machine can give without swapping, or less
    where a control group limits it. 0 when the system does not say."""
    return _core._available_memory()


class budget:
    """Limits the peak of every plan from now on: where a step needs more, part of its forward pass
    is computed again in the backward pass, the way that costs least time. Results do not change.

    limit: bytes, a text such as "2GiB" or "800MB", "auto" for what is free now (control groups
    included) less a tenth, or None for no limit. As a context manager it puts the old limit back.
    offload: a folder for files, by default DS_OFFLOAD_DIR. The optimizer's state may lie in a file
    there and activations may wait in one, if that takes less time than recomputing, or recomputing
    is not enough. The files have no names: nothing stays behind.
    offload_rate: bytes a second that the folder writes, and reads, as "500MB"; by default
    DS_OFFLOAD_RATE, else it is measured.
    ValueError for what is no amount of memory, IOError for a folder that cannot be written to. A
    step that does not fit raises OutOfMemoryError, which states the least."""

    def __init__(
        self,
        limit: int | str | None,
        offload: str | os.PathLike | None = None,
        offload_rate: int | str | None = None,
    ):
        self._offload_before = _core._offload_directory() if offload is not None else None
        self._rate_before = _core._offload_rate()
        rate = self._rate_before
        if offload_rate is not None:
            rate = _core._parse_bytes(str(offload_rate), "offload rate")
        if limit == "auto":
            size = _core._automatic_memory_budget()
        else:
            size = parse_bytes(limit) if limit is not None else 0
        if offload is not None:
            _core._set_offload_directory(os.fspath(offload))
        _core._set_offload_rate(rate)
        self._before = _core._memory_budget()
        _core._set_memory_budget(size)

    def __enter__(self):
        return self

    def __exit__(self, *_exc):
        _core._set_memory_budget(self._before)
        _core._set_offload_rate(self._rate_before)
        if self._offload_before is not None:
            _core._set_offload_directory(self._offload_before)


def frontier(step: Callable[[], object]) -> list[Point]:
    """Runs `step` once and plans it with more and more recomputation: the points that no other
    beats in both peak and modelled time, by falling peak."""
    _core._reset_largest_plan()
    step()
    return [Point(*row) for row in _core._memory_frontier()]


def timeline(step: Callable[[], object]) -> Timeline:
    """Runs `step` once: what is live at every operation of its largest plan. print() shows it as
    text, save("step.svg") writes a picture."""
    _core._reset_largest_plan()
    step()
    return Timeline([Moment(*row) for row in _core._memory_timeline()])
