# SPDX-License-Identifier: Apache-2.0
"""SigLIP: images and texts in one space, each pair judged by itself; names are transformers'."""

from .. import _core
from ._config import CONFIGS
from .clip import PairConfig, PairPreTrainedModel, PartConfig
from .language import FAMILIES

_hub = _core._hub


class SiglipTextConfig(PartConfig):
    """SigLIP's encoder of texts."""

    model_type = "siglip_text_model"
    _struct = _hub.SiglipTextConfig
    _part = "text_config"
    _pair = "siglip"
    _defaults = {"pad_token_id": 1, "bos_token_id": 49406, "eos_token_id": 49407}

    def __init__(self, **values):
        super().__init__(**values)
        self.projection_size = self.projection_size or self.hidden_size


class SiglipVisionConfig(PartConfig):
    """SigLIP's encoder of images."""

    model_type = "siglip_vision_model"
    _struct = _hub.SiglipVisionConfig
    _part = "vision_config"
    _pair = "siglip"


class SiglipConfig(PairConfig):
    """SigLIP."""

    model_type = "siglip"
    _struct = _hub.SiglipConfig
    _parts = (SiglipTextConfig, SiglipVisionConfig)


class SiglipTextModel(PairPreTrainedModel, _hub.SiglipTextModel):
    """SigLIP's encoder of texts."""

    config_class = SiglipTextConfig
    base_model_prefix = "text_model"


class SiglipVisionModel(PairPreTrainedModel, _hub.SiglipVisionModel):
    """SigLIP's encoder of images."""

    config_class = SiglipVisionConfig
    base_model_prefix = "vision_model"


class SiglipForImageClassification(PairPreTrainedModel, _hub.SiglipForImageClassification):
    """SigLIP's encoder of images below a classifier."""

    config_class = SiglipConfig
    base_model_prefix = "siglip"


class SiglipModel(PairPreTrainedModel, _hub.SiglipModel):
    """Texts and images in one space."""

    config_class = SiglipConfig
    base_model_prefix = "siglip"


for _model in (SiglipModel, SiglipTextModel, SiglipVisionModel):  # what the Auto classes find
    CONFIGS[_model.config_class.model_type] = _model.config_class
    FAMILIES[_model.config_class.model_type] = {"Model": _model}
FAMILIES["siglip"]["ForImageClassification"] = SiglipForImageClassification
