# SPDX-License-Identifier: Apache-2.0
"""BEiT with the names of transformers."""

import re

from .. import _core
from ._config import CONFIGS
from .language import FAMILIES
from .vit import ImagePretrainedConfig, ViTNames

_hub = _core._hub


class BeitConfig(ImagePretrainedConfig):
    """BEiT."""

    model_type = "beit"
    _struct = _hub.BeitConfig
    _made = (*ImagePretrainedConfig._made, "out_indices")

    def __init__(self, **values):
        older = values.pop("segmentation_indices", None)  # of files before 2023
        if older is not None:
            values.setdefault("out_indices", older)
        super().__init__(**values)

    def _native(self, **changes):
        return super()._native(
            out_indices=list(getattr(self, "out_indices", None) or ()), **changes
        )


class _Beit(ViTNames):
    config_class = BeitConfig
    base_model_prefix = "beit"
    _file_names = (
        *ViTNames._file_names,
        (
            "attention.attention.relative_position_bias.relative_position_bias_table",
            "relative_position_bias.relative_position_bias_table",
        ),
        ("encoder.relative_position_bias.", "shared_position_bias."),
    )


class BeitModel(_Beit, _hub.BeitModel):
    """BEiT without a head."""

    def __init__(self, config, add_pooling_layer: bool = True):
        super().__init__(config, add_pooling_layer)


class BeitForImageClassification(_Beit, _hub.BeitForImageClassification):
    """BEiT that tells classes of images."""


class BeitForMaskedImageModeling(_Beit, _hub.BeitForMaskedImageModeling):
    """BEiT that tells which words hidden patches stand for; labels are those of the hidden ones."""


#: Names in files, as patterns, and the model's own; then the reverse.
_READ = (
    (r"^fpn1\.0\.", "fpn.fpn1.conv_transpose1."),
    (r"^fpn1\.1\.", "fpn.fpn1.normalization."),
    (r"^fpn1\.3\.", "fpn.fpn1.conv_transpose2."),
    (r"^fpn2\.0\.", "fpn.fpn2."),
    (r"psp_modules\.(\d+)\.1\.", r"psp_modules.blocks.\1.conv."),
    (r"^decode_head\.bottleneck\.", "decode_head.psp_bottleneck."),
    (r"^((decode|auxiliary)_head\..*)\.conv\.weight$", r"\1.convolution.weight"),
    (r"^((decode|auxiliary)_head\..*)\.bn\.", r"\1.normalization."),
)
_WRITTEN = (
    (r"^((decode|auxiliary)_head\..*)\.normalization\.", r"\1.bn."),
    (r"^((decode|auxiliary)_head\..*)\.convolution\.", r"\1.conv."),
    (r"^decode_head\.psp_bottleneck\.", "decode_head.bottleneck."),
    (r"psp_modules\.blocks\.(\d+)\.conv\.", r"psp_modules.\1.1."),
    (r"^fpn\.fpn2\.", "fpn2.0."),
    (r"^fpn\.fpn1\.conv_transpose2\.", "fpn1.3."),
    (r"^fpn\.fpn1\.normalization\.", "fpn1.1."),
    (r"^fpn\.fpn1\.conv_transpose1\.", "fpn1.0."),
)


class BeitForSemanticSegmentation(_Beit, _hub.BeitForSemanticSegmentation):
    """BEiT that tells the class of every pixel."""

    def _own_name(self, name: str, own: dict) -> str:
        for pattern, ours in _READ:
            name = re.sub(pattern, ours, name)
        return super()._own_name(name, own)

    def _to_files(self, state: dict) -> dict:
        named = {}
        for name, tensor in super()._to_files(state).items():
            for pattern, theirs in _WRITTEN:
                name = re.sub(pattern, theirs, name)
            named[name] = tensor
        return named


CONFIGS["beit"] = BeitConfig
FAMILIES["beit"] = {
    "Model": BeitModel,
    "ForMaskedImageModeling": BeitForMaskedImageModeling,
    "ForImageClassification": BeitForImageClassification,
    "ForSemanticSegmentation": BeitForSemanticSegmentation,
}
