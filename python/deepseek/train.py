# SPDX-License-Identifier: Apache-2.0
"""The training loop: mixed precision, metrics, validation, checkpoints, exact resume."""

from __future__ import annotations

import contextlib
import functools
import sys
import time
import weakref
from collections.abc import Callable as _Callable
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from . import _batch_size, _core, memory
from ._core import NonFiniteError
from .nn import functional as F

_native = _core.train


class Callback:
    """Override what you need. A step's values arrive up to two steps late, so that the loop never
    waits for them."""

    def on_fit_begin(self, trainer):
        pass

    def on_epoch_begin(self, trainer, epoch: int):
        pass

    def on_step_end(self, trainer, log: dict):
        """log: step, loss, lr, loss_scale, skipped."""

    def on_epoch_end(self, trainer, log: dict):
        """log: epoch, loss, metrics, val_loss and val_ metrics, samples, seconds."""

    def on_fit_end(self, trainer):
        pass


def _maximizes(mode: str, who: str) -> bool:
    if mode not in ("min", "max"):
        raise _core.ValueError(f"{who}: mode {mode!r} must be 'min' or 'max'")
    return mode == "max"


class EarlyStopping(_native.EarlyStopping):
    """Ends the run when `monitor` has not improved by more than min_delta for `patience` epochs."""

    def __init__(
        self,
        monitor: str = "val_loss",
        patience: int = 3,
        mode: str = "min",
        min_delta: float = 0.0,
    ):
        super().__init__(monitor, patience, _maximizes(mode, "EarlyStopping"), min_delta)


class ModelCheckpoint(_native.ModelCheckpoint):
    """Writes the weights, as safetensors, when `monitor` improves; after each epoch when it is
    empty. "{epoch}" in the path becomes the epoch's number."""

    def __init__(self, path, monitor: str = "val_loss", mode: str = "min"):
        super().__init__(str(path), monitor, _maximizes(mode, "ModelCheckpoint"))


class TensorBoard(_native.TensorBoard):
    """Writes every step's loss, rate and scale and every epoch's values for TensorBoard."""

    def __init__(self, folder):
        super().__init__(str(folder))


class _BoundCallback:
    """A callback with its trainer, which it does not keep alive."""

    def __init__(self, callback, trainer):
        self._callback = callback
        self._trainer = weakref.ref(trainer)

    def __getattr__(self, name):
        method = getattr(self._callback, name)
        return lambda *args: method(self._trainer(), *args)


def _tensors(batch, found: list):
    """The batch with arrays of other libraries as tensors; all tensors are added to `found`."""
    if isinstance(batch, _core.Tensor):
        found.append(batch)
        return batch
    if isinstance(batch, Mapping):
        return {key: _tensors(value, found) for key, value in batch.items()}
    if isinstance(batch, tuple) and hasattr(batch, "_fields"):
        return type(batch)(*(_tensors(value, found) for value in batch))
    if isinstance(batch, list | tuple):
        return type(batch)(_tensors(value, found) for value in batch)
    if hasattr(batch, "__array__") and not isinstance(batch, str | bytes):
        found.append(_core.tensor(batch.numpy() if hasattr(batch, "numpy") else batch))
        return found[-1]
    return batch


class _Fit(NamedTuple):
    """Why a loader's batches are as large as they are."""

    limit: int  # bytes at the time
    needed: int  # planned bytes
    whole: bool  # no more samples are wanted
    sample: object  # the largest


# Of the memory that is free: what counts as a change, and how often it is looked at.
_MUCH_LESS, _MUCH_MORE, _LOOK_SECONDS = 0.9, 1.25, 1.0


class _Current:
    """The batch that the loop works on, in the form the loader gave it."""

    batch = None


