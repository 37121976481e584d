# SPDX-License-Identifier: Apache-2.0
"""Configurations of BART and of models like it."""

from .. import _core
from ._config import CONFIGS, PretrainedConfig


class BartConfig(PretrainedConfig):
    """BART."""

    model_type = "bart"
    _struct = _core._hub.BartConfig
    #: Marian's alone.
    _made: tuple[str, ...] = ("share_encoder_decoder_embeddings", "decoder_vocab_size")
    attribute_map = {
        "hidden_size": "d_model",
        "num_attention_heads": "encoder_attention_heads",
        "num_hidden_layers": "encoder_layers",
    }
    _defaults = {
        "bos_token_id": 0,
        "forced_eos_token_id": 2,
        "classifier_dropout": 0.0,
        "is_encoder_decoder": True,
    }
    #: Where no file says it, and it is not 2.
    _num_labels: int | None = 3
    #: The ends of names of parameters that follow from the configuration.
    _computed: tuple[str, ...] = ()

    def __init__(self, **values):
        if self._num_labels is not None and values.get("id2label") is None:
            values.setdefault("num_labels", self._num_labels)
        super().__init__(**values)


class MBartConfig(BartConfig):
    """mBART, and mBART-50."""

    model_type = "mbart"
    _defaults = {**BartConfig._defaults, "decoder_start_token_id": None}
    _num_labels = None


class PegasusConfig(BartConfig):
    """PEGASUS."""

    model_type = "pegasus"
    _made = (*BartConfig._made, "classifier_dropout")
    _defaults = {
        "pad_token_id": 0,
        "eos_token_id": 1,
        "decoder_start_token_id": 0,
        "forced_eos_token_id": 1,
        "is_encoder_decoder": True,
    }
    _num_labels = None
    _computed = ("embed_positions.weight",)


class MarianConfig(BartConfig):
    """Marian, which translates."""

    model_type = "marian"
    _made = ("classifier_dropout",)
    _defaults = {
        "vocab_size": 58101,
        "pad_token_id": 58100,
        "eos_token_id": 0,
        "decoder_start_token_id": 58100,
        "forced_eos_token_id": 0,
        "is_encoder_decoder": True,
    }
    _num_labels = None
    _computed = ("embed_positions.weight",)

    def __init__(self, **values):
        super().__init__(**values)
        self.decoder_vocab_size = self.decoder_vocab_size or self.vocab_size


#: By model type.
BARTS = {c.model_type: c for c in (BartConfig, MBartConfig, PegasusConfig, MarianConfig)}
CONFIGS |= BARTS
