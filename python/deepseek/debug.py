# SPDX-License-Identifier: Apache-2.0
"""Where values were forced, and where the time goes."""

import collections
from typing import NamedTuple

from . import _core


class Sync(NamedTuple):
    """One place: what asked for a value, the user's line, how often."""

    reason: str
    location: str
    count: int


def syncs() -> list[Sync]:
    """Places where values were forced since the start or clear_syncs(), most frequent first."""
    return sorted((Sync(*row) for row in _core._syncs()), key=lambda s: -s.count)


def clear_syncs() -> None:
    """Forgets the places."""
    _core._clear_syncs()


class KernelTime(NamedTuple):
    """One step of a plan, summed over its runs: seconds, floating-point operations and bytes."""

    kernel: str
    op: str
    location: str
    type: str
    seconds: float
    flops: float
    bytes: float
    runs: int


class profile:
    """Times every step of every plan run inside the block (which makes them run one by one).

        with ds.debug.profile() as prof:
            train_step()
        print(prof.table())
    """

    def __init__(self):
        self.steps: list[KernelTime] = []

    def __enter__(self):
        _core._set_profiling(True)
        return self

    def __exit__(self, *exception) -> None:
        self.steps = [KernelTime(**row) for row in _core._profile_report()]
        _core._set_profiling(False)

    def table(self, limit: int = 20) -> str:
        """The kernels that took longest, with their arithmetic and memory rates."""
        groups = collections.defaultdict(list)
        for step in self.steps:
            groups[step.op, step.kernel].append(step)
        total = sum(step.seconds for step in self.steps)
        lines = [f"{'op':28} {'kernel':30} {'steps':>6} {'ms':>9} {'share':>6} {'GFLOP/s':>8} "
                 f"{'GB/s':>6}"]
        longest = sorted(groups.items(), key=lambda g: -sum(s.seconds for s in g[1]))
        for (op, kernel), steps in longest[:limit]:
            seconds = max(sum(s.seconds for s in steps), 1e-12)
            lines.append(
                f"{op:28.28} {kernel:30.30} {len(steps):6} {seconds * 1e3:9.2f} "
                f"{seconds / max(total, 1e-12):6.1%} "
                f"{sum(s.flops * s.runs for s in steps) / seconds / 1e9:8.1f} "
                f"{sum(s.bytes * s.runs for s in steps) / seconds / 1e9:6.1f}")
        return "\n".join(lines)
