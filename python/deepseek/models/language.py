# SPDX-License-Identifier: Apache-2.0
"""Language models; names of classes, arguments and parameters are transformers'."""

from .. import _core
from ._config import BertConfig, DistilBertConfig, GPT2Config, RobertaConfig
from ._pretrained import PreTrainedModel

_TASKS = ("MaskedLM", "SequenceClassification", "TokenClassification", "QuestionAnswering")


class _Encoder(PreTrainedModel, _core._hub.EncoderModel):
    def __init__(self, config, add_pooling_layer: bool = True):
        super().__init__(config._native(), add_pooling_layer)
        self.config = config


class _Headed(PreTrainedModel, _core._hub.EncoderWithHead):
    _task: str

    def __init__(self, config):
        changes = {}
        if config.model_type == "distilbert":  # each head has a key of its own there
            key = {
                "SequenceClassification": "seq_classif_dropout",
                "QuestionAnswering": "qa_dropout",
            }.get(self._task, "dropout")
            changes["classifier_dropout"] = getattr(config, key)
        super().__init__(config._native(**changes), _TASKS.index(self._task))
        self.config = config


def _family(prefix: str, config: type, base: str) -> dict[str, type]:
    """The classes of one family of encoders by what follows its name: the model itself and one for
    every head."""
    common = {"config_class": config, "base_model_prefix": base, "__module__": __name__}
    classes = {
        "Model": type(
            f"{prefix}Model", (_Encoder,), {**common, "__doc__": f"{prefix} without a head."}
        )
    }
    for task in _TASKS:
        classes[f"For{task}"] = type(
            f"{prefix}For{task}",
            (_Headed,),
            {**common, "_task": task, "__doc__": f"{prefix} for {task}."},
        )
    return classes


class GPT2Model(PreTrainedModel, _core._hub.GPT2Model):
    """GPT-2 without a head."""

    config_class = GPT2Config
    base_model_prefix = "transformer"

    def __init__(self, config: GPT2Config):
        super().__init__(config._native())
        self.config = config


class GPT2LMHeadModel(PreTrainedModel, _core._hub.GPT2LMHeadModel):
    """GPT-2 that predicts the next token."""

    config_class = GPT2Config
    base_model_prefix = "transformer"

    def __init__(self, config: GPT2Config):
        super().__init__(config._native())
        self.config = config


#: Classes by model type and by what follows the family's name.
FAMILIES: dict[str, dict[str, type]] = {
    "bert": _family("Bert", BertConfig, "bert"),
    "roberta": _family("Roberta", RobertaConfig, "roberta"),
    "distilbert": _family("DistilBert", DistilBertConfig, "distilbert"),
    "gpt2": {"Model": GPT2Model, "ForCausalLM": GPT2LMHeadModel},
}
(
    BertModel,
    BertForMaskedLM,
    BertForSequenceClassification,
    BertForTokenClassification,
    BertForQuestionAnswering,
) = FAMILIES["bert"].values()
(
    RobertaModel,
    RobertaForMaskedLM,
    RobertaForSequenceClassification,
    RobertaForTokenClassification,
    RobertaForQuestionAnswering,
) = FAMILIES["roberta"].values()
(
    DistilBertModel,
    DistilBertForMaskedLM,
    DistilBertForSequenceClassification,
    DistilBertForTokenClassification,
    DistilBertForQuestionAnswering,
) = FAMILIES["distilbert"].values()
