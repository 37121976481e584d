# SPDX-License-Identifier: Apache-2.0
"""ResNet, ConvNeXt and Swin with the names of transformers; vision.py has those of timm."""

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


def _family(config: type, native: str, doc: str) -> dict[str, type]:
    """The classes of a family by what follows its name."""
    name = config.__name__.removesuffix("Config")
    common = {
        "__module__": __name__,
        "config_class": config,
        "base_model_prefix": config.model_type,
        "_file_names": _FILE_NAMES.get(name, ()),
    }
    kinds = {"Model": "without a head", "ForImageClassification": "that tells classes of images"}
    return {
        suffix: type(
            name + suffix,
            (ImagePreTrainedModel, getattr(_hub, native + suffix)),
            {**common, "__doc__": f"{doc} {what}."},
        )
        for suffix, what in kinds.items()
    }


CONFIGS |= {c.model_type: c for c in (ResNetConfig, ConvNextConfig, ConvNextV2Config, SwinConfig)}
FAMILIES["resnet"] = _family(ResNetConfig, "ResNet", "ResNet")
FAMILIES["convnext"] = _family(ConvNextConfig, "ConvNext", "ConvNeXt")
FAMILIES["convnextv2"] = _family(ConvNextV2Config, "ConvNext", "ConvNeXt V2")
FAMILIES["swin"] = _family(SwinConfig, "Swin", "Swin Transformer")
#: All classes by name; they are attributes of this module, where pickles find them.
CLASSES = {
    made.__name__: made
    for kind in ("resnet", "convnext", "convnextv2", "swin")
    for made in (CONFIGS[kind], *FAMILIES[kind].values())
}
globals().update(CLASSES)