class _Source:
    """A loader, or anything else that can be looped over again, as the library's batch source."""

    def __init__(self, loader: Iterable, current: _Current, adapt: _Callable | None = None):
        self._loader = loader
        self._current = current
        self._adapt = adapt
        self._batches = None
        self._epoch, self._given = 0, 0
        self._has_state = hasattr(loader, "state_dict") and hasattr(loader, "load_state_dict")

    def next(self):
        if self._batches is None:
            self._batches = iter(self._loader)
        try:
            batch = next(self._batches)
        except StopIteration:
            self._batches = None
            self._epoch += 1
            self._given = 0
            return None
        self._given += 1
        found: list = []
        self._current.batch = _tensors(batch, found)
        if not found:
            raise _core.ValueError("MixedPrecisionTrainer: a batch of the loader holds no tensor")
        return found

    def adapt(self):
        if self._adapt is None or not self._adapt():
            return False
        self._batches = None
        return True

    def size(self):
        try:
            return len(self._loader)
        except TypeError:
            return None

    def position(self):
        state = self._loader.state_dict() if self._has_state else {}
        if {"epoch", "position", "seed"} <= state.keys():
            return state["epoch"], state["position"], state["seed"]
        return self._epoch, self._given, 0

    def seek(self, epoch: int, batch: int, seed: int):
        self._epoch, self._given = epoch, batch
        if self._has_state:
            self._loader.load_state_dict({"seed": seed, "epoch": epoch, "position": batch})
            self._batches = None
            return
        self._batches = iter(self._loader)
        for _ in range(batch):
            next(self._batches, None)


def _loss_of(outputs):
    loss = outputs.get("loss") if isinstance(outputs, Mapping) else getattr(outputs, "loss", None)
    if loss is None:
        raise _core.ValueError(
            "MixedPrecisionTrainer: the model's output for a dict batch has no loss; pass forward="
        )
    return loss


def _make_forward(model, loss, forward, current: _Current) -> _Callable:
    """The function of a batch that the loop calls: (loss, output or None, target or None)."""

    def run(_batch):
        batch = current.batch
        if forward is not None:
            result = forward(model, batch)
            return result if isinstance(result, tuple) else (result, None, None)
        if isinstance(batch, Mapping):
            return _loss_of(model(**batch)), None, None
        if not isinstance(batch, list | tuple) or len(batch) < 2:
            raise _core.ValueError(
                "MixedPrecisionTrainer: a batch must be (input, target), (inputs..., target) or a "
                "dict; pass forward= for others"
            )
        *inputs, target = batch
        output = model(*inputs)
        return loss(output, target), output, target

    return run


def _metric(metric):
    if isinstance(metric, str):
        return metric
    if isinstance(metric, tuple):
        return metric
    return getattr(metric, "__name__", type(metric).__name__), metric


def _progress(progress):
    """Where progress goes and whether that is a terminal."""
    if progress is None or progress is False:
        return {}
    stream = sys.stderr if progress is True else progress

    def write(text):
        stream.write(text)
        stream.flush()

    return {"write": write, "terminal": bool(getattr(stream, "isatty", lambda: False)())}


