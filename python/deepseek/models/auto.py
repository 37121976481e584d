# SPDX-License-Identifier: Apache-2.0
"""Classes that look into config.json and make the model it asks for."""

import os

from .. import _core
from ._config import AutoConfig, PretrainedConfig
from ._files import split_hub_arguments
from ._pretrained import PreTrainedModel
from .language import FAMILIES


class _AutoModel:
    _suffix: str

    @classmethod
    def _class_for(cls, config: PretrainedConfig) -> type[PreTrainedModel]:
        family = FAMILIES[config.model_type]
        if cls._suffix not in family:
            known = ", ".join(sorted(name for name, f in FAMILIES.items() if cls._suffix in f))
            raise _core.ValueError(
                f"{cls.__name__}: a '{config.model_type}' model has no such "
                f"head; {known} have one"
            )
        return family[cls._suffix]

    @classmethod
    def from_config(cls, config: PretrainedConfig) -> PreTrainedModel:
        """A model of this configuration with random weights."""
        return cls._class_for(config)(config)

    @classmethod
    def from_pretrained(
        cls, name: str | os.PathLike, config: PretrainedConfig | None = None, **arguments
    ) -> PreTrainedModel:
        """The model of a folder or a hub; arguments as of PreTrainedModel.from_pretrained()."""
        hub, _ = split_hub_arguments(arguments)
        made = cls._class_for(config or AutoConfig.from_pretrained(name, **hub))
        return made.from_pretrained(name, config=config, **arguments)


def _auto(suffix: str, name: str | None = None) -> type[_AutoModel]:
    name = name or "AutoModel" + suffix
    return type(
        name,
        (_AutoModel,),
        {
            "_suffix": suffix,
            "__module__": __name__,
            "__doc__": f"The {suffix} class of a model's family.",
        },
    )


AutoModel = _auto("Model", "AutoModel")
AutoModelForMaskedLM = _auto("ForMaskedLM")
AutoModelForCausalLM = _auto("ForCausalLM")
AutoModelForSeq2SeqLM = _auto("ForConditionalGeneration", "AutoModelForSeq2SeqLM")
AutoModelForSequenceClassification = _auto("ForSequenceClassification")
AutoModelForTokenClassification = _auto("ForTokenClassification")
AutoModelForQuestionAnswering = _auto("ForQuestionAnswering")
