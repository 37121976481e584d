# SPDX-License-Identifier: Apache-2.0
"""adapter_config.json: what an adapter is made of."""

import json
import os
import re
from dataclasses import dataclass, field, fields
from enum import Enum
from pathlib import Path

from .. import _core
from .._whole_file import write_text
from ..models._files import find_file, read_json

CONFIG_FILE = "adapter_config.json"
_BIASES = ("none", "all", "lora_only")
#: Keys of files that change what an adapter computes and that are not available, by their value
#: when they are off.
_OTHER_KINDS = {
    "use_dora": False,
    "lora_bias": False,
    "use_qalora": False,
    "use_bdlora": None,
    "layer_replication": None,
    "trainable_token_indices": None,
    "target_parameters": None,
    "alora_invocation_tokens": None,
    "arrow_config": None,
    "monteclora_config": None,
    "velora_config": None,
    "kasa_config": None,
    "ensure_weight_tying": False,
}


class TaskType(str, Enum):
    """What a model with an adapter is for."""

    SEQ_CLS = "SEQ_CLS"
    SEQ_2_SEQ_LM = "SEQ_2_SEQ_LM"
    CAUSAL_LM = "CAUSAL_LM"
    TOKEN_CLS = "TOKEN_CLS"
    QUESTION_ANS = "QUESTION_ANS"
    FEATURE_EXTRACTION = "FEATURE_EXTRACTION"


#: Heads start at random, so they are trained and saved whole.
HEADS = {
    "SEQ_CLS": ("classifier", "score"),
    "TOKEN_CLS": ("classifier", "score"),
    "QUESTION_ANS": ("qa_outputs",),
}


def _require(good: bool, name: str, value, range: str) -> None:
    if not good:
        raise _core.ValueError(f"LoraConfig: {name} is {value!r}; it must be {range}")


def _whole(value) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**31


def _number(value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _names(value) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) and name for name in value)


def _pattern(value: str) -> bool:
    try:
        re.compile(value)
    except re.error:
        return False
    return True


