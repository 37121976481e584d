# SPDX-License-Identifier: Apache-2.0
"""The sizes of models of transformers that are known without their config.json."""

_LARGE = {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16}
_BERT_LARGE = {**_LARGE, "intermediate_size": 4096}
_ROBERTA = {"max_position_embeddings": 514, "type_vocab_size": 1}
_DEBERTA_V3 = {
    "position_biased_input": False,
    "relative_attention": True,
    "position_buckets": 256,
    "norm_rel_ebd": "layer_norm",
    "share_att_key": True,
    "pos_att_type": ["p2c", "c2p"],
}
_IMAGENET = {"num_labels": 1000}
#: EfficientNet's multipliers of width and depth, and the channels of its last layer.
_EFFICIENT = (
    (1.0, 1.0, 1280),
    (1.0, 1.1, 1280),
    (1.1, 1.2, 1408),
    (1.2, 1.4, 1536),
    (1.4, 1.8, 1792),
    (1.6, 2.2, 2048),
    (1.8, 2.6, 2304),
    (2.0, 3.1, 2560),
)
_SEGFORMER_DEPTHS = (
    (2, 2, 2, 2),
    (2, 2, 2, 2),
    (3, 4, 6, 3),
    (3, 4, 18, 3),
    (3, 8, 27, 3),
    (3, 6, 40, 3),
)


def _segformer(i: int) -> dict:
    wide = {} if i == 0 else {"hidden_sizes": [64, 128, 320, 512]}
    decoder = 256 if i < 2 else 768
    return {
        **wide,
        "depths": list(_SEGFORMER_DEPTHS[i]),
        "decoder_hidden_size": decoder,
        "num_labels": 150,
    }


