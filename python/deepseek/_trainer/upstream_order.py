# SPDX-License-Identifier: Apache-2.0
"""The order of parameters in transformers, by which the state of an optimizer finds them."""

_ROBERTA = {
    "embeddings": ("word_embeddings", "token_type_embeddings", "LayerNorm", "position_embeddings")
}
#: Of families that come from a modular definition, whose heads stand in front of the body.
_HEAD_FIRST = {"": ("lm_head", "classifier", "qa_outputs", "roberta"), **_ROBERTA}
_EXPERTS = {"mlp": ("gate", "experts", "shared_expert", "shared_expert_gate")}
_NORMS_LAST = {"layers": ("self_attn", "mlp", "input_layernorm", "post_attention_layernorm")}
_KEYS_FIRST = ("k_proj", "v_proj", "q_proj", "out_proj")
_CLIP = {
    "layers": ("self_attn", "layer_norm1", "mlp", "layer_norm2"),
    "self_attn": _KEYS_FIRST,
}
_SIGLIP = {"layers": ("layer_norm1", "self_attn", "layer_norm2", "mlp"), "self_attn": _KEYS_FIRST}
_ATTENTION_FIRST = ("attention", "layernorm_before", "layernorm_after", "mlp")
_TOKENS = (
    "cls_token",
    "mask_token",
    "position_embeddings",
    "distillation_token",
    "patch_embeddings",
)
_VIT = {"layers": _ATTENTION_FIRST, "embeddings": _TOKENS}
#: By model_type: children of a module in their order there, where it differs from ours, by the last
#: part of the module's name that is no number. Families that are not here are not known.
ORDERS: dict[str, dict[str, tuple[str, ...]]] = {
    **dict.fromkeys(
        "bert distilbert deberta-v2 modernbert mpnet gpt2 t5 mt5 bart mbart pegasus marian "
        "llama mistral qwen2 qwen3 gemma gemma2 gemma3_text granite olmo olmo2 smollm3 "
        "deepseek_v2 deepseek_v3 qwen3_moe beit resnet convnext convnextv2 mobilenet_v2 "
        "efficientnet segformer".split(),
        {},
    ),
    "albert": {
        "albert_layers": ("full_layer_layer_norm", "attention", "ffn", "ffn_output"),
        "predictions": ("bias", "LayerNorm", "dense"),
    },
    "roberta": _ROBERTA,
    "xlm-roberta": _HEAD_FIRST,
    "camembert": _HEAD_FIRST,
    "electra": {"generator_predictions": ("LayerNorm", "dense")},
    "mixtral": _EXPERTS,
    "qwen2_moe": _EXPERTS,
    "olmoe": _EXPERTS,
    "phi3": {"self_attn": ("o_proj", "qkv_proj")},
    "gpt_neox": {
        "layers": ("input_layernorm", "post_attention_layernorm", "attention", "mlp"),
    },
    "gptj": {"attn": _KEYS_FIRST},
    "gpt_neo": {"h": ("ln_1", "attn", "ln_2", "mlp"), "attention": _KEYS_FIRST},
    "opt": {
        "decoder": (
            "embed_tokens",
            "embed_positions",
            "project_out",
            "project_in",
            "final_layer_norm",
            "layers",
        ),
        "layers": ("self_attn", "self_attn_layer_norm", "fc1", "fc2", "final_layer_norm"),
        "self_attn": _KEYS_FIRST,
    },
    "bloom": {"h": ("input_layernorm", "self_attention", "post_attention_layernorm", "mlp")},
    "falcon": {"h": ("self_attention", "mlp", "input_layernorm")},
    "phi": _NORMS_LAST,
    "stablelm": _NORMS_LAST,
    "starcoder2": _NORMS_LAST,
    "vit": _VIT,
    "deit": _VIT,
    "dinov2": {
        "embeddings": _TOKENS,
        "layer": ("norm1", "attention", "layer_scale1", "norm2", "mlp", "layer_scale2"),
    },
    "swin": {
        "blocks": _ATTENTION_FIRST,
        "attention": ("q_proj", "k_proj", "v_proj", "o_proj", "relative_position_bias"),
        "downsample": ("reduction", "norm"),
    },
    **dict.fromkeys(("clip", "clip_text_model", "clip_vision_model"), _CLIP),
    **dict.fromkeys(("siglip", "siglip_text_model", "siglip_vision_model"), _SIGLIP),
}


def names_in_order(names: list[str], model_type: str) -> list[str]:
    """Names of parameters, tied ones with each of theirs, in the order that they have there;
    KeyError for a family that is not known."""
    orders = ORDERS[model_type]
    tree: dict = {}
    for name in names:
        node = tree
        for part in name.split("."):
            node = node.setdefault(part, {})

    def walk(node: dict, path: str, kind: str):
        order = orders.get(kind, ())
        known = sorted((name for name in node if name in order), key=order.index)
        # Children that the order names change places among themselves.
        children = (known.pop(0) if name in order else name for name in list(node))
        for name in children:
            if not node[name]:
                yield path + name
            else:
                yield from walk(node[name], f"{path}{name}.", kind if name.isdigit() else name)

    return list(walk(tree, "", ""))
