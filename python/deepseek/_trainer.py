# SPDX-License-Identifier: Apache-2.0
"""Trainer: fine-tunes a pretrained model on tables of text; arguments as in transformers."""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Callable as _Callable
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from . import _core, optim
from ._modes import no_grad
from .data import BucketBatchSampler, DataLoader
from .train import Callback, MixedPrecisionTrainer

_LABELS = ("labels", "label", "target", "class")


@dataclass
class TrainingArguments:
    """How to train. output_dir: checkpoints and the trained model go there.

    per_device_train_batch_size "auto": as many of the longest text as have a planned peak within
    memory_budget (by default what is free); effective_batch_size is then what a step adds up."""

    output_dir: str | os.PathLike
    num_train_epochs: int = 3
    per_device_train_batch_size: int | str = 8
    per_device_eval_batch_size: int = 8
    gradient_accumulation_steps: int = 1
    learning_rate: float = 5e-5
    weight_decay: float = 0.0  # of matrices; never of biases and norms
    adam_beta1: float = 0.9
    adam_beta2: float = 0.999
    adam_epsilon: float = 1e-8
    max_grad_norm: float = 1.0
    lr_scheduler_type: str = "linear"  # linear, cosine, constant or constant_with_warmup
    warmup_steps: int = 0
    warmup_ratio: float = 0.0
    eval_strategy: str = "epoch"  # epoch or no
    save_strategy: str = "epoch"  # epoch or no
    bf16: bool = False
    fp16: bool = False
    effective_batch_size: int | None = None  # of a step, where the batch size is "auto"
    memory_budget: int | str | None = None  # of deepseek.memory.budget
    group_by_length: bool = False  # batches of texts of about the same length
    max_length: int | None = None  # tokens of a text; the model's positions when absent
    seed: int = 42
    disable_tqdm: bool = False

    def __post_init__(self):
        for name in (
            "num_train_epochs",
            "per_device_train_batch_size",
            "per_device_eval_batch_size",
            "gradient_accumulation_steps",
        ):
            if name == "per_device_train_batch_size" and getattr(self, name) == "auto":
                continue
            if not isinstance(getattr(self, name), int) or getattr(self, name) < 1:
                raise _core.ValueError(
                    f"TrainingArguments: {name} {getattr(self, name)!r} must be "
                    "a positive integer"
                )
        allowed = {
            "lr_scheduler_type": ("linear", "cosine", "constant", "constant_with_warmup"),
            "eval_strategy": ("epoch", "no"),
            "save_strategy": ("epoch", "no"),
        }
        for name, values in allowed.items():
            if getattr(self, name) not in values:
                raise _core.ValueError(
                    f"TrainingArguments: {name} '{getattr(self, name)}' is "
                    f"unknown; use {', '.join(values)}"
                )
        if self.per_device_train_batch_size == "auto" and self.gradient_accumulation_steps != 1:
            raise _core.ValueError(
                "TrainingArguments: with per_device_train_batch_size 'auto' leave out "
                "gradient_accumulation_steps and set effective_batch_size"
            )
        if self.bf16 and self.fp16:
            raise _core.ValueError("TrainingArguments: choose bf16 or fp16, not both")


class TrainOutput(NamedTuple):
    """What train() returns."""

    global_step: int
    training_loss: float
    metrics: dict


class PredictionOutput(NamedTuple):
    """What predict() returns."""

    predictions: np.ndarray
    label_ids: np.ndarray | None
    metrics: dict


