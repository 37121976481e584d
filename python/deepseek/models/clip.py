# SPDX-License-Identifier: Apache-2.0
"""CLIP: images and texts in one space; names are transformers'."""

import os

from .. import _core
from ._config import CONFIGS, PretrainedConfig
from ._files import read_config, split_hub_arguments
from ._pretrained import PretrainedMixin
from .language import FAMILIES


class _PartConfig(PretrainedConfig):
    """Of one encoder: of its own config.json, or a part of CLIP's."""

    _part: str

    @classmethod
    def from_pretrained(cls, name: str | os.PathLike, **changes):
        """The config.json of a folder or of a model of a hub."""
        hub, changes = split_hub_arguments(changes)
        values = read_config(name, **hub)
        if values.get("model_type") == "clip":
            whole = CLIPConfig.from_dict(values)
            return cls.from_dict(getattr(whole, cls._part).to_dict(), **changes)
        return super().from_pretrained(name, **hub, **changes)


class CLIPTextConfig(_PartConfig):
    """CLIP's encoder of texts."""

    model_type = "clip_text_model"
    _struct = _core._hub.CLIPTextConfig
    _part = "text_config"
    _defaults = {"pad_token_id": 1, "bos_token_id": 49406}


class CLIPVisionConfig(_PartConfig):
    """CLIP's encoder of images."""

    model_type = "clip_vision_model"
    _struct = _core._hub.CLIPVisionConfig
    _part = "vision_config"


class CLIPConfig(PretrainedConfig):
    """CLIP: text_config and vision_config are configurations or their keys."""

    model_type = "clip"
    _struct = _core._hub.CLIPConfig
    _made = ("text", "vision")

    def __init__(self, text_config=None, vision_config=None, **values):
        # Files of the first versions repeat the keys that count.
        older = [values.pop(f"{part}_config_dict", None) for part in ("text", "vision")]
        super().__init__(**values)
        parts = []
        for kind, given, more in (
            (CLIPTextConfig, text_config, older[0]),
            (CLIPVisionConfig, vision_config, older[1]),
        ):
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


class _CLIP(PretrainedMixin):
    def __init__(self, config):
        super().__init__(config._native())
        self.config = config


class CLIPTextModel(_CLIP, _core._hub.CLIPTextModel):
    """CLIP's encoder of texts."""

    config_class = CLIPTextConfig
    base_model_prefix = "text_model"


class CLIPVisionModel(_CLIP, _core._hub.CLIPVisionModel):
    """CLIP's encoder of images."""

    config_class = CLIPVisionConfig
    base_model_prefix = "vision_model"


class CLIPTextModelWithProjection(_CLIP, _core._hub.CLIPTextModelWithProjection):
    """CLIP's encoder of texts and its projection into the space of images."""

    config_class = CLIPTextConfig
    base_model_prefix = "text_model"


class CLIPVisionModelWithProjection(_CLIP, _core._hub.CLIPVisionModelWithProjection):
    """CLIP's encoder of images and its projection into the space of texts."""

    config_class = CLIPVisionConfig
    base_model_prefix = "vision_model"


class CLIPForImageClassification(_CLIP, _core._hub.CLIPForImageClassification):
    """CLIP's encoder of images below a classifier."""

    config_class = CLIPConfig
    base_model_prefix = "clip"


class CLIPModel(_CLIP, _core._hub.CLIPModel):
    """Texts and images in one space."""

    config_class = CLIPConfig
    base_model_prefix = "clip"


for _model in (CLIPModel, CLIPTextModel, CLIPVisionModel):  # what the Auto classes find
    CONFIGS[_model.config_class.model_type] = _model.config_class
    FAMILIES[_model.config_class.model_type] = {"Model": _model}
FAMILIES["clip"]["ForImageClassification"] = CLIPForImageClassification
