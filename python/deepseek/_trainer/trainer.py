# SPDX-License-Identifier: Apache-2.0
"""Trainer: fine-tunes a model and evaluates it; arguments, methods and events are transformers'.

The loop never waits for the step it has just recorded: a step's loss is read while later ones are
recorded."""

from __future__ import annotations

import contextlib
import itertools
import json
import math
import time
from collections import deque
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from .. import _core, hub, memory
from .._modes import autocast, no_grad
from .._whole_file import write_text
from ..nn import functional as F
from ..nn.utils import clip_grad_norm_
from ..optim.lr_scheduler import ReduceLROnPlateau
from ..train import _tensors as as_tensors
from . import checkpoints
from .callbacks import TrainerControl, TrainerState, best_value
from .evaluation import (
    EvalLoopOutput,
    EvalPrediction,
    PredictionOutput,
    TrainOutput,
    host,
    joined,
    speed,
)
from .interrupt import Interrupt
from .model_card import ModelCard
from .questions import Windows
from .rows import takes_none
from .search import HyperparameterSearch
from .setup import TrainerSetup, set_seed

#: Steps that are recorded before the loss of the first of them is read.
_LAG = 2
#: A loss scale below this found no step that works.
_MIN_SCALE = 1 / 1024
#: What logs are made of, between two of them.
_RUNNING = (
    "_loss_sum",
    "_loss_count",
    "_logged_step",
    "_total_loss",
    "_total_count",
    "_grad_norm",
    "_rate",
)
#: Outputs that are no predictions.
_NO_PREDICTIONS = (
    "loss",
    "aux_loss",
    "past_key_values",
    "hidden_states",
    "attentions",
    "router_logits",
)


