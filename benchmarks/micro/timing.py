# SPDX-License-Identifier: Apache-2.0
"""The clocks of the benchmarks in this folder and the options that choose among them."""

import argparse
import time
from pathlib import Path

# All threads' processor time is what a case takes on one core that nobody else uses.
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}


def add_options(parser: argparse.ArgumentParser) -> None:
    """--rounds, --clock and --json."""
    parser.add_argument("--rounds", type=int, default=15, help="default %(default)s")
    parser.add_argument(
        "--clock",
        choices=CLOCKS,
        default="wall",
        help="cpu: processor time of all threads, for a machine that is shared",
    )
    parser.add_argument("--json", type=Path, help="write the figures here")


def timed(function, repeat: int, clock) -> float:
    """Seconds of one call, the mean of `repeat`."""
    start = clock()
    for _ in range(repeat):
        function()
    return (clock() - start) / repeat
