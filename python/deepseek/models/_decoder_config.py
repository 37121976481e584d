# SPDX-License-Identifier: Apache-2.0
"""Configurations of Llama and of decoders like it."""

from .. import _core
from ._config import CONFIGS, PretrainedConfig

_hub = _core._hub


def native_rope(values: dict, max_position_embeddings: int):
    """The C++ struct of one kind's rope_parameters."""
    rope = _hub.RopeConfig()
    for key, value in values.items():
        try:
            if key in rope.fields:
                setattr(rope, key, value)
        except TypeError:
            raise _core.ValueError(f"config: rope_parameters: {key} is {value!r}") from None
    if rope.rope_type == "longrope" and "factor" not in values:
        rope.factor = max_position_embeddings / rope.original_max_position_embeddings
    return rope


def native_ropes(config) -> dict:
    """The C++ structs where rope_parameters are those of each of layer_types."""
    return {
        name: native_rope(config.rope_parameters[kind], config.max_position_embeddings)
        for name, kind in (("rope", "full_attention"), ("sliding_rope", "sliding_attention"))
    }


class LlamaConfig(PretrainedConfig):
    """Llama."""

    model_type = "llama"
    _struct = _hub.LlamaConfig
    #: Keys that not all decoders have; those that do give them a default.
    _made = (
        "rope",
        "sliding_rope",
        "classifier_dropout",
        "max_window_layers",
        "layer_types",
        "no_rope_layers",
        "embedding_multiplier",
        "residual_multiplier",
        "attention_multiplier",
        "logits_scaling",
        "attn_logit_softcapping",
        "final_logit_softcapping",
        "clip_qkv",
        "resid_pdrop",
        "num_experts",
        "decoder_sparse_step",
        "num_experts_per_tok",
        "moe_intermediate_size",
        "mlp_only_layers",
        "norm_topk_prob",
        "shared_expert_intermediate_size",
        "router_aux_loss_coef",
    )
    _defaults = {"bos_token_id": 1, "eos_token_id": 2, "rope_parameters": None}
    #: rope_theta where no file says it.
    _theta = 10000.0

    def __init__(self, **values):
        # Older files have rope_theta and rope_scaling.
        older = {key: values.pop(key, None) for key in ("rope_theta", "partial_rotary_factor")}
        scaling = values.pop("rope_scaling", None)
        super().__init__(**values)
        self.rope_parameters = self._rope(older, scaling or {}, self.rope_parameters or {})

    def _rope(self, older: dict, scaling: dict, given: dict) -> dict:
        """rope_parameters of keys of older files and of new ones."""
        older = {key: value for key, value in older.items() if value is not None}
        rope = {"rope_theta": self._theta, **older, **scaling, **given}
        rope["rope_type"] = rope.get("rope_type", rope.pop("type", "default"))
        return rope

    def _native(self, **changes):
        if getattr(self, "use_bidirectional_attention", False):
            raise _core.NotImplementedError(
                "config: use_bidirectional_attention is True; decoders see earlier tokens only"
            )
        if "rope" not in changes:
            changes["rope"] = native_rope(self.rope_parameters, self.max_position_embeddings)
        return super()._native(**changes)


class MistralConfig(LlamaConfig):
    """Mistral."""

    model_type = "mistral"
    _made = (*LlamaConfig._made, "attention_bias", "mlp_bias")
    _defaults = {
        **LlamaConfig._defaults,
        "intermediate_size": 14336,
        "num_key_value_heads": 8,
        "max_position_embeddings": 131072,
        "sliding_window": 4096,
    }


#: Of models with experts.
_ROUTER = {"output_router_logits": False, "router_aux_loss_coef": 0.001}


