# SPDX-License-Identifier: Apache-2.0
"""Tables, and Trainer against the same loop in PyTorch."""

import deepseek as ds
import numpy as np
import pytest
import torch
from deepseek.datasets import load_dataset
from deepseek.models import AutoModelForSequenceClassification, BertForSequenceClassification

transformers = pytest.importorskip("transformers")
pytest.importorskip("tokenizers")

WORDS = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    "good",
    "bad",
    "film",
    "the",
    "was",
    "very",
    "not",
]


@pytest.fixture
def folder(tmp_path):
    """A model, its tokenizer, and a data set as a user has them."""
    torch.manual_seed(0)
    model = transformers.BertForSequenceClassification(
        transformers.BertConfig(
            vocab_size=len(WORDS),
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=16,
            max_position_embeddings=16,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
        )
    )
    model.save_pretrained(tmp_path / "model")
    (tmp_path / "model" / "vocab.txt").write_text("\n".join(WORDS))
    data = tmp_path / "data"
    data.mkdir()
    rng = np.random.default_rng(0)
    for name, count in (("train", 24), ("test", 10)):
        lines = ["text,label"]
        for _ in range(count):
            good = rng.integers(2)
            extra = " very" * rng.integers(0, 3)
            lines.append(f"the film was{extra} {'good' if good else 'bad'},{good}")
        (data / f"{name}.csv").write_text("\n".join(lines) + "\n")
    return tmp_path


def test_ten_lines(folder, monkeypatch):
    monkeypatch.chdir(folder)
    model = BertForSequenceClassification.from_pretrained("./model")
    dataset = load_dataset("data")
    trainer = ds.Trainer(
        model=model,
        train_dataset=dataset["train"],
        eval_dataset=dataset["test"],
        args=ds.TrainingArguments(
            output_dir="./results", num_train_epochs=12, learning_rate=5e-3, disable_tqdm=True
        ),
    )
    result = trainer.train()
    assert result.global_step == 36
    evaluations = [log for log in trainer.log_history if "eval_loss" in log]
    assert len(evaluations) == 12 and evaluations[-1]["eval_accuracy"] == 1.0
    assert evaluations[-1]["eval_loss"] < evaluations[0]["eval_loss"]
    again = AutoModelForSequenceClassification.from_pretrained("./results")
    fresh = ds.Trainer(again, trainer.args, eval_dataset=dataset["test"])
    assert fresh.evaluate()["eval_loss"] == pytest.approx(evaluations[-1]["eval_loss"], rel=1e-5)
    assert fresh.predict(dataset["test"]).predictions.shape == (10, 2)
    theirs = transformers.BertForSequenceClassification.from_pretrained("./results").eval()
    batch = transformers.AutoTokenizer.from_pretrained("./results")(
        dataset["test"]["text"], padding=True, return_tensors="pt"
    )
    assert theirs(**batch).logits.argmax(1).tolist() == dataset["test"]["label"]


@pytest.mark.parametrize("accumulate", [1, 2])
def test_steps_equal_pytorch(folder, accumulate):
    rows = load_dataset(folder / "data", split="train")
    args = ds.TrainingArguments(
        folder / "out",
        num_train_epochs=2,
        learning_rate=1e-2,
        weight_decay=0.1,
        warmup_steps=2,
        max_grad_norm=0.5,
        per_device_train_batch_size=4,
        save_strategy="no",
        gradient_accumulation_steps=accumulate,
        train_sampling_strategy="sequential",
        disable_tqdm=True,
    )
    mine = BertForSequenceClassification.from_pretrained(folder / "model")
    ds.Trainer(mine, args, train_dataset=rows).train()

    theirs = transformers.BertForSequenceClassification.from_pretrained(folder / "model").train()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder / "model")
    decay = [p for p in theirs.parameters() if p.dim() > 1]
    rest = [p for p in theirs.parameters() if p.dim() <= 1]
    optimizer = torch.optim.AdamW(
        [{"params": decay, "weight_decay": 0.1}, {"params": rest, "weight_decay": 0.0}], lr=1e-2
    )
    steps = 2 * 6 // accumulate
    schedule = transformers.get_linear_schedule_with_warmup(optimizer, 2, steps)
    for start in [*range(0, 24, 4)] * 2:
        batch = tokenizer(rows["text"][start : start + 4], padding=True, return_tensors="pt")
        labels = torch.tensor(rows["label"][start : start + 4])
        (theirs(**batch, labels=labels).loss / accumulate).backward()
        if start // 4 % accumulate == accumulate - 1:
            torch.nn.utils.clip_grad_norm_(theirs.parameters(), 0.5)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
    for name, parameter in theirs.named_parameters():
        if name.endswith("key.bias"):  # its gradient is rounding error, which Adam makes a step of
            continue
        np.testing.assert_allclose(
            dict(mine.named_parameters())[name].detach().numpy(),
            parameter.detach().numpy(),
            atol=2e-3,
            err_msg=name,
        )


def test_labels_that_do_not_fit(folder):
    args = ds.TrainingArguments(folder / "out", disable_tqdm=True)
    model = BertForSequenceClassification.from_pretrained(folder / "model")
    rows = [{"text": "good", "label": i} for i in range(3)]
    with pytest.raises(ds.ValueError, match="num_labels=3"):
        ds.Trainer(model, args, train_dataset=rows).train()
    with pytest.raises(ds.ValueError, match="train_dataset is missing"):
        ds.Trainer(model, args).train()
    with pytest.raises(ds.ValueError, match="no column"):
        ds.Trainer(model, args, train_dataset=[{"label": "1"}]).train()
    words = [{"text": "good", "label": "yes"}, {"text": "bad", "label": "no"}]
    trainer = ds.Trainer(model, args, eval_dataset=words)
    assert trainer.evaluate()["eval_loss"] > 0
    assert model.config.id2label == {0: "no", 1: "yes"}
    with pytest.raises(ds.ValueError, match="lr_scheduler_type 'magic'"):
        ds.TrainingArguments(folder, lr_scheduler_type="magic")
    with pytest.raises(TypeError, match="name the data set, train_dataset="):
        ds.Trainer(model, args, rows)


def test_batch_sizes_that_fit_and_texts_of_one_length(folder):
    model = BertForSequenceClassification.from_pretrained(folder / "model")
    dataset = load_dataset(str(folder / "data"))
    args = ds.TrainingArguments(
        output_dir=folder / "results",
        num_train_epochs=2,
        per_device_train_batch_size="auto",
        effective_batch_size=12,
        memory_budget="120KB",
        group_by_length=True,
        disable_tqdm=True,
    )
    trainer = ds.Trainer(model=model, train_dataset=dataset["train"], args=args)
    loader = trainer.get_train_dataloader()
    size = loader.batch_sampler.batch_size
    assert 1 < size < 12 and 12 % size == 0
    widths = [batch["input_ids"].shape[1] for batch in loader]
    assert len(widths) == 24 // size
    assert trainer.train().global_step == 4
    with pytest.raises(ds.ValueError, match="effective_batch_size"):
        ds.TrainingArguments(
            "out", per_device_train_batch_size="auto", gradient_accumulation_steps=2
        )
