# SPDX-License-Identifier: Apache-2.0
"""Profiles: the roofline report, the timeline, and the command that prints them."""

import json
import subprocess
import sys

import deepseek as ds
import pytest


def profiled(steps=3):
    x = ds.randn(48, 48).evaluate()
    (x @ x).relu().sum().item()  # the first run also makes machine code
    with ds.debug.profile() as prof:
        for _ in range(steps):
            (x @ x).relu().sum().item()
    return prof


def command(*args, code=0):
    run = subprocess.run(
        [sys.executable, "-m", "deepseek.cli", "profile", *map(str, args)],
        capture_output=True,
        text=True,
    )
    assert run.returncode == code, run.stdout + run.stderr
    return run


def test_peaks_bound_what_a_product_reaches():
    peaks = ds.debug.measure_peaks(256, 1 << 22)
    assert peaks.flops > 1e8 and peaks.bandwidth > 1e8


def test_the_roofline_is_arithmetic():
    prof = profiled()
    steps = [s for s in prof.steps if s.op == "matmul"]
    text = prof.roofline(ds.debug.Peaks(1e6, 1e15), limit=1)
    row = next(line for line in text.splitlines() if "matmul" in line)
    (step,) = steps
    assert "compute" in row
    assert f"{step.flops * step.runs / step.seconds / 1e6:.0%}" in row  # of 1e6 FLOP/s
    assert "test_profile.py:" in row and "f32[48,48]" in row
    assert "memory" in prof.roofline(ds.debug.Peaks(1e15, 1.0))
    assert "more steps take" in text


def test_the_chrome_trace_is_valid(tmp_path):
    prof = profiled(4)
    prof.export_chrome_trace(tmp_path / "trace.json")
    events = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    slices = [e for e in events if e["ph"] == "X"]
    plans = sorted((e for e in slices if e["cat"] == "plan"), key=lambda e: e["ts"])
    steps = [e for e in slices if e["cat"] == "step"]
    assert len(plans) == 4 and len(steps) == 4 * len(prof.steps)
    assert min(e["ts"] for e in slices) == 0 and all(e["dur"] >= 0 for e in slices)
    for before, after in zip(plans, plans[1:], strict=False):  # one engine runs one plan at a time
        assert before["ts"] + before["dur"] <= after["ts"]
    for step in steps:  # nested, or the viewers draw nonsense
        assert any(
            p["ts"] - 1e-3 <= step["ts"] and step["ts"] + step["dur"] <= p["ts"] + p["dur"] + 1e-3
            for p in plans
        )
    total = sum(e["dur"] for e in steps) / 1e6
    assert total == pytest.approx(sum(s.seconds for s in prof.steps), rel=1e-3)
    assert any(e["args"]["line"].startswith("test_profile.py:") for e in steps)
    assert [p.name for p in tmp_path.iterdir()] == ["trace.json"]


def test_a_trace_that_cannot_be_written_is_an_error(tmp_path):
    with pytest.raises(OSError):
        profiled().export_chrome_trace(tmp_path / "no" / "trace.json")


def test_the_command_profiles_a_model(tmp_path):
    run = command(
        "resnet8",
        "--batch",
        "2x1x8x8",
        "--classes",
        10,
        "--limit",
        5,
        "--trace",
        tmp_path / "t.json",
    )
    assert "GFLOP/s" in run.stdout and "more steps take" in run.stdout
    assert "runpy" not in run.stdout  # no line of the interpreter's is the user's
    assert json.loads((tmp_path / "t.json").read_text())["traceEvents"]
    run = command("resnet8", "--batch", "2x1x8x8", "--classes", 10, "--infer", "--json")
    steps = json.loads(run.stdout)["steps"]
    # A sum over the plan by hand: the first convolution reads 2x1x8x8 and writes 32 channels.
    first = [s for s in steps if s["flops"] == 2 * 2 * 8 * 8 * 32 * 9]
    assert first and all(s["runs"] == 3 for s in steps)


def test_the_command_profiles_a_script(tmp_path):
    script = tmp_path / "mine.py"
    script.write_text(
        "import sys\nimport deepseek as ds\nx = ds.ones(32, 32)\n"
        "print(sys.argv[1:], (x @ x).sum().item())\n"
    )
    run = command(script, "--", "--epochs", "3")
    assert "['--epochs', '3'] 32768" in run.stdout and "mine.py:4" in run.stdout
    assert "matmul" in command(script, "--by", "kernel").stdout


def test_a_script_keeps_its_exit_status(tmp_path):
    script = tmp_path / "mine.py"
    script.write_text("import sys\nsys.exit(3)\n")
    assert "computed nothing" in command(script, code=3).stdout
    script.write_text("1 / 0\n")
    assert "ZeroDivisionError" in command(script, code=1).stderr


@pytest.mark.parametrize(
    "args, code, text",
    [
        (["resnet51"], 1, "resnet50"),
        (["nothing.py"], 1, "nothing.py"),
        (["resnet8", "--batch", "16"], 2, "16x3x224x224"),
        (["resnet8", "--steps", "0"], 2, "from 1 up"),
        (["resnet8", "--", "--epochs"], 1, "is no .py file"),
    ],
)
def test_mistakes_are_explained(args, code, text):
    run = command(*args, code=code)
    assert text in run.stderr and "Traceback" not in run.stderr
