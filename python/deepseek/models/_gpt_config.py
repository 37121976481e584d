# SPDX-License-Identifier: Apache-2.0
"""Configurations of decoders with layer norms: GPT-NeoX, GPT-J, GPT-Neo, OPT, BLOOM, Falcon, Phi,
StableLM, StarCoder2 and OLMo."""

from .. import _core
from ._config import CONFIGS, PretrainedConfig
from ._decoder_config import LlamaConfig

_hub = _core._hub
#: Keys of the struct that not all families have; those that do translate theirs to them.
_RARE = (
    "num_key_value_heads",
    "embedding_size",
    "embedding_dropout",
    "attention_bias",
    "out_bias",
    "mlp_bias",
    "use_parallel_residual",
    "qk_layernorm",
    "two_norms",
    "pre_norm",
    "has_last_norm",
    "norms_learn",
    "residual_behind_norm",
    "rope",
    "window",
    "layer_types",
    "layerdrop",
    "clip_qkv",
)


def _without(*names: str) -> tuple[str, ...]:
    return tuple(name for name in _RARE if name not in names)


class _TurnedConfig(LlamaConfig):
    """Of a family with rotary positions."""

    _struct = _hub.DecoderConfig
    #: The part of a head that is turned, if not all of it, and names of older files.
    _turned: float | None = None
    _older: dict[str, str] = {}

    def __init__(self, **values):
        for theirs, ours in self._older.items():
            if theirs in values:
                values[ours] = values.pop(theirs)
        super().__init__(**values)

    def _rope(self, older: dict, scaling: dict, given: dict) -> dict:
        usual = {} if self._turned is None else {"partial_rotary_factor": self._turned}
        return super()._rope(usual | _set(older), scaling, given)


def _of_classifier(config: PretrainedConfig) -> float:
    """The dropout below a classifier; that behind layers where the configuration has none."""
    given = config.__dict__.get("classifier_dropout")
    return config.hidden_dropout if given is None else given


def _set(values: dict) -> dict:
    return {key: value for key, value in values.items() if value is not None}


class GPTNeoXConfig(_TurnedConfig):
    """GPT-NeoX and Pythia."""

    model_type = "gpt_neox"
    _turned = 0.25
    _older = {"rotary_pct": "partial_rotary_factor", "rotary_emb_base": "rope_theta"}
    _made = _without("attention_bias", "use_parallel_residual")
    _defaults = {
        "intermediate_size": 24576,
        "classifier_dropout": 0.1,
        "bos_token_id": 0,
        "eos_token_id": 2,
        "rope_parameters": None,
        "tie_word_embeddings": False,
    }

    def _native(self, **changes):
        return super()._native(
            embedding_dropout=self.hidden_dropout, out_bias=self.attention_bias, **changes
        )


class FalconConfig(_TurnedConfig):
    """Falcon."""

    model_type = "falcon"
    attribute_map = {"n_embed": "hidden_size"}
    _translated = {
        "num_kv_heads": "num_key_value_heads",
        "ffn_hidden_size": "intermediate_size",
        "activation": "hidden_act",
        "layer_norm_epsilon": "layer_norm_eps",
        "bias": "attention_bias",
        "parallel_attn": "use_parallel_residual",
    }
    _made = (
        *_without("num_key_value_heads", "attention_bias", "use_parallel_residual"),
        "classifier_dropout",
    )
    _defaults = {
        "vocab_size": 65024,
        "hidden_size": 4544,
        "num_hidden_layers": 32,
        "num_attention_heads": 71,
        "num_ln_in_parallel_attn": None,
        "alibi": False,
        "new_decoder_architecture": False,
        "multi_query": True,
        "bias": False,
        "bos_token_id": 11,
        "eos_token_id": 11,
        "rope_parameters": None,
        "tie_word_embeddings": True,
    }

    def __init__(self, **values):
        super().__init__(**values)
        if self.num_kv_heads is None:
            self.num_kv_heads = self.num_attention_heads
        if self.ffn_hidden_size is None:
            self.ffn_hidden_size = 4 * self.hidden_size

    def _native(self, **changes):
        if self.alibi:
            raise _core.NotImplementedError(
                "config: alibi is True; Falcon's positions are rotary ones here"
            )
        heads = self.num_kv_heads
        if self.multi_query and not self.new_decoder_architecture:
            heads = 1
        norms = self.num_ln_in_parallel_attn or (2 if self.new_decoder_architecture else 1)
        changes.setdefault("classifier_dropout", _of_classifier(self))
        return super()._native(
            num_key_value_heads=heads,
            two_norms=self.parallel_attn and norms == 2,
            out_bias=self.bias,
            mlp_bias=self.bias,
            **changes,
        )


