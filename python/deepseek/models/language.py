# SPDX-License-Identifier: Apache-2.0
"""Language models; names of classes, arguments and parameters are transformers'."""

import re

from .. import _core, nn
from ._config import (
    AlbertConfig,
    BertConfig,
    CamembertConfig,
    DistilBertConfig,
    ElectraConfig,
    GPT2Config,
    MPNetConfig,
    MT5Config,
    RobertaConfig,
    T5Config,
    XLMRobertaConfig,
)
from ._decoder_config import DECODERS
from ._encoder_config import DebertaV2Config, ModernBertConfig
from ._gpt_config import NORMED
from ._output import ModelOutput
from ._pretrained import PretrainedMixin
from ._seq2seq_config import BARTS
from .generation import DynamicCache, EncoderDecoderMixin, GenerationConfig, GenerationMixin

_hub = _core._hub


class _Model(PretrainedMixin):
    """Beside a C++ class that is made from a configuration and `more` arguments."""

    def __init__(self, config, *more):
        super().__init__(config._native(), *more)
        self.config = config


class _Encoder(_Model):
    def __init__(self, config, add_pooling_layer: bool = True):
        super().__init__(config, add_pooling_layer)


class _Headed(PretrainedMixin):
    _head: str
    _task: int

    def __init__(self, config):
        dropout = config._head_dropouts.get(self._head)
        changes = {"classifier_dropout": getattr(config, dropout)} if dropout else {}
        super().__init__(config._native(**changes), self._task)
        self.config = config


class _Generator(GenerationMixin, _Model):
    def __init__(self, config):
        super().__init__(config)
        self.generation_config = GenerationConfig.from_model_config(config)


class _Decoder(_Model):
    _asked = (*PretrainedMixin._asked, "output_router_logits")


class _Causal(_Generator):
    _asked = _Decoder._asked


class _ReadingDecoder:
    """forward() of models with encoder and decoder, with past_key_values."""

    def forward(
        self,
        input_ids=None,
        attention_mask=None,
        decoder_input_ids=None,
        decoder_attention_mask=None,
        inputs_embeds=None,
        decoder_inputs_embeds=None,
        labels=None,
        output_hidden_states: bool = False,
        output_attentions: bool = False,
        return_dict: bool = True,
        encoder_outputs=None,
        past_key_values=None,
        use_cache: bool = False,
    ):
        """What the decoder makes of its inputs and of the encoder's, and the loss where there are
        labels. encoder_outputs is what the encoder has returned before, instead of its inputs.

        With use_cache or past_key_values (of an earlier call) the output has past_key_values, and
        decoder_input_ids are the tokens behind those it remembers; decoder_attention_mask is about
        all of them. No gradients are recorded then."""
        if not use_cache and past_key_values is None:
            return super().forward(
                input_ids,
                attention_mask,
                decoder_input_ids,
                decoder_attention_mask,
                inputs_embeds,
                decoder_inputs_embeds,
                labels,
                output_hidden_states=output_hidden_states,
                output_attentions=output_attentions,
                return_dict=return_dict,
                encoder_outputs=encoder_outputs,
            )
        unused = (inputs_embeds, decoder_inputs_embeds, labels)
        if decoder_input_ids is None or output_attentions or any(x is not None for x in unused):
            raise _core.ValueError(
                f"{type(self).__name__}: with use_cache or past_key_values give decoder_input_ids, "
                "and no embeddings, labels or output_attentions"
            )
        encoded = encoder_outputs
        if encoded is not None and not isinstance(encoded, _core.Tensor):
            encoded = encoded[0]
        cache = DynamicCache() if past_key_values is None else past_key_values
        output = _hub.seq2seq_forward_cached(
            self,
            input_ids,
            attention_mask,
            encoded,
            decoder_input_ids,
            decoder_attention_mask,
            cache,
            output_hidden_states,
        )
        output = ModelOutput({**output, "past_key_values": cache})
        return output if return_dict else output.to_tuple()


class _Reading(_ReadingDecoder, _Model):
    pass


class _Writing(_ReadingDecoder, EncoderDecoderMixin, _Generator):
    pass


class _Answering(_Writing):
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


_EXPERT = re.compile(r"(.*\.experts\.)(\d+)\.(\w+)\.weight")


class _WithExperts:
    """Files hold the matrices of every expert; the model, one tensor of all experts' matrices."""

    #: The matrices in files.
    _matrices = {"gate": "gate_proj", "up": "up_proj", "down": "down_proj"}

    def _load(self, weights, *arguments):
        kinds = {file: kind for kind, file in self._matrices.items()}
        found: dict[str, dict[tuple[int, str], str]] = {}
        for name in weights:
            match = _EXPERT.fullmatch(name)
            if match and match[3] in kinds:
                found.setdefault(match[1], {})[int(match[2]), kinds[match[3]]] = name
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
                    named[f"{stem}experts.{expert}.{self._matrices[what]}.weight"] = part
        return super()._to_files(named)


class _MixtralExperts(_WithExperts):
    _matrices = {"gate": "w1", "up": "w3", "down": "w2"}
    _file_names = (("block_sparse_moe.", "mlp."),)


class _NeoX:
    _file_names = (("embed_out.", "lm_head."),)


