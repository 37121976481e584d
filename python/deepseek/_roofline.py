# SPDX-License-Identifier: Apache-2.0
"""What a step could cost at best on this machine, against what it costs."""

import time
from collections.abc import Sequence
from typing import NamedTuple

from . import _core


class Peaks(NamedTuple):
    """Measured limits of the machine: FLOP/s of a large FP32 product, bytes/s of a large sweep."""

    flops: float
    bandwidth: float


def _best(function, count: int = 5) -> float:
    function()
    times = []
    for _ in range(count):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times)


def measure_peaks(size: int = 1536, sweep_bytes: int = 1 << 27) -> Peaks:
    """Measures the limits in about a second.

    size: of the square matrices of the product. sweep_bytes: of the array that is read and written;
    it should be far larger than the caches."""
    a, b = _core.rand([size, size]).evaluate(), _core.rand([size, size]).evaluate()
    array = _core.rand([sweep_bytes // 4]).evaluate()

    def run(make):
        kept = make().evaluate()
        _core.synchronize()
        return kept

    product = _best(lambda: run(lambda: a @ b))
    sweep = _best(lambda: run(lambda: array.abs()))
    return Peaks(2.0 * size**3 / product, 2.0 * sweep_bytes / sweep)


def share_of_roof(step, peaks: Peaks) -> float:
    """The least time the machine's limits allow for a step, over the time it took."""
    least = max(step.flops / peaks.flops, step.bytes / peaks.bandwidth)
    return least * step.runs / max(step.seconds, 1e-12)


def table(steps: Sequence, peaks: Peaks, limit: int) -> str:
    """A line per step, longest first: what bounds it and how near to that bound it runs."""
    total = max(sum(s.seconds for s in steps), 1e-12)
    lines = [
        f"peaks: {peaks.flops / 1e9:.0f} GFLOP/s, {peaks.bandwidth / 1e9:.1f} GB/s",
        f"{'ms':>9} {'share':>6} {'GFLOP/s':>8} {'GB/s':>6} {'bound':>7} {'of roof':>7}  "
        f"{'kernel':32} {'op':24} line, type",
    ]
    for step in sorted(steps, key=lambda s: -s.seconds)[:limit]:
        seconds, runs = max(step.seconds, 1e-12), max(step.runs, 1)
        bound = "compute" if step.flops / peaks.flops > step.bytes / peaks.bandwidth else "memory"
        lines.append(
            f"{seconds / runs * 1e3:9.3f} {seconds / total:6.1%} "
            f"{step.flops * runs / seconds / 1e9:8.1f} {step.bytes * runs / seconds / 1e9:6.1f} "
            f"{bound:>7} {share_of_roof(step, peaks):7.0%}  {step.kernel:32.32} {step.op:24.24} "
            f"{step.location or '-'} {step.type}"
        )
    if len(steps) > limit:
        rest = sum(sorted(s.seconds for s in steps)[:-limit])
        lines.append(f"{len(steps) - limit} more steps take {rest / total:.1%}")
    plain = sum(s.seconds for s in steps if s.kernel.startswith("ref:"))
    lines.append(f"in reference kernels (not made for speed): {plain / total:.1%}")
    return "\n".join(lines)
