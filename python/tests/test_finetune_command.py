# SPDX-License-Identifier: Apache-2.0
"""`deepseek finetune` from a saved model to a pipeline that answers."""

import json
import os
import signal

import deepseek as ds
import numpy as np
import pytest
from deepseek import _finetune, cli, models
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


def finetuned_on_pictures(tmp_path, capsys):
    """Where the model in tmp_path / "model" is after it has learnt three colours."""
    pictures(tmp_path / "data" / "train", 12)
    pictures(tmp_path / "data" / "test", 3)
    out = tmp_path / "out"
    options = ("--epochs", 8, "--lr", 3e-3, "--quiet", "--json", "--batch-size", 9)
    result = json.loads(
        run(capsys, tmp_path / "model", "--data", tmp_path / "data", "--out", out, *options)
    )
    assert result["task"] == "image-classification" and result["accuracy"] > 0.85
    return out


@pytest.mark.filterwarnings("ignore::deepseek.models.LoadWarning")
def test_images(tmp_path, capsys):
    ds.manual_seed(0)
    model = models.ResNet([1, 1], num_classes=7, width=8)
    model.config.pretrained_cfg["input_size"] = [3, 32, 32]
    model.save_pretrained(tmp_path / "model")
    out = finetuned_on_pictures(tmp_path, capsys)
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
    out = finetuned_on_pictures(tmp_path, capsys)
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


TABLES = {
    "question-answering": [
        {"question": "good", "context": "the film was good", "answer": "good"},
        {"question": "bad", "context": "the bad film was bad", "answer": "bad"},
    ],
    "token-classification": [
        {"tokens": ["the", "film"], "ner_tags": ["O", "B"]},
        {"tokens": ["good"], "ner_tags": ["B"]},
    ],
    "fill-mask": [{"text": "the film was good"}, {"text": "the film was bad"}],
    "text-generation": [{"text": "the film was good"}, {"text": "the film was bad"}],
    "text2text-generation": [{"text": "the film was good", "answer": "good"}] * 2,
}
HEADS = {"text-generation": "GPT2LMHeadModel", "text2text-generation": "T5ForConditionalGeneration"}


@pytest.mark.filterwarnings("ignore::deepseek.models.LoadWarning")
@pytest.mark.parametrize("task", TABLES)
def test_every_task_of_texts(tmp_path, capsys, task):
    small_models = pytest.importorskip("small_models")
    small_models.save_model(tmp_path / "model", HEADS.get(task, "BertForMaskedLM"))
    (tmp_path / "data").mkdir()
    for name in ("train", "test"):
        lines = (json.dumps(row) for row in TABLES[task] * 6)
        (tmp_path / "data" / f"{name}.jsonl").write_text("\n".join(lines))
    told = task in ("question-answering", "token-classification")  # by the columns
    options = () if told else ("--task", task)
    paths = (tmp_path / "model", "--data", tmp_path / "data", "--out", tmp_path / "out")
    shown = run(capsys, *paths, *options, "--epochs", 1, "--quiet", "--json")
    result = json.loads(shown.strip().split("\n")[-1])
    assert result["task"] == task and result["eval_loss"] > 0
    assert ("eval_f1" in result) == (task == "question-answering")
    models.AutoTokenizer.from_pretrained(tmp_path / "out")
    assert (tmp_path / "out" / "model.safetensors").is_file()


@pytest.mark.filterwarnings("ignore::deepseek.models.LoadWarning")
def test_a_stopped_run_on_images_goes_on(tmp_path, capsys, monkeypatch):
    ds.manual_seed(0)
    model = models.ResNet([1, 1], num_classes=7, width=8)
    model.config.pretrained_cfg["input_size"] = [3, 32, 32]
    model.save_pretrained(tmp_path / "model")
    pictures(tmp_path / "data" / "train", 8)
    pictures(tmp_path / "data" / "test", 2)
    options = (tmp_path / "model", "--data", tmp_path / "data", "--batch-size", 6, "--quiet")

    class Press(ds.train.Callback):
        def on_step_end(self, trainer, log):
            if log["step"] == 5:  # in the second epoch
                os.kill(os.getpid(), signal.SIGINT)

    kind = _finetune.MixedPrecisionTrainer
    with monkeypatch.context() as patch:
        patch.setattr(
            _finetune, "MixedPrecisionTrainer", lambda *a, **n: kind(*a, **n, callbacks=[Press()])
        )
        said = run(capsys, *options, "--out", tmp_path / "out", code=130)
    assert "stopped; the same command with --resume goes on" in said
    assert not (tmp_path / "out" / "model.safetensors").exists()
    run(capsys, *options, "--out", tmp_path / "out", "--resume")
    run(capsys, *options, "--out", tmp_path / "straight")
    a, b = (ds.load(tmp_path / name / "model.safetensors") for name in ("out", "straight"))
    assert all(a[name].tolist() == b[name].tolist() for name in b)
    assert not (tmp_path / "out" / "checkpoint").exists()
    said = run(capsys, *options, "--out", tmp_path / "out", "--resume", code=1)
    assert "has no checkpoint to go on from" in said


@pytest.mark.filterwarnings("ignore::deepseek.models.LoadWarning")
def test_a_stopped_run_goes_on(tmp_path, capsys, monkeypatch):
    small_models = pytest.importorskip("small_models")
    small_models.save_model(tmp_path / "model", "BertForMaskedLM")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "train.csv").write_text("text,label\n" + "good,1\nbad,0\n" * 16)
    options = (tmp_path / "model", "--data", tmp_path / "data", "--batch-size", 4, "--quiet")

    class Press(ds.TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            if state.global_step == 5:
                os.kill(os.getpid(), signal.SIGINT)

    kind = _finetune.Trainer
    with monkeypatch.context() as patch:
        patch.setattr(_finetune, "Trainer", lambda **a: kind(**a, callbacks=[Press()]))
        said = run(capsys, *options, "--out", tmp_path / "out", code=130)
    assert "stopped; the same command with --resume goes on" in said
    assert "train_loss" in run(capsys, *options, "--out", tmp_path / "out", "--resume")
    run(capsys, *options, "--out", tmp_path / "straight")
    a, b = (ds.load(tmp_path / name / "model.safetensors") for name in ("out", "straight"))
    assert all(a[name].tolist() == b[name].tolist() for name in b)
    said = run(capsys, *options, "--out", tmp_path / "empty", "--resume", code=1)
    assert "has no checkpoint to go on from" in said