class MixedPrecisionTrainer:
    """Trains a model with 16-bit contractions, FP32 master weights and a dynamic loss scale.

    model: a Module. optimizer: an instance, or a class such as AdamW, made with optimizer_args.
    fp16_layers: which of "conv", "linear", "attention" compute in 16 bits: BF16 where the
    processor computes in it, else FP16 where it does, else they stay in FP32; `precision` says
    which. dtype: bfloat16 or float16 whatever the processor does. loss_scale: at the start; it
    halves when gradients overflow (the step is skipped) and doubles after growth_interval good
    steps. loss: a function of output and target, cross entropy by default. forward(model, batch)
    -> loss or (loss, output, target) replaces model(*inputs) and loss. metrics: "accuracy",
    "top5", "mae", "mse", functions of output and target, or (name, function).
    scheduler: steps after every optimizer step, or after every epoch with schedule="epoch";
    ReduceLROnPlateau always watches `monitor` after an epoch. checkpoint_dir: a checkpoint is
    written there after each epoch, every checkpoint_steps steps, and at Ctrl-C; resume=True goes
    on from it exactly. Where a model's attribute checkpoint_frozen is False, as a PeftModel's is,
    parameters that are not trained stay out of it. progress: True shows it on stderr, a text stream
    there, False nowhere. memory_budget: a deepseek.memory.budget that holds while fit() runs,
    "auto" for what is free.

    A DataLoader with batch_size="auto" gets the largest batch that fits the budget (what is free
    when there is none): smaller ones before the next step when that falls, larger ones from the
    next epoch on when it grows."""

    def __init__(
        self,
        model,
        optimizer,
        *,
        fp16_layers: Sequence[str] = ("conv", "linear"),
        loss_scale: float = 128,
        dtype=None,
        optimizer_args: Mapping | None = None,
        loss: _Callable | None = None,
        forward: _Callable | None = None,
        metrics: Sequence = (),
        callbacks: Sequence = (),
        scheduler=None,
        schedule: str = "step",
        monitor: str = "",
        gradient_accumulation: int = 1,
        max_grad_norm: float = 0.0,
        growth_interval: int = 2000,
        checkpoint_dir=None,
        checkpoint_steps: int = 0,
        resume: bool = False,
        progress=True,
        memory_budget: int | str | None = None,
    ):
        if schedule not in ("step", "epoch"):
            raise _core.ValueError(
                f"MixedPrecisionTrainer: schedule {schedule!r} must be 'step' or 'epoch'"
            )
        if isinstance(fp16_layers, str):
            fp16_layers = [fp16_layers]
        if not hasattr(optimizer, "param_groups"):
            optimizer = optimizer(model.parameters(), **(optimizer_args or {}))
        if getattr(optimizer, "_impl", None) is None:
            raise _core.NotImplementedError(
                "MixedPrecisionTrainer: the optimizer's step is written in Python; use one of "
                "deepseek.optim"
            )
        if memory_budget not in (None, "auto"):
            memory.parse_bytes(memory_budget)
        self._memory_budget = memory_budget
        self._fit: _Fit | None = None
        self._looked = 0.0
        self.model = model
        self.optimizer = optimizer
        self.scheduler = scheduler
        self._current = _Current()
        given = {
            "fp16_layers": list(fp16_layers),
            "loss_scale": float(loss_scale),
            "growth_interval": growth_interval,
            "schedule_epochs": schedule == "epoch",
            "monitor": monitor,
            "gradient_accumulation": gradient_accumulation,
            "max_grad_norm": float(max_grad_norm),
            "checkpoint_steps": checkpoint_steps,
            "checkpoint_frozen": getattr(model, "checkpoint_frozen", True),
            "resume": resume,
            "metrics": [_metric(m) for m in metrics],
            "forward": _make_forward(model, loss or F.cross_entropy, forward, self._current),
            "callbacks": [self._callback(c) for c in callbacks],
            **_progress(progress),
        }
        if dtype is not None:
            given["dtype"] = dtype
        if scheduler is not None:
            given["scheduler"] = scheduler._impl
        if checkpoint_dir is not None:
            given["checkpoint_dir"] = str(checkpoint_dir)
        self._impl = _native.Trainer(model, optimizer._impl, given)

    def _callback(self, callback):
        if isinstance(callback, _native.Callback):
            return callback
        return _BoundCallback(callback, self)

    def fit(self, train_loader: Iterable, epochs: int = 1, validation: Iterable | None = None):
        """Trains; returns one dict for each epoch that was run: loss, metrics and, with a
        validation loader, val_loss and val_ metrics.

        ValueError when the loader gives no batch, NonFiniteError when the loss stays NaN or
        infinite. Ctrl-C ends after the current step (`interrupted` is True then); pressed again it
        raises KeyboardInterrupt."""
        adapt = None
        if getattr(train_loader, "adapts", False):
            if self._fit is None or train_loader.batch_size == "auto":
                self.find_batch_size(train_loader)
            adapt = functools.partial(self._adapt, train_loader)
        test = None if validation is None else _Source(validation, self._current)
        limit = (
            contextlib.nullcontext()
            if self._memory_budget is None
            else memory.budget(self._memory_budget)
        )
        try:
            with limit:
                return self._impl.fit(_Source(train_loader, self._current, adapt), epochs, test)
        finally:
            self._current.batch = None

    def find_batch_size(self, loader, sample=None) -> int:
        """Sets the loader's batch size to the largest whose planned peak fits the memory budget
        (what is free when there is none), and the gradient accumulation to what its
        effective_batch_size asks for. Nothing is run. sample: the largest of the data set, by
        default its first.
        OutOfMemoryError when one sample does not fit without recomputation."""
        with memory.budget(self._memory_budget or _core._memory_budget() or "auto"):
            limit = _core._memory_budget()
        return self._set_batch_size(loader, limit, sample)

    def _set_batch_size(self, loader, limit: int, sample=None, divides: int | None = None) -> int:
        """The largest that fits the limit; `divides`: a number it has to divide."""
        state = _batch_size.state_bytes_of(self.optimizer)

        def peak(count, exact=False):
            found: list = []
            self._current.batch = _tensors(loader.example(count, sample), found)
            try:
                return self._impl.planned_peak(found, exact) + state
            finally:
                self._current.batch = None

        effective = loader.effective_batch_size
        most = effective or divides or len(loader.dataset)
        size = _batch_size.largest(peak, limit, most)
        size = _batch_size.confirmed(functools.partial(peak, exact=True), limit, size)
        if effective is not None or divides is not None:
            size = _batch_size.largest_divisor(most, size)
        if effective is not None:
            self._impl.set_gradient_accumulation(effective // size)
        loader.set_batch_size(size)
        loader.adapts = True
        self._fit = _Fit(limit, peak(size), size == (effective or len(loader.dataset)), sample)
        return size

    def _adapt(self, loader) -> bool:
        """Before a step: smaller batches where the memory budget fell below what they need, larger
        ones in an epoch that begins with more room. The samples of a step stay the same where there
        is an effective_batch_size, and none is given twice."""
        state = loader.state_dict()
        begins, now = state["position"] == 0, time.monotonic()
        free = self._memory_budget == "auto" or not _core._memory_budget()
        if free and not begins and now - self._looked < _LOOK_SECONDS:
            return False
        self._looked = now
        limit = _core._automatic_memory_budget() if free else _core._memory_budget()
        # What is free goes up and down by itself.
        falls = limit < (_MUCH_LESS if free else 1) * self._fit.needed
        grows = begins and not self._fit.whole and limit > _MUCH_MORE * self._fit.limit
        if not (falls or grows):
            return False
        if self._memory_budget == "auto":
            _core._set_memory_budget(limit)
        before = loader.batch_size
        try:
            size = self._set_batch_size(
                loader, limit, self._fit.sample, divides=None if begins else before
            )
        except _core.OutOfMemoryError:
            return False  # the step is planned within the budget, or says that it does not fit
        state["position"] = state["position"] * before // size
        loader.load_state_dict(state)
        return True

    def evaluate(self, loader: Iterable) -> dict:
        """Loss and metrics over a loader, without training."""
        return self._impl.evaluate(_Source(loader, self._current))

    def stop(self):
        """Ends fit() after the current step."""
        self._impl.stop()

    def say(self, text: str):
        """Shows a line above the progress bar."""
        self._impl.say(text)

    def save_checkpoint(self, path):
        """Everything a run needs to go on exactly, in one safetensors file."""
        self._impl.save_checkpoint(str(path))

    def load_checkpoint(self, path):
        """The next fit() goes on where that run was."""
        self._impl.load_checkpoint(str(path))

    @property
    def interrupted(self) -> bool:
        """The last fit() was ended by Ctrl-C or stop()."""
        return self._impl.interrupted

    @property
    def precision(self) -> str:
        """What computes in which type, in a sentence."""
        return self._impl.precision

    @property
    def dtype(self):
        """The type contractions compute in."""
        return self._impl.dtype

    @property
    def loss_scale(self) -> float:
        return self._impl.loss_scale

    @property
    def skipped_steps(self) -> int:
        """Steps without effect because a gradient overflowed."""
        return self._impl.skipped_steps

    @property
    def step_count(self) -> int:
        return self._impl.step_count

    @property
    def checkpoint_path(self) -> str:
        return self._impl.checkpoint_path


__all__ = [
    "Callback",
    "EarlyStopping",
    "MixedPrecisionTrainer",
    "ModelCheckpoint",
    "NonFiniteError",
    "TensorBoard",
]
