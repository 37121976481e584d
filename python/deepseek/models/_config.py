# SPDX-License-Identifier: Apache-2.0
"""Configurations of models: config.json as an object."""

import copy
import json
import os
from pathlib import Path

from .. import _core
from .._whole_file import write_text

#: Keys that files need not have.
_BEHAVIOUR = {
    "output_hidden_states": False,
    "output_attentions": False,
    "return_dict": True,
    "is_encoder_decoder": False,
    "use_cache": True,
}
#: Defaults of the keys that every configuration has.
_COMMON = {
    "id2label": None,
    "label2id": None,
    "problem_type": None,
    "bos_token_id": None,
    "eos_token_id": None,
    "pad_token_id": None,
    "tie_word_embeddings": True,
    **_BEHAVIOUR,
}


class PretrainedConfig:
    """The keys of a config.json as attributes. Keys this library does not know are kept, so that
    what it saves is what it read."""

    model_type = ""
    #: The C++ struct, and its names of this configuration's keys where they differ.
    _struct: type | None = None
    _translated: dict[str, str] = {}
    #: Defaults that differ from the struct's, and keys the struct has no use for.
    _defaults: dict = {}
    #: Keys of the struct that _native() makes of other ones.
    _made: tuple[str, ...] = ()
    #: The key of the dropout below a head, where heads have keys of their own.
    _head_dropouts: dict[str, str] = {}
    #: Other names of keys.
    attribute_map: dict[str, str] = {}

    def __init__(self, **values):
        for name, value in {**_COMMON, **self._struct_defaults(), **self._defaults}.items():
            self.__dict__[name] = copy.copy(value)
        count = values.pop("num_labels", None)
        for name, value in values.items():
            setattr(self, name, value)
        if self.id2label is not None:
            self.id2label = {int(key): label for key, label in self.id2label.items()}
        if count is not None and (self.id2label is None or len(self.id2label) != count):
            self.num_labels = count

    @classmethod
    def _struct_defaults(cls) -> dict:
        if cls._struct is None:  # of a user's own model
            return {}
        native = cls._struct()
        own = {struct: key for key, struct in cls._translated.items()}
        hidden = {"model_type", "num_labels", "problem_type", *cls._made}
        return {
            own.get(name, name): getattr(native, name)
            for name in native.fields
            if name not in hidden
        }

    def __setattr__(self, name, value):
        self.__dict__.pop("_read", None)  # no longer all there is to know
        super().__setattr__(self.attribute_map.get(name, name), value)

    def __delattr__(self, name):
        self.__dict__.pop("_read", None)
        super().__delattr__(name)

    def __getattr__(self, name):
        mapped = type(self).attribute_map.get(name)
        if mapped is None:
            raise AttributeError(f"{type(self).__name__} has no key '{name}'")
        return getattr(self, mapped)

    @property
    def num_labels(self) -> int:
        """The number of classes: of id2label, else 2."""
        return 2 if self.id2label is None else len(self.id2label)

    @num_labels.setter
    def num_labels(self, count: int) -> None:
        if not isinstance(count, int) or count < 1:
            raise _core.ValueError(f"config: num_labels {count!r} must be a positive integer")
        self.id2label = {i: f"LABEL_{i}" for i in range(count)}
        self.label2id = {label: i for i, label in self.id2label.items()}

    def _native(self, **changes):
        """The C++ struct of these values; ValueError names a key of another type."""
        native = self._struct()
        values = {
            **self.__dict__,
            "num_labels": self.num_labels,
            "model_type": self.model_type,
            "problem_type": self.problem_type or "",
            **changes,
        }
        own = {struct: key for key, struct in self._translated.items()}
        for name in native.fields:
            key = own.get(name, name)
            if name in changes or key not in values:
                key = name
            if key not in values:
                continue
            try:
                setattr(native, name, values[key])
            except TypeError:
                expected = type(getattr(native, name)).__name__
                raise _core.ValueError(
                    f"config: {key} is {values[key]!r}, expected {expected}"
                ) from None
        return native

    def to_dict(self) -> dict:
        """All keys but those of the common ones that are not set."""
        values = {
            name: value
            for name, value in self.__dict__.items()
            if not name.startswith("_")
            and not (value is None and name in _COMMON)
            and not (name in _BEHAVIOUR and value == _BEHAVIOUR[name])
        }
        return {**values, "model_type": self.model_type}

    def to_json_string(self) -> str:
        """What config.json holds."""
        return json.dumps(self.to_dict(), indent=2, sort_keys=True) + "\n"

    def to_diff_dict(self) -> dict:
        """The keys that differ from a new configuration of this class, and model_type."""
        usual = type(self)().to_dict()
        return {
            name: value
            for name, value in self.to_dict().items()
            if name == "model_type" or name not in usual or usual[name] != value
        }

    def update(self, values: dict) -> None:
        """Sets keys."""
        for name, value in values.items():
            setattr(self, name, value)

    @property
    def use_return_dict(self) -> bool:
        """Models return named results."""
        return self.return_dict

    def get_text_config(self, decoder: bool = False) -> "PretrainedConfig":
        """The part that is about text."""
        return self.__dict__.get("text_config", self)

    def save_pretrained(self, folder: str | os.PathLike) -> None:
        """Writes config.json into the folder."""
        Path(folder).mkdir(parents=True, exist_ok=True)
        write_text(Path(folder) / "config.json", self.to_json_string())

    @classmethod
    def from_dict(cls, values: dict, **changes):
        """A configuration of these keys; `changes` replace some."""
        values = {**values, **changes}
        values.pop("model_type", None)
        made = cls(**values)
        made.__dict__["_read"] = values
        return made

    def changed(self, changes: dict):
        """A configuration of the same keys but these, what follows from them included."""
        return self.from_dict(self.__dict__.get("_read") or self.to_dict(), **changes)

    @classmethod
    def from_pretrained(cls, name: str | os.PathLike, **changes):
        """The config.json of a folder or of a model of a hub."""
        from ._files import read_config, split_hub_arguments

        hub, changes = split_hub_arguments(changes)
        values = read_config(name, **hub)
        found = values.get("model_type", cls.model_type)
        if found != cls.model_type:
            raise _core.ValueError(
                f"{cls.__name__}: {name} holds a '{found}' model; use AutoConfig or the class of "
                "that family"
            )
        return cls.from_dict(values, **changes)

    def __eq__(self, other):
        return type(self) is type(other) and self.to_dict() == other.to_dict()

    def __repr__(self):
        return f"{type(self).__name__} {json.dumps(self.to_dict(), indent=2, sort_keys=True)}"


