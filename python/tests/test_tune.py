# SPDX-License-Identifier: Apache-2.0
"""Kernels chosen by measurement: what is kept, who takes it, and that a broken file is harmless."""

import json
import os
import subprocess
import sys
from pathlib import Path

import deepseek as ds
import numpy as np
import pytest

# Prints the kernels of some products and a hash of what they compute.
PRODUCTS = """
import json
import deepseek as ds

ds.manual_seed(0)
given = [(ds.randn(m, 96).evaluate(), ds.randn(n, 96).evaluate()) for m in (4, 8) for n in (40, 72)]
batch = [ds.randn(12, 16, 16).evaluate() for _ in range(2)]

def products():
    values = [x @ w.T for x, w in given] + [batch[0] @ batch[1]]
    return [v.numpy().tobytes() for v in values]

products()
with ds.debug.profile() as prof:
    found = products()
kernels = [s.kernel for s in prof.steps if s.op == "matmul"]
print(json.dumps([kernels, [hash(v) for v in found]]))
"""


@pytest.fixture
def environment(tmp_path):
    """Of a process with an empty cache folder and no setting."""
    names = {k: v for k, v in os.environ.items() if k not in ("DS_TUNE", "XDG_CACHE_HOME")}
    return {**names, "DS_CACHE": str(tmp_path / "cache"), "PYTHONHASHSEED": "0"}


def run(args, environment, **more):
    process = subprocess.run(
        [sys.executable, *args], capture_output=True, text=True, env={**environment, **more}
    )
    assert process.returncode == 0, process.stdout + process.stderr
    return process


def files(environment):
    return list(Path(environment["DS_CACHE"]).glob("tuner/*.txt"))


def test_choices_survive_the_process_and_repeat_its_bits(environment, tmp_path):
    script = tmp_path / "products.py"
    script.write_text(PRODUCTS)
    by_rule = json.loads(run([script], environment).stdout)
    assert not files(environment)  # nothing is measured unasked
    tuned = run(["-m", "deepseek.cli", "tune", script], environment)
    first, *_ = tuned.stdout.splitlines()
    (file,) = files(environment)
    assert "measured 5" in tuned.stdout and str(file) in tuned.stdout
    before = file.read_bytes()
    later = json.loads(run([script], environment).stdout)
    assert json.loads(first) == later
    kept = dict(line.split("\t") for line in before.decode().splitlines() if "\t" in line)
    assert sorted(kept.values()) == sorted(later[0])
    assert json.loads(run([script], environment, DS_TUNE="0").stdout) == by_rule
    again = run([script], environment, DS_TUNE="1")
    assert json.loads(again.stdout) == later and file.read_bytes() == before


def test_a_broken_file_is_harmless(environment, tmp_path):
    script = tmp_path / "products.py"
    script.write_text(PRODUCTS)
    arguments = ["-m", "deepseek.cli", "tune", script]
    assert run(arguments, environment).stderr == ""
    (file,) = files(environment)
    file.write_bytes(file.read_bytes().replace(b"cpu:", b"cp\xff:").replace(b"dnnl:", b"d:"))
    found = run([script], environment)
    assert found.stdout == run([script], environment, DS_TUNE="0").stdout
    assert "RuntimeWarning: tune: " in found.stderr and "delete it" in found.stderr
    assert "measured 5" in run(arguments, environment).stdout
    assert run([script], environment).stderr == ""  # it was replaced


def test_a_folder_that_cannot_be_written_is_a_warning(environment):
    program = "import deepseek as ds\nwith ds.tune(): print((ds.ones(9, 8) @ ds.ones(8, 9)).sum())"
    found = run(["-c", program], environment, DS_CACHE="/proc/none")
    assert "648" in found.stdout and "RuntimeWarning: tune: " in found.stderr


def test_the_command_tunes_a_model(environment):
    arguments = ["tune", "vit_tiny_patch16_224", "--batch", "1x3x224x224", "--infer"]
    found = run(["-m", "deepseek.cli", *arguments], environment)
    assert "matmul f32" in found.stdout and len(files(environment)) == 1


def test_tune_nests_and_decorates(monkeypatch):
    ds._core._open_choices("")
    inside = []

    @ds.tune()
    def step(m):
        inside.append(ds._core._tuning())
        return (ds.ones(m, 24) @ ds.ones(24, 36)).numpy()

    try:
        with ds.tune() as outer:
            np.testing.assert_array_equal(step(9), np.full((9, 36), 24))
            step(9)
        assert inside == ["measure"] * 2 and ds._core._tuning() == "off"
        (choice,) = outer.choices
        assert choice.problem.startswith("matmul f32[9,24]") and choice.seconds > 0
        assert choice.seconds <= choice.rule_seconds
        assert "measured 1" in str(outer) and "memory only" in str(outer)
        with ds.tune() as outer:
            step(10)
        assert [c.problem[:16] for c in outer.choices] == ["matmul f32[10,24"]
    finally:
        ds._core._open_choices("")
