# SPDX-License-Identifier: Apache-2.0
"""ViT, DeiT and DINOv2 with the names of transformers; vision.py has those of timm."""

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
    _made = (
        *ImagePretrainedConfig._made,
        "layerscale_value",
        "drop_path_rate",
        "use_swiglu_ffn",
        "use_mask_token",
    )

    def __init__(self, **values):
        super().__init__(**values)
        self.pooler_output_size = self.pooler_output_size or self.hidden_size


class DeiTConfig(ViTConfig):
    """DeiT."""

    model_type = "deit"


class Dinov2Config(ImagePretrainedConfig):
    """DINOv2."""

    model_type = "dinov2"
    _struct = _hub.ViTConfig
    _made = (
        *ImagePretrainedConfig._made,
        "intermediate_size",
        "pooler_output_size",
        "pooler_act",
        "encoder_stride",
    )
    _defaults = {"mlp_ratio": 4, "layer_norm_eps": 1e-6, "patch_size": 14}

    def _native(self, **changes):
        inner = int(self.hidden_size * self.mlp_ratio)
        return super()._native(intermediate_size=inner, **changes)


class ViTNames(ImagePreTrainedModel):
    """Of files that have older names."""

    _file_names = (
        ("encoder.layer.", "layers."),
        ("attention.attention.query", "attention.q_proj"),
        ("attention.attention.key", "attention.k_proj"),
        ("attention.attention.value", "attention.v_proj"),
        ("attention.output.dense", "attention.o_proj"),
        ("intermediate.dense", "mlp.fc1"),
        ("output.dense", "mlp.fc2"),
    )


class ViTModel(ViTNames, _hub.ViTModel):
    """ViT without a head."""

    config_class = ViTConfig
    base_model_prefix = "vit"

    def __init__(self, config, add_pooling_layer: bool = True, use_mask_token: bool = False):
        super().__init__(config, add_pooling_layer, use_mask_token)


class ViTForImageClassification(ViTNames, _hub.ViTForImageClassification):
    """ViT that tells classes of images."""

    config_class = ViTConfig
    base_model_prefix = "vit"


class ViTForMaskedImageModeling(ViTNames, _hub.ViTForMaskedImageModeling):
    """ViT that makes images again some of whose patches are hidden."""

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


class DeiTForImageClassificationWithTeacher(ViTNames, _hub.DeiTForImageClassificationWithTeacher):
    """DeiT that tells classes of images by both its tokens, as it was distilled."""

    config_class = DeiTConfig
    base_model_prefix = "deit"


class DeiTForMaskedImageModeling(ViTForMaskedImageModeling):
    """DeiT that makes images again some of whose patches are hidden."""

    config_class = DeiTConfig
    base_model_prefix = "deit"


class _Dinov2(ImagePreTrainedModel):
    config_class = Dinov2Config
    base_model_prefix = "dinov2"
    _file_names = (
        ("attention.attention.query", "attention.q_proj"),
        ("attention.attention.key", "attention.k_proj"),
        ("attention.attention.value", "attention.v_proj"),
        ("attention.output.dense", "attention.o_proj"),
        ("mlp.weights_out", "mlp.down_proj"),
    )

    def _load(self, weights, *arguments):
        split = {}
        for name, tensor in weights.items():
            stem, found, kind = name.rpartition("mlp.weights_in.")
            if not found:
                split[name] = tensor
                continue
            for part, half in zip(("gate", "up"), tensor.chunk(2, 0), strict=True):
                split[f"{stem}mlp.{part}_proj.{kind}"] = half
        return super()._load(split, *arguments)

    def _to_files(self, state: dict) -> dict:
        joined = {}
        for name, tensor in state.items():
            stem, found, kind = name.rpartition("mlp.gate_proj.")
            if found:
                both = [tensor, state[f"{stem}mlp.up_proj.{kind}"]]
                joined[f"{stem}mlp.weights_in.{kind}"] = _core.cat(both, 0)
            elif "mlp.up_proj." not in name:
                joined[name] = tensor
        return super()._to_files(joined)


class Dinov2Model(_Dinov2, _hub.ViTModel):
    """DINOv2 without a head."""


class Dinov2ForImageClassification(_Dinov2, _hub.ViTForImageClassification):
    """DINOv2 that tells classes of images by its class token and the mean patch."""


CONFIGS |= {c.model_type: c for c in (ViTConfig, DeiTConfig, Dinov2Config)}
FAMILIES["vit"] = {
    "Model": ViTModel,
    "ForMaskedImageModeling": ViTForMaskedImageModeling,
    "ForImageClassification": ViTForImageClassification,
}
FAMILIES["dinov2"] = {
    "Model": Dinov2Model,
    "ForImageClassification": Dinov2ForImageClassification,
}
FAMILIES["deit"] = {
    "Model": DeiTModel,
    "ForMaskedImageModeling": DeiTForMaskedImageModeling,
    "ForImageClassification": DeiTForImageClassification,
    "ForImageClassificationWithTeacher": DeiTForImageClassificationWithTeacher,
}