class MixtralConfig(MistralConfig):
    """Mixtral."""

    model_type = "mixtral"
    attribute_map = {"num_experts": "num_local_experts"}
    _translated = {"num_local_experts": "num_experts"}
    _theta = 1000000.0
    _defaults = {
        **MistralConfig._defaults,
        **_ROUTER,
        "sliding_window": None,
        "rms_norm_eps": 1e-5,
        "num_experts_per_tok": 2,
        "num_local_experts": 8,
        "router_jitter_noise": 0.0,
    }

    def _native(self, **changes):
        if self.router_jitter_noise:
            raise _core.NotImplementedError(
                f"config: router_jitter_noise is {self.router_jitter_noise}; only 0 is known"
            )
        return super()._native(norm_topk_prob=True, **changes)


class Qwen2Config(LlamaConfig):
    """Qwen2 and Qwen2.5."""

    model_type = "qwen2"
    _made = (*LlamaConfig._made, "attention_bias", "mlp_bias", "head_dim")
    _defaults = {
        "vocab_size": 151936,
        "intermediate_size": 22016,
        "num_key_value_heads": 32,
        "max_position_embeddings": 32768,
        "rope_parameters": None,
        "use_sliding_window": False,
        "sliding_window": None,
        "max_window_layers": 28,
    }

    def _native(self, **changes):
        window = self.sliding_window if self.use_sliding_window else None
        return super()._native(sliding_window=window, **changes)


class Qwen2MoeConfig(Qwen2Config):
    """Qwen1.5-MoE and Qwen2-MoE."""

    model_type = "qwen2_moe"
    _defaults = {
        **Qwen2Config._defaults,
        **_ROUTER,
        "hidden_size": 2048,
        "intermediate_size": 5632,
        "num_hidden_layers": 24,
        "num_attention_heads": 16,
        "num_key_value_heads": 16,
        "decoder_sparse_step": 1,
        "moe_intermediate_size": 1408,
        "shared_expert_intermediate_size": 5632,
        "num_experts_per_tok": 4,
        "num_experts": 60,
        "norm_topk_prob": False,
        "mlp_only_layers": None,
        "qkv_bias": True,
    }

    def _native(self, **changes):
        return super()._native(attention_bias=self.qkv_bias, **changes)


class Qwen3Config(Qwen2Config):
    """Qwen3."""

    model_type = "qwen3"
    _made = (*LlamaConfig._made, "mlp_bias")
    _defaults = {**Qwen2Config._defaults, "head_dim": 128}


class Qwen3MoeConfig(Qwen3Config):
    """Qwen3 with experts."""

    model_type = "qwen3_moe"
    attribute_map = {"num_local_experts": "num_experts"}
    _made = (*Qwen3Config._made, "head_dim")
    _defaults = {
        **Qwen2Config._defaults,
        **_ROUTER,
        "hidden_size": 2048,
        "intermediate_size": 6144,
        "num_hidden_layers": 24,
        "num_key_value_heads": 4,
        "max_window_layers": 0,
        "decoder_sparse_step": 1,
        "moe_intermediate_size": 768,
        "num_experts_per_tok": 8,
        "num_experts": 128,
        "norm_topk_prob": False,
        "mlp_only_layers": None,
    }


class GemmaConfig(LlamaConfig):
    """Gemma."""

    model_type = "gemma"
    _made = (*LlamaConfig._made, "mlp_bias", "sliding_window")
    _defaults = {
        "vocab_size": 256000,
        "hidden_size": 3072,
        "intermediate_size": 24576,
        "num_hidden_layers": 28,
        "num_attention_heads": 16,
        "num_key_value_heads": 16,
        "head_dim": 256,
        "hidden_act": "gelu_pytorch_tanh",
        "max_position_embeddings": 8192,
        "pad_token_id": 0,
        "eos_token_id": 1,
        "bos_token_id": 2,
        "tie_word_embeddings": True,
        "rope_parameters": None,
    }

    def __init__(self, **values):
        super().__init__(**values)
        if self.hidden_act == "gelu":  # the first files say it of the approximation
            self.hidden_act = "gelu_pytorch_tanh"