@dataclass
class LoraConfig:
    """The settings of an adapter; names and defaults are those of peft.

    target_modules: names of layers or ends of their dotted names, a regular expression of whole
    names, or "all-linear"; by the family of the model when absent. modules_to_save: ends of names
    of modules that are trained and saved whole; heads are added by task_type. rank_pattern and
    alpha_pattern: other values of r and lora_alpha for names that end so. init_lora_weights: True
    (the adapter changes nothing yet), "gaussian" or False (both matrices are drawn)."""

    r: int = 8
    target_modules: list[str] | str | None = None
    exclude_modules: list[str] | str | None = None
    lora_alpha: float = 8
    lora_dropout: float = 0.0
    fan_in_fan_out: bool = False  # kept for files; every layer knows how its weight lies
    bias: str = "none"  # biases that are trained too: none, all, or lora_only (adapted layers)
    use_rslora: bool = False
    modules_to_save: list[str] | None = None
    init_lora_weights: bool | str = True
    layers_to_transform: list[int] | int | None = None
    layers_pattern: list[str] | str | None = None
    rank_pattern: dict[str, int] = field(default_factory=dict)
    alpha_pattern: dict[str, float] = field(default_factory=dict)
    task_type: str | None = None
    base_model_name_or_path: str | None = None
    revision: str | None = None
    inference_mode: bool = False
    #: Keys of a file that have no meaning here; they are written back.
    others: dict = field(default_factory=dict, repr=False)

    def __post_init__(self):
        for name in ("target_modules", "exclude_modules", "modules_to_save", "layers_pattern"):
            value = getattr(self, name)
            if isinstance(value, tuple | set):
                value = sorted(value)
                setattr(self, name, value)
            if isinstance(value, str) and name != "modules_to_save":
                _require(_pattern(value), name, value, "names or a regular expression")
            else:
                _require(value is None or _names(value), name, value, "a list of names")
        for name in ("fan_in_fan_out", "use_rslora", "inference_mode"):
            _require(isinstance(getattr(self, name), bool), name, getattr(self, name), "a bool")
        for name in ("base_model_name_or_path", "revision"):
            value = getattr(self, name)
            _require(value is None or isinstance(value, str), name, value, "a text")
        start = self.init_lora_weights
        _require(isinstance(start, bool | str), "init_lora_weights", start, "a bool or a name")
        _require(_whole(self.r) and self.r >= 1, "r", self.r, "a positive integer")
        _require(_number(self.lora_alpha), "lora_alpha", self.lora_alpha, "a number")
        good = _number(self.lora_dropout) and 0 <= self.lora_dropout < 1
        _require(good, "lora_dropout", self.lora_dropout, "at least 0 and below 1")
        _require(self.bias in _BIASES, "bias", self.bias, "none, all or lora_only")
        for name, kind in (("rank_pattern", "positive integers"), ("alpha_pattern", "numbers")):
            value = {} if getattr(self, name) is None else getattr(self, name)
            setattr(self, name, value)
            good = isinstance(value, dict) and all(
                isinstance(key, str)
                and _pattern(key)
                and (_number(n) if kind == "numbers" else _whole(n) and n >= 1)
                for key, n in value.items()
            )
            _require(good, name, value, f"a dict of {kind} by name")
        layers = self.layers_to_transform
        good = layers is None or _whole(layers)
        good = good or (isinstance(layers, list) and all(_whole(n) for n in layers))
        _require(good, "layers_to_transform", layers, "a number or a list of numbers")
        if isinstance(self.layers_pattern, list):
            good = all(_pattern(pattern) for pattern in self.layers_pattern)
            _require(good, "layers_pattern", self.layers_pattern, "regular expressions")
        if isinstance(self.task_type, TaskType):
            self.task_type = self.task_type.value
        tasks = [task.value for task in TaskType]
        _require(
            self.task_type is None or self.task_type in tasks,
            "task_type",
            self.task_type,
            f"one of {', '.join(tasks)}",
        )
        heads = HEADS.get(self.task_type, ())
        if heads:
            own = self.modules_to_save or []
            self.modules_to_save = [*own, *(name for name in heads if name not in own)]

    def to_dict(self) -> dict:
        """The keys of adapter_config.json."""
        own = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "others"}
        return {**self.others, **own, "peft_type": "LORA"}

    @classmethod
    def from_dict(cls, values: dict, source: str = "LoraConfig") -> "LoraConfig":
        """A configuration of these keys. NotImplementedError for another kind of adapter than
        LoRA, and for its variants."""
        kind = values.get("peft_type", "LORA")
        if kind != "LORA":
            raise _core.NotImplementedError(
                f"{source}: the adapter is of type {kind}; only LORA is available"
            )
        for name, off in _OTHER_KINDS.items():
            if values.get(name) not in (off, None):
                raise _core.NotImplementedError(
                    f"{source}: the adapter has {name}={values[name]!r}, which is not available"
                )
        known = {f.name for f in fields(cls)} - {"others"}
        own = {key: value for key, value in values.items() if key in known}
        others = {key: value for key, value in values.items() if key not in known}
        try:
            return cls(**own, others=others)
        except _core.ValueError as error:
            raise _core.FileFormatError(f"{source}: {error}") from error

    def save_pretrained(self, folder: str | os.PathLike) -> None:
        """Writes adapter_config.json into the folder."""
        text = json.dumps(self.to_dict(), indent=2, sort_keys=True) + "\n"
        Path(folder).mkdir(parents=True, exist_ok=True)
        write_text(Path(folder) / CONFIG_FILE, text)

    @classmethod
    def from_pretrained(
        cls, name: str | os.PathLike, subfolder: str | None = None, **hub
    ) -> "LoraConfig":
        """The adapter_config.json of a folder or a hub; IOError when there is none."""
        path = find_file(name, f"{subfolder}/{CONFIG_FILE}" if subfolder else CONFIG_FILE, **hub)
        if path is None:
            raise _core.IOError(f"{name} has no {CONFIG_FILE}, so it holds no adapter")
        return cls.from_dict(read_json(path), str(path))


#: What peft calls the configuration of any adapter.
PeftConfig = LoraConfig
