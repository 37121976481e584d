# SPDX-License-Identifier: Apache-2.0
"""Language models; names of classes, arguments and parameters are transformers'."""

import re

from .. import _core, nn
from ._config import (
    BertConfig,
    DeepseekV2Config,
    DeepseekV3Config,
    DistilBertConfig,
    GPT2Config,
    LlamaConfig,
    MistralConfig,
    Qwen2Config,
    Qwen3Config,
    RobertaConfig,
    T5Config,
)
from ._output import ModelOutput
from ._pretrained import PreTrainedModel
from .generation import DynamicCache, EncoderDecoderMixin, GenerationConfig, GenerationMixin

_hub = _core._hub
#: Heads of encoders, in the order of the C++ enumeration.
_TASKS = ("MaskedLM", "SequenceClassification", "TokenClassification", "QuestionAnswering")


class _Encoder(PreTrainedModel, _hub.EncoderModel):
    def __init__(self, config, add_pooling_layer: bool = True):
        super().__init__(config._native(), add_pooling_layer)
        self.config = config


class _Headed(PreTrainedModel, _hub.EncoderWithHead):
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


class _Decoder(PreTrainedModel):
    """Beside a C++ class that is made from a configuration alone."""

    def __init__(self, config):
        super().__init__(config._native())
        self.config = config


class _Generator(GenerationMixin, _Decoder):
    def __init__(self, config):
        super().__init__(config)
        self.generation_config = GenerationConfig.from_model_config(config)


class _Causal(_Generator):
    def forward(
        self,
        input_ids=None,
        attention_mask=None,
        position_ids=None,
        inputs_embeds=None,
        labels=None,
        output_hidden_states: bool = False,
        return_dict: bool = True,
        past_key_values=None,
        use_cache: bool = False,
    ):
        """Logits, and the loss where there are labels.

        With use_cache or past_key_values (of an earlier call) the output has past_key_values, and
        input_ids are the tokens behind those it remembers; attention_mask is about all of them. No
        gradients are recorded then."""
        if not use_cache and past_key_values is None:
            return super().forward(
                input_ids,
                attention_mask,
                position_ids,
                inputs_embeds,
                labels,
                output_hidden_states,
                return_dict,
            )
        if input_ids is None or not all(x is None for x in (position_ids, inputs_embeds, labels)):
            raise _core.ValueError(
                f"{type(self).__name__}: with use_cache or past_key_values give input_ids, and no "
                "position_ids, inputs_embeds or labels"
            )
        cache = DynamicCache() if past_key_values is None else past_key_values
        output = _hub.forward_cached(self, input_ids, attention_mask, cache, output_hidden_states)
        output = ModelOutput({**output, "past_key_values": cache})
        return output if return_dict else output.to_tuple()


class _Answering(EncoderDecoderMixin, _Generator):
    def _load(self, weights, *arguments):
        # Some files of version 1.1 say that the head is tied, others leave out a tied one.
        head, table = weights.get("lm_head.weight"), weights.get("shared.weight")
        tied = head is None or (
            table is not None and head.shape == table.shape and bool((head == table).all())
        )
        if tied:
            self.lm_head.weight = self.shared.weight
        elif self.lm_head.weight is self.shared.weight:
            self.lm_head.weight = nn.Parameter(_core.empty(*self.shared.weight.shape))
        self.config.tie_word_embeddings = tied
        return super()._load(weights, *arguments)


_EXPERT = re.compile(r"(.*\.experts\.)(\d+)\.(gate|up|down)_proj\.weight")


