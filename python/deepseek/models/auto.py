# SPDX-License-Identifier: Apache-2.0
"""Classes that look into config.json and make the model it asks for."""

import os

from .. import _core
from ._config import AutoConfig, PretrainedConfig
from ._files import find_optional, split_hub_arguments
from ._pretrained import PreTrainedModel
from .language import FAMILIES
from .vision import ImageConfig, ImageModel


class _AutoModel:
    #: What follows the family's name; the first that the family has.
    _suffixes: tuple[str, ...]

    @classmethod
    def _class_for(cls, config: PretrainedConfig) -> type[PreTrainedModel]:
        if isinstance(config, ImageConfig):
            raise _core.ValueError(
                f"{cls.__name__}: '{config.architecture}' is an image model of timm; use "
                "AutoModelForImageClassification"
            )
        family = FAMILIES.get(config.model_type, {})
        for suffix in cls._suffixes:
            if suffix in family:
                return family[suffix]
        known = sorted(name for name, f in FAMILIES.items() if any(s in f for s in cls._suffixes))
        raise _core.ValueError(
            f"{cls.__name__}: a '{config.model_type}' model has no such head; "
            f"{', '.join(known)} have one"
        )

    def __init__(self):
        raise _core.StateError(
            f"{type(self).__name__} makes models of other classes; use its from_pretrained() or "
            "from_config()"
        )

    @classmethod
    def register(cls, config_class: type, model_class: type, exist_ok: bool = False) -> None:
        """Makes a model class of your own the one for configurations of config_class."""
        own = getattr(model_class, "config_class", config_class)
        if own is not config_class:
            raise _core.ValueError(
                f"{cls.__name__}.register: {model_class.__name__}.config_class is "
                f"{getattr(own, '__name__', own)}, not {config_class.__name__}; let them agree"
            )
        family = FAMILIES.setdefault(config_class.model_type, {})
        if family.get(cls._suffixes[0], model_class) is not model_class and not exist_ok:
            raise _core.ValueError(
                f"{cls.__name__}.register: {config_class.__name__} has "
                f"{family[cls._suffixes[0]].__name__} already; pass exist_ok=True to replace it"
            )
        family[cls._suffixes[0]] = model_class

    @classmethod
    def from_config(cls, config: PretrainedConfig, **options) -> PreTrainedModel:
        """A model of this configuration with random weights; dtype and device_map as of
        from_pretrained()."""
        return cls._class_for(config)._from_config(config, **options)

    @classmethod
    def from_pretrained(
        cls, name: str | os.PathLike, config: PretrainedConfig | None = None, **arguments
    ) -> PreTrainedModel:
        """The model of a folder or a hub; arguments as of PreTrainedModel.from_pretrained(). Where
        there is an adapter instead, the PeftModel of the model it is for."""
        hub, _ = split_hub_arguments(arguments)
        try:
            config = config or AutoConfig.from_pretrained(name, **hub)
        except _core.IOError:
            if find_optional(name, "adapter_config.json", **hub) is None:
                raise
            from .. import peft

            adapted = getattr(peft, cls.__name__.replace("Auto", "AutoPeft"), None)
            if adapted is None:
                raise
            return adapted.from_pretrained(name, **arguments)
        return cls._class_for(config).from_pretrained(name, config=config, **arguments)


def _auto(suffix: str, name: str | None = None, *others: str) -> type[_AutoModel]:
    name = name or "AutoModel" + suffix
    return type(
        name,
        (_AutoModel,),
        {
            "_suffixes": (suffix, *others),
            "__module__": __name__,
            "__doc__": f"The {suffix} class of a model's family.",
        },
    )


AutoModel = _auto("Model", "AutoModel")
AutoModelForPreTraining = _auto(
    "ForPreTraining", None, "ForMaskedLM", "ForCausalLM", "ForConditionalGeneration"
)
AutoModelForMaskedLM = _auto("ForMaskedLM")
AutoModelForCausalLM = _auto("ForCausalLM")
AutoModelForSeq2SeqLM = _auto("ForConditionalGeneration", "AutoModelForSeq2SeqLM")
AutoModelForSequenceClassification = _auto("ForSequenceClassification")
AutoModelForTokenClassification = _auto("ForTokenClassification")
AutoModelForQuestionAnswering = _auto("ForQuestionAnswering")
AutoModelForMultipleChoice = _auto("ForMultipleChoice")
AutoModelForNextSentencePrediction = _auto("ForNextSentencePrediction")
AutoModelForMaskedImageModeling = _auto("ForMaskedImageModeling")
AutoModelForSemanticSegmentation = _auto("ForSemanticSegmentation")


class AutoModelForImageClassification(_auto("ForImageClassification")):
    """The image model that config.json asks for, in timm's layout or transformers'."""

    @classmethod
    def takes(cls, values: dict) -> bool:
        """The keys of a config.json are of such a model."""
        family = FAMILIES.get(values.get("model_type"), {})
        return "architecture" in values or cls._suffixes[0] in family

    @classmethod
    def _class_for(cls, config) -> type[PreTrainedModel]:
        if isinstance(config, ImageConfig):
            return ImageModel
        suffix = "ForImageClassificationWithTeacher"
        named = (config.to_dict().get("architectures") or [""])[0]
        family = FAMILIES[config.model_type]
        return family[suffix] if named.endswith(suffix) else super()._class_for(config)


def classifies_images(model) -> bool:
    """The model takes images and tells their classes."""
    heads = [
        made
        for family in FAMILIES.values()
        for suffix, made in family.items()
        if suffix.startswith("ForImageClassification")
    ]
    return isinstance(model, (ImageModel, *heads))