@dataclass
class DataCollatorWithPadding:
    """Rows of token lists as tensors: padded to the longest row of the batch, rounded up so that
    batches share few shapes, each of which is planned once."""

    pad_token_id: int = 0
    pad_to_multiple_of: int = 8
    max_length: int | None = None
    padding_values: dict = field(default_factory=lambda: {"labels": -100})

    def __call__(self, rows: Sequence[Mapping]) -> dict:
        longest = max(len(row["input_ids"]) for row in rows)
        length = -(-longest // self.pad_to_multiple_of) * self.pad_to_multiple_of
        length = max(longest, min(length, self.max_length or length))
        batch = {}
        for name in rows[0]:
            values = [row[name] for row in rows]
            if isinstance(values[0], list | tuple | np.ndarray):
                filler = (
                    self.pad_token_id if name == "input_ids" else self.padding_values.get(name, 0)
                )
                values = [list(v) + [filler] * (length - len(v)) for v in values]
            batch[name] = _core.tensor(np.asarray(values))
        if "attention_mask" not in batch:
            mask = [
                [1] * len(row["input_ids"]) + [0] * (length - len(row["input_ids"])) for row in rows
            ]
            batch["attention_mask"] = _core.tensor(np.asarray(mask, dtype=np.int64))
        return batch


def _text_columns(row: Mapping, label: str | None) -> list[str]:
    names = [name for name, value in row.items() if isinstance(value, str) and name != label]
    if not names:
        raise _core.ValueError(
            f"Trainer: no column of {list(row)} holds text or input_ids; "
            "tokenise the data set first"
        )
    return names[:2]


class _Encoded:
    """The rows of a data set as the model's inputs, tokenised where they are text."""

    def __init__(self, rows, tokenizer, config, limit: int | None):
        self._rows, self._limit = rows, limit
        first = rows[0]
        self._tokenizer = tokenizer
        self._label = next((name for name in _LABELS if name in first), None)
        self._text = None if "input_ids" in first else _text_columns(first, self._label)
        if self._text and tokenizer is None:
            raise _core.ValueError(
                "Trainer: the rows are text and the model came without a "
                "tokenizer; pass processing_class=tokenizer"
            )
        self._ids = _label_ids(rows, self._label, config) if self._label else None

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> dict:
        row = self._rows[index]
        if self._text:
            made = dict(
                self._tokenizer(
                    *(row[name] or "" for name in self._text),
                    truncation=True,
                    max_length=self._limit,
                )
            )
        else:
            keys = (
                "input_ids",
                "attention_mask",
                "token_type_ids",
                "position_ids",
                "start_positions",
                "end_positions",
            )
            made = {key: row[key] for key in keys if key in row}
        if self._label:
            value = row[self._label]
            made["labels"] = self._ids[value] if self._ids else value
        return made


def _label_ids(rows, column: str, config) -> dict[str, int] | None:
    """Ids of labels that are words; ValueError when labels and classes do not fit."""
    values = [row[column] for row in rows]
    if isinstance(values[0], str):
        known = {v: i for i, v in (config.id2label or {}).items()}
        names = sorted(set(values))
        if not set(names) <= set(known):
            if len(names) > config.num_labels:
                raise _core.ValueError(
                    f"Trainer: column '{column}' has {len(names)} classes ({', '.join(names[:5])}"
                    f"...), the model {config.num_labels}; load it with num_labels={len(names)}"
                )
            known = {name: i for i, name in enumerate(names)}
            config.id2label = {i: name for name, i in known.items()}
            config.label2id = known
        return known
    if isinstance(values[0], int) and config.num_labels > 1:
        low, high = min(values), max(values)
        if low < 0 or high >= config.num_labels:
            raise _core.ValueError(
                f"Trainer: column '{column}' has classes {low} to {high}, the model "
                f"{config.num_labels}; load it with num_labels={high + 1} and count from 0"
            )
    return None


def _batch_size_of(loader: DataLoader) -> int:
    return loader.batch_size or loader.batch_sampler.batch_size


class _AfterEpoch(Callback):
    def __init__(self, owner: Trainer):
        self._owner = owner

    def on_epoch_end(self, trainer, log):
        self._owner._after_epoch(log)


class Trainer:
    """Fine-tunes a model and evaluates it.

    Rows of the data sets are dicts: with input_ids, or with text, which the model's own tokenizer
    (or processing_class) turns into ids; the first two text columns are taken, and the label from
    a column labels, label, target or class. compute_metrics gets (predictions, label_ids) and
    returns a dict."""

    def __init__(
        self,
        model,
        args: TrainingArguments,
        train_dataset=None,
        eval_dataset=None,
        processing_class=None,
        data_collator: _Callable | None = None,
        compute_metrics: _Callable | None = None,
        callbacks: Sequence = (),
        optimizers: tuple = (None, None),
    ):
        self.model, self.args = model, args
        self.train_dataset, self.eval_dataset = train_dataset, eval_dataset
        self.processing_class = processing_class or self._own_tokenizer()
        self.compute_metrics, self.callbacks = compute_metrics, list(callbacks)
        self.optimizer, self.lr_scheduler = optimizers
        limit = getattr(model.config, "max_position_embeddings", None)
        if model.config.model_type == "roberta":  # positions start behind that of padding
            limit -= model.config.pad_token_id + 1
        self._limit = min(filter(None, (args.max_length, limit)), default=None)
        pad = getattr(self.processing_class, "pad_token_id", None)
        self.data_collator = data_collator or DataCollatorWithPadding(
            pad if pad is not None else model.config.pad_token_id or 0, max_length=self._limit
        )
        self.log_history: list[dict] = []

    def _own_tokenizer(self):
        from .models import AutoTokenizer

        source = getattr(self.model, "name_or_path", None)
        try:
            return AutoTokenizer.from_pretrained(source) if source else None
        except _core.IOError:
            return None

    def _loader(self, dataset, batch_size: int | str, shuffle: bool, **more) -> DataLoader:
        if dataset is None or len(dataset) == 0:
            raise _core.ValueError("Trainer: the data set is missing or empty")
        rows = _Encoded(dataset, self.processing_class, self.model.config, self._limit)
        return DataLoader(
            rows,
            batch_size=batch_size,
            shuffle=shuffle,
            collate_fn=self.data_collator,
            seed=self.args.seed,
            **more,
        )

    def get_train_dataloader(self) -> DataLoader:
        """Shuffled batches of train_dataset, of as many rows as fit where that is "auto"."""
        a = self.args
        loader = self._loader(
            self.train_dataset,
            a.per_device_train_batch_size,
            True,
            effective_batch_size=a.effective_batch_size,
        )
        rows = loader.dataset
        if not (a.group_by_length or loader.batch_size == "auto"):
            return loader
        lengths = [len(rows[i]["input_ids"]) for i in range(len(rows))]
        if loader.batch_size == "auto":
            self.create_optimizer()
            longest = rows[max(range(len(rows)), key=lengths.__getitem__)]
            self._loop(progress=False).find_batch_size(loader, longest)
        if not a.group_by_length:
            return loader
        sampler = BucketBatchSampler(lengths, loader.batch_size, seed=a.seed)
        return DataLoader(rows, batch_sampler=sampler, collate_fn=self.data_collator, seed=a.seed)

    def _loop(self, **more) -> MixedPrecisionTrainer:
        a = self.args
        half = {True: _core.bfloat16 if a.bf16 else _core.float16}.get(a.bf16 or a.fp16)
        return MixedPrecisionTrainer(
            self.model,
            self.optimizer,
            fp16_layers=("linear", "attention") if half else (),
            dtype=half,
            max_grad_norm=a.max_grad_norm,
            memory_budget=a.memory_budget,
            **more,
        )

    def get_eval_dataloader(self, dataset=None) -> DataLoader:
        """Batches of eval_dataset, or of another one, in order."""
        return self._loader(
            self.eval_dataset if dataset is None else dataset,
            self.args.per_device_eval_batch_size,
            False,
        )

    def create_optimizer(self) -> None:
        """AdamW by the arguments, unless an optimizer was given."""
        a = self.args
        if self.optimizer is None:
            decayed = [p for p in self.model.parameters() if p.dim() > 1]
            others = [p for p in self.model.parameters() if p.dim() <= 1]
            self.optimizer = optim.AdamW(
                [
                    {"params": decayed, "weight_decay": a.weight_decay},
                    {"params": others, "weight_decay": 0.0},
                ],
                lr=a.learning_rate,
                betas=(a.adam_beta1, a.adam_beta2),
                eps=a.adam_epsilon,
            )

    def create_optimizer_and_scheduler(self, steps: int) -> None:
        """AdamW and the schedule of the arguments, unless they were given."""
        a = self.args
        self.create_optimizer()
        if self.lr_scheduler is not None:
            return
        warmup = a.warmup_steps or math.ceil(a.warmup_ratio * steps)
        made = optim.lr_scheduler
        if a.lr_scheduler_type == "linear":
            self.lr_scheduler = made.linear_with_warmup(self.optimizer, warmup, steps)
        elif a.lr_scheduler_type == "cosine":
            self.lr_scheduler = made.cosine_with_warmup(self.optimizer, warmup, steps)
        else:
            warmup = warmup if a.lr_scheduler_type == "constant_with_warmup" else 0
            self.lr_scheduler = made.constant_with_warmup(self.optimizer, warmup)

    def train(self, resume_from_checkpoint: bool = False) -> TrainOutput:
        """Trains, evaluates after each epoch and leaves the trained model in output_dir.
        resume_from_checkpoint goes on exactly where an interrupted run stood."""
        a = self.args
        loader = self.get_train_dataloader()
        accumulation = a.gradient_accumulation_steps
        if a.effective_batch_size is not None:
            accumulation = a.effective_batch_size // _batch_size_of(loader)
        per_epoch = math.ceil(len(loader) / accumulation)
        self.create_optimizer_and_scheduler(per_epoch * a.num_train_epochs)
        folder = Path(a.output_dir)
        loop = self._loop(
            scheduler=self.lr_scheduler,
            gradient_accumulation=accumulation,
            callbacks=[_AfterEpoch(self), *self.callbacks],
            progress=not a.disable_tqdm,
            checkpoint_dir=folder / "checkpoint" if a.save_strategy == "epoch" else None,
            resume=resume_from_checkpoint,
        )
        logs = loop.fit(loader, epochs=a.num_train_epochs)
        self.save_model()
        losses = [log["loss"] for log in logs]
        loss = sum(losses) / len(losses) if losses else math.nan
        return TrainOutput(loop.step_count, loss, {"train_loss": loss})

    def _after_epoch(self, log: dict) -> None:
        entry = {"epoch": log["epoch"] + 1, "loss": log["loss"]}
        if self.eval_dataset is not None and self.args.eval_strategy == "epoch":
            entry.update(self.evaluate())
            self.model.train()
        self.log_history.append(entry)

    def _run(self, loader):
        """(mean loss over rows, predictions, labels) without gradients."""
        self.model.eval()
        total, count, predictions, labels = 0.0, 0, [], []
        with no_grad():
            for batch in loader:
                output = self.model(**batch)
                size = len(batch["input_ids"])
                if output.loss is not None:
                    total += output.loss.item() * size
                    labels.append(batch["labels"].numpy() if "labels" in batch else None)
                count += size
                predictions.append(output.logits.float().numpy())
        return total / count, predictions, labels

    def _measure(self, dataset, prefix: str) -> PredictionOutput:
        loss, predictions, labels = self._run(self.get_eval_dataloader(dataset))
        metrics = {f"{prefix}_loss": loss} if labels else {}
        found = _joined(predictions)
        ids = _joined(labels) if labels and labels[0] is not None else None
        if ids is not None and self.compute_metrics is not None:
            metrics.update(
                {f"{prefix}_{k}": v for k, v in self.compute_metrics((found, ids)).items()}
            )
        elif ids is not None and found.ndim == 2 and ids.ndim == 1 and found.shape[1] > 1:
            metrics[f"{prefix}_accuracy"] = float(np.mean(found.argmax(1) == ids))
        return PredictionOutput(found, ids, metrics)

    def evaluate(self, eval_dataset=None) -> dict:
        """Loss and metrics (accuracy of a classifier by default) of eval_dataset."""
        return self._measure(eval_dataset, "eval").metrics

    def predict(self, test_dataset) -> PredictionOutput:
        """Logits, labels and metrics of a data set."""
        return self._measure(test_dataset, "test")

    def save_model(self, output_dir: str | os.PathLike | None = None) -> None:
        """Writes the model, and its tokenizer, where from_pretrained() finds them."""
        folder = Path(output_dir or self.args.output_dir)
        self.model.save_pretrained(folder)
        if self.processing_class is not None:
            self.processing_class.save_pretrained(folder)


def _joined(parts: list[np.ndarray]) -> np.ndarray:
    """One array; rows of different lengths are filled with -100."""
    if parts[0].ndim < 2 or len({p.shape[1] for p in parts}) == 1:
        return np.concatenate(parts)
    length = max(p.shape[1] for p in parts)
    return np.concatenate(
        [
            np.pad(
                p,
                [(0, 0), (0, length - p.shape[1]), *itertools.repeat((0, 0), p.ndim - 2)],
                constant_values=-100,
            )
            for p in parts
        ]
    )
