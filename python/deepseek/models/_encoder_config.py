# SPDX-License-Identifier: Apache-2.0
"""Configurations of encoders that are not like BERT: DeBERTa and ModernBERT."""

from .. import _core
from ._config import CONFIGS, PretrainedConfig
from ._decoder_config import native_ropes


class DebertaV2Config(PretrainedConfig):
    """DeBERTa, versions 2 and 3."""

    model_type = "deberta-v2"
    _struct = _core._hub.DebertaConfig
    _translated = {"cls_dropout": "classifier_dropout"}
    #: Keys that published files have beside those of transformers' configuration.
    _made = (
        "embedding_size",
        "cls_dropout",
        "share_att_key",
        "position_buckets",
        "norm_rel_ebd",
        "conv_kernel_size",
        "conv_groups",
        "conv_act",
    )
    _defaults = {"pooler_dropout": 0.0, "pooler_hidden_act": "gelu", "legacy": True}

    def __init__(self, **values):
        kinds = values.get("pos_att_type")
        if isinstance(kinds, str):
            values["pos_att_type"] = [kind.strip() for kind in kinds.lower().split("|")]
        elif kinds is None:
            values["pos_att_type"] = []
        super().__init__(**values)

    def _native(self, **changes):
        known = {"pooler_dropout": 0.0, "pooler_hidden_act": "gelu", "legacy": True}
        found = {key: getattr(self, key) for key in known}
        if found != known:
            raise _core.NotImplementedError(
                f"config: {found} are not what heads of DeBERTa have here: {known}"
            )
        return super()._native(**changes)


class ModernBertConfig(PretrainedConfig):
    """ModernBERT. rope_parameters are those of each of layer_types."""

    model_type = "modernbert"
    _struct = _core._hub.ModernBertConfig
    _made = ("rope", "sliding_rope", "layer_types")
    _defaults = {
        "bos_token_id": 50281,
        "eos_token_id": 50282,
        "cls_token_id": 50281,
        "sep_token_id": 50282,
        "classifier_dropout": 0.0,
        "deterministic_flash_attn": False,
        "sparse_prediction": False,
        "sparse_pred_ignore_index": -100,
        "layer_types": None,
        "rope_parameters": None,
    }
    _thetas = {"full_attention": ("global_rope_theta", 160_000.0)}
    _thetas["sliding_attention"] = ("local_rope_theta", 10_000.0)

    def __init__(self, **values):
        # Older files have these keys.
        every = values.pop("global_attn_every_n_layers", None) or 3
        scaling = values.pop("rope_scaling", None) or {}
        thetas = {
            kind: values.pop(key, None) or theta for kind, (key, theta) in self._thetas.items()
        }
        super().__init__(**values)
        if self.layer_types is None:
            self.layer_types = [
                "sliding_attention" if i % every else "full_attention"
                for i in range(self.num_hidden_layers)
            ]
        given = self.rope_parameters or {}
        self.rope_parameters = {
            kind: {
                "rope_type": "default",
                "rope_theta": theta,
                **scaling,
                **(given.get(kind) or {}),
            }
            for kind, theta in thetas.items()
        }

    def _native(self, **changes):
        if self.sparse_prediction:
            raise _core.NotImplementedError(
                "config: sparse_prediction is True; all words have logits, set it to False"
            )
        return super()._native(**native_ropes(self), **changes)


#: By model type.
ENCODERS = {c.model_type: c for c in (DebertaV2Config, ModernBertConfig)}
CONFIGS |= ENCODERS
