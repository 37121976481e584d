# SPDX-License-Identifier: Apache-2.0
"""What Trainer is made of: its data, collators, optimizer and schedule."""

from __future__ import annotations

import inspect
import random
import re
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from .. import _core, nn
from ..amp import GradScaler
from ..data import BucketBatchSampler, DataLoader, IterableDataset
from ..train import MixedPrecisionTrainer
from .arguments import TrainingArguments
from .callbacks import (
    CallbackHandler,
    DefaultFlowCallback,
    PrinterCallback,
    ProgressCallback,
    TensorBoardCallback,
    TrainerControl,
    TrainerState,
)
from .collators import (
    DataCollatorForLanguageModeling,
    DataCollatorForMultipleChoice,
    DataCollatorForSeq2Seq,
    DataCollatorWithPadding,
    default_data_collator,
)
from .rows import column, plain_model, rows_of, task_of
from .schedules import make_scheduler, optimizer_class

_NO_DECAY = re.compile(r"bias|layernorm|rmsnorm|(^|\.)norm($|\.)|_norm($|\.)", re.IGNORECASE)


def set_seed(seed: int) -> None:
    """Seeds what chooses at random here, in NumPy and in Python."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    _core.manual_seed(seed)


class TrainerSetup:
    """Everything of Trainer but the loop and evaluation."""

    def __init__(
        self,
        model=None,
        args: TrainingArguments | None = None,
        data_collator: Callable | None = None,
        train_dataset=None,
        eval_dataset=None,
        processing_class=None,
        model_init: Callable | None = None,
        compute_loss_func: Callable | None = None,
        compute_metrics: Callable | None = None,
        callbacks: Sequence | None = None,
        optimizers: tuple = (None, None),
        optimizer_cls_and_kwargs: tuple[type, dict] | None = None,
        preprocess_logits_for_metrics: Callable | None = None,
        **others,
    ):
        for name in others:
            hint = "; give it as processing_class" if name == "tokenizer" else ""
            raise TypeError(f"Trainer: the argument '{name}' is unknown{hint}")
        self.args = TrainingArguments() if args is None else args
        if not isinstance(self.args, TrainingArguments):
            raise TypeError(
                f"Trainer: args is a {type(args).__name__}; give TrainingArguments(...)"
            )
        if model is not None and not isinstance(model, nn.Module):
            what = "a class" if isinstance(model, type) else f"a {type(model).__name__}"
            raise TypeError(
                f"Trainer: model is {what}; give a model, for example that of "
                "AutoModelForSequenceClassification.from_pretrained(name)"
            )
        if (model is None) == (model_init is None):
            raise _core.ValueError("Trainer: give a model, or a function model_init that makes it")
        if data_collator is not None and not callable(data_collator):
            raise TypeError(
                f"Trainer: data_collator is a {type(data_collator).__name__}, not a function; name "
                "the data set, train_dataset=..."
            )
        self.model_init = model_init
        self.model = model if model is not None else self._made_model()
        self.data_collator = data_collator
        self.train_dataset, self.eval_dataset = train_dataset, eval_dataset
        self.processing_class = processing_class or self._own_tokenizer()
        self.compute_loss_func, self.compute_metrics = compute_loss_func, compute_metrics
        self.preprocess_logits_for_metrics = preprocess_logits_for_metrics
        self.optimizer, self.lr_scheduler = optimizers
        self._own_optimizer, self._own_scheduler = (made is None for made in optimizers)
        self.optimizer_cls_and_kwargs = optimizer_cls_and_kwargs
        if self.args.eval_strategy == "steps" and eval_dataset is None:
            raise _core.ValueError("Trainer: eval_strategy 'steps' needs an eval_dataset")
        self._task = task_of(self.model)
        self._limit = self._longest()
        self._scaler = GradScaler(init_scale=65536.0) if self.args.fp16 else None
        self.state, self.control = TrainerState(), TrainerControl()
        self.is_in_train = False
        self._train_dataloader = self._eval_dataloader = None
        shown = PrinterCallback if self.args.disable_tqdm else ProgressCallback
        board = [TensorBoardCallback] if self.args.report_to else []
        self.callback_handler = CallbackHandler(
            [DefaultFlowCallback, *board, *(callbacks or ()), shown]
        )
        self._call("on_init_end")

    # --- what it is made of ---

    #: The run of hyperparameter_search() that a model is made for.
    _trial = None

    def _made_model(self):
        set_seed(self.args.seed)
        takes_trial = bool(inspect.signature(self.model_init).parameters)
        return self.model_init(self._trial) if takes_trial else self.model_init()

    def _own_tokenizer(self):
        from ..models import AutoTokenizer

        source = getattr(plain_model(self.model), "name_or_path", None)
        if not source or task_of(self.model) == "image":
            return None
        try:
            return AutoTokenizer.from_pretrained(source)
        except (_core.IOError, _core.NotImplementedError):
            return None

    def _longest(self) -> int | None:
        """Tokens of a text, at most."""
        config = getattr(self.model, "config", None)
        limit = getattr(config, "max_position_embeddings", None)
        if limit and getattr(config, "model_type", "") == "roberta":  # behind those of padding
            limit -= config.pad_token_id + 1
        own = getattr(self.processing_class, "model_max_length", None)
        return min(filter(None, (self.args.max_length, limit, own)), default=None)

    def _call(self, event: str, **more) -> None:
        more = {
            "model": self.model,
            "processing_class": self.processing_class,
            "optimizer": self.optimizer,
            "lr_scheduler": self.lr_scheduler,
            "train_dataloader": self._train_dataloader,
            "eval_dataloader": self._eval_dataloader,
            **more,
        }
        self.control = self.callback_handler.call(
            event, self.args, self.state, self.control, **more
        )

    def add_callback(self, callback) -> None:
        """Adds a TrainerCallback, or one of that class."""
        self.callback_handler.add(callback)

    def pop_callback(self, callback):
        """Takes out a callback, or the first of a class, and returns it."""
        return self.callback_handler.pop(callback)

    def remove_callback(self, callback) -> None:
        """Takes out a callback, or the first of a class."""
        self.callback_handler.pop(callback)

    @property
    def log_history(self) -> list[dict]:
        """All logs so far."""
        return self.state.log_history

    @property
    def _half(self) -> bool:
        return self.args.bf16 or self.args.fp16

    # --- data ---

    def _rows(self, dataset, training: bool):
        return rows_of(
            dataset,
            self.model,
            self.processing_class,
            self._limit,
            training=training,
            everything=not self.args.remove_unused_columns,
            label_names=self.args.label_names,
            stride=self.args.doc_stride,
            collated=self.data_collator is not None,
        )

    def _collator(self, rows) -> Callable:
        """The collator that was given, or one that fits the rows and the model's head."""
        if self.data_collator is not None:
            return self.data_collator
        row = next(iter(rows), {}) if isinstance(rows, IterableDataset) else rows[0]
        if not isinstance(row, Mapping) or "input_ids" not in row:
            return default_data_collator
        config = getattr(self.model, "config", None)
        tokenizer = self.processing_class
        if getattr(tokenizer, "pad_token_id", None) is None:
            tokenizer = getattr(config, "pad_token_id", None) or 0
        labelled = "labels" in row or "label" in row
        if self._task in ("causal", "masked") and not labelled:
            mlm = self._task == "masked"
            return DataCollatorForLanguageModeling(self.processing_class or tokenizer, mlm=mlm)
        kind = DataCollatorForSeq2Seq if self._task == "seq2seq" else DataCollatorWithPadding
        if type(plain_model(self.model)).__name__.endswith("ForMultipleChoice"):
            kind = DataCollatorForMultipleChoice
        made = kind(tokenizer, max_length=self._limit)
        made.pad_labels = self._task != "classification"
        return made

    def _loader(self, dataset, batch_size, training: bool, shuffle: bool = False, **more):
        a = self.args
        rows = self._rows(dataset, training)
        if isinstance(rows, IterableDataset):
            shuffle = False
        return DataLoader(
            rows,
            batch_size=batch_size,
            shuffle=shuffle,
            collate_fn=self._collator(rows),
            seed=a.seed if a.data_seed is None else a.data_seed,
            num_workers=a.dataloader_num_workers,
            prefetch_factor=a.dataloader_prefetch_factor,
            multiprocessing_context=a.dataloader_multiprocessing_context,
            **more,
        )

    def get_train_dataloader(self) -> DataLoader:
        """Batches of train_dataset in the order of train_sampling_strategy, of as many rows as fit
        where that is "auto"."""
        a = self.args
        automatic = a.per_device_train_batch_size == "auto" or a.auto_find_batch_size
        together = a.effective_batch_size
        if a.auto_find_batch_size and a.per_device_train_batch_size != "auto":
            together = a.per_device_train_batch_size * a.gradient_accumulation_steps
        self._together, self._sizes = together, None
        loader = self._loader(
            self.train_dataset,
            "auto" if automatic else a.per_device_train_batch_size,
            True,
            a.train_sampling_strategy == "random",
            drop_last=a.dataloader_drop_last,
            **({"effective_batch_size": together} if automatic else {}),
        )
        rows = loader.dataset
        if not (automatic or a.group_by_length) or isinstance(rows, IterableDataset):
            return loader
        lengths = self._lengths(rows)
        if automatic:
            self.create_optimizer()
            longest = rows[max(range(len(rows)), key=lengths.__getitem__)]
            self._find_batch_size(loader, longest)
        if not a.group_by_length:
            return loader
        sampler = BucketBatchSampler(lengths, loader.batch_size, seed=loader._seed)
        return DataLoader(
            rows,
            batch_sampler=sampler,
            collate_fn=loader.collate_fn,
            seed=loader._seed,
            num_workers=a.dataloader_num_workers,
        )

    def _lengths(self, rows) -> list[int]:
        """Tokens of every row: of length_column_name where there is one."""
        names = getattr(self.train_dataset, "column_names", ())
        if self.args.length_column_name in names:
            return [int(n) for n in column(self.train_dataset, self.args.length_column_name)]
        first = rows[0]
        if "input_ids" not in first:
            return [1] * len(rows)
        return [len(rows[i]["input_ids"]) for i in range(len(rows))]

    def _find_batch_size(self, loader, longest) -> None:
        half = _core.bfloat16 if self.args.bf16 else _core.float16
        self._sizes = MixedPrecisionTrainer(
            self.model,
            self.optimizer,
            fp16_layers=("conv", "linear", "attention") if self._half else (),
            dtype=half if self._half else None,
            forward=lambda model, batch: self.compute_loss(model, dict(batch)),
            memory_budget=self._memory_limit(),
            progress=False,
        )
        size = self._sizes.find_batch_size(loader, longest)
        if loader.effective_batch_size is None:
            # The schedule counts steps, so all have the rows of the first.
            loader.effective_batch_size = size

    def _memory_limit(self) -> int | str | None:
        """The memory budget of a run; None leaves the one that holds."""
        a = self.args
        again = a.gradient_checkpointing or getattr(self.model, "is_gradient_checkpointing", False)
        return a.memory_budget or ("auto" if again else None)

    def get_eval_dataloader(self, eval_dataset=None) -> DataLoader:
        """Batches of eval_dataset, or of another one, in order."""
        dataset = self.eval_dataset if eval_dataset is None else eval_dataset
        return self._loader(dataset, self.args.per_device_eval_batch_size, False)

    def get_test_dataloader(self, test_dataset) -> DataLoader:
        """Batches of a data set, in order."""
        return self._loader(test_dataset, self.args.per_device_eval_batch_size, False)

    # --- optimizer and schedule ---

    def num_examples(self, dataloader) -> int:
        """Rows that a loader goes through; those of an endless one are not known: TypeError."""
        return len(dataloader.dataset)

    def get_num_trainable_parameters(self) -> int:
        return sum(p.numel() for p in self.model.parameters() if p.requires_grad)

    def get_learning_rates(self) -> list[float]:
        """Of each group of the optimizer; ValueError before train() made one."""
        if self.optimizer is None:
            raise _core.ValueError("Trainer: there is no optimizer yet; call train() first")
        return [group["lr"] for group in self.optimizer.param_groups]

    def is_world_process_zero(self) -> bool:
        """True: one process trains."""
        return True

    is_local_process_zero = is_world_process_zero

    def get_decay_parameter_names(self, model) -> list[str]:
        """Parameters that decay: all but those of layer norms and those whose name is a bias' or a
        norm's."""
        norms = tuple(
            f"{name}."
            for name, module in model.named_modules()
            if isinstance(module, nn.LayerNorm) or type(module).__name__ == "LayerNorm2d"
        )
        return [
            name
            for name, _ in model.named_parameters()
            if not name.startswith(norms) and not _NO_DECAY.search(name)
        ]

    def create_optimizer(self):
        """What the arguments name, unless an optimizer was given."""
        if self.optimizer is None:
            named = {n: p for n, p in self.model.named_parameters() if p.requires_grad}
            decayed = set(self.get_decay_parameter_names(self.model))
            parts = (
                (self.args.weight_decay, [p for n, p in named.items() if n in decayed]),
                (0.0, [p for n, p in named.items() if n not in decayed]),
            )
            groups = [{"params": params, "weight_decay": rate} for rate, params in parts if params]
            if not groups:
                raise _core.ValueError("Trainer: no parameter of the model requires a gradient")
            kind, options = self.optimizer_cls_and_kwargs or optimizer_class(self.args)
            self.optimizer = kind(groups, **options)
        return self.optimizer

    def create_scheduler(self, num_training_steps: int):
        """The schedule of the arguments, unless one was given."""
        if self.lr_scheduler is None:
            a = self.args
            self.lr_scheduler = make_scheduler(
                a.lr_scheduler_type,
                self.optimizer,
                a.get_warmup_steps(num_training_steps),
                num_training_steps,
                a.lr_scheduler_kwargs,
            )
        return self.lr_scheduler

    def create_optimizer_and_scheduler(self, num_training_steps: int) -> None:
        """Optimizer and schedule of the arguments, unless they were given."""
        self.create_optimizer()
        self.create_scheduler(num_training_steps)
