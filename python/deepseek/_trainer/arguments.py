# SPDX-License-Identifier: Apache-2.0
"""TrainingArguments: names, meaning and most defaults are those of transformers."""

from __future__ import annotations

import dataclasses
import difflib
import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .. import _core
from .schedules import OPTIMIZERS, SCHEDULES

_INTERVALS = ("no", "steps", "epoch")
_CHOICES = {
    "eval_strategy": _INTERVALS,
    "save_strategy": (*_INTERVALS, "best"),
    "logging_strategy": _INTERVALS,
    "train_sampling_strategy": ("random", "sequential", "group_by_length"),
    "lr_scheduler_type": SCHEDULES,
    "optim": tuple(OPTIMIZERS),
    "hub_strategy": ("every_save", "end"),
}
_POSITIVE = (
    "per_device_train_batch_size",
    "per_device_eval_batch_size",
    "gradient_accumulation_steps",
    "effective_batch_size",
    "max_length",
    "doc_stride",
    "save_total_limit",
)
_NOT_NEGATIVE = (
    "num_train_epochs",
    "learning_rate",
    "weight_decay",
    "max_grad_norm",
    "adam_epsilon",
    "warmup_steps",
    "warmup_ratio",
    "eval_delay",
    "dataloader_num_workers",
)

#: Arguments of transformers that change nothing here, whatever they say.
WITHOUT_EFFECT = frozenset(
    """torch_compile torch_compile_backend torch_compile_mode dataloader_pin_memory
    dataloader_persistent_workers dataloader_in_order eval_accumulation_steps
    torch_empty_cache_steps full_determinism log_on_each_node save_on_each_node
    skip_memory_metrics use_cache average_tokens_across_devices tf32 run_name project local_rank
    logging_nan_inf_filter restore_callback_states_from_checkpoint gradient_checkpointing_kwargs
    ddp_find_unused_parameters ddp_bucket_cap_mb ddp_broadcast_buffers ddp_static_graph
    ddp_backend ddp_timeout eval_use_gather_object use_cpu no_cuda hub_always_push
    log_level log_level_replica""".split()
)
_NOTHING = (None, False, "", [], {})
#: Arguments of transformers that are not supported: values that ask for nothing, and what to do.
UNSUPPORTED: dict[str, tuple[tuple, str]] = {
    "optim_target_modules": (_NOTHING, "set requires_grad of parameters to choose"),
    "activation_checkpointing": (_NOTHING, "use gradient_checkpointing or memory_budget"),
    "activation_checkpointing_kwargs": (_NOTHING, "use memory_budget"),
    "use_liger_kernel": (_NOTHING, "steps are fused anyway"),
    "liger_kernel_config": (_NOTHING, "steps are fused anyway"),
    "neftune_noise_alpha": (_NOTHING, "override compute_loss()"),
    "include_num_input_tokens_seen": ((*_NOTHING, "no"), "count in a TrainerCallback"),
    "bf16_full_eval": (_NOTHING, "call model.to(deepseek.bfloat16) before evaluate()"),
    "fp16_full_eval": (_NOTHING, "call model.to(deepseek.float16) before evaluate()"),
    "eval_do_concat_batches": ((None, True), "leave it out: batches are joined"),
    "batch_eval_metrics": (_NOTHING, "use preprocess_logits_for_metrics to keep less"),
    "enable_jit_checkpoint": (_NOTHING, "Ctrl-C ends a run with a checkpoint"),
    "ignore_data_skip": (_NOTHING, "a resumed run goes on behind the last batch"),
    "accelerator_config": (_NOTHING, "leave it out"),
    "parallelism_config": (_NOTHING, "one process trains"),
    "fsdp": (_NOTHING, "one process trains"),
    "fsdp_config": (_NOTHING, "one process trains"),
    "deepspeed": (_NOTHING, "use memory_budget, which also puts state into files"),
    "debug": (_NOTHING, "use deepseek.debug"),
    "trackio_space_id": ((*_NOTHING, "trackio"), "use report_to='tensorboard'"),
    "trackio_bucket_id": (_NOTHING, "use report_to='tensorboard'"),
    "trackio_static_space_id": (_NOTHING, "use report_to='tensorboard'"),
}