class Gemma2Config(GemmaConfig):
    """Gemma 2."""

    model_type = "gemma2"
    attribute_map = {"hidden_act": "hidden_activation"}
    _translated = {"hidden_activation": "hidden_act"}
    _made = (*LlamaConfig._made, "mlp_bias")
    #: The layers between those that see all tokens, and one of these.
    _pattern = 2
    _defaults = {
        **{key: value for key, value in GemmaConfig._defaults.items() if key != "hidden_act"},
        "hidden_size": 2304,
        "intermediate_size": 9216,
        "num_hidden_layers": 26,
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "hidden_activation": "gelu_pytorch_tanh",
        "query_pre_attn_scalar": 256,
        "sliding_window": 4096,
        "layer_types": None,
        "final_logit_softcapping": 30.0,
        "attn_logit_softcapping": 50.0,
    }

    def __init__(self, **values):
        pattern = values.get("sliding_window_pattern") or self._pattern
        super().__init__(**values)
        if self.layer_types is None:
            self.layer_types = [
                "sliding_attention" if (i + 1) % pattern else "full_attention"
                for i in range(self.num_hidden_layers)
            ]

    def _native(self, **changes):
        return super()._native(attention_multiplier=self.query_pre_attn_scalar**-0.5, **changes)


class Gemma3TextConfig(Gemma2Config):
    """Gemma 3 for text. rope_parameters are those of each of layer_types."""

    model_type = "gemma3_text"
    _pattern = 6
    _theta = 1000000.0
    _defaults = {
        **Gemma2Config._defaults,
        "vocab_size": 262208,
        "max_position_embeddings": 131072,
        "final_logit_softcapping": None,
        "attn_logit_softcapping": None,
    }

    def __init__(self, **values):
        self.__dict__["_local"] = values.pop("rope_local_base_freq", None) or 10000.0
        super().__init__(**values)

    def _rope(self, older: dict, scaling: dict, given: dict) -> dict:
        full, sliding = ({**(given.get(f"{kind}_attention") or {})} for kind in ("full", "sliding"))
        sliding = {"rope_theta": self._local, **sliding}
        return {
            "full_attention": super()._rope(older, scaling, full),
            "sliding_attention": super()._rope({}, {}, sliding),
        }

    def _native(self, **changes):
        return super()._native(**native_ropes(self), **changes)


class Phi3Config(LlamaConfig):
    """Phi-3 and Phi-4."""

    model_type = "phi3"
    _made = (*LlamaConfig._made, "mlp_bias", "attention_bias", "head_dim")
    _defaults = {
        **LlamaConfig._defaults,
        "vocab_size": 32064,
        "hidden_size": 3072,
        "intermediate_size": 8192,
        "resid_pdrop": 0.0,
        "embd_pdrop": 0.0,
        "max_position_embeddings": 4096,
        "original_max_position_embeddings": 4096,
        "rms_norm_eps": 1e-5,
        "eos_token_id": 32000,
        "pad_token_id": 32000,
        "sliding_window": None,
    }

    def _rope(self, older: dict, scaling: dict, given: dict) -> dict:
        rope = super()._rope(older, scaling, given)
        if rope["rope_type"] in ("su", "yarn"):  # other names of it in the first files
            rope["rope_type"] = "longrope"
        if rope["rope_type"] == "longrope":  # as transformers, whatever the part of the file says
            rope["original_max_position_embeddings"] = self.original_max_position_embeddings
        return rope


class Olmo2Config(LlamaConfig):
    """OLMo 2."""

    model_type = "olmo2"
    _made = (*LlamaConfig._made, "mlp_bias", "head_dim", "sliding_window")
    _defaults = {
        "vocab_size": 50304,
        "rms_norm_eps": 1e-5,
        "pad_token_id": 1,
        "eos_token_id": 50279,
        "rope_parameters": None,
    }


class OlmoeConfig(Olmo2Config):
    """OLMoE."""

    model_type = "olmoe"
    _defaults = {
        **Olmo2Config._defaults,
        **_ROUTER,
        "hidden_size": 2048,
        "intermediate_size": 2048,
        "num_hidden_layers": 16,
        "num_attention_heads": 16,
        "max_position_embeddings": 4096,
        "clip_qkv": None,
        "num_experts_per_tok": 8,
        "num_experts": 64,
        "router_aux_loss_coef": 0.01,
        "norm_topk_prob": False,
    }


