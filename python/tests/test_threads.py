# SPDX-License-Identifier: Apache-2.0
"""The number of threads: the environment's wish, else the processors this process may use."""

import os
import shutil
import subprocess
import sys

import pytest

# A product large enough for every thread; what was started is counted by the operating system.
PROGRAM = """
import os
import deepseek as ds
before = len(os.listdir("/proc/self/task"))
x = ds.ones(1024, 1024)
assert (x @ x).sum().item() == 1024.0**3
print(ds.get_num_threads(), len(os.listdir("/proc/self/task")) - before)
"""
FEWER = PROGRAM.replace("before =", "ds.set_num_threads(1)\nbefore =")
# Samples that compute in two workers beside a step that does, short programs among them.
LOADING = """
import os
import deepseek as ds
from deepseek import data

class Products(data.Dataset):
    def __len__(self):
        return 16
    def __getitem__(self, i):
        x = ds.full((300, 300), 1.0)
        return float((x @ x).sum().item() + (x[0] + i).sum().item())

w = ds.ones(1024, 1024)
before = len(os.listdir("/proc/self/task"))
most, total = 0, 0.0
for batch in data.DataLoader(Products(), batch_size=2, num_workers=2):
    assert (w @ w).sum().item() == 1024.0**3
    total += batch.sum().item()
    most = max(most, len(os.listdir("/proc/self/task")) - before)
assert total == 16 * (300.0**3 + 300) + 300 * sum(range(16)), total
print(ds.get_num_threads(), most)
"""


def threads(program: str, *prefix: str, **environment) -> tuple[int, int]:
    env = {k: v for k, v in os.environ.items() if k != "OMP_NUM_THREADS"} | environment
    run = subprocess.run(
        [*prefix, sys.executable, "-c", program],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        env=env,
    )
    said, started = run.stdout.split()
    return int(said), int(started)


@pytest.mark.parametrize("count", [1, 3])
def test_the_environment_decides(count):
    said, started = threads(PROGRAM, OMP_NUM_THREADS=str(count))
    assert said == count
    # The engine's own thread is one of those that compute.
    assert started <= count


@pytest.mark.skipif(not shutil.which("taskset"), reason="needs taskset")
def test_affinity_decides_without_a_wish():
    processor = str(min(os.sched_getaffinity(0)))
    said, started = threads(PROGRAM, "taskset", "-c", processor)
    assert said == 1
    assert started <= 1


def test_a_program_decides_for_itself():
    said, started = threads(FEWER, OMP_NUM_THREADS="3")
    assert said == 1
    assert started <= 1


@pytest.mark.parametrize("count", [1, 2])
def test_workers_of_a_loader_start_no_threads_to_compute(count):
    said, started = threads(LOADING, OMP_NUM_THREADS=str(count))
    assert said == count
    assert started <= count + 2
