# SPDX-License-Identifier: Apache-2.0
"""ViT and DeiT with the names of transformers; vision.py has those of timm."""

from .. import _core
from ._config import CONFIGS, PretrainedConfig
from ._pretrained import PretrainedMixin
from .language import FAMILIES

_hub = _core._hub


class ImagePretrainedConfig(PretrainedConfig):
    """Of a model of square images and patches."""

    _made = ("classifier_dropout",)

    def _native(self, **changes):
        for key in ("image_size", "patch_size"):  # a number or two equal ones
            value = getattr(self, key, None)
            if isinstance(value, list | tuple) and len(set(value)) == 1:
                changes[key] = value[0]
        return super()._native(**changes)


class ImagePreTrainedModel(PretrainedMixin):
    """Beside a C++ class that is made from a configuration and `more` arguments."""

    def __init__(self, config, *more):
        super().__init__(config._native(), *more)
        self.config = config


class ViTConfig(ImagePretrainedConfig):
    """ViT."""

    model_type = "vit"
    _struct = _hub.ViTConfig
    _defaults = {"encoder_stride": 16}

    def __init__(self, **values):
        super().__init__(**values)
        self.pooler_output_size = self.pooler_output_size or self.hidden_size


class DeiTConfig(ViTConfig):
    """DeiT."""

    model_type = "deit"


class _ViT(ImagePreTrainedModel):
    _file_names = (
        ("encoder.layer.", "layers."),
        ("attention.attention.query", "attention.q_proj"),
        ("attention.attention.key", "attention.k_proj"),
        ("attention.attention.value", "attention.v_proj"),
        ("attention.output.dense", "attention.o_proj"),
        ("intermediate.dense", "mlp.fc1"),
        ("output.dense", "mlp.fc2"),
    )


class ViTModel(_ViT, _hub.ViTModel):
    """ViT without a head."""

    config_class = ViTConfig
    base_model_prefix = "vit"

    def __init__(self, config, add_pooling_layer: bool = True):
        super().__init__(config, add_pooling_layer)


class ViTForImageClassification(_ViT, _hub.ViTForImageClassification):
    """ViT that tells classes of images."""

    config_class = ViTConfig
    base_model_prefix = "vit"


class DeiTModel(ViTModel):
    """DeiT without a head."""

    config_class = DeiTConfig
    base_model_prefix = "deit"


class DeiTForImageClassification(ViTForImageClassification):
    """DeiT that tells classes of images by its class token."""

    config_class = DeiTConfig
    base_model_prefix = "deit"


class DeiTForImageClassificationWithTeacher(_ViT, _hub.DeiTForImageClassificationWithTeacher):
    """DeiT that tells classes of images by both its tokens, as it was distilled."""

    config_class = DeiTConfig
    base_model_prefix = "deit"


CONFIGS |= {c.model_type: c for c in (ViTConfig, DeiTConfig)}
FAMILIES["vit"] = {"Model": ViTModel, "ForImageClassification": ViTForImageClassification}
FAMILIES["deit"] = {
    "Model": DeiTModel,
    "ForImageClassification": DeiTForImageClassification,
    "ForImageClassificationWithTeacher": DeiTForImageClassificationWithTeacher,
}
