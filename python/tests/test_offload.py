# SPDX-License-Identifier: Apache-2.0
"""Optimizer state and activations in files, where recomputing does not meet the budget."""

import os
import resource
import shutil
import subprocess
import sys

import deepseek as ds
import numpy as np
import pytest
from deepseek import nn


def make_step(width=160, depth=5, rows=256):
    """A step of training that has to keep about as much for the backward pass as for AdamW."""
    ds.manual_seed(0)
    model = nn.Sequential(
        *(
            nn.Sequential(nn.Linear(width, width), nn.LayerNorm(width), nn.GELU(), nn.Dropout(0.1))
            for _ in range(depth)
        )
    )
    optimizer = ds.optim.AdamW(model.parameters(), lr=1e-2)
    x = ds.tensor(np.random.default_rng(0).standard_normal((rows, width)).astype(np.float32))
    ds.manual_seed(1)

    def step():
        optimizer.zero_grad()
        loss = model(x).square().mean()
        loss.backward()
        optimizer.step()
        return loss.item()

    return model, optimizer, step


def results(model, step, steps=4):
    losses = [step() for _ in range(steps)]
    return losses, [p.detach().numpy().tobytes() for p in model.parameters()]


@pytest.fixture(scope="module")
def plain():
    model, _, step = make_step()
    expected = results(model, step)
    _, _, step = make_step()
    step()
    return expected, ds.memory.frontier(step)[-1].peak


@pytest.mark.parametrize(
    ("share", "rate"), [(0.9, None), (0.75, None), (0.65, None), (0.75, "1KB"), (0.65, "1TB")]
)
def test_no_bit_changes_and_no_file_stays(plain, share, rate, tmp_path):
    expected, least = plain
    model, optimizer, step = make_step()
    with ds.memory.budget(int(share * least), offload=tmp_path, offload_rate=rate):
        assert results(model, step) == expected
        summary = ds.memory.summary()
        assert summary.peak <= share * least
        assert summary.offloaded >= (1 - share) * least / 2
        assert os.listdir(tmp_path) == []
        assert "in files" in str(summary)
    # The state is where it was, and goes on without a budget.
    moments = optimizer.state_dict()["state"][0]["exp_avg"].numpy()
    assert np.isfinite(moments).all() and np.abs(moments).max() > 0
    step()


def test_activations_wait_in_files_when_the_state_is_not_enough(plain, tmp_path):
    _, least = plain
    model, _, step = make_step()
    with ds.memory.budget(int(0.65 * least), offload=tmp_path):
        step()
        summary = ds.memory.summary()
    state = sum(p.numel() * 8 for p in model.parameters() if p.numel() * 4 >= 1 << 16)
    assert summary.offloaded > state


def test_the_disk_decides_between_files_and_recomputation(plain, tmp_path):
    """Where both are enough: a slow disk is not touched, a fast one saves the recomputation."""
    (losses, _), least = plain
    _, _, step = make_step()
    step()
    whole = ds.memory.timeline(step)
    operations, offloaded = {}, {}
    for rate in ("1KB", "1TB"):
        _, _, step = make_step()
        with ds.memory.budget((least + whole.peak.bytes) // 2, offload=tmp_path, offload_rate=rate):
            assert [step() for _ in range(4)] == losses
            operations[rate] = len(ds.memory.timeline(step).moments)
            offloaded[rate] = ds.memory.summary().offloaded
        assert ds._core._offload_rate() == 0
    assert offloaded["1KB"] == 0 < offloaded["1TB"]
    assert operations["1KB"] > operations["1TB"] == len(whole.moments)


def test_the_rate_of_a_disk_is_an_amount(tmp_path):
    for wrong in ("fast", "0", "-1MB"):
        with pytest.raises(ds.ValueError, match="offload rate: .* is no amount of memory"):
            ds.memory.budget("1GiB", offload=tmp_path, offload_rate=wrong)
    assert ds._core._memory_budget() == 0
    code = "import deepseek as ds; print(ds._core._offload_rate())"
    env = {**os.environ, "DS_OFFLOAD_RATE": "5MB"}
    run = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
    assert run.stdout.strip() == "5000000.0", run.stderr


def test_the_least_is_said(tmp_path):
    _, _, step = make_step()
    step()  # the state is there
    with (
        ds.memory.budget(1000, offload=tmp_path),
        pytest.raises(ds.OutOfMemoryError, match="in files") as error,
    ):
        step()
    least = int(str(error.value).split(" with the optimizer")[0].split()[-1])
    _, _, step = make_step()
    step()
    with ds.memory.budget(least, offload=tmp_path):
        step()
        assert ds.memory.summary().peak <= least
    with ds.memory.budget(1000), pytest.raises(ds.OutOfMemoryError, match="folder to offload to"):
        step()


def test_a_folder_that_cannot_be_used(tmp_path):
    with pytest.raises(OSError, match="cannot make a file"):
        ds.memory.budget("1GiB", offload=tmp_path / "missing")
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="cannot make a file"):
        ds.memory.budget("1GiB", offload=tmp_path / "file")