class PhiConfig(_TurnedConfig):
    """Phi-1, 1.5 and 2."""

    model_type = "phi"
    _turned = 0.5
    _translated = {"resid_pdrop": "hidden_dropout", "embd_pdrop": "embedding_dropout"}
    _made = (
        *_without("num_key_value_heads", "embedding_dropout", "qk_layernorm"),
        "classifier_dropout",
    )
    _defaults = {
        "vocab_size": 51200,
        "hidden_size": 2048,
        "intermediate_size": 8192,
        "num_hidden_layers": 24,
        "num_attention_heads": 32,
        "hidden_act": "gelu_new",
        "bos_token_id": 1,
        "eos_token_id": 2,
        "rope_parameters": None,
        "tie_word_embeddings": False,
    }


class StableLmConfig(_TurnedConfig):
    """StableLM."""

    model_type = "stablelm"
    _turned = 0.25
    _translated = {"use_qkv_bias": "attention_bias"}
    _made = (
        *_without("num_key_value_heads", "attention_bias", "use_parallel_residual", "qk_layernorm"),
        "classifier_dropout",
    )
    _defaults = {
        "vocab_size": 50304,
        "hidden_size": 2560,
        "intermediate_size": 6912,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 32,
        "hidden_act": "silu",
        "max_position_embeddings": 4096,
        "use_qkv_bias": False,
        "use_parallel_residual": False,
        "bos_token_id": 0,
        "eos_token_id": 0,
        "rope_parameters": None,
        "tie_word_embeddings": False,
    }

    def _native(self, **changes):
        if self.qk_layernorm:
            raise _core.NotImplementedError(
                "config: qk_layernorm is True; norms of queries and keys with weights of their own "
                "for each head are not there"
            )
        changes.setdefault("classifier_dropout", _of_classifier(self))
        return super()._native(out_bias=False, mlp_bias=False, **changes)


class Starcoder2Config(_TurnedConfig):
    """StarCoder2."""

    model_type = "starcoder2"
    _translated = {
        "norm_epsilon": "layer_norm_eps",
        "residual_dropout": "hidden_dropout",
        "use_bias": "attention_bias",
        "sliding_window": "window",
    }
    _made = (
        *_without("num_key_value_heads", "embedding_dropout", "attention_bias", "window"),
        "classifier_dropout",
    )
    _defaults = {
        "vocab_size": 49152,
        "hidden_size": 3072,
        "intermediate_size": 12288,
        "num_hidden_layers": 30,
        "num_attention_heads": 24,
        "num_key_value_heads": 2,
        "hidden_act": "gelu_pytorch_tanh",
        "max_position_embeddings": 4096,
        "initializer_range": 0.018042,
        "bos_token_id": 50256,
        "eos_token_id": 50256,
        "rope_parameters": None,
        "tie_word_embeddings": True,
    }

    def _native(self, **changes):
        kind = "global" if self.sliding_window is None else "local"
        return super()._native(
            use_parallel_residual=False,
            out_bias=self.use_bias,
            mlp_bias=self.use_bias,
            layer_types=[kind] * self.num_hidden_layers,
            **changes,
        )


class OlmoConfig(_TurnedConfig):
    """OLMo."""

    model_type = "olmo"
    _made = (
        *_without("num_key_value_heads", "attention_bias", "clip_qkv"),
        "hidden_dropout",
        "layer_norm_eps",
        "classifier_dropout",
    )
    _defaults = {
        "vocab_size": 50304,
        "hidden_size": 4096,
        "intermediate_size": 11008,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "hidden_act": "silu",
        "attention_bias": False,
        "pad_token_id": 1,
        "eos_token_id": 50279,
        "rope_parameters": None,
        "tie_word_embeddings": False,
    }

    def _native(self, **changes):
        return super()._native(
            use_parallel_residual=False,
            out_bias=self.attention_bias,
            mlp_bias=False,
            norms_learn=False,
            **changes,
        )


class GPTJConfig(PretrainedConfig):
    """GPT-J."""

    model_type = "gptj"
    _struct = _hub.DecoderConfig
    attribute_map = {
        "max_position_embeddings": "n_positions",
        "hidden_size": "n_embd",
        "num_attention_heads": "n_head",
        "num_hidden_layers": "n_layer",
    }
    _translated = {
        "n_positions": "max_position_embeddings",
        "n_embd": "hidden_size",
        "n_head": "num_attention_heads",
        "n_layer": "num_hidden_layers",
        "n_inner": "intermediate_size",
        "activation_function": "hidden_act",
        "resid_pdrop": "hidden_dropout",
        "embd_pdrop": "embedding_dropout",
        "attn_pdrop": "attention_dropout",
        "layer_norm_epsilon": "layer_norm_eps",
    }
    _made = (*_without("embedding_dropout"), "classifier_dropout")
    _defaults = {
        "vocab_size": 50400,
        "n_embd": 4096,
        "n_layer": 28,
        "n_head": 16,
        "rotary_dim": 64,
        "activation_function": "gelu_new",
        "bos_token_id": 50256,
        "eos_token_id": 50256,
        "tie_word_embeddings": False,
    }

    def _native(self, **changes):
        rope = _hub.RopeConfig()
        if self.rotary_dim is not None:
            rope.partial_rotary_factor = self.rotary_dim * self.n_head / self.n_embd
        return super()._native(rope=rope, attention_bias=False, out_bias=False, **changes)