class _WithExperts:
    """Files hold the matrices of every expert; the model, one tensor of all experts' matrices."""

    def _load(self, weights, *arguments):
        found: dict[str, dict[tuple[int, str], str]] = {}
        for name in weights:
            match = _EXPERT.fullmatch(name)
            if match:
                found.setdefault(match[1], {})[int(match[2]), match[3]] = name
        weights = dict(weights)
        for stem, names in found.items():
            count = 1 + max(expert for expert, _ in names)
            if len(names) != 3 * count:
                continue  # the missing ones are reported by name
            part = {place: weights.pop(name) for place, name in names.items()}
            both = [_core.cat([part[e, "gate"], part[e, "up"]], 0) for e in range(count)]
            weights[stem + "gate_up_proj"] = _core.stack(both)
            weights[stem + "down_proj"] = _core.stack([part[e, "down"] for e in range(count)])
        return super()._load(weights, *arguments)

    def _to_files(self, state: dict) -> dict:
        named = {}
        for name, tensor in state.items():
            stem, _, kind = name.rpartition("experts.")
            kinds = {"gate_up_proj": ("gate", "up"), "down_proj": ("down",)}.get(kind)
            if kinds is None or not stem:
                named[name] = tensor
                continue
            for expert in range(tensor.shape[0]):
                parts = tensor[expert].chunk(len(kinds), 0)
                for what, part in zip(kinds, parts, strict=True):
                    named[f"{stem}experts.{expert}.{what}_proj.weight"] = part
        return named


def _class(name: str, config: type, base: str, parents: tuple, doc: str, **more) -> type:
    """A class of this module."""
    common = {"config_class": config, "base_model_prefix": base, "__module__": __name__}
    return type(name, parents, {**common, "__doc__": doc, **more})


def _encoder(prefix: str, config: type) -> dict[str, type]:
    """The classes of a family of encoders by what follows its name: the model itself and one for
    every head."""
    base = config.model_type
    classes = {
        "Model": _class(f"{prefix}Model", config, base, (_Encoder,), f"{prefix} without a head.")
    }
    for task in _TASKS:
        name, doc = f"{prefix}For{task}", f"{prefix} for {task}."
        classes[f"For{task}"] = _class(name, config, base, (_Headed,), doc, _task=task)
    return classes


def _decoder(
    prefix: str, config: type, base: str, native: str, head: str, mixins: tuple = ()
) -> dict[str, type]:
    """The model itself and the one that predicts the next token; `native` + Model and `native` +
    head are their C++ classes."""
    return {
        "Model": _class(
            f"{prefix}Model",
            config,
            base,
            (*mixins, _Decoder, getattr(_hub, f"{native}Model")),
            f"{prefix} without a head.",
        ),
        "ForCausalLM": _class(
            f"{prefix}{head}",
            config,
            base,
            (*mixins, _Causal, getattr(_hub, f"{native}{head}")),
            f"{prefix} that predicts the next token.",
        ),
    }


def _encoder_decoder(prefix: str, config: type) -> dict[str, type]:
    """The model itself, its encoder and the one that writes answers."""
    rows = {
        "Model": (_Decoder, "without a head"),
        "EncoderModel": (_Decoder, "without its decoder"),
        "ForConditionalGeneration": (_Answering, "that writes an answer"),
    }
    return {
        suffix: _class(
            prefix + suffix,
            config,
            "transformer",
            (parent, getattr(_hub, prefix + suffix)),
            f"{prefix} {doc}.",
        )
        for suffix, (parent, doc) in rows.items()
    }


#: Classes by model type and by what follows the family's name.
FAMILIES: dict[str, dict[str, type]] = {
    "bert": _encoder("Bert", BertConfig),
    "roberta": _encoder("Roberta", RobertaConfig),
    "distilbert": _encoder("DistilBert", DistilBertConfig),
    "gpt2": _decoder("GPT2", GPT2Config, "transformer", "GPT2", "LMHeadModel"),
    "llama": _decoder("Llama", LlamaConfig, "model", "Llama", "ForCausalLM"),
    "mistral": _decoder("Mistral", MistralConfig, "model", "Llama", "ForCausalLM"),
    "qwen2": _decoder("Qwen2", Qwen2Config, "model", "Llama", "ForCausalLM"),
    "deepseek_v2": _decoder(
        "DeepseekV2", DeepseekV2Config, "model", "Deepseek", "ForCausalLM", (_WithExperts,)
    ),
    "deepseek_v3": _decoder(
        "DeepseekV3", DeepseekV3Config, "model", "Deepseek", "ForCausalLM", (_WithExperts,)
    ),
    "t5": _encoder_decoder("T5", T5Config),
    "qwen3": _decoder("Qwen3", Qwen3Config, "model", "Llama", "ForCausalLM"),
}
#: All classes by name; they are attributes of this module, where pickles find them.
CLASSES = {c.__name__: c for family in FAMILIES.values() for c in family.values()}
globals().update(CLASSES)
