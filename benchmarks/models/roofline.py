# SPDX-License-Identifier: Apache-2.0
"""The machine's measured peaks: arithmetic by the better of two matrix products, copies for memory.

python benchmarks/models/roofline.py [--threads N] [--clock cpu]
"""

import argparse
import json
import os
import subprocess
import sys
import time

SIZE = 2048  # three matrices of 16 MB: 17 GFLOP, about a tenth of a second on two cores
COPY_BYTES = 1 << 28  # beyond every cache


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))


def best_of(function, now, count: int = 7) -> float:
    function()
    times = []
    for _ in range(count):
        start = now()
        function()
        times.append(now() - start)
    return min(times)


def product_rate(lib, now) -> float:
    """FLOP/s of one large FP32 matrix product; its last element is asked for, so it has run."""
    a, b = lib.rand(SIZE, SIZE), lib.rand(SIZE, SIZE)
    with lib.no_grad():
        seconds = best_of(lambda: (a @ b)[-1, -1].item(), now)
    return 2.0 * SIZE**3 / seconds


def copy_rate(torch, now) -> float:
    """Bytes read and written per second by a copy."""
    src, dst = torch.rand(COPY_BYTES // 4), torch.empty(COPY_BYTES // 4)
    return 2.0 * COPY_BYTES / best_of(lambda: dst.copy_(src), now)


def measure(threads: int, clock: str) -> dict:
    import deepseek
    import torch

    torch.set_num_threads(threads)
    now = time.process_time if clock == "cpu" else time.perf_counter
    rates = {lib.__name__: product_rate(lib, now) for lib in (torch, deepseek)}
    return {
        "flops": max(rates.values()),
        "product_flops": rates,
        "bandwidth": copy_rate(torch, now),
    }


def measure_apart(threads: int, clock: str) -> dict:
    """measure() in a process of its own, so that its memory and threads are gone afterwards."""
    run = subprocess.run(
        [sys.executable, __file__, "--threads", str(threads), "--clock", clock],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        env=dict(os.environ, OMP_NUM_THREADS=str(threads)),
    )
    return json.loads(run.stdout)


def parse_peaks(text: str) -> dict:
    """The peaks as somebody writes them: GFLOP/s and GB/s."""
    flops, bandwidth = (float(number) * 1e9 for number in text.split(","))
    return {"flops": flops, "bandwidth": bandwidth}


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--threads", type=int, default=cores())
    arguments.add_argument("--clock", choices=["wall", "cpu"], default="wall")
    chosen = arguments.parse_args()
    print(json.dumps(measure(chosen.threads, chosen.clock)))