def _class(name: str, config: type, base: str, parents: tuple, doc: str, **more) -> type:
    """A class of this module."""
    common = {"config_class": config, "base_model_prefix": base, "__module__": __name__}
    return type(name, parents, {**common, "__doc__": doc, **more})


def _family(
    prefix: str, config: type, model: type, native: type, mixins: tuple = (), **names: str
) -> dict[str, type]:
    """The classes of a family by what follows its name: the model itself, made by `model` beside
    its C++ class, and one for every head of the table in C++. `names` are of classes that are
    called otherwise than the family."""
    heads = _hub.heads_of("t5" if config.model_type == "mt5" else config.model_type)
    base = heads[0][2]
    parents = (*mixins, model, native)
    doc = f"{prefix} without a head."
    classes = {"Model": _class(f"{prefix}Model", config, base, parents, doc)}
    for task, head, body in heads:
        causal = head in ("ForCausalLM", "LMHeadModel")
        parents = (_Causal, _hub.CausalLM) if causal else (_Headed, _hub.TextModelWithHead)
        classes["ForCausalLM" if causal else head] = _class(
            names.get(head, prefix + head),
            config,
            body,
            (*mixins, *parents),
            f"{prefix}: {head}.",
            _head=head,
            _task=task,
            _file_prefix=base,
        )
    return classes


def _t5_family(prefix: str, config: type) -> dict[str, type]:
    """T5's classes under another name."""
    return _family(prefix, config, _Reading, _hub.T5Model) | {
        suffix: _class(
            prefix + suffix,
            config,
            "transformer",
            (parent, getattr(_hub, f"T5{suffix}")),
            f"{prefix}: {suffix}.",
        )
        for suffix, parent in (
            ("EncoderModel", _Model),
            ("ForConditionalGeneration", _Answering),
            ("ForSequenceClassification", _Model),
            ("ForQuestionAnswering", _Model),
        )
    }


def _bart_family(config: type, *heads: str, **names: str) -> dict[str, type]:
    """The classes of BART or of a model like it; names of classes that are called otherwise."""
    prefix = config.__name__.removesuffix("Config")
    parents = {"Model": _Reading, "ForConditionalGeneration": _Writing}
    return {
        suffix: _class(
            names.get(suffix, prefix + suffix),
            config,
            "model",
            (parents.get(suffix, _Model), getattr(_hub, f"Bart{suffix}")),
            f"{prefix}: {suffix}.",
            _computed=("final_logits_bias", *config._computed),
        )
        for suffix in (*parents, *heads)
    }


#: How the experts of families are read and written.
_EXPERTS = {
    "mixtral": (_MixtralExperts,),
    **dict.fromkeys(
        ("qwen2_moe", "qwen3_moe", "olmoe", "deepseek_v2", "deepseek_v3"), (_WithExperts,)
    ),
}
_OTHER_NAMES = {"gemma3_text": {"ForCausalLM": "Gemma3ForCausalLM"}}
#: Classes by model type and by what follows the family's name.
FAMILIES: dict[str, dict[str, type]] = {
    "bert": _family("Bert", BertConfig, _Encoder, _hub.EncoderModel),
    **{
        config.model_type: _family(
            config.__name__.removesuffix("Config"), config, _Encoder, _hub.EncoderModel
        )
        for config in (RobertaConfig, XLMRobertaConfig, CamembertConfig, MPNetConfig, ElectraConfig)
    },
    "distilbert": _family("DistilBert", DistilBertConfig, _Encoder, _hub.EncoderModel),
    "deberta-v2": _family("DebertaV2", DebertaV2Config, _Model, _hub.DebertaModel),
    "modernbert": _family("ModernBert", ModernBertConfig, _Model, _hub.ModernBertModel),
    "albert": _family("Albert", AlbertConfig, _Encoder, _hub.EncoderModel),
    "gpt2": _family("GPT2", GPT2Config, _Decoder, _hub.GPT2Model),
    **{
        config.model_type: _family(
            config.__name__.removesuffix("Config"),
            config,
            _Decoder,
            getattr(_hub, "DeepseekModel" if kind.startswith("deepseek") else "LlamaModel"),
            _EXPERTS.get(kind, ()),
            **_OTHER_NAMES.get(kind, {}),
        )
        for kind, config in DECODERS.items()
    },
    **{
        kind: _family(
            config.__name__.removesuffix("Config"),
            config,
            _Decoder,
            _hub.NormedDecoderModel,
            (_NeoX,) if kind == "gpt_neox" else (),
        )
        for kind, config in NORMED.items()
    },
    "t5": _t5_family("T5", T5Config),
    "mt5": _t5_family("MT5", MT5Config),
    **{
        kind: _bart_family(config, "ForSequenceClassification", "ForQuestionAnswering")
        for kind, config in BARTS.items()
        if kind in ("bart", "mbart")
    },
    "pegasus": _bart_family(BARTS["pegasus"]),
    "marian": _bart_family(BARTS["marian"], ForConditionalGeneration="MarianMTModel"),
}
#: All classes by name; they are attributes of this module, where pickles find them.
CLASSES = {c.__name__: c for family in FAMILIES.values() for c in family.values()}
globals().update(CLASSES)
