# SPDX-License-Identifier: Apache-2.0
"""README.md of a trained model: what it is, what it was trained on and how, and what it reached."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from .. import _core
from .._whole_file import write_text
from .rows import plain_model

#: The task of a hub that a head is for.
_TASKS = {
    "causal": ("text-generation", "Causal Language Modeling"),
    "masked": ("fill-mask", "Masked Language Modeling"),
    "tokens": ("token-classification", "Token Classification"),
    "answers": ("question-answering", "Question Answering"),
    "seq2seq": ("text2text-generation", "Sequence-to-sequence Language Modeling"),
    "classification": ("text-classification", "Text Classification"),
    "image": ("image-classification", "Image Classification"),
}
#: What logs have beside metrics.
_NO_METRICS = ("epoch", "step", "runtime", "samples_per_second", "steps_per_second")
_UNKNOWN = "More information needed"


def _list(value) -> list:
    return [value] if isinstance(value, str) else list(value or ())


def _title(name: str) -> str:
    return name.removeprefix("eval_").replace("_", " ").capitalize()


def _number(value) -> str:
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def _metrics(log: dict) -> dict:
    """The numbers of an evaluation, without its speed."""
    return {
        name.removeprefix("eval_"): value
        for name, value in log.items()
        if name.startswith("eval_") and name.removeprefix("eval_") not in _NO_METRICS
    }


def _yaml(values: dict, depth: int = 0) -> list[str]:
    """Lines of YAML: dicts, lists of texts or dicts, texts and numbers."""
    lines, space = [], "  " * depth
    for name, value in values.items():
        if isinstance(value, dict):
            lines += [f"{space}{name}:", *_yaml(value, depth + 1)]
        elif isinstance(value, list):
            lines.append(f"{space}{name}:")
            for item in value:
                if isinstance(item, dict):
                    first, *rest = _yaml(item, depth + 1)
                    lines += [f"{space}- {first.lstrip()}", *rest]
                else:
                    lines.append(f"{space}- {json.dumps(item, ensure_ascii=False)}")
        else:
            lines.append(f"{space}{name}: {json.dumps(value, ensure_ascii=False)}")
    return lines


class ModelCard:
    """create_model_card() of Trainer."""

    def create_model_card(
        self,
        language: str | Sequence[str] | None = None,
        license: str | None = None,
        tags: str | Sequence[str] | None = None,
        model_name: str | None = None,
        finetuned_from: str | None = None,
        tasks: str | Sequence[str] | None = None,
        dataset_tags: str | Sequence[str] | None = None,
        dataset: str | Sequence[str] | None = None,
        dataset_args: str | Sequence[str] | None = None,
    ) -> None:
        """Writes README.md into output_dir, in the form that hubs read: languages, licence, tags,
        the model it was made from (by default the one it was loaded from), data sets, the metrics
        of the best or last evaluation, the arguments of training and all evaluations.

        dataset_tags: ids of the data sets on a hub; dataset: their names for people. A README.md
        that was written by hand stays as it is: ValueError."""
        path = Path(self.args.output_dir) / "README.md"
        if path.is_file() and "generated_from_trainer" not in path.read_text("utf-8"):
            raise _core.ValueError(
                f"Trainer: {path} was not written by create_model_card(); move it away first"
            )
        base = finetuned_from or self._loaded_from()
        name = model_name or Path(self.args.output_dir).resolve().name
        names, ids = _list(dataset), _list(dataset_tags)
        task = _list(tasks)[:1] or [_TASKS.get(self._task, ("", ""))[0]]
        head: dict = {"library_name": self._library_of()}
        for key, value in (
            ("language", _list(language)),
            ("license", license),
            ("base_model", base),
            ("tags", ["generated_from_trainer", *_list(tags)]),
            ("datasets", ids),
            ("metrics", [n for n in self._reached() if n != "loss"]),
            ("pipeline_tag", task[0]),
            ("model-index", self._index(name, task[0], names, ids, _list(dataset_args))),
        ):
            if value:
                head[key] = value
        path.parent.mkdir(parents=True, exist_ok=True)
        text = "\n".join(["---", *_yaml(head), "---", "", *self._card_lines(name, base, names)])
        write_text(path, text)

    def _loaded_from(self) -> str | None:
        """The repository the model was loaded from; a folder of this machine tells nobody."""
        name = getattr(plain_model(self.model), "name_or_path", "") or ""
        return name if name and not Path(name).exists() else None

    def _library_of(self) -> str:
        """The library, as hubs call it, that reads the files too."""
        if hasattr(self.model, "peft_config"):
            return "peft"
        return (
            "timm"
            if hasattr(getattr(self.model, "config", None), "architecture")
            else ("transformers")
        )

    def _evaluations(self) -> list[dict]:
        return [log for log in self.state.log_history if "eval_loss" in log]

    def _reached(self) -> dict:
        """The metrics of the best evaluation, or of the last."""
        logs, best = self._evaluations(), self.state.best_global_step
        chosen = [log for log in logs if log["step"] == best] if best else []
        return _metrics((chosen or logs or [{}])[-1])

    def _index(self, name: str, task: str, names: list, ids: list, args: list) -> list:
        """The results as hubs list them; nothing without task, data set and metrics."""
        found = {n: v for n, v in self._reached().items() if n != "loss"}
        if not (task and ids and found):
            return []
        titles = {kind: title for kind, title in _TASKS.values()}
        data: dict = {"name": (names or ids)[0], "type": ids[0]}
        if args:
            data["args"] = args[0]
        result = {
            "task": {"name": titles.get(task, task), "type": task},
            "dataset": data,
            "metrics": [
                {"name": _title(n), "type": n, "value": float(v)}
                for n, v in found.items()
                if isinstance(v, int | float | np.number)
            ],
        }
        return [{"name": name, "results": [result]}]

    def _card_lines(self, name: str, base: str | None, names: list) -> list[str]:
        data = f"the {' and the '.join(names)} dataset" if names else "an unknown dataset"
        begun = "trained from scratch"
        if base is not None:
            begun = f"a fine-tuned version of {base}"
        elif getattr(plain_model(self.model), "name_or_path", ""):
            begun = "a fine-tuned version of a local model"
        reached = [f"- {_title(n)}: {_number(v)}" for n, v in self._reached().items()]
        lines = [f"# {name}", "", f"This model is {begun} on {data}."]
        if reached:
            lines += ["It achieves the following results on the evaluation set:", *reached]
        for part in ("Model description", "Intended uses & limitations"):
            lines += ["", f"## {part}", "", _UNKNOWN]
        lines += ["", "## Training and evaluation data", "", _UNKNOWN, "", "## Training procedure"]
        lines += ["", "### Training hyperparameters", ""]
        lines += ["The following hyperparameters were used during training:"]
        lines += [f"- {key}: {value}" for key, value in self._hyperparameters().items()]
        if self._evaluations():
            lines += ["", "### Training results", "", *self._table()]
        lines += ["", "### Framework versions", "", f"- deepseek {_core.__version__}", ""]
        return lines

    def _hyperparameters(self) -> dict:
        a = self.args
        size = self.state.train_batch_size or a.per_device_train_batch_size
        found = {
            "learning_rate": a.learning_rate,
            "train_batch_size": size,
            "eval_batch_size": a.per_device_eval_batch_size,
            "seed": a.seed,
            "gradient_accumulation_steps": a.gradient_accumulation_steps,
            "optimizer": a.optim,
            "lr_scheduler_type": a.lr_scheduler_type,
            "lr_scheduler_warmup_steps": a.warmup_steps or a.warmup_ratio,
            "mixed_precision_training": "bf16" if a.bf16 else "fp16" if a.fp16 else "",
            "label_smoothing_factor": a.label_smoothing_factor,
        }
        long = "training_steps" if a.max_steps > 0 else "num_epochs"
        found[long] = a.max_steps if a.max_steps > 0 else a.num_train_epochs
        usual = {"gradient_accumulation_steps": 1}
        return {k: v for k, v in found.items() if v not in ("", 0, 0.0, usual.get(k))}

    def _table(self) -> list[str]:
        """One line for each evaluation, with the loss of training before it."""
        names = list(_metrics(self._evaluations()[-1]))
        heads = ["Training Loss", "Epoch", "Step", "Validation Loss"]
        heads += [_title(name) for name in names if name != "loss"]
        lines = [f"| {' | '.join(heads)} |", f"|{'|'.join([':---:'] * len(heads))}|"]
        loss, step = "No log", None
        for log in self.state.log_history:
            if "loss" in log:
                loss = _number(float(log["loss"]))
            if "eval_loss" not in log or log["step"] == step:
                continue
            found, step = _metrics(log), log["step"]
            cells = [loss, f"{log.get('epoch', 0):.4g}", str(step), _number(found["loss"])]
            cells += [_number(found.get(name, "")) for name in names if name != "loss"]
            lines.append(f"| {' | '.join(cells)} |")
        return lines
