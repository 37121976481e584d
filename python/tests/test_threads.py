# SPDX-License-Identifier: Apache-2.0
"""The number of threads: the environment's wish, else the processors this process may use."""

import os
import subprocess
import sys

import pytest

# A product large enough for every thread; what was started is counted by the operating system.
PROGRAM = """
import os
if {cpus}:
    os.sched_setaffinity(0, set(list(os.sched_getaffinity(0))[:{cpus}]))
import deepseek as ds
before = len(os.listdir("/proc/self/task"))
x = ds.ones(1024, 1024)
assert (x @ x).sum().item() == 1024.0**3
print(ds.get_num_threads(), len(os.listdir("/proc/self/task")) - before)
"""


def threads(cpus: int, **environment) -> tuple[int, int]:
    env = {k: v for k, v in os.environ.items() if k != "OMP_NUM_THREADS"} | environment
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(cpus=cpus)],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        env=env,
    )
    said, started = run.stdout.split()
    return int(said), int(started)


@pytest.mark.parametrize("count", [1, 3])
def test_the_environment_decides(count):
    said, started = threads(0, OMP_NUM_THREADS=str(count))
    assert said == count
    # The engine's own thread is one of those that compute.
    assert started <= count


def test_affinity_decides_without_a_wish():
    said, started = threads(1)
    assert said == 1
    assert started <= 1
