# SPDX-License-Identifier: Apache-2.0
"""The command `deepseek finetune`: a pretrained model on a folder of images or tables of text."""

import argparse
import json
import os
import shutil
import sys

from . import _core, data, datasets, models, nn, optim
from . import transforms as t
from ._trainer import Trainer, TrainingArguments
from ._trainer.rows import _TAGS, _WORDS, LABELS, require_labels
from .models._files import read_config
from .models.registry import SOURCES
from .pipelines import TASKS
from .train import MixedPrecisionTrainer

_TEXT_TASKS = {
    "text-classification": models.AutoModelForSequenceClassification,
    "token-classification": models.AutoModelForTokenClassification,
    "question-answering": models.AutoModelForQuestionAnswering,
    "fill-mask": models.AutoModelForMaskedLM,
    "text-generation": models.AutoModelForCausalLM,
    "text2text-generation": models.AutoModelForSeq2SeqLM,
}
#: Tasks whose measure is the loss alone, and whose models keep their head.
_OWN_HEAD = ("fill-mask", "text-generation", "text2text-generation")


def add_command(commands) -> None:
    """`deepseek finetune` and its options."""
    command = commands.add_parser(
        "finetune",
        help="adapt a pretrained model to your images or texts",
        description="Images are in folders named after their class, in train/ and test/ or in one "
        "folder of which a fifth is held out. Texts are in train.csv and test.csv (or tsv, json, "
        "jsonl). Their columns tell the task: a text and label; tokens and tags; question, context "
        "and answers. For fill-mask and text-generation (a column of text) and for "
        "text2text-generation (two of them) name it by --task. Ctrl-C keeps a checkpoint, and "
        "--resume goes on from there.",
    )
    command.set_defaults(run=run)
    command.add_argument(
        "model", help="a name `deepseek models list` shows, a model's folder, or owner/name"
    )
    command.add_argument("--data", required=True, metavar="FOLDER", help="your data")
    command.add_argument(
        "--task", choices=list(_TEXT_TASKS), help="what texts are for (default: by their columns)"
    )
    command.add_argument(
        "--resume", action="store_true", help="go on from the last checkpoint in --out"
    )
    command.add_argument("--out", default="results", help="folder (default %(default)s)")
    command.add_argument("--epochs", type=int, default=3, help="default %(default)s")
    command.add_argument("--batch-size", type=int, default=16, help="default %(default)s")
    command.add_argument("--lr", type=float, help="default 5e-5 for texts, 3e-4 for images")
    command.add_argument("--weight-decay", type=float, default=0.01, help="default %(default)s")
    command.add_argument("--max-length", type=int, help="tokens of a text")
    command.add_argument("--workers", type=int, default=1, help="threads that load images")
    command.add_argument("--bf16", action="store_true", help="compute in 16 bits")
    command.add_argument("--seed", type=int, default=42, help="default %(default)s")
    command.add_argument("--quiet", action="store_true", help="show no progress")
    command.add_argument("--json", action="store_true", help="print the result as JSON")


def run(args: argparse.Namespace) -> int:
    """Trains, saves and prints what the held-out data say."""
    if not os.path.isdir(args.data):
        raise _core.IOError(f"finetune: {args.data} is no folder")
    name = args.model
    if not os.path.isdir(name) and name.lower() in SOURCES:
        name = f"deepseek/{name}"
    _core.manual_seed(args.seed)
    images = models.AutoModelForImageClassification.takes(read_config(name))
    if images and args.task:
        raise _core.ValueError(f"finetune: {name} takes images; --task is for texts")
    task, metrics = ("image-classification", _images(name, args)) if images else _texts(name, args)
    if metrics is None:
        print(f"stopped; the same command with --resume goes on from {args.out}", file=sys.stderr)
        return 130
    if args.json:
        print(json.dumps({"task": task, "out": args.out, **metrics}))
        return 0
    print("held out: " + ", ".join(f"{key} {value:.4f}" for key, value in metrics.items()))
    use = f"deepseek.pipeline('{task}', '{args.out}')"
    if task not in TASKS:
        use = f"deepseek.models.{_TEXT_TASKS[task].__name__}.from_pretrained('{args.out}')"
    print(f"saved {args.out}; use it with {use}")
    return 0


