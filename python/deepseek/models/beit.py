# SPDX-License-Identifier: Apache-2.0
"""BEiT with the names of transformers."""

from .. import _core
from ._config import CONFIGS
from .language import FAMILIES
from .vit import ImagePretrainedConfig, ViTNames

_hub = _core._hub


class BeitConfig(ImagePretrainedConfig):
    """BEiT."""

    model_type = "beit"
    _struct = _hub.BeitConfig


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


CONFIGS["beit"] = BeitConfig
FAMILIES["beit"] = {
    "Model": BeitModel,
    "ForMaskedImageModeling": BeitForMaskedImageModeling,
    "ForImageClassification": BeitForImageClassification,
}