class GraniteConfig(LlamaConfig):
    """Granite 3."""

    model_type = "granite"
    _made = (*LlamaConfig._made, "head_dim", "sliding_window")
    _defaults = {
        **LlamaConfig._defaults,
        "embedding_multiplier": 1.0,
        "logits_scaling": 1.0,
        "residual_multiplier": 1.0,
        "attention_multiplier": 1.0,
    }


class SmolLM3Config(LlamaConfig):
    """SmolLM3."""

    model_type = "smollm3"
    _made = (*LlamaConfig._made, "head_dim")
    _theta = 2000000.0
    _defaults = {
        "vocab_size": 128256,
        "hidden_size": 2048,
        "num_hidden_layers": 36,
        "num_attention_heads": 16,
        "num_key_value_heads": 4,
        "max_position_embeddings": 32768,
        "pad_token_id": 128004,
        "bos_token_id": 128000,
        "eos_token_id": 128001,
        "tie_word_embeddings": True,
        "rope_parameters": None,
        "use_sliding_window": False,
        "no_rope_layers": None,
        "no_rope_layer_interval": 4,
        "layer_types": None,
    }

    def __init__(self, **values):
        super().__init__(**values)
        if self.no_rope_layers is None:
            self.no_rope_layers = [
                int((i + 1) % self.no_rope_layer_interval != 0)
                for i in range(self.num_hidden_layers)
            ]
        if self.layer_types is None:
            slides = self.use_sliding_window and self.sliding_window is not None
            self.layer_types = [
                "sliding_attention" if slides and not turned else "full_attention"
                for turned in self.no_rope_layers
            ]


class DeepseekV2Config(LlamaConfig):
    """DeepSeek-V2 and V2.5."""

    model_type = "deepseek_v2"
    _struct = _hub.DeepseekConfig
    _made = (
        *LlamaConfig._made,
        "sliding_window",
        "num_key_value_heads",
        "head_dim",
        "rope_interleave",
    )
    _defaults = {
        **LlamaConfig._defaults,
        "vocab_size": 102400,
        "moe_intermediate_size": 1407,
        "num_experts_per_tok": None,
        "norm_topk_prob": False,
    }


class DeepseekV3Config(LlamaConfig):
    """DeepSeek-V3 and R1."""

    model_type = "deepseek_v3"
    _struct = _hub.DeepseekConfig
    _made = (
        *LlamaConfig._made,
        "sliding_window",
        "num_key_value_heads",
        "head_dim",
        "mlp_bias",
        "topk_method",
    )
    _defaults = {
        "vocab_size": 129280,
        "hidden_size": 7168,
        "intermediate_size": 18432,
        "moe_intermediate_size": 2048,
        "num_hidden_layers": 61,
        "num_attention_heads": 128,
        "n_shared_experts": 1,
        "n_routed_experts": 256,
        "routed_scaling_factor": 2.5,
        "n_group": 8,
        "topk_group": 4,
        "num_experts_per_tok": 8,
        "first_k_dense_replace": 3,
        "norm_topk_prob": True,
        "max_position_embeddings": 4096,
        "bos_token_id": 0,
        "eos_token_id": 1,
        "rope_parameters": None,
    }


#: Configurations by model type.
DECODERS: dict[str, type[LlamaConfig]] = {
    c.model_type: c
    for c in (
        LlamaConfig,
        MistralConfig,
        MixtralConfig,
        Qwen2Config,
        Qwen2MoeConfig,
        Qwen3Config,
        Qwen3MoeConfig,
        GemmaConfig,
        Gemma2Config,
        Gemma3TextConfig,
        Phi3Config,
        Olmo2Config,
        OlmoeConfig,
        GraniteConfig,
        SmolLM3Config,
        DeepseekV2Config,
        DeepseekV3Config,
    )
}
CONFIGS |= DECODERS