class GPTNeoConfig(PretrainedConfig):
    """GPT-Neo."""

    model_type = "gpt_neo"
    _struct = _hub.DecoderConfig
    attribute_map = {"num_attention_heads": "num_heads", "num_hidden_layers": "num_layers"}
    _translated = {
        "num_heads": "num_attention_heads",
        "num_layers": "num_hidden_layers",
        "activation_function": "hidden_act",
        "resid_dropout": "hidden_dropout",
        "embed_dropout": "embedding_dropout",
        "layer_norm_epsilon": "layer_norm_eps",
        "window_size": "window",
    }
    _made = _without("embedding_dropout", "window")
    _defaults = {
        "vocab_size": 50257,
        "hidden_size": 2048,
        "num_layers": 24,
        "num_heads": 16,
        "attention_types": [[["global", "local"], 12]],
        "window_size": 256,
        "activation_function": "gelu_new",
        "classifier_dropout": 0.1,
        "bos_token_id": 50256,
        "eos_token_id": 50256,
        "tie_word_embeddings": True,
    }

    def __init__(self, **values):
        super().__init__(**values)
        self.attention_layers = [
            kind for kinds, count in self.attention_types for kind in kinds * count
        ]

    def _native(self, **changes):
        return super()._native(
            layer_types=self.attention_layers,
            attention_bias=False,
            use_parallel_residual=False,
            **changes,
        )


class OPTConfig(PretrainedConfig):
    """OPT."""

    model_type = "opt"
    _struct = _hub.DecoderConfig
    _translated = {
        "ffn_dim": "intermediate_size",
        "activation_function": "hidden_act",
        "dropout": "hidden_dropout",
        "init_std": "initializer_range",
        "word_embed_proj_dim": "embedding_size",
        "enable_bias": "attention_bias",
        "do_layer_norm_before": "pre_norm",
        "layer_norm_elementwise_affine": "norms_learn",
    }
    _made = (
        *_without("embedding_size", "attention_bias", "pre_norm", "norms_learn", "layerdrop"),
        "layer_norm_eps",
        "classifier_dropout",
    )
    _defaults = {
        "vocab_size": 50272,
        "hidden_size": 768,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "ffn_dim": 3072,
        "activation_function": "relu",
        "dropout": 0.1,
        "_remove_final_layer_norm": False,
        "pad_token_id": 1,
        "bos_token_id": 2,
        "eos_token_id": 2,
        "tie_word_embeddings": True,
    }

    def __init__(self, **values):
        super().__init__(**values)
        if self.word_embed_proj_dim is None:
            self.word_embed_proj_dim = self.hidden_size

    def _native(self, **changes):
        return super()._native(
            use_parallel_residual=False,
            out_bias=self.enable_bias,
            mlp_bias=self.enable_bias,
            has_last_norm=self.do_layer_norm_before and not self._remove_final_layer_norm,
            **changes,
        )


class BloomConfig(PretrainedConfig):
    """BLOOM."""

    model_type = "bloom"
    _struct = _hub.DecoderConfig
    attribute_map = {
        "num_hidden_layers": "n_layer",
        "num_attention_heads": "n_head",
        "n_embed": "hidden_size",
    }
    _translated = {
        "n_layer": "num_hidden_layers",
        "n_head": "num_attention_heads",
        "layer_norm_epsilon": "layer_norm_eps",
        "apply_residual_connection_post_layernorm": "residual_behind_norm",
    }
    _made = (
        *_without("residual_behind_norm"),
        "classifier_dropout",
        "max_position_embeddings",
        "intermediate_size",
        "hidden_act",
    )
    _defaults = {
        "vocab_size": 250880,
        "hidden_size": 64,
        "n_layer": 2,
        "n_head": 8,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pretraining_tp": 1,
        "slow_but_exact": False,
        "tie_word_embeddings": True,
    }

    def _native(self, **changes):
        changes.setdefault("classifier_dropout", _of_classifier(self))
        return super()._native(hidden_act="gelu_new", use_parallel_residual=False, **changes)


#: Configurations by model type.
NORMED: dict[str, type[PretrainedConfig]] = {
    c.model_type: c
    for c in (
        GPTNeoXConfig,
        GPTJConfig,
        GPTNeoConfig,
        OPTConfig,
        BloomConfig,
        FalconConfig,
        PhiConfig,
        StableLmConfig,
        Starcoder2Config,
        OlmoConfig,
    )
}
CONFIGS |= NORMED