@dataclass(init=False)
class TrainingArguments:
    """How to train; the guide explains every argument. output_dir: checkpoints and the trained
    model go there.

    ValueError for a value that makes no sense and for arguments of transformers that are not
    supported, TypeError for unknown ones."""

    output_dir: str | os.PathLike = "trainer_output"
    do_train: bool = False
    do_eval: bool = False
    do_predict: bool = False
    # How long and with what.
    num_train_epochs: float = 3.0
    max_steps: int = -1
    per_device_train_batch_size: int | str = 8
    per_device_eval_batch_size: int = 8
    auto_find_batch_size: bool = False
    effective_batch_size: int | None = None
    gradient_accumulation_steps: int = 1
    max_length: int | None = None
    doc_stride: int | None = None
    # The optimizer.
    optim: str = "adamw_torch"
    optim_args: str | None = None
    learning_rate: float = 5e-5
    weight_decay: float = 0.0
    adam_beta1: float = 0.9
    adam_beta2: float = 0.999
    adam_epsilon: float = 1e-8
    max_grad_norm: float = 1.0
    label_smoothing_factor: float = 0.0
    lr_scheduler_type: str = "linear"
    lr_scheduler_kwargs: Mapping | None = None
    warmup_steps: float = 0
    warmup_ratio: float = 0.0
    # Precision and memory.
    bf16: bool = False
    fp16: bool = False
    gradient_checkpointing: bool = False
    memory_budget: int | str | None = None
    # Evaluation, checkpoints, logs.
    eval_strategy: str = "epoch"
    eval_steps: float | None = None
    eval_delay: float = 0
    eval_on_start: bool = False
    prediction_loss_only: bool = False
    include_for_metrics: Sequence[str] = ()
    save_strategy: str = "epoch"
    save_steps: float = 500
    save_total_limit: int | None = None
    save_only_model: bool = False
    load_best_model_at_end: bool = False
    metric_for_best_model: str | None = None
    greater_is_better: bool | None = None
    resume_from_checkpoint: str | bool | None = None
    logging_strategy: str = "epoch"
    logging_steps: float = 500
    logging_first_step: bool = False
    logging_dir: str | os.PathLike | None = None
    report_to: str | Sequence[str] | None = "none"
    disable_tqdm: bool = False
    # The hub.
    push_to_hub: bool = False
    hub_model_id: str | None = None
    hub_strategy: str = "every_save"
    hub_token: str | None = None
    hub_private_repo: bool | None = None
    hub_revision: str | None = None
    # Data.
    seed: int = 42
    data_seed: int | None = None
    train_sampling_strategy: str = "random"
    group_by_length: bool = False
    length_column_name: str = "length"
    remove_unused_columns: bool = True
    label_names: Sequence[str] | None = None
    dataloader_drop_last: bool = False
    dataloader_num_workers: int = 0
    dataloader_prefetch_factor: int | None = None
    dataloader_multiprocessing_context: str | None = None

    def __init__(self, *values, **named):
        fields = [field.name for field in dataclasses.fields(self)]
        if len(values) > 1:
            raise TypeError("TrainingArguments: only output_dir may be given without its name")
        given = {**dict(zip(fields, values, strict=False)), **named}
        for name in [name for name in given if name not in fields]:
            _refuse(name, given.pop(name), fields)
        for field in dataclasses.fields(self):
            value = given.get(field.name, field.default)
            # Enumerations of transformers, such as IntervalStrategy.STEPS, hold the text.
            setattr(self, field.name, getattr(value, "value", value))
        for kind in ("eval", "save", "logging"):  # whoever says how often means steps
            if given.get(f"{kind}_steps") is not None and f"{kind}_strategy" not in given:
                setattr(self, f"{kind}_strategy", "steps")
        self._check()
        self._complete()

    def _check(self) -> None:
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise _core.ValueError(
                    f"TrainingArguments: {name} {getattr(self, name)!r} is unknown; use "
                    f"{', '.join(choices)}"
                )
        for name in _POSITIVE:
            value = getattr(self, name)
            fits = value is None or name == "per_device_train_batch_size" and value == "auto"
            if not fits and (not isinstance(value, int) or value < 1):
                raise _core.ValueError(
                    f"TrainingArguments: {name} {value!r} must be a positive integer"
                )
        for name in _NOT_NEGATIVE:
            value = getattr(self, name)
            if not isinstance(value, int | float) or not value >= 0:
                raise _core.ValueError(
                    f"TrainingArguments: {name} {value!r} must be a number that is not negative"
                )
        for name in ("eval_steps", "save_steps", "logging_steps"):
            value = getattr(self, name)
            if value is not None and not (value > 0 and (value < 1 or value == int(value))):
                raise _core.ValueError(
                    f"TrainingArguments: {name} {value!r} must be a positive number of steps, or "
                    "below 1 a share of all"
                )
        if not 0 <= self.label_smoothing_factor < 1:
            raise _core.ValueError(
                f"TrainingArguments: label_smoothing_factor {self.label_smoothing_factor!r} must "
                "be at least 0 and below 1"
            )
        if self.max_steps == 0 or self.max_steps < -1:
            raise _core.ValueError(
                f"TrainingArguments: max_steps {self.max_steps!r} must be positive, or -1 to train "
                "num_train_epochs"
            )
        if self.bf16 and self.fp16:
            raise _core.ValueError("TrainingArguments: choose bf16 or fp16, not both")
        automatic = self.per_device_train_batch_size == "auto"
        if automatic and self.gradient_accumulation_steps != 1:
            raise _core.ValueError(
                "TrainingArguments: with per_device_train_batch_size 'auto' leave out "
                "gradient_accumulation_steps and set effective_batch_size"
            )
        if self.effective_batch_size is not None and not automatic:
            raise _core.ValueError(
                "TrainingArguments: effective_batch_size belongs to per_device_train_batch_size "
                "'auto'; otherwise set gradient_accumulation_steps"
            )
        unknown = set(self.include_for_metrics) - {"inputs", "loss"}
        if unknown:
            raise _core.ValueError(
                f"TrainingArguments: include_for_metrics has {sorted(unknown)[0]!r}; it may hold "
                "'inputs' and 'loss'"
            )

    def _complete(self) -> None:
        """Values that follow from others."""
        if self.group_by_length:
            self.train_sampling_strategy = "group_by_length"
        self.group_by_length = self.train_sampling_strategy == "group_by_length"
        if self.eval_strategy == "steps" and self.eval_steps is None:
            self.eval_steps = self.logging_steps
        targets = [self.report_to] if isinstance(self.report_to, str) else self.report_to or []
        self.report_to = [target for target in targets if target != "none"]
        unknown = [t for t in self.report_to if t not in ("tensorboard", "all")]
        if unknown:
            raise _core.ValueError(
                f"TrainingArguments: report_to {unknown[0]!r} is not supported; use 'tensorboard' "
                "or 'none', or pass a TrainerCallback with on_log()"
            )
        if self.logging_dir is None:
            self.logging_dir = os.path.join(self.output_dir, "runs")
        if self.load_best_model_at_end:
            self._check_best()
        if self.metric_for_best_model is None and (
            self.load_best_model_at_end or self.save_strategy == "best"
        ):
            self.metric_for_best_model = "loss"
        if self.greater_is_better is None and self.metric_for_best_model is not None:
            self.greater_is_better = not self.metric_for_best_model.endswith("loss")

    def _check_best(self) -> None:
        """The best model can be loaded only where a checkpoint follows each evaluation."""
        fact = "TrainingArguments: load_best_model_at_end needs "
        if self.eval_strategy == "no":
            raise _core.ValueError(f"{fact}evaluations; set eval_strategy")
        if self.save_strategy == "best":
            return
        if self.save_strategy != self.eval_strategy:
            raise _core.ValueError(
                f"{fact}save_strategy {self.save_strategy!r} to be eval_strategy "
                f"{self.eval_strategy!r}, or 'best'"
            )
        if self.eval_strategy == "steps" and self.eval_steps >= 1 and self.save_steps >= 1:
            if self.save_steps % self.eval_steps:
                raise _core.ValueError(
                    f"{fact}save_steps {self.save_steps} to be a multiple of eval_steps "
                    f"{self.eval_steps}"
                )

    def get_warmup_steps(self, num_training_steps: int) -> int:
        """Steps in which the rate rises: warmup_steps, or the share of all that it or warmup_ratio
        names."""
        if self.warmup_steps >= 1:
            return int(self.warmup_steps)
        return math.ceil(num_training_steps * (self.warmup_steps or self.warmup_ratio))

    @property
    def train_batch_size(self) -> int | str:
        """Rows of a batch: one device trains."""
        return self.per_device_train_batch_size

    @property
    def eval_batch_size(self) -> int:
        return self.per_device_eval_batch_size

    def to_dict(self) -> dict:
        """All arguments as plain values."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {
            name: os.fspath(value) if isinstance(value, os.PathLike) else value
            for name, value in values.items()
        }

    def to_json_string(self) -> str:
        return json.dumps(self.to_dict(), indent=2)


def _refuse(name: str, value, fields: list[str]) -> None:
    """An error for an argument that is none of ours, unless it asks for nothing."""
    if name in WITHOUT_EFFECT:
        return
    if name not in UNSUPPORTED:
        close = difflib.get_close_matches(name, [*fields, "eval_strategy"], 1)
        hint = f"; is {close[0]} meant?" if close else ""
        raise TypeError(f"TrainingArguments: the argument '{name}' is unknown{hint}")
    neutral, advice = UNSUPPORTED[name]
    if getattr(value, "value", value) not in neutral:
        raise _core.ValueError(f"TrainingArguments: {name}={value!r} is not supported; {advice}")