class Trainer(HyperparameterSearch, ModelCard, TrainerSetup):
    """Fine-tunes a model and evaluates it.

    Rows of the data sets are dicts: with input_ids or pixel_values, or with text, which the model's
    own tokenizer (or processing_class) turns into what its head needs; the guide says which columns
    are taken. compute_metrics gets an EvalPrediction, which is also the pair (predictions,
    label_ids), and returns a dict. model_init makes a model for every train(); with an
    argument it gets the trial of hyperparameter_search(), or None. compute_loss_func
    gets (outputs, labels, num_items_in_batch=) and replaces the model's loss. optimizers: an
    optimizer and a schedule, or None for those of the arguments. optimizer_cls_and_kwargs: a class
    and its arguments. preprocess_logits_for_metrics(logits, labels) makes what is kept of a batch.
    """

    #: Whether what compute_loss() returns is normalised over all batches of a step; None: only what
    #: compute_loss_func returns.
    loss_is_scaled_for_ga: bool | None = None

    # --- one step ---

    def _autocast(self):
        if not self._half:
            return contextlib.nullcontext()
        return autocast(dtype=_core.bfloat16 if self.args.bf16 else _core.float16)

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        """The model's loss of a batch, a mean over its labels; with return_outputs also what it
        returned. Override it for another loss."""
        labels = inputs.get("labels")
        if self._task == "image":
            outputs = _classes(model, inputs)
        else:
            outputs = model(**inputs)
        if self.compute_loss_func is not None:
            loss = self.compute_loss_func(outputs, labels, num_items_in_batch=num_items_in_batch)
        elif labels is not None and self._own_loss(labels):
            loss = self._cross_entropy(_part(outputs, "logits"), labels)
        else:
            loss = _part(outputs, "loss")
        if loss is None:
            columns = getattr(self.train_dataset, "column_names", None)
            given = f" (of the columns {', '.join(columns)})" if columns else ""
            raise _core.ValueError(
                f"Trainer: the model returned no loss for the inputs {', '.join(inputs)}{given}; "
                "name the column with the labels 'labels' or set label_names, or override "
                "compute_loss()"
            )
        return (loss, outputs) if return_outputs else loss

    def _own_loss(self, labels) -> bool:
        """Image models have none; smoothing is for classes, one of which is right."""
        smooth = self.args.label_smoothing_factor > 0 and not labels.is_floating_point()
        return self._task == "image" or smooth

    def _cross_entropy(self, logits, labels):
        if self._task == "causal":
            logits, labels = logits[:, :-1], labels[:, 1:]
        return F.cross_entropy(
            logits.reshape(-1, logits.shape[-1]).float(),
            labels.reshape(-1),
            label_smoothing=self.args.label_smoothing_factor,
        )

    def _items(self, inputs) -> int | None:
        """Labels of a batch that count in its loss."""
        labels = inputs.get("labels")
        if labels is None or labels.is_floating_point():
            return None
        values = labels.numpy()
        return int(((values[:, 1:] if self._task == "causal" else values) != -100).sum())

    def _prepare_inputs(self, inputs) -> dict:
        """A batch as tensors by name: arrays of other libraries are converted, pairs are an image
        and its class."""
        inputs = as_tensors(inputs, [])
        if self._task == "image" and isinstance(inputs, tuple | list) and len(inputs) == 2:
            return {"pixel_values": inputs[0], "labels": inputs[1]}
        if not isinstance(inputs, Mapping):
            raise _core.ValueError(
                f"Trainer: a batch must be a dict of tensors, not a {type(inputs).__name__}"
            )
        self._require_known(inputs.get("input_ids"))
        return {k: v for k, v in inputs.items() if v is not None}

    def _require_known(self, ids) -> None:
        """ValueError for a token that the model does not have."""
        count = getattr(getattr(self.model, "config", None), "vocab_size", None)
        if not isinstance(count, int) or not isinstance(ids, _core.Tensor) or not ids.numel():
            return
        highest = int(ids.numpy().max())
        if highest >= count:
            raise _core.ValueError(
                f"Trainer: input_ids has the token {highest}, the model's vocabulary {count} "
                "tokens; use the tokenizer that belongs to the model, or call "
                "model.resize_token_embeddings(len(tokenizer))"
            )

    def training_step(self, model, inputs, num_items_in_batch: int | None = None):
        """Forward and backward pass of one batch; returns its part of the step's loss."""
        with self._autocast():
            # A copy, as overridden ones often take the labels out.
            loss = self.compute_loss(model, dict(inputs), num_items_in_batch=num_items_in_batch)
        scaled = self.loss_is_scaled_for_ga
        if scaled is None:
            scaled = self.compute_loss_func is not None and num_items_in_batch is not None
        parts, items = self.current_gradient_accumulation_steps, None
        if parts > 1 and not scaled:
            items = None if num_items_in_batch is None else self._items(inputs)
            loss = loss / parts if items is None else loss * (items / max(num_items_in_batch, 1))
        (loss if self._scaler is None else self._scaler.scale(loss)).backward()
        # The mean over no label is NaN, its gradients are zero.
        return _core.zeros(()) if items == 0 else loss.detach()

    def _accumulate(self, batches: list) -> None:
        """One optimizer step over these batches."""
        self.model.train()
        self._call("on_step_begin")
        self.current_gradient_accumulation_steps = len(batches)
        counts = [self._items(batch) for batch in batches] if self._counts(batches) else [None]
        items = None if None in counts else sum(counts)
        total = None
        for place, batch in enumerate(batches):
            loss = self.training_step(self.model, batch, items)
            total = loss if total is None else total + loss
            if place + 1 < len(batches):
                # Computed now, so that only one batch's activations live at a time.
                grads = [p.grad for p in self._trained if p.grad is not None]
                _core.evaluate([total, *grads])
                self._call("on_substep_end")
        self._update(total, batches)

    def _counts(self, batches: list) -> bool:
        return len(batches) > 1 or self.compute_loss_func is not None

    def _update(self, loss, batches: list) -> None:
        a, scaler = self.args, self._scaler
        stats = [loss.float().reshape(())]
        if scaler is not None:
            stats.append(scaler.state_dict()["scale"].float().reshape(()))
        labels = [{"labels": batch.get("labels")} for batch in batches]
        self._pending.append((_core.stack(stats), labels))
        if a.max_grad_norm > 0:
            if scaler is not None:
                scaler.unscale_(self.optimizer)
            self._grad_norm = clip_grad_norm_(self._trained, a.max_grad_norm)
        self._call("on_pre_optimizer_step")
        if scaler is None:
            self.optimizer.step()
        else:
            scaler.step(self.optimizer)
            scaler.update()
        self._call("on_optimizer_step")
        self._rate = self.optimizer.param_groups[0]["lr"]
        if not isinstance(self.lr_scheduler, ReduceLROnPlateau):
            self.lr_scheduler.step()
        self.optimizer.zero_grad()
        self.state.global_step += 1
        self._read_losses(_LAG)

    def _read_losses(self, keep: int) -> None:
        """Takes in the losses of finished steps until `keep` are left."""
        while len(self._pending) > keep:
            stats, labels = self._pending.popleft()
            loss, *scale = stats.tolist()
            if math.isnan(loss) and all(self._items(part) == 0 for part in labels):
                loss = 0.0  # the mean over no label; its gradients are zero
            finite = math.isfinite(loss)
            if finite:
                self._loss_sum += loss
                self._loss_count += 1
            # A scaled loss may be infinite until the scale has gone down.
            if scale[0] < _MIN_SCALE if scale else not finite:
                step = self.state.global_step - len(self._pending)
                also = f", also with the loss scale lowered to {scale[0]}" if scale else ""
                raise _core.NonFiniteError(
                    f"Trainer: the loss is {loss} at step {step}{also}; look for a bad sample, "
                    "lower the learning rate or clip gradients with max_grad_norm"
                )

    # --- the loop ---

    def train(self, resume_from_checkpoint: str | bool | None = None) -> TrainOutput:
        """Trains, and leaves the trained model (with load_best_model_at_end the best) in
        output_dir. resume_from_checkpoint: a folder, or True for the last one in output_dir; the
        run goes on exactly where it stood. Ctrl-C ends it after the step, with a checkpoint.

        ValueError for data that do not fit the model, NonFiniteError when the loss is NaN or
        infinite, IOError without a checkpoint to go on from."""
        a = self.args
        wanted = (
            a.resume_from_checkpoint if resume_from_checkpoint is None else resume_from_checkpoint
        )
        start = checkpoints.find(Path(a.output_dir), wanted) if wanted else None
        self._begin()
        limit = self._memory_limit()
        with memory.budget(limit) if limit else contextlib.nullcontext():
            with Interrupt() as self._interrupt:
                try:
                    return self._train(start)
                finally:
                    self.is_in_train = False
                    self._pending.clear()

    def _begin(self) -> None:
        if self.model_init is not None:
            self.model = self._made_model()
        if self._own_optimizer:
            self.optimizer = None
        if self._own_scheduler:
            self.lr_scheduler = None
        set_seed(self.args.seed)
        self.is_in_train = True
        self._pending: deque = deque()
        self._loss_sum, self._loss_count, self._logged_step = 0.0, 0, 0
        self._total_loss, self._total_count = 0.0, 0
        self._grad_norm = self._rate = None

    def _lengths_of_run(self, loader) -> tuple[int | None, int, int, int]:
        """Batches of an epoch, batches of a step, all steps, epochs."""
        a = self.args
        accumulation = a.gradient_accumulation_steps
        if getattr(loader, "effective_batch_size", None) is not None:
            accumulation = loader.effective_batch_size // loader.batch_size
        elif a.group_by_length and self._together is not None:
            accumulation = self._together // loader.batch_sampler.batch_size
        try:
            batches = len(loader)
        except TypeError:
            if a.max_steps < 0:
                raise _core.ValueError(
                    "Trainer: the length of train_dataset is not known; set max_steps"
                ) from None
            return None, accumulation, a.max_steps, 2**31
        if batches == 0:
            raise _core.ValueError(
                "Trainer: the training data give no batch; is there less than one with "
                "dataloader_drop_last?"
            )
        per_epoch = math.ceil(batches / accumulation)
        if a.max_steps > 0:
            return batches, accumulation, a.max_steps, math.ceil(a.max_steps / per_epoch)
        steps = math.ceil(a.num_train_epochs * per_epoch)
        return batches, accumulation, steps, math.ceil(a.num_train_epochs)

    def _train(self, start: Path | None) -> TrainOutput:
        a = self.args
        loader = self._train_dataloader = self.get_train_dataloader()
        self._batches, self._accumulation, steps, epochs = self._lengths_of_run(loader)
        self.create_optimizer_and_scheduler(steps)
        self._trained = [p for g in self.optimizer.param_groups for p in g["params"]]
        self.state, self.control = TrainerState(), TrainerControl()
        where = {"epoch": 0, "batch": 0}
        if start is not None:
            where = self._resume(start, loader)
        self.state.compute_steps(a, steps)
        self.state.max_steps, self.state.num_train_epochs = steps, epochs
        self.state.train_batch_size = getattr(loader, "batch_size", None)
        began, first = time.monotonic(), self.state.global_step
        self._epoch, self._batch = where["epoch"], where["batch"]
        self.optimizer.zero_grad()
        self._call("on_train_begin")
        if a.eval_on_start and self.eval_dataset is not None:
            self.evaluate()
        for epoch in range(where["epoch"], epochs):
            if self.control.should_training_stop or steps == self.state.global_step:
                break
            self._epoch = epoch
            self._run_epoch(loader)
        return self._finish(began, first)

    def _run_epoch(self, loader) -> None:
        self.control.should_epoch_stop = False
        self._call("on_epoch_begin")
        batches = iter(loader)
        if self._batch and not hasattr(loader, "load_state_dict"):
            next(itertools.islice(batches, self._batch, self._batch), None)
        over = False
        while not (self.control.should_epoch_stop or self.control.should_training_stop):
            if self._adapt(loader):
                batches = iter(loader)
            group = [
                self._prepare_inputs(batch)
                for batch in itertools.islice(batches, self._accumulation)
            ]
            over = not group
            if over:
                break
            self._clear_control()
            self._accumulate(group)
            self._batch += len(group)
            self.state.epoch = self._epoch + self._batch / (self._batches or 2**31)
            self._call("on_step_end")
            self._stop_if_asked()
            self._log_save_evaluate()
        if self._batch == 0:
            raise _core.ValueError("Trainer: the training data gave no batch; are they used up?")
        if self._interrupt.requested:
            return
        if over or self.control.should_epoch_stop or self._batch == self._batches:
            # A checkpoint from here on goes on with the next epoch.
            self._epoch, self._batch = self._epoch + 1, 0
        self._clear_control()
        self._call("on_epoch_end")
        self._log_save_evaluate()

    def _adapt(self, loader) -> bool:
        """Before a step: whether the batches became smaller or larger with the memory there is."""
        if not getattr(loader, "adapts", False) or not self._sizes._adapt(loader):
            return False
        self._batch = loader.state_dict()["position"]
        self._batches, self._accumulation, *_ = self._lengths_of_run(loader)
        self.state.train_batch_size = loader.batch_size
        return True

    def _clear_control(self) -> None:
        self.control.should_save = self.control.should_log = self.control.should_evaluate = False

    def _stop_if_asked(self) -> None:
        if self._interrupt.requested:
            self.control.should_training_stop = self.control.should_save = True

    def _log_save_evaluate(self) -> None:
        if self.control.should_log and self.state.global_step > self._logged_step:
            self._log_loss()
        if self.control.should_evaluate and self.eval_dataset is not None:
            better = self._better(self.evaluate())
            if self.args.save_strategy == "best":
                self.control.should_save = better
        if self.control.should_save:
            self._save_checkpoint()
            self._call("on_save")

    def _log_loss(self) -> None:
        self._read_losses(0)
        logs = {"loss": self._loss_sum / max(self._loss_count, 1)}
        if self._grad_norm is not None:
            logs["grad_norm"] = float(self._grad_norm)
        logs["learning_rate"] = self._rate
        self._total_loss += self._loss_sum
        self._total_count += self._loss_count
        self._loss_sum, self._loss_count = 0.0, 0
        self._logged_step = self.state.global_step
        self.log(logs)

    def log(self, logs: dict, start_time: float | None = None) -> None:
        """Adds a log to the history and shows it to the callbacks."""
        if self.state.epoch is not None:
            logs["epoch"] = self.state.epoch
        self.state.log_history.append({**logs, "step": self.state.global_step})
        self._call("on_log", logs=logs)

    def _better(self, metrics: dict) -> bool:
        """Takes down the best value of metric_for_best_model; True for a new one. The schedule that
        watches it steps."""
        a = self.args
        if isinstance(self.lr_scheduler, ReduceLROnPlateau):
            watched = a.metric_for_best_model or "loss"
            self.lr_scheduler.step(metrics[f"eval_{watched.removeprefix('eval_')}"])
        if a.metric_for_best_model is None:
            return False
        value, best = best_value(a, metrics), self.state.best_metric
        if best is not None and not (value > best if a.greater_is_better else value < best):
            return False
        self.state.best_metric = value
        if a.save_strategy != "no":
            self.state.best_global_step = self.state.global_step
        return True

    def _finish(self, began: float, first: int) -> TrainOutput:
        self._read_losses(0)
        state, seconds = self.state, time.monotonic() - began
        steps, epochs = state.global_step - first, state.epoch
        losses, count = self._total_loss + self._loss_sum, self._total_count + self._loss_count
        loss = losses / count if count else math.nan
        samples = None
        if self._batches is not None and hasattr(self.train_dataset, "__len__"):
            samples = len(self.train_dataset) * state.num_train_epochs
            samples = samples * steps / max(state.max_steps, 1)
        metrics = {**speed("train", seconds, samples, steps), "train_loss": loss}
        self.log(metrics)
        if self.args.load_best_model_at_end and state.best_model_checkpoint is not None:
            checkpoints.load_model(self.model, Path(state.best_model_checkpoint))
        self._call("on_train_end")
        self.save_model()
        if self.args.push_to_hub:
            self.push_to_hub()
        return TrainOutput(state.global_step, loss, {**metrics, "epoch": epochs})

    # --- checkpoints ---

    def _save_checkpoint(self) -> None:
        self._read_losses(0)
        if self._grad_norm is not None:
            self._grad_norm = float(self._grad_norm)
        a, state = self.args, self.state
        folder = Path(a.output_dir) / f"checkpoint-{state.global_step}"
        if state.best_global_step == state.global_step:
            state.best_model_checkpoint = str(folder)
        state.stateful_callbacks = self.callback_handler.states()
        loader = self._train_dataloader
        where = {
            "epoch": self._epoch,
            "batch": self._batch,
            "logs": {name: getattr(self, name) for name in _RUNNING},
            "loader": dict(loader.state_dict()) if hasattr(loader, "state_dict") else {},
        }
        where["loader"].update(epoch=self._epoch, position=self._batch)
        if getattr(loader, "adapts", False):
            where["loader"]["batch_size"] = loader.batch_size
        checkpoints.write(self, folder, where)
        if a.push_to_hub and a.hub_strategy == "every_save":
            self._push(folder, f"Training in progress, step {state.global_step}")
        checkpoints.rotate(Path(a.output_dir), a.save_total_limit, state.best_model_checkpoint)

    def _resume(self, folder: Path, loader) -> dict:
        self.state = TrainerState.load_from_json(folder / checkpoints.STATE)
        where = checkpoints.read(self, folder)
        best = self.state.best_model_checkpoint
        if best is not None and not Path(best).is_dir():
            self.state.best_model_checkpoint = None
        self.callback_handler.load_states(self.state.stateful_callbacks)
        if getattr(loader, "adapts", False):  # the size may be another one now
            saved = where["loader"].get("batch_size", loader.batch_size)
            where["batch"] = where["batch"] * saved // loader.batch_size
            where["loader"]["position"] = where["batch"]
        if hasattr(loader, "load_state_dict") and "seed" in where["loader"]:
            loader.load_state_dict(where["loader"])
        for name in _RUNNING:
            setattr(self, name, where["logs"].get(name, getattr(self, name)))
        return where

    def _save(self, folder: Path) -> None:
        checkpoints.save_model(self.model, folder)
        if hasattr(self.processing_class, "save_pretrained"):
            self.processing_class.save_pretrained(folder)

    def save_model(self, output_dir=None) -> None:
        """Writes the model, and its tokenizer, where from_pretrained() finds them."""
        self._save(Path(output_dir or self.args.output_dir))

    def save_state(self) -> None:
        """Writes trainer_state.json into output_dir."""
        self.state.save_to_json(Path(self.args.output_dir) / checkpoints.STATE)

    def push_to_hub(
        self, commit_message: str = "End of training", token: str | None = None, **card
    ):
        """Saves the model and sends it, with its tokenizer, to the repository hub_model_id of a hub
        (by default named after output_dir), which is made when it is not there. Other arguments are
        those of create_model_card(), which is called when there are any."""
        self.save_model()
        if card:
            self.create_model_card(**card)
        return self._push(Path(self.args.output_dir), commit_message, token)

    def _push(self, folder: Path, message: str, token: str | None = None):
        a = self.args
        token = token or a.hub_token
        name = a.hub_model_id or Path(a.output_dir).resolve().name
        return hub.upload_folder(
            hub.create_repo(name, private=a.hub_private_repo, exist_ok=True, token=token),
            folder,
            commit_message=message,
            revision=a.hub_revision or "main",
            # Logs and what belongs to the run alone stay here.
            ignore_patterns=["checkpoint-*", "runs/*", checkpoints.STATE, checkpoints.TRAINING],
            token=token,
        )

    # --- evaluation ---

    def _label_names(self, inputs) -> list[str]:
        if self.args.label_names and self._task != "classification":
            return list(self.args.label_names)
        names = ("start_positions", "end_positions") if self._task == "answers" else ("labels",)
        return [name for name in names if name in inputs]

    def prediction_step(self, model, inputs, prediction_loss_only: bool, ignore_keys=None):
        """(loss, predictions, labels) of a batch; None for what is not there or not asked for."""
        names = self._label_names(inputs)
        labelled = bool(names) and all(inputs.get(name) is not None for name in names)
        own = self.compute_loss_func is not None or takes_none(model, inputs)
        with no_grad(), self._autocast():
            if labelled or own:
                self.current_gradient_accumulation_steps = 1
                items = self._items(inputs) if self.compute_loss_func is not None else None
                loss, outputs = self.compute_loss(
                    model, dict(inputs), return_outputs=True, num_items_in_batch=items
                )
            elif self._task == "image":
                loss, outputs = None, _classes(model, inputs)
            else:
                loss, outputs = None, model(**inputs)
        if prediction_loss_only:
            return loss, None, None
        logits = _predictions(outputs, ignore_keys or ())
        labels = tuple(inputs[name] for name in names) if labelled else None
        return loss, logits, labels[0] if labels is not None and len(labels) == 1 else labels

    def evaluation_loop(
        self,
        dataloader,
        description: str = "Evaluation",
        prediction_loss_only: bool | None = None,
        ignore_keys=None,
        metric_key_prefix: str = "eval",
    ) -> EvalLoopOutput:
        """Loss, predictions and metrics of a loader's batches."""
        a = self.args
        if prediction_loss_only is None:
            prediction_loss_only = a.prediction_loss_only
        training = self.model.training
        self.model.eval()
        self._eval_dataloader = dataloader
        losses, counts, found, labels, given = [], [], [], [], []
        for inputs in map(self._prepare_inputs, dataloader):
            loss, logits, target = self.prediction_step(
                self.model, inputs, prediction_loss_only, ignore_keys
            )
            counts.append(len(next(iter(inputs.values()))))
            value = None if loss is None else loss.item()
            if value is None or not math.isnan(value) or self._items(inputs) != 0:
                losses.append((value, counts[-1]))  # the mean over no label is no number
            if logits is not None:
                if self.preprocess_logits_for_metrics is not None:
                    logits = self.preprocess_logits_for_metrics(logits, target)
                found.append(host(logits))
            if target is not None:
                labels.append(host(target))
            if "inputs" in a.include_for_metrics:
                given.append(host(next(iter(inputs.values()))))
            self._call("on_prediction_step")
        self.model.train(training)
        if not counts:
            raise _core.ValueError("Trainer: the data to evaluate gave no batch")
        self._evaluated = len(counts)
        predictions, ids = joined(found), joined(labels)
        metrics = {}
        if losses and losses[0][0] is not None:
            values, sizes = zip(*losses, strict=True)
            metrics[f"{metric_key_prefix}_loss"] = float(np.average(values, weights=sizes))
        if predictions is not None and ids is not None:
            more = {"inputs": joined(given)}
            if "loss" in a.include_for_metrics:
                more["losses"] = np.repeat(*zip(*losses, strict=True))
            for name, value in self._metrics(EvalPrediction(predictions, ids, **more)).items():
                name = name.removeprefix(f"{metric_key_prefix}_")
                metrics[f"{metric_key_prefix}_{name}"] = value
        return EvalLoopOutput(predictions, ids, metrics, sum(counts))

    def _metrics(self, result: EvalPrediction) -> dict:
        """What compute_metrics says; without it the accuracy of a classifier."""
        if self.compute_metrics is not None:
            found = self.compute_metrics(result)
            if not isinstance(found, Mapping):
                raise _core.ValueError(
                    f"Trainer: compute_metrics returned a {type(found).__name__}; return a dict "
                    "such as {'accuracy': 0.9}"
                )
            return dict(found)
        if self._answers():
            return self._eval_dataloader.dataset.measures(*result.predictions)
        if not self._classifies():
            return {}
        found, ids = result.predictions, result.label_ids
        if isinstance(found, tuple) or found.ndim != 2 or ids.ndim != 1 or found.shape[1] < 2:
            return {}
        return {"accuracy": float(np.mean(found.argmax(1) == ids))}

    def _classifies(self) -> bool:
        return self._task in ("classification", "image", "")

    def _answers(self) -> bool:
        """Whether the data being evaluated are questions with texts."""
        return isinstance(getattr(self._eval_dataloader, "dataset", None), Windows)

    def evaluate(
        self, eval_dataset=None, ignore_keys=None, metric_key_prefix: str = "eval"
    ) -> dict:
        """Loss and metrics of eval_dataset; of several in a dict by name. Without compute_metrics:
        the accuracy of a classifier, exact_match and f1 of answers to questions."""
        dataset = self.eval_dataset if eval_dataset is None else eval_dataset
        if isinstance(dataset, dict):
            metrics = {}
            for name, part in dataset.items():
                metrics.update(self.evaluate(part, ignore_keys, f"{metric_key_prefix}_{name}"))
            return metrics
        loader = self._eval_dataloader = self.get_eval_dataloader(dataset)
        began = time.monotonic()
        measured = self.compute_metrics is not None or self._classifies() or self._answers()
        output = self.evaluation_loop(
            loader, "Evaluation", None if measured else True, ignore_keys, metric_key_prefix
        )
        metrics = dict(output.metrics)
        seconds = time.monotonic() - began
        metrics.update(speed(metric_key_prefix, seconds, output.num_samples, self._evaluated))
        self.log(metrics)
        self._call("on_evaluate", metrics=metrics)
        return metrics

    def log_metrics(self, split: str, metrics: dict) -> None:
        """Prints metrics, a line each."""
        width = max(map(len, metrics), default=0)
        print(f"***** {split} metrics *****")
        for name, value in sorted(metrics.items()):
            shown = f"{value:.4f}" if isinstance(value, float) else value
            print(f"  {name:<{width}} = {shown}")

    def save_metrics(self, split: str, metrics: dict, combined: bool = True) -> None:
        """Writes metrics to SPLIT_results.json of output_dir, and with `combined` adds them to
        all_results.json."""
        folder = Path(self.args.output_dir)
        folder.mkdir(parents=True, exist_ok=True)
        whole = folder / "all_results.json"
        write_text(folder / f"{split}_results.json", json.dumps(metrics, indent=4, sort_keys=True))
        if combined:
            known = json.loads(whole.read_text("utf-8")) if whole.is_file() else {}
            write_text(whole, json.dumps({**known, **metrics}, indent=4, sort_keys=True))

    def predict(
        self, test_dataset, ignore_keys=None, metric_key_prefix: str = "test"
    ) -> PredictionOutput:
        """Predictions, and of labelled data labels and metrics."""
        loader = self.get_test_dataloader(test_dataset)
        began = time.monotonic()
        output = self.evaluation_loop(loader, "Prediction", False, ignore_keys, metric_key_prefix)
        metrics = dict(output.metrics)
        seconds = time.monotonic() - began
        metrics.update(speed(metric_key_prefix, seconds, output.num_samples, self._evaluated))
        self._call("on_predict", metrics=metrics)
        return PredictionOutput(output.predictions, output.label_ids, metrics)


def _classes(model, inputs) -> dict:
    """What a model makes of images; those of timm return the logits alone."""
    outputs = model(inputs["pixel_values"])
    return {"logits": getattr(outputs, "logits", outputs)}


def _part(outputs, name: str):
    """One of a model's outputs; the first of a tuple is its loss."""
    if isinstance(outputs, dict):
        return outputs.get(name)
    if isinstance(outputs, tuple | list):
        return outputs[0 if name == "loss" else 1]
    return outputs if isinstance(outputs, _core.Tensor) else getattr(outputs, name, None)


def _predictions(outputs, ignore_keys):
    """logits, or the only other output, or all of them."""
    if isinstance(outputs, _core.Tensor):
        return outputs
    if isinstance(outputs, tuple | list):
        found = tuple(outputs[1:])
    elif "logits" in outputs and "logits" not in ignore_keys:
        found = (outputs["logits"],)
    else:
        names = {*_NO_PREDICTIONS, *ignore_keys}
        found = tuple(v for k, v in outputs.items() if k not in names)
    return found[0] if len(found) == 1 else found
