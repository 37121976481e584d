# SPDX-License-Identifier: Apache-2.0
"""The command line, as a user runs it, and the demo."""

import json
import os
import subprocess
import sys
from pathlib import Path

import deepseek as ds
import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]


def deepseek(*args, code=0, **kwargs):
    run = subprocess.run(
        [sys.executable, "-m", "deepseek.cli", *map(str, args)],
        capture_output=True,
        text=True,
        **kwargs,
    )
    assert run.returncode == code, run.stderr + run.stdout
    return run


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cli")
    out = folder / "model.safetensors"
    run = deepseek(
        "train",
        "resnet8",
        "--data",
        "digits",
        "--epochs",
        3,
        "--out",
        out,
        "--tensorboard",
        folder / "runs",
        "--checkpoints",
        folder / "check",
    )
    accuracy = float(run.stdout.split("held-out digits: ")[1].split()[0])
    assert accuracy > 0.9
    return folder


def test_every_command_has_help():
    for command in ([], ["train"], ["eval"], ["predict"], ["profile"], ["info"]):
        assert "usage" in deepseek(*command, "--help").stdout


def test_eval_agrees_with_training(trained):
    run = deepseek("eval", trained / "model.safetensors", "--data", "digits", "--json")
    assert json.loads(run.stdout)["accuracy"] > 0.9


def test_predict_reads_pictures(trained, tmp_path):
    digits = ds.datasets.Digits(train=False)
    right = 0
    for i in range(10):
        image, label = digits[i]
        array = (image[0].numpy().astype(np.float32) * 255 / 16).astype(np.uint8)
        Image.fromarray(array).resize((32, 32), Image.NEAREST).save(tmp_path / f"{i}.png")
        run = deepseek("predict", trained / "model.safetensors", tmp_path / f"{i}.png")
        right += run.stdout.split(": ")[1].split()[0] == str(label)
    assert right >= 8


def test_the_event_files_open_in_tensorboard(trained):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(trained / "runs"))
    events.Reload()
    tags = events.Tags()["scalars"]
    assert {"step/loss", "step/lr", "epoch/loss", "epoch/val_accuracy"} <= set(tags)
    assert [e.step for e in events.Scalars("epoch/loss")] == [1, 2, 3]
    losses = [e.value for e in events.Scalars("step/loss")]
    assert len(losses) == 3 * 23 and losses[-1] < losses[0]


def test_training_resumes(trained, tmp_path):
    run = deepseek(
        "train",
        "resnet8",
        "--data",
        "digits",
        "--epochs",
        3,
        "--resume",
        "--checkpoints",
        trained / "check",
        "--out",
        tmp_path / "m",
    )
    assert "epoch 3/3" not in run.stderr  # nothing was left to do


def test_fashion_mnist_trains(tmp_path):
    if not os.path.isdir("/usr/share/datasets/fashion-mnist"):
        pytest.skip("the package dataset-fashion-mnist is not installed")
    run = deepseek(
        "train",
        "lenet",
        "--data",
        "fashion_mnist",
        "--epochs",
        1,
        "--batch-size",
        128,
        "--out",
        tmp_path / "m",
        "--quiet",
    )
    assert float(run.stdout.split("fashion_mnist: ")[1].split()[0]) > 0.8


def test_an_image_folder_trains(tmp_path):
    draw = np.random.default_rng(0)
    for part in ("train", "test"):
        for c, name in enumerate(("dark", "light")):
            (tmp_path / part / name).mkdir(parents=True)
            for i in range(6):
                image = draw.integers(0, 100, (40, 50, 3)) + 150 * c
                Image.fromarray(image.astype(np.uint8)).save(tmp_path / part / name / f"{i}.jpg")
    deepseek(
        "train",
        "resnet20",
        "--data",
        f"imagefolder:{tmp_path}",
        "--epochs",
        1,
        "--batch-size",
        4,
        "--out",
        tmp_path / "m",
        "--quiet",
    )
    run = deepseek("predict", tmp_path / "m", tmp_path / "test" / "light" / "0.jpg")
    assert "light" in run.stdout and "dark" in run.stdout


@pytest.mark.parametrize(
    "args, text",
    [
        (["train", "resnet51", "--data", "digits"], "resnet50"),
        (["train", "resnet8", "--data", "digit"], "is unknown"),
        (["train", "resnet8", "--data", "digits", "--batch-size", "0"], "batch_size"),
        (["train", "resnet8", "--data", "imagefolder:/no/such"], "no folder"),
        (["eval", "/no/such/file", "--data", "digits"], "cannot open"),
        (["eval", __file__, "--data", "digits"], "no safetensors"),
        (
            [
                "train",
                "resnet8",
                "--data",
                "digits",
                "--epochs",
                "1",
                "--quiet",
                "--out",
                "/no/such/folder/m",
            ],
            "cannot write",
        ),
    ],
)
def test_mistakes_are_explained(args, text):
    run = deepseek(*args, code=1)
    assert text in run.stderr and "Traceback" not in run.stderr


def test_unknown_arguments_exit_with_status_2():
    assert "invalid choice" in deepseek("fly", code=2).stderr


def test_the_demo_runs(tmp_path):
    run = subprocess.run(
        [
            sys.executable,
            ROOT / "examples" / "demo.py",
            "--epochs",
            "3",
            "--out",
            tmp_path / "digits.safetensors",
        ],
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    assert "accuracy on held-out digits" in run.stdout and "read as" in run.stdout
