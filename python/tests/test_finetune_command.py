# SPDX-License-Identifier: Apache-2.0
"""`deepseek finetune` from a saved model to a pipeline that answers."""

import json

import deepseek as ds
import numpy as np
import pytest
from deepseek import cli, models
from PIL import Image

pytest.importorskip("tokenizers")


def run(capsys, *args, code=0):
    assert cli.main(["finetune", *map(str, args)]) == code
    out, err = capsys.readouterr()
    return out if code == 0 else err


def pictures(folder, count):
    """Reddish and bluish noise, in folders of these names."""
    rng = np.random.default_rng(count)
    for channel, name in enumerate(("red", "green", "blue")):
        (folder / name).mkdir(parents=True)
        for i in range(count):
            array = rng.integers(0, 120, (36, 44, 3), dtype=np.uint8)
            array[:, :, channel] += 100
            Image.fromarray(array).save(folder / name / f"{i}.png")


@pytest.mark.filterwarnings("ignore::deepseek.models.LoadWarning")
def test_images(tmp_path, capsys):
    ds.manual_seed(0)
    model = models.ResNet([1, 1], num_classes=7, width=8)
    model.config.pretrained_cfg["input_size"] = [3, 32, 32]
    model.save_pretrained(tmp_path / "model")
    pictures(tmp_path / "data" / "train", 12)
    pictures(tmp_path / "data" / "test", 3)
    out = tmp_path / "out"
    options = ("--epochs", 8, "--lr", 3e-3, "--quiet", "--json", "--batch-size", 9)
    result = json.loads(
        run(capsys, tmp_path / "model", "--data", tmp_path / "data", "--out", out, *options)
    )
    assert result["task"] == "image-classification" and result["accuracy"] > 0.85
    look = ds.pipeline("image-classification", out)
    answers = look([str(tmp_path / "data" / "test" / name / "0.png") for name in ("red", "blue")])
    assert [answer[0]["label"] for answer in answers] == ["red", "blue"]
    assert look.model.config.id2label == {0: "blue", 1: "green", 2: "red"}


@pytest.mark.filterwarnings("ignore::deepseek.models.LoadWarning")
def test_images_for_a_model_of_transformers(tmp_path, capsys):
    sizes = dict(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32)
    config = models.ViTConfig(**sizes, image_size=32, patch_size=8)
    models.ViTForImageClassification(config).save_pretrained(tmp_path / "model")
    processor = models.ImageProcessor(
        image_processor_type="ViTImageProcessor", size={"height": 32, "width": 32}
    )
    processor.save_pretrained(tmp_path / "model")
    pictures(tmp_path / "data" / "train", 12)
    pictures(tmp_path / "data" / "test", 3)
    out = tmp_path / "out"
    options = ("--epochs", 8, "--lr", 3e-3, "--quiet", "--json", "--batch-size", 9)
    result = json.loads(
        run(capsys, tmp_path / "model", "--data", tmp_path / "data", "--out", out, *options)
    )
    assert result["task"] == "image-classification" and result["accuracy"] > 0.85
    assert models.AutoImageProcessor.from_pretrained(out).values == processor.values
    look = ds.pipeline("image-classification", out)
    assert look(str(tmp_path / "data" / "test" / "red" / "0.png"))[0]["label"] == "red"


@pytest.mark.filterwarnings("ignore::deepseek.models.LoadWarning")
def test_texts(tmp_path, capsys):
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "film", "was", "good", "bad"]
    config = models.BertConfig(
        vocab_size=len(words),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=16,
    )
    ds.manual_seed(0)
    models.BertForMaskedLM(config).save_pretrained(tmp_path / "model")
    (tmp_path / "model" / "vocab.txt").write_text("\n".join(words))
    (tmp_path / "data").mkdir()
    lines = ["text,label", *["the film was good,positive", "the film was bad,negative"] * 8]
    for name in ("train", "test"):
        (tmp_path / "data" / f"{name}.csv").write_text("\n".join(lines))
    out = tmp_path / "out"
    options = ("--epochs", 15, "--lr", 1e-2, "--batch-size", 4, "--quiet")
    shown = run(capsys, tmp_path / "model", "--data", tmp_path / "data", "--out", out, *options)
    assert "eval_accuracy 1.0000" in shown and f"saved {out}" in shown
    classify = ds.pipeline("text-classification", out)
    assert [a["label"] for a in classify(["the film was good", "bad"])] == ["positive", "negative"]


def test_what_does_not_fit_is_said(tmp_path, capsys):
    assert "is no folder" in run(capsys, "resnet18", "--data", tmp_path / "absent", code=1)
    models.BertForMaskedLM(
        models.BertConfig(vocab_size=9, hidden_size=8, num_attention_heads=1, num_hidden_layers=0)
    ).save_pretrained(tmp_path / "model")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "train.csv").write_text("text,grade\na,1\n")
    error = run(capsys, tmp_path / "model", "--data", tmp_path / "data", code=1)
    assert "has the columns text, grade; one of them must be called labels, label" in error
    for text, said in (
        ("text,label\na,1\nb,\n", "row 1 has no label in column 'label'"),
        ("text,label\na,\nb,\n", "row 0 has no label"),
        ("text,label\n", "has no rows"),
    ):
        (tmp_path / "data" / "train.csv").write_text(text)
        assert said in run(capsys, tmp_path / "model", "--data", tmp_path / "data", code=1)