_ALBERT = {
    "base": {"hidden_size": 768, "num_attention_heads": 12, "intermediate_size": 3072},
    "large": {**_LARGE, "intermediate_size": 4096},
    "xlarge": {**_LARGE, "hidden_size": 2048, "intermediate_size": 8192},
    "xxlarge": {},
}
#: Model type and what differs from its default configuration, for models of transformers whose size
#: is known without their config.json.
LANGUAGE: dict[str, tuple[str, dict]] = {
    "bert-base-uncased": ("bert", {}),
    "bert-base-cased": ("bert", {"vocab_size": 28996}),
    "bert-base-chinese": ("bert", {"vocab_size": 21128}),
    "bert-base-multilingual-cased": ("bert", {"vocab_size": 119547}),
    "bert-base-multilingual-uncased": ("bert", {"vocab_size": 105879}),
    "bert-base-german-cased": ("bert", {"vocab_size": 30000}),
    "bert-large-uncased": ("bert", _BERT_LARGE),
    "bert-large-cased": ("bert", {**_BERT_LARGE, "vocab_size": 28996}),
    "roberta-base": ("roberta", _ROBERTA),
    "roberta-large": ("roberta", {**_ROBERTA, **_BERT_LARGE}),
    "distilroberta-base": ("roberta", {**_ROBERTA, "num_hidden_layers": 6}),
    "xlm-roberta-base": ("xlm-roberta", {**_ROBERTA, "vocab_size": 250002}),
    "xlm-roberta-large": ("xlm-roberta", {**_ROBERTA, **_BERT_LARGE, "vocab_size": 250002}),
    "camembert-base": ("camembert", {**_ROBERTA, "vocab_size": 32005}),
    "mpnet-base": ("mpnet", {"max_position_embeddings": 514}),
    "all-mpnet-base-v2": ("mpnet", {"max_position_embeddings": 514}),
    **{
        f"deberta-v3-{size}": (
            "deberta-v2",
            {
                "hidden_size": 64 * heads,
                "num_hidden_layers": layers,
                "num_attention_heads": heads,
                "intermediate_size": 256 * heads,
                **_DEBERTA_V3,
            },
        )
        for size, heads, layers in (
            ("xsmall", 6, 12),
            ("small", 12, 6),
            ("base", 12, 12),
            ("large", 16, 24),
        )
    },
    "modernbert-base": ("modernbert", {}),
    "modernbert-large": (
        "modernbert",
        {
            "hidden_size": 1024,
            "intermediate_size": 2624,
            "num_hidden_layers": 28,
            "num_attention_heads": 16,
        },
    ),
    "electra-small-discriminator": ("electra", {}),
    "electra-base-discriminator": (
        "electra",
        {
            "embedding_size": 768,
            "hidden_size": 768,
            "num_attention_heads": 12,
            "intermediate_size": 3072,
        },
    ),
    "electra-large-discriminator": ("electra", {**_BERT_LARGE, "embedding_size": 1024}),
    "distilbert-base-uncased": ("distilbert", {}),
    "distilbert-base-cased": ("distilbert", {"vocab_size": 28996}),
    "distilbert-base-multilingual-cased": ("distilbert", {"vocab_size": 119547}),
    **{
        f"albert-{size}-{version}": ("albert", changes)
        for size, changes in _ALBERT.items()
        for version in ("v1", "v2")
    },
    "all-minilm-l6-v2": (
        "bert",
        {"hidden_size": 384, "num_hidden_layers": 6, "intermediate_size": 1536},
    ),
    "gpt2": ("gpt2", {}),
    "gpt2-medium": ("gpt2", {"n_embd": 1024, "n_layer": 24, "n_head": 16}),
    "gpt2-large": ("gpt2", {"n_embd": 1280, "n_layer": 36, "n_head": 20}),
    "gpt2-xl": ("gpt2", {"n_embd": 1600, "n_layer": 48, "n_head": 25}),
    "distilgpt2": ("gpt2", {"n_layer": 6}),
    "gpt-neo-1.3b": ("gpt_neo", {}),
    "gpt-j-6b": ("gptj", {}),
    "gpt-neox-20b": ("gpt_neox", {}),
    "opt-125m": ("opt", {}),
    "bloom-560m": ("bloom", {"hidden_size": 1024, "n_layer": 24, "n_head": 16}),
    "falcon-7b": ("falcon", {}),
    "phi-1_5": ("phi", {}),
    "phi-1": ("phi", {}),
    "stablelm-3b-4e1t": ("stablelm", {}),
    "starcoder2-3b": ("starcoder2", {}),
    "olmo-7b": ("olmo", {}),
    "bart-base": (
        "bart",
        {
            "d_model": 768,
            **{
                f"{part}_{key}": count
                for part in ("encoder", "decoder")
                for key, count in (("layers", 6), ("attention_heads", 12), ("ffn_dim", 3072))
            },
        },
    ),
    "bart-large": ("bart", {}),
    "bart-large-cnn": ("bart", {"vocab_size": 50264}),
    "bart-large-xsum": ("bart", {"vocab_size": 50264}),
    "mbart-large-cc25": ("mbart", {"vocab_size": 250027}),
    "mbart-large-50-many-to-many-mmt": ("mbart", {"vocab_size": 250054}),
    "vit-base-patch16-224": ("vit", _IMAGENET),
    "vit-base-patch16-384": ("vit", {**_IMAGENET, "image_size": 384}),
    "vit-large-patch16-224": ("vit", {**_IMAGENET, **_BERT_LARGE}),
    "deit-base-distilled-patch16-224": ("deit", _IMAGENET),
    "beit-base-patch16-224": ("beit", {**_IMAGENET, "use_relative_position_bias": True}),
    "beit-base-patch16-384": (
        "beit",
        {**_IMAGENET, "use_relative_position_bias": True, "image_size": 384},
    ),
    "beit-large-patch16-224": (
        "beit",
        {**_IMAGENET, **_BERT_LARGE, "use_relative_position_bias": True},
    ),
    **{
        f"mobilenet_v2_{width}_{side}": (
            "mobilenet_v2",
            {"depth_multiplier": float(width), "image_size": side, "num_labels": 1001},
        )
        for width, side in (("0.35", 96), ("0.75", 160), ("1.0", 224), ("1.4", 224))
    },
    **{
        f"efficientnet-b{i}": (
            "efficientnet",
            {
                **_IMAGENET,
                "width_coefficient": width,
                "depth_coefficient": depth,
                "hidden_dim": channels,
            },
        )
        for i, (width, depth, channels) in enumerate(_EFFICIENT)
    },
    **{
        f"segformer-b{i}-finetuned-ade-{side}-{side}": ("segformer", _segformer(i))
        for i, side in enumerate((512, 512, 512, 512, 512, 640))
    },
    "dinov2-small": (
        "dinov2",
        {"hidden_size": 384, "num_attention_heads": 6, "image_size": 518},
    ),
    "dinov2-base": ("dinov2", {"image_size": 518}),
    "dinov2-large": ("dinov2", {**_LARGE, "image_size": 518}),
    "dinov2-giant": (
        "dinov2",
        {
            "hidden_size": 1536,
            "num_hidden_layers": 40,
            "num_attention_heads": 24,
            "use_swiglu_ffn": True,
            "image_size": 518,
        },
    ),
    "clip-vit-base-patch32": ("clip", {}),
    "clip-vit-base-patch16": ("clip", {"vision_config": {"patch_size": 16}}),
    "clip-vit-large-patch14": (
        "clip",
        {
            "projection_dim": 768,
            "text_config": {
                "hidden_size": 768,
                "intermediate_size": 3072,
                "num_attention_heads": 12,
            },
            "vision_config": {**_BERT_LARGE, "patch_size": 14},
        },
    ),
}


def _siglip(size: int, patch: int = 16, **encoder) -> tuple[str, dict]:
    vision = {**encoder, "image_size": size, "patch_size": patch}
    return "siglip", {"text_config": encoder, "vision_config": vision}


LANGUAGE |= {
    **{f"siglip-base-patch16-{size}": _siglip(size) for size in (224, 256, 384, 512)},
    **{f"siglip-large-patch16-{size}": _siglip(size, **_BERT_LARGE) for size in (256, 384)},
    "siglip-so400m-patch14-384": _siglip(
        384,
        14,
        hidden_size=1152,
        intermediate_size=4304,
        num_hidden_layers=27,
        num_attention_heads=16,
    ),
}
#: The classes whose parameters are counted: what the checkpoints hold, without new heads.
COUNTED = {
    **dict.fromkeys(
        (
            "gpt2",
            "gpt_neo",
            "gptj",
            "gpt_neox",
            "opt",
            "bloom",
            "falcon",
            "phi",
            "stablelm",
            "starcoder2",
            "olmo",
        ),
        "ForCausalLM",
    ),
    **dict.fromkeys(("vit", "beit", "mobilenet_v2", "efficientnet"), "ForImageClassification"),
    "segformer": "ForSemanticSegmentation",
    "deit": "ForImageClassificationWithTeacher",
}
