# SPDX-License-Identifier: Apache-2.0
"""CLIP: images and texts in one space; names are transformers'."""

import os

from .. import _core
from ._config import CONFIGS, PretrainedConfig
from ._files import read_config, split_hub_arguments
from ._pretrained import PretrainedMixin
from .language import FAMILIES


class PartConfig(PretrainedConfig):
    """Of one encoder: of its own config.json, or a part of a pair's."""

    _part: str
    #: The model_type of the pair.
    _pair: str = "clip"

    @classmethod
    def from_pretrained(cls, name: str | os.PathLike, **changes):
        """The config.json of a folder or of a model of a hub."""
        hub, changes = split_hub_arguments(changes)
        values = read_config(name, **hub)
        if values.get("model_type") == cls._pair:
            whole = CONFIGS[cls._pair].from_dict(values)
            return cls.from_dict(getattr(whole, cls._part).to_dict(), **changes)
        return super().from_pretrained(name, **hub, **changes)


class CLIPTextConfig(PartConfig):
    """CLIP's encoder of texts."""

    model_type = "clip_text_model"
    _struct = _core._hub.CLIPTextConfig
    _part = "text_config"
    _defaults = {"pad_token_id": 1, "bos_token_id": 49406}


class CLIPVisionConfig(PartConfig):
    """CLIP's encoder of images."""

    model_type = "clip_vision_model"
    _struct = _core._hub.CLIPVisionConfig
    _part = "vision_config"


class PairConfig(PretrainedConfig):
    """Of an encoder of texts and one of images: text_config and vision_config are configurations or
    their keys."""

    _made = ("text", "vision")
    _parts: tuple[type[PartConfig], type[PartConfig]]

    def __init__(self, text_config=None, vision_config=None, **values):
        # Files of the first versions repeat the keys that count.
        older = [values.pop(f"{part}_config_dict", None) for part in ("text", "vision")]
        super().__init__(**values)
        parts = []
        given_parts = (text_config, vision_config)
        for kind, given, more in zip(self._parts, given_parts, older, strict=True):
            if isinstance(given, kind):
                parts.append(given)
            elif given is None or isinstance(given, dict):
                parts.append(kind.from_dict({**(given or {}), **(more or {})}))
            else:
                raise _core.ValueError(
                    f"config: {kind._part} is {given!r}; a {kind.__name__} or its keys are expected"
                )
        self.text_config, self.vision_config = parts

    def to_dict(self) -> dict:
        """All keys, those of the parts below them."""
        values = super().to_dict()
        for part in ("text_config", "vision_config"):
            values[part] = getattr(self, part).to_dict()
        return values

    def _native(self, **changes):
        return super()._native(
            text=self.text_config._native(), vision=self.vision_config._native(), **changes
        )


class CLIPConfig(PairConfig):
    """CLIP."""

    model_type = "clip"
    _struct = _core._hub.CLIPConfig
    _parts = (CLIPTextConfig, CLIPVisionConfig)


class PairPreTrainedModel(PretrainedMixin):
    """Beside a C++ class that is made from a configuration."""

    def __init__(self, config):
        super().__init__(config._native())
        self.config = config


class CLIPTextModel(PairPreTrainedModel, _core._hub.CLIPTextModel):
    """CLIP's encoder of texts."""

    config_class = CLIPTextConfig
    base_model_prefix = "text_model"


class CLIPVisionModel(PairPreTrainedModel, _core._hub.CLIPVisionModel):
    """CLIP's encoder of images."""

    config_class = CLIPVisionConfig
    base_model_prefix = "vision_model"


class CLIPTextModelWithProjection(PairPreTrainedModel, _core._hub.CLIPTextModelWithProjection):
    """CLIP's encoder of texts and its projection into the space of images."""

    config_class = CLIPTextConfig
    base_model_prefix = "text_model"


class CLIPVisionModelWithProjection(PairPreTrainedModel, _core._hub.CLIPVisionModelWithProjection):
    """CLIP's encoder of images and its projection into the space of texts."""

    config_class = CLIPVisionConfig
    base_model_prefix = "vision_model"


class CLIPForImageClassification(PairPreTrainedModel, _core._hub.CLIPForImageClassification):
    """CLIP's encoder of images below a classifier."""

    config_class = CLIPConfig
    base_model_prefix = "clip"


class CLIPModel(PairPreTrainedModel, _core._hub.CLIPModel):
    """Texts and images in one space."""

    config_class = CLIPConfig
    base_model_prefix = "clip"


for _model in (CLIPModel, CLIPTextModel, CLIPVisionModel):  # what the Auto classes find
    CONFIGS[_model.config_class.model_type] = _model.config_class
    FAMILIES[_model.config_class.model_type] = {"Model": _model}
FAMILIES["clip"]["ForImageClassification"] = CLIPForImageClassification
