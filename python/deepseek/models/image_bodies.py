# SPDX-License-Identifier: Apache-2.0
"""ResNet, ConvNeXt, Swin, MobileNetV2, EfficientNet and SegFormer with the names of transformers;
vision.py has those of timm."""

import re

from .. import _core
from ._config import CONFIGS
from .language import FAMILIES
from .vit import ImagePretrainedConfig, ImagePreTrainedModel

_hub = _core._hub


class _StagedConfig(ImagePretrainedConfig):
    """Of a model in stages."""

    def __init__(self, **values):
        super().__init__(**values)
        count = len(self.depths)
        self.stage_names = ["stem", *(f"stage{i + 1}" for i in range(count))]


class ResNetConfig(_StagedConfig):
    """ResNet."""

    model_type = "resnet"
    _struct = _hub.ResNetModelConfig


class ConvNextConfig(_StagedConfig):
    """ConvNeXt."""

    model_type = "convnext"
    _struct = _hub.ConvNextModelConfig
    _defaults = {"image_size": 224}
    attribute_map = {"num_hidden_layers": "num_stages"}

    def __init__(self, **values):
        super().__init__(**values)
        self.num_stages = len(self.depths)


class ConvNextV2Config(ConvNextConfig):
    """ConvNeXt V2."""

    model_type = "convnextv2"
    _made = ("classifier_dropout", "layer_scale_init_value")

    def _native(self, **changes):
        return super()._native(layer_scale_init_value=0.0, **changes)


class SwinConfig(_StagedConfig):
    """Swin Transformer."""

    model_type = "swin"
    _struct = _hub.SwinModelConfig
    _defaults = {"encoder_stride": 32}
    attribute_map = {"num_attention_heads": "num_heads", "num_hidden_layers": "num_layers"}

    def __init__(self, **values):
        super().__init__(**values)
        self.num_layers = len(self.depths)
        self.hidden_size = self.embed_dim << (self.num_layers - 1)


class MobileNetV2Config(ImagePretrainedConfig):
    """MobileNetV2."""

    model_type = "mobilenet_v2"
    _struct = _hub.MobileNetV2ModelConfig
    _defaults = {"image_size": 224, "semantic_loss_ignore_index": 255}


class EfficientNetConfig(ImagePretrainedConfig):
    """EfficientNet."""

    model_type = "efficientnet"
    _struct = _hub.EfficientNetModelConfig
    _defaults = {"image_size": 600}

    def __init__(self, **values):
        super().__init__(**values)
        self.num_hidden_layers = sum(self.num_block_repeats) * 4


class SegformerConfig(ImagePretrainedConfig):
    """SegFormer."""

    model_type = "segformer"
    _struct = _hub.SegformerConfig
    _defaults = {"layer_norm_eps": 1e-6}
    attribute_map = {"num_hidden_layers": "num_encoder_blocks"}


class SegformerNames(ImagePreTrainedModel):
    """Files have a list of every kind of layer, the model one of stages."""

    _file_names = (
        ("attention.self.query", "attention.q_proj"),
        ("attention.self.key", "attention.k_proj"),
        ("attention.self.value", "attention.v_proj"),
        ("attention.self.sr", "attention.sequence_reduction.sequence_reduction"),
        ("attention.self.layer_norm", "attention.sequence_reduction.layer_norm"),
        ("attention.output.dense", "attention.o_proj"),
        ("mlp.dense1", "mlp.fc1"),
        ("mlp.dense2", "mlp.fc2"),
        ("layer_norm_1", "layernorm_before"),
        ("layer_norm_2", "layernorm_after"),
        ("decode_head.linear_c", "decode_head.linear_projections"),
    )

    def _own_name(self, name: str, own: dict) -> str:
        name = re.sub(r"encoder\.(patch_embeddings|layer_norm)\.(\d+)", r"stages.\2.\1", name)
        name = re.sub(r"encoder\.block\.(\d+)", r"stages.\1.blocks", name)
        return super()._own_name(name, own)

    def _to_files(self, state: dict) -> dict:
        named = {}
        for name, tensor in super()._to_files(state).items():
            name = re.sub(r"stages\.(\d+)\.(patch_embeddings|layer_norm)", r"encoder.\2.\1", name)
            named[re.sub(r"stages\.(\d+)\.blocks", r"encoder.block.\1", name)] = tensor
        return named


#: Parts of names in files and the model's own.
_FILE_NAMES = {
    "Swin": (
        ("attention.self.query", "attention.q_proj"),
        ("attention.self.key", "attention.k_proj"),
        ("attention.self.value", "attention.v_proj"),
        (
            "attention.self.relative_position_bias_table",
            "attention.relative_position_bias.relative_position_bias_table",
        ),
        ("attention.output.dense", "attention.o_proj"),
        ("intermediate.dense", "mlp.fc1"),
        ("output.dense", "mlp.fc2"),
    )
}


_KINDS = {
    "Model": "without a head",
    "ForImageClassification": "that tells classes of images",
    "ForSemanticSegmentation": "that tells the class of every pixel",
}


def _family(config: type, native: str, doc: str, base: type = ImagePreTrainedModel, more=()):
    """The classes of a family by what follows its name: those of a body, and `more`."""
    name = config.__name__.removesuffix("Config")
    common = {
        "__module__": __name__,
        "config_class": config,
        "base_model_prefix": config.model_type,
        "_file_names": _FILE_NAMES.get(name, base._file_names),
    }
    return {
        suffix: type(
            name + suffix,
            (base, getattr(_hub, native + suffix)),
            {**common, "__doc__": f"{doc} {_KINDS[suffix]}."},
        )
        for suffix in ("Model", "ForImageClassification", *more)
    }


_CONFIGS = (
    ResNetConfig,
    ConvNextConfig,
    ConvNextV2Config,
    SwinConfig,
    MobileNetV2Config,
    EfficientNetConfig,
    SegformerConfig,
)
CONFIGS |= {c.model_type: c for c in _CONFIGS}
FAMILIES["resnet"] = _family(ResNetConfig, "ResNet", "ResNet")
FAMILIES["convnext"] = _family(ConvNextConfig, "ConvNext", "ConvNeXt")
FAMILIES["convnextv2"] = _family(ConvNextV2Config, "ConvNext", "ConvNeXt V2")
FAMILIES["swin"] = _family(SwinConfig, "Swin", "Swin Transformer")
FAMILIES["mobilenet_v2"] = _family(MobileNetV2Config, "MobileNetV2", "MobileNetV2")
FAMILIES["efficientnet"] = _family(EfficientNetConfig, "EfficientNet", "EfficientNet")
FAMILIES["segformer"] = _family(
    SegformerConfig, "Segformer", "SegFormer", SegformerNames, ("ForSemanticSegmentation",)
)
#: All classes by name; they are attributes of this module, where pickles find them.
CLASSES = {
    made.__name__: made
    for config in _CONFIGS
    for made in (config, *FAMILIES[config.model_type].values())
}
globals().update(CLASSES)