class _Classes(nn.Module):
    """A model of images whose output is its logits."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, images):
        output = self.model(images)
        return getattr(output, "logits", output)


def _images(name: str, args: argparse.Namespace) -> dict | None:
    """What held-out images say; None for a run that was stopped."""
    kept = os.path.join(args.out, "checkpoint")
    if args.resume and not os.path.isdir(kept):
        raise _core.IOError(f"finetune: {args.out} has no checkpoint to go on from")
    split = datasets.load(f"imagefolder:{args.data}")
    model = models.AutoModelForImageClassification.from_pretrained(
        name, num_labels=len(split.classes), ignore_mismatched_sizes=True
    )
    model.config.id2label = dict(enumerate(split.classes))
    processor = models.ImageProcessor.of_model(model)
    prepare = processor.preparation
    gray = [t.Grayscale(1)] if prepare.channels == 1 else []
    end = [*gray, t.ToTensor(), prepare.normalize]
    size = tuple(prepare.crop or (224, 224))
    change = t.Compose(
        [t.RandomResizedCrop(size, scale=(0.5, 1.0)), t.RandomHorizontalFlip(), *end]
    )
    same = t.Compose([prepare.resize, t.CenterCrop(size), *end])
    split = datasets.load(f"imagefolder:{args.data}", transform=change, test_transform=same)

    def loader(part, **more):
        return data.DataLoader(part, batch_size=args.batch_size, num_workers=args.workers, **more)

    train = loader(split.train, shuffle=True, seed=args.seed)
    optimizer = optim.AdamW(model.parameters(), lr=args.lr or 3e-4, weight_decay=args.weight_decay)
    steps = max(len(train) * args.epochs, 1)
    trainer = MixedPrecisionTrainer(
        _Classes(model).train(),
        optimizer,
        fp16_layers=["conv", "linear", "attention"] if args.bf16 else [],
        dtype=_core.bfloat16 if args.bf16 else None,
        scheduler=optim.lr_scheduler.cosine_with_warmup(optimizer, steps // 10, steps),
        metrics=["accuracy"],
        max_grad_norm=1.0,
        progress=not args.quiet,
        checkpoint_dir=kept,
        resume=args.resume,
    )
    held_out = loader(split.test)
    trainer.fit(train, args.epochs)
    if trainer.interrupted:
        return None
    metrics = trainer.evaluate(held_out)
    model.save_pretrained(args.out)
    processor.save_pretrained(args.out)
    shutil.rmtree(kept)
    return metrics


def _task_of(rows, args: argparse.Namespace) -> str:
    """What the columns of a table are for."""
    names = set(rows.column_names)
    if {"question", "context"} <= names:
        return "question-answering"
    if names & set(_WORDS) and isinstance(rows[0][min(names & set(_WORDS))], list):
        return "token-classification"
    if names & set(LABELS):
        return "text-classification"
    raise _core.ValueError(
        f"finetune: {args.data} has the columns {', '.join(rows.column_names)}; one of them must "
        f"be called {', '.join(LABELS[:-1])} or {LABELS[-1]}, or name the --task"
    )


def _classes(rows, names) -> dict:
    """num_labels and, for numbers with a fraction, the kind of problem, of the first of these
    columns."""
    label = next((name for name in names if name in rows.column_names), None)
    if label is None:
        raise _core.ValueError(
            f"finetune: there is no column {', '.join(names[:-1])} or {names[-1]} among "
            f"{', '.join(rows.column_names)}"
        )
    values = rows[label]
    if values and isinstance(values[0], list):
        values = [value for row in values for value in row]
    require_labels(values, label)
    if any(isinstance(value, str) for value in values):
        return {"num_labels": len(set(map(str, values)))}
    if any(value != int(value) for value in values):
        return {"num_labels": 1, "problem_type": "regression"}
    return {"num_labels": int(max(values)) + 1}


def _texts(name: str, args: argparse.Namespace) -> tuple[str, dict | None]:
    """The task and what held-out rows say; None for a run that was stopped."""
    tables = datasets.load_dataset(args.data)
    if "train" not in tables:
        raise _core.IOError(f"finetune: {args.data} has no train.csv (or tsv, json, jsonl)")
    train = tables["train"]
    if len(train) == 0:
        raise _core.ValueError(f"finetune: the training table of {args.data} has no rows")
    held_out = next((tables[key] for key in ("test", "validation") if key in tables), None)
    task = args.task or _task_of(train, args)
    more: dict = {}
    if task == "text-classification":
        more = _classes(train, LABELS)
    elif task == "token-classification":
        more = _classes(train, _TAGS)
    model = _TEXT_TASKS[task].from_pretrained(
        name, ignore_mismatched_sizes=task not in _OWN_HEAD, **more
    )
    trainer = Trainer(
        model=model,
        train_dataset=train,
        eval_dataset=held_out,
        args=TrainingArguments(
            output_dir=args.out,
            num_train_epochs=args.epochs,
            per_device_train_batch_size=args.batch_size,
            per_device_eval_batch_size=args.batch_size,
            learning_rate=args.lr or 5e-5,
            weight_decay=args.weight_decay,
            warmup_ratio=0.06,
            max_length=args.max_length,
            bf16=args.bf16,
            seed=args.seed,
            eval_strategy="no",
            save_strategy="no",
            disable_tqdm=args.quiet,
        ),
    )
    result = trainer.train(resume_from_checkpoint=args.resume or None)
    if trainer.state.global_step < trainer.state.max_steps:
        return task, None
    found = trainer.evaluate() if held_out is not None else {"train_loss": result.training_loss}
    return task, found
