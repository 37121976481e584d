# SPDX-License-Identifier: Apache-2.0
"""Callbacks of Trainer: names, events and what they get are those of transformers."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .. import _core
from .._format import format_bytes
from .._whole_file import write_text
from ..utils.tensorboard import SummaryWriter


@dataclass
class TrainerState:
    """Where a run is; trainer_state.json of every checkpoint holds it."""

    epoch: float = 0
    global_step: int = 0
    max_steps: int = 0
    logging_steps: int = 500
    eval_steps: int = 500
    save_steps: int = 500
    train_batch_size: int | None = None
    num_train_epochs: int = 0
    num_input_tokens_seen: int = 0
    total_flos: float = 0
    log_history: list[dict] = field(default_factory=list)
    best_metric: float | None = None
    best_global_step: int | None = None
    best_model_checkpoint: str | None = None
    is_local_process_zero: bool = True
    is_world_process_zero: bool = True
    is_hyper_param_search: bool = False
    trial_name: str | None = None
    trial_params: dict | None = None
    stateful_callbacks: dict = field(default_factory=dict)

    def save_to_json(self, json_path: str | os.PathLike) -> None:
        """Writes the file in one piece."""
        write_text(json_path, json.dumps(dataclasses.asdict(self), indent=2, sort_keys=True) + "\n")

    @classmethod
    def load_from_json(cls, json_path: str | os.PathLike) -> TrainerState:
        """What save_to_json() wrote, here or in transformers; FileFormatError for other files."""
        try:
            values = json.loads(Path(json_path).read_text("utf-8"))
            known = {f.name for f in dataclasses.fields(cls)}
            state = cls(**{name: value for name, value in values.items() if name in known})
            if not isinstance(state.global_step, int) or not isinstance(state.log_history, list):
                raise ValueError("global_step or log_history is missing")
        except (ValueError, TypeError, AttributeError) as error:
            raise _core.FileFormatError(
                f"{json_path}: is no state of a trainer: {error}"
            ) from error
        except OSError as error:
            raise _core.IOError(f"{json_path}: {error.strerror}") from error
        return state

    def compute_steps(self, args, max_steps: int) -> None:
        """Shares of all steps become numbers of them."""
        for name in ("logging_steps", "eval_steps", "save_steps"):
            steps = getattr(args, name)
            if steps is not None:
                setattr(self, name, math.ceil(steps * max_steps) if steps < 1 else int(steps))


@dataclass
class TrainerControl:
    """What the loop does next; a callback sets a field to change that."""

    should_training_stop: bool = False
    should_epoch_stop: bool = False
    should_save: bool = False
    should_evaluate: bool = False
    should_log: bool = False


EVENTS = (
    "on_init_end",
    "on_train_begin",
    "on_train_end",
    "on_epoch_begin",
    "on_epoch_end",
    "on_step_begin",
    "on_pre_optimizer_step",
    "on_optimizer_step",
    "on_substep_end",
    "on_step_end",
    "on_evaluate",
    "on_predict",
    "on_save",
    "on_log",
    "on_prediction_step",
)


class TrainerCallback:
    """Override events: each is called with (args, state, control, **kwargs), where kwargs hold
    model, processing_class, optimizer, lr_scheduler, train_dataloader and eval_dataloader, and
    metrics or logs where there are some. It may change `control`."""


def _nothing(self, args, state, control, **kwargs):
    pass


for _event in EVENTS:
    setattr(TrainerCallback, _event, _nothing)


class CallbackHandler:
    """Calls an event of all callbacks in order."""

    def __init__(self, callbacks: Sequence):
        self.callbacks: list = []
        for callback in callbacks:
            self.add(callback)

    def add(self, callback) -> None:
        """An instance or a class, of which one is made."""
        callback = callback() if isinstance(callback, type) else callback
        if not any(hasattr(callback, event) for event in ("on_init_end", "on_train_begin")):
            raise TypeError(
                f"Trainer: {type(callback).__name__} is no TrainerCallback; those of "
                "deepseek.train belong to MixedPrecisionTrainer"
            )
        self.callbacks.append(callback)

    def pop(self, callback):
        """The callback, or the first of that class, which is called no more; None without one."""
        for own in self.callbacks:
            if own is callback or (isinstance(callback, type) and type(own) is callback):
                self.callbacks.remove(own)
                return own
        return None

    def call(self, event: str, args, state, control: TrainerControl, **more) -> TrainerControl:
        """Runs the event; a callback may return another control."""
        for callback in self.callbacks:
            method = getattr(callback, event, None)
            if method is not None:
                control = method(args, state, control, **more) or control
        return control

    def states(self) -> dict:
        """What callbacks with state() need in a resumed run, by class; a list where several have
        one."""
        found: dict[str, list] = {}
        for callback in self.callbacks:
            if hasattr(callback, "state"):
                found.setdefault(type(callback).__name__, []).append(callback.state())
        return {name: s[0] if len(s) == 1 else s for name, s in found.items()}

    def load_states(self, states: dict) -> None:
        """Gives callbacks the attributes that states() wrote down."""
        left = {name: list(s) if isinstance(s, list) else [s] for name, s in states.items()}
        for callback in self.callbacks:
            for state in left.get(type(callback).__name__, [])[:1]:
                del left[type(callback).__name__][0]
                for name, value in state.get("attributes", {}).items():
                    setattr(callback, name, value)


class DefaultFlowCallback(TrainerCallback):
    """Logs, evaluates and saves as the arguments say."""

    def on_step_end(self, args, state, control, **kwargs):
        step, last = state.global_step, state.global_step >= state.max_steps
        if step == 1 and args.logging_first_step:
            control.should_log = True
        if args.logging_strategy == "steps" and step % state.logging_steps == 0:
            control.should_log = True
        if args.eval_strategy == "steps" and step >= args.eval_delay:
            control.should_evaluate |= last or step % state.eval_steps == 0
        if args.save_strategy == "steps":
            control.should_save |= last or step % state.save_steps == 0
        control.should_training_stop |= last

    def on_epoch_end(self, args, state, control, **kwargs):
        control.should_log |= args.logging_strategy == "epoch"
        control.should_save |= args.save_strategy == "epoch"
        control.should_evaluate |= args.eval_strategy == "epoch" and state.epoch >= args.eval_delay


class EarlyStoppingCallback(TrainerCallback):
    """Ends the run when metric_for_best_model has not improved by more than
    early_stopping_threshold in early_stopping_patience evaluations."""

    def __init__(self, early_stopping_patience: int = 1, early_stopping_threshold: float = 0.0):
        if not isinstance(early_stopping_patience, int) or early_stopping_patience < 1:
            raise _core.ValueError(
                f"EarlyStoppingCallback: early_stopping_patience {early_stopping_patience!r} must "
                "be at least 1"
            )
        self.early_stopping_patience = early_stopping_patience
        self.early_stopping_threshold = early_stopping_threshold or 0.0
        self.early_stopping_patience_counter = 0

    def on_train_begin(self, args, state, control, **kwargs):
        if args.metric_for_best_model is None or args.eval_strategy == "no":
            raise _core.ValueError(
                "EarlyStoppingCallback: it watches metric_for_best_model at every evaluation; set "
                "that argument and eval_strategy"
            )

    def on_evaluate(self, args, state, control, metrics=None, **kwargs):
        value = best_value(args, metrics)
        best = state.best_metric
        gain = 0.0 if best is None else (value - best) * (1 if args.greater_is_better else -1)
        if best is None or gain > self.early_stopping_threshold:
            self.early_stopping_patience_counter = 0
        else:
            self.early_stopping_patience_counter += 1
        if self.early_stopping_patience_counter >= self.early_stopping_patience:
            control.should_training_stop = True

    def state(self) -> dict:
        """What a resumed run goes on with."""
        return {
            "args": {
                "early_stopping_patience": self.early_stopping_patience,
                "early_stopping_threshold": self.early_stopping_threshold,
            },
            "attributes": {"early_stopping_patience_counter": self.early_stopping_patience_counter},
        }


def best_value(args, metrics: dict) -> float:
    """metric_for_best_model among the metrics; KeyError names what there is."""
    name = "eval_" + args.metric_for_best_model.removeprefix("eval_")
    if name not in metrics:
        raise _core.KeyError(
            f"Trainer: metric_for_best_model '{name}' is none of the metrics "
            f"{', '.join(metrics)}; compute_metrics must return it"
        )
    return metrics[name]


class ProgressCallback(TrainerCallback):
    """A line on stderr that shows where the run is; logs stay above it."""

    SECONDS = 0.2  # between two drawings

    def __init__(self, stream=None):
        self._stream = stream
        self._drawn, self._width, self._start, self._first = 0.0, 0, 0.0, 0
        self._batches = 0  # of the evaluation

    @property
    def _out(self):
        return self._stream or sys.stderr

    def _write(self, text: str) -> None:
        self._out.write(text)
        self._out.flush()

    def _clear(self) -> None:
        if self._width:
            self._write("\r" + " " * self._width + "\r")
            self._width = 0

    def _draw(self, text: str) -> None:
        """Only on a terminal, and not more often than can be read."""
        now = time.monotonic()
        if now - self._drawn < self.SECONDS or not getattr(self._out, "isatty", bool)():
            return
        self._drawn = now
        self._clear()
        self._width = len(text)
        self._write(text)

    def on_train_begin(self, args, state, control, **kwargs):
        self._start, self._first = time.monotonic(), state.global_step

    def on_step_end(self, args, state, control, **kwargs):
        done = state.global_step - self._first
        pace = (time.monotonic() - self._start) / max(done, 1)
        left = pace * (state.max_steps - state.global_step)
        share = state.global_step / max(state.max_steps, 1)
        memory = format_bytes(_core.memory_stats()["in_use"])
        self._draw(
            f"{share:4.0%} step {state.global_step}/{state.max_steps}, epoch {state.epoch:.2f}, "
            f"{1 / max(pace, 1e-9):.2f} steps/s, {int(left) // 60}:{int(left) % 60:02d} left, "
            f"{memory}"
        )

    def on_prediction_step(self, args, state, control, eval_dataloader=None, **kwargs):
        self._batches += 1
        try:
            count = f" of {len(eval_dataloader)}"
        except TypeError:  # a stream
            count = ""
        self._draw(f"evaluating, batch {self._batches}{count}")

    def on_evaluate(self, args, state, control, **kwargs):
        self._batches = 0
        self._clear()

    on_predict = on_evaluate

    def on_log(self, args, state, control, logs=None, **kwargs):
        self._clear()
        values = {k: v for k, v in (logs or {}).items() if k != "total_flos"}
        texts = (f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in values.items())
        self._write(", ".join(texts) + "\n")

    def on_train_end(self, args, state, control, **kwargs):
        self._clear()


class PrinterCallback(TrainerCallback):
    """Prints every log."""

    def on_log(self, args, state, control, logs=None, **kwargs):
        print({k: v for k, v in (logs or {}).items() if k != "total_flos"})


class TensorBoardCallback(TrainerCallback):
    """Writes every log for TensorBoard, into logging_dir."""

    def __init__(self):
        self._writer = None

    def on_train_begin(self, args, state, control, **kwargs):
        self._writer = SummaryWriter(os.fspath(args.logging_dir))

    def on_log(self, args, state, control, logs=None, **kwargs):
        if self._writer is None:
            return
        for name, value in (logs or {}).items():
            if isinstance(value, int | float):
                part, _, rest = name.partition("_")
                tag = f"{part}/{rest}" if part in ("eval", "test") else f"train/{name}"
                self._writer.add_scalar(tag, value, state.global_step)

    def on_train_end(self, args, state, control, **kwargs):
        if self._writer is not None:
            self._writer.flush()
            self._writer = None