def test_the_environment_names_the_folder(tmp_path):
    code = "import deepseek as ds; print(ds._core._offload_directory())"
    env = {**os.environ, "DS_OFFLOAD_DIR": str(tmp_path)}
    run = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
    assert run.stdout.strip() == str(tmp_path)


def test_an_environment_that_names_no_folder_leaves_budgets_alone():
    code = """if True:
        import deepseek as ds
        with ds.memory.budget("1GiB"):
            pass
        print(ds._core._memory_budget())
    """
    env = {**os.environ, "DS_OFFLOAD_DIR": "/no/such/folder"}
    run = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
    assert run.stdout.strip() == "0", run.stderr


FULL = """
import resource, sys
sys.path.insert(0, {tests!r})
from test_offload import *
model, optimizer, step = make_step()
def weights():
    return [p.detach().clone().numpy().tobytes() for p in model.parameters()]
def two_steps():
    ds.manual_seed(2)
    return [step() for _ in range(2)], weights()
def number():
    return optimizer.state_dict()["state"][0]["step"]
step()
ds.memory.frontier(step)
undisturbed = two_steps()
model, optimizer, step = make_step()
step()
least = ds.memory.frontier(step)[-1].peak
before, steps = weights(), number()
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
filler = os.path.join({folder!r}, "filler")
with ds.memory.budget(int(0.65 * least), offload={folder!r}):
    if {real}:
        room = os.statvfs({folder!r})
        with open(filler, "wb") as file:
            file.write(bytes(room.f_bavail * room.f_frsize - 100_000))
    else:
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))
    try:
        step()
    except OSError as error:
        print("refused:", error)
    optimizer.zero_grad()
    assert weights() == before
    assert number() == steps
    if {real}:
        os.remove(filler)
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    print("goes on:", two_steps() == undisturbed)
"""


@pytest.fixture
def small_disk(tmp_path):
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(folder)]
    allowed = os.geteuid() == 0 and shutil.which("mount") is not None
    if not allowed or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("no right to mount a file system")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_small_disk_that_is_full_loses_nothing(small_disk):
    code = FULL.format(tests=os.path.dirname(__file__), folder=str(small_disk), real=True)
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "refused: offload: no room for" in run.stdout, run.stdout + run.stderr
    assert "goes on: True" in run.stdout, run.stdout + run.stderr
    room = os.statvfs(small_disk)
    assert os.listdir(small_disk) == [] and room.f_bavail == room.f_blocks


def test_a_full_disk_loses_nothing(tmp_path):
    """A limit on the size of files stands for a disk without room."""
    code = FULL.format(tests=os.path.dirname(__file__), folder=str(tmp_path), real=False)
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "refused: offload: no room for" in run.stdout, run.stdout + run.stderr
    assert "goes on: True" in run.stdout, run.stdout + run.stderr
    assert os.listdir(tmp_path) == []
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY


THREE_TIMES = """
import sys
import deepseek as ds
from deepseek import nn

ds.manual_seed(0)
model = nn.Sequential(
    *(nn.Sequential(nn.Linear(512, 512), nn.GELU(), nn.LayerNorm(512)) for _ in range(24))
)
optimizer = ds.optim.AdamW(model.parameters(), lr=1e-3)
x = ds.randn(2048, 512)


def step():
    optimizer.zero_grad()
    loss = model(x).square().mean()
    loss.backward()
    optimizer.step()
    return loss.item()


if len(sys.argv) > 1:
    ds.memory.budget(sys.argv[1], offload=sys.argv[2])
start = int(open("/proc/self/status").read().split("VmRSS:")[1].split()[0]) * 1024
losses = [step() for _ in range(3)]
peak = int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0]) * 1024 - start
print(repr((losses, ds.memory.summary().peak, peak)))
"""


def test_a_model_of_three_times_the_budget_trains_to_the_same_losses(tmp_path):
    """The peak is planned, and the process takes no more than that and what it is made of."""
    run = [sys.executable, "-c", THREE_TIMES]
    losses, free, _ = eval(subprocess.run(run, capture_output=True, text=True).stdout)
    run += [str(free // 3), str(tmp_path)]
    done = subprocess.run(run, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    same, planned, resident = eval(done.stdout)
    assert same == losses
    assert planned <= free // 3
    assert resident < planned + (100 << 20) < 0.7 * free
