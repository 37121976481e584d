# SPDX-License-Identifier: Apache-2.0
"""Threads that compute stay on processors of their own; the user's stay where they were."""

import os
import subprocess
import sys

import pytest

SCRIPT = """
import os
import deepseek as ds

def compute():
    x = ds.randn(300, 300)
    (x @ x + ds.exp(x)).numpy()

def alone():
    masks = [os.sched_getaffinity(int(t)) for t in os.listdir("/proc/self/task")]
    return sorted(next(iter(m)) for m in masks if len(m) == 1)

cpus = sorted(os.sched_getaffinity(0))
ds.set_num_threads(len(cpus))
compute()
print(alone() == cpus, sorted(os.sched_getaffinity(0)) == cpus)
ds.set_num_threads(len(cpus) + 1)
compute()
print(alone() == [])
"""


@pytest.mark.parametrize("bind", [None, "false"])
def test_threads_of_the_engine(bind):
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("one processor")
    environment = {k: v for k, v in os.environ.items() if k != "OMP_PROC_BIND"}
    if bind:
        environment["OMP_PROC_BIND"] = bind
    found = subprocess.run(
        [sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, check=True
    )
    assert found.stdout.split() == [str(bind is None), "True", "True"], found.stderr
