# SPDX-License-Identifier: Apache-2.0
"""Where values were forced, and where the time goes."""

import collections
import json
import os
from typing import NamedTuple

from . import _core, _roofline
from ._roofline import Peaks, measure_peaks
from ._whole_file import write_text

__all__ = [
    "KernelTime",
    "Peaks",
    "Replays",
    "Sync",
    "clear_syncs",
    "measure_peaks",
    "profile",
    "replays",
    "syncs",
]


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


class Replays(NamedTuple):
    """Calls of what ds.compile returned: replayed, recorded, and why the last of these was not
    kept; empty when it was, or came with arguments that are new."""

    replayed: int
    recorded: int
    reason: str


def replays(compiled) -> Replays:
    """How often a module or function of ds.compile was replayed. TypeError for another one."""
    is_module = isinstance(compiled, _core.nn.Module)
    calls = (
        _core._compiled(compiled) if is_module else getattr(compiled, "_deepseek_compiled", None)
    )
    if calls is None:
        raise TypeError("replays: expected what ds.compile returned")
    return Replays(calls.replayed, calls.recorded, calls.reason)


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
    print(prof.table())                        # by kernel
    print(prof.roofline())                     # by step, against the machine's limits
    prof.export_chrome_trace("trace.json")     # for chrome://tracing or ui.perfetto.dev
    """

    def __init__(self):
        self.steps: list[KernelTime] = []
        self._runs: list[tuple[int, float, list[float]]] = []

    def __enter__(self):
        _core._set_profiling(True)
        return self

    def __exit__(self, *exception) -> None:
        self.steps = [KernelTime(**row) for row in _core._profile_report()]
        self._runs = _core._profile_runs()
        _core._set_profiling(False)

    def table(self, limit: int = 20) -> str:
        """The kernels that took longest, with their arithmetic and memory rates."""
        groups = collections.defaultdict(list)
        for step in self.steps:
            groups[step.op, step.kernel].append(step)
        total = sum(step.seconds for step in self.steps)
        lines = [
            f"{'op':28} {'kernel':30} {'steps':>6} {'ms':>9} {'share':>6} {'GFLOP/s':>8} "
            f"{'GB/s':>6}"
        ]
        longest = sorted(groups.items(), key=lambda g: -sum(s.seconds for s in g[1]))
        for (op, kernel), steps in longest[:limit]:
            seconds = max(sum(s.seconds for s in steps), 1e-12)
            lines.append(
                f"{op:28.28} {kernel:30.30} {len(steps):6} {seconds * 1e3:9.2f} "
                f"{seconds / max(total, 1e-12):6.1%} "
                f"{sum(s.flops * s.runs for s in steps) / seconds / 1e9:8.1f} "
                f"{sum(s.bytes * s.runs for s in steps) / seconds / 1e9:6.1f}"
            )
        return "\n".join(lines)

    def roofline(self, peaks: Peaks | None = None, limit: int = 30) -> str:
        """The steps that took longest: time, arithmetic and memory rates, what bounds them and how
        near they are to it, kernel, operation, your line. Without `peaks` they are measured."""
        return _roofline.table(self.steps, peaks or measure_peaks(), limit)

    def export_chrome_trace(self, path: str | os.PathLike) -> None:
        """Writes the timeline in the trace event format of Chrome and Perfetto, as PyTorch's
        profiler does: a slice for every plan's run and one for each of its steps."""
        origin = min((start for _, start, _ in self._runs), default=0.0)
        process = {"pid": os.getpid(), "tid": 1}
        events = [{"name": "thread_name", "ph": "M", **process, "args": {"name": "engine"}}]
        for first, start, durations in self._runs:
            at = (start - origin) * 1e6
            events.append(
                {
                    "name": f"plan of {len(durations)} steps",
                    "cat": "plan",
                    "ph": "X",
                    "ts": at,
                    "dur": sum(durations) * 1e6,
                    **process,
                }
            )
            for step, seconds in zip(
                self.steps[first : first + len(durations)], durations, strict=False
            ):
                events.append(
                    {
                        "name": step.op,
                        "cat": "step",
                        "ph": "X",
                        "ts": at,
                        "dur": seconds * 1e6,
                        **process,
                        "args": {
                            "kernel": step.kernel,
                            "line": step.location,
                            "type": step.type,
                            "flops": step.flops,
                            "bytes": step.bytes,
                        },
                    }
                )
                at += seconds * 1e6
        write_text(path, json.dumps({"traceEvents": events, "displayTimeUnit": "ms"}))