#: Keys of the struct of encoders that ALBERT, ELECTRA and MPNet alone have.
_OF_ALBERT = (
    "embedding_size",
    "num_hidden_groups",
    "inner_group_num",
    "relative_attention_num_buckets",
)


class BertConfig(PretrainedConfig):
    """BERT."""

    model_type = "bert"
    _struct = _core._hub.EncoderConfig
    _made = _OF_ALBERT


class RobertaConfig(PretrainedConfig):
    """RoBERTa."""

    model_type = "roberta"
    _struct = _core._hub.EncoderConfig
    _made = _OF_ALBERT
    _defaults = {"vocab_size": 50265, "pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2}


class XLMRobertaConfig(RobertaConfig):
    """XLM-RoBERTa."""

    model_type = "xlm-roberta"
    _defaults = {**RobertaConfig._defaults, "vocab_size": 30522}


class CamembertConfig(XLMRobertaConfig):
    """CamemBERT."""

    model_type = "camembert"


class MPNetConfig(PretrainedConfig):
    """MPNet."""

    model_type = "mpnet"
    _struct = _core._hub.EncoderConfig
    _made = (*_OF_ALBERT[:3], "is_decoder", "classifier_dropout", "type_vocab_size")
    _defaults = {"vocab_size": 30527, "pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2}


class ElectraConfig(PretrainedConfig):
    """ELECTRA."""

    model_type = "electra"
    _struct = _core._hub.EncoderConfig
    _made = _OF_ALBERT[1:]
    _defaults = {
        "embedding_size": 128,
        "hidden_size": 256,
        "num_attention_heads": 4,
        "intermediate_size": 1024,
        "summary_type": "first",
        "summary_use_proj": True,
        "summary_activation": "gelu",
        "summary_last_dropout": 0.1,
    }
    _head_dropouts = {"ForMultipleChoice": "summary_last_dropout"}

    def _native(self, **changes):
        summary = (self.summary_type, self.summary_use_proj, self.summary_activation)
        if summary != ("first", True, "gelu"):
            raise _core.ValueError(
                f"config: summary_type, summary_use_proj and summary_activation are {summary}; "
                "('first', True, 'gelu') alone is known"
            )
        return super()._native(**changes)


class DistilBertConfig(PretrainedConfig):
    """DistilBERT."""

    model_type = "distilbert"
    _struct = _core._hub.EncoderConfig
    _translated = {
        "dim": "hidden_size",
        "n_layers": "num_hidden_layers",
        "n_heads": "num_attention_heads",
        "hidden_dim": "intermediate_size",
        "dropout": "hidden_dropout_prob",
        "attention_dropout": "attention_probs_dropout_prob",
        "activation": "hidden_act",
    }
    attribute_map = {
        "hidden_size": "dim",
        "num_attention_heads": "n_heads",
        "num_hidden_layers": "n_layers",
    }
    _defaults = {
        "n_layers": 6,
        "seq_classif_dropout": 0.2,
        "qa_dropout": 0.1,
        "sinusoidal_pos_embds": False,
    }
    _made = (*_OF_ALBERT, "is_decoder", "classifier_dropout", "type_vocab_size")
    _head_dropouts = {
        "ForSequenceClassification": "seq_classif_dropout",
        "ForMultipleChoice": "seq_classif_dropout",
        "ForQuestionAnswering": "qa_dropout",
        "ForTokenClassification": "dropout",
    }


class AlbertConfig(PretrainedConfig):
    """ALBERT."""

    model_type = "albert"
    _struct = _core._hub.EncoderConfig
    _translated = {"classifier_dropout_prob": "classifier_dropout"}
    _made = ("is_decoder", "relative_attention_num_buckets")
    _defaults = {
        "vocab_size": 30000,
        "embedding_size": 128,
        "hidden_size": 4096,
        "num_attention_heads": 64,
        "intermediate_size": 16384,
        "hidden_act": "gelu_new",
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
        "classifier_dropout_prob": 0.1,
        "bos_token_id": 2,
        "eos_token_id": 3,
    }


class GPT2Config(PretrainedConfig):
    """GPT-2."""

    model_type = "gpt2"
    _struct = _core._hub.GPT2Config
    attribute_map = {
        "hidden_size": "n_embd",
        "max_position_embeddings": "n_positions",
        "num_attention_heads": "n_head",
        "num_hidden_layers": "n_layer",
    }
    _defaults = {
        "bos_token_id": 50256,
        "eos_token_id": 50256,
        "summary_type": "cls_index",
        "summary_use_proj": True,
        "summary_activation": None,
        "summary_proj_to_labels": True,
    }
    _made = ("classifier_dropout",)

    def _native(self, **changes):
        summary = (self.summary_type, self.summary_use_proj, self.summary_activation)
        if summary != ("cls_index", True, None):
            raise _core.ValueError(
                f"config: summary_type, summary_use_proj and summary_activation are {summary}; "
                "('cls_index', True, None) alone is known"
            )
        return super()._native(**changes)


class T5Config(PretrainedConfig):
    """T5, its version 1.1 and Flan-T5."""

    model_type = "t5"
    _struct = _core._hub.T5Config
    attribute_map = {
        "hidden_size": "d_model",
        "num_attention_heads": "num_heads",
        "num_hidden_layers": "num_layers",
        "head_dim": "d_kv",
    }
    _defaults = {"classifier_dropout": 0.0, "is_encoder_decoder": True}

    def __init__(self, **values):
        # Version 1.1 is told by its untied head in files that do not say it.
        values.setdefault("scale_decoder_outputs", values.get("tie_word_embeddings", True))
        super().__init__(**values)


class MT5Config(T5Config):
    """mT5."""

    model_type = "mt5"
    _defaults = {
        **T5Config._defaults,
        "vocab_size": 250112,
        "d_ff": 1024,
        "num_layers": 8,
        "num_heads": 6,
        "feed_forward_proj": "gated-gelu",
        "decoder_start_token_id": 0,
    }

    def __init__(self, **values):
        super().__init__(**{**values, "scale_decoder_outputs": False})


CONFIGS = {
    c.model_type: c
    for c in (
        AlbertConfig,
        BertConfig,
        RobertaConfig,
        XLMRobertaConfig,
        CamembertConfig,
        MPNetConfig,
        ElectraConfig,
        DistilBertConfig,
        GPT2Config,
        T5Config,
        MT5Config,
    )
}


class AutoConfig:
    """The configuration class that config.json asks for."""

    @staticmethod
    def for_model(model_type: str, **values):
        """A configuration of this model type."""
        return AutoConfig.from_dict({"model_type": model_type, **values}, "AutoConfig")

    @staticmethod
    def register(model_type: str, config: type[PretrainedConfig], exist_ok: bool = False) -> None:
        """Makes a configuration class of your own the one of files with this model_type."""
        if config.model_type != model_type:
            raise _core.ValueError(
                f"AutoConfig.register: {config.__name__}.model_type is '{config.model_type}', not "
                f"'{model_type}'; let them agree"
            )
        if CONFIGS.get(model_type, config) is not config and not exist_ok:
            raise _core.ValueError(
                f"AutoConfig.register: the model type '{model_type}' is that of "
                f"{CONFIGS[model_type].__name__}; use another name, or pass exist_ok=True"
            )
        CONFIGS[model_type] = config

    @staticmethod
    def known() -> set[str]:
        """The model types there are."""
        return set(CONFIGS)

    @staticmethod
    def from_pretrained(name: str | os.PathLike, **changes):
        """The configuration of a folder or of a model of a hub; `changes` replace keys."""
        from ._files import read_config, split_hub_arguments

        hub, changes = split_hub_arguments(changes)
        return AutoConfig.from_dict(read_config(name, **hub), name, **changes)

    @staticmethod
    def from_dict(values: dict, name="config.json", **changes):
        """The configuration of these keys, an ImageConfig for those of timm."""
        kind = values.get("model_type")
        if kind is None and "architecture" in values:
            from .vision import ImageConfig

            return ImageConfig.from_dict({**values, **changes}, str(name))
        if kind not in CONFIGS:
            raise _core.ValueError(
                f"{name}: the model type {kind!r} is unknown; the known ones are "
                f"{', '.join(sorted(CONFIGS))}"
            )
        return CONFIGS[kind].from_dict(values, **changes)
