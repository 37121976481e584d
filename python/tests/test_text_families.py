# SPDX-License-Identifier: Apache-2.0
"""Further families of text models against transformers: the kin of RoBERTa, ELECTRA, MPNet, and
decoders with layer norms. Small random models are saved there and loaded here."""

import deepseek as ds
import numpy as np
import pytest
import torch
from deepseek import models
from test_decoders import FAMILIES as DECODERS
from test_language_models import (
    CLASSIFIERS,
    ENCODERS,
    SMALL,
    close,
    compare,
    heads_of,
    inputs,
    types_of,
)
from test_language_models import FAMILIES as OLDER

transformers = pytest.importorskip("transformers")

SIZES = dict(vocab_size=61, bos_token_id=0, eos_token_id=0, pad_token_id=1)
TURNED = dict(
    **SIZES,
    hidden_size=32,
    intermediate_size=48,
    num_hidden_layers=2,
    num_attention_heads=4,
    max_position_embeddings=20,
)
NEOX = {**TURNED, "classifier_dropout": 0.0}
NEO = dict(
    **SIZES,
    hidden_size=32,
    num_layers=3,
    num_heads=4,
    attention_types=[[["global", "local"], 1], [["global"], 1]],
    window_size=4,
    max_position_embeddings=20,
    classifier_dropout=0.0,
)
OPT = dict(
    **SIZES,
    hidden_size=32,
    ffn_dim=48,
    num_hidden_layers=2,
    num_attention_heads=4,
    max_position_embeddings=20,
    dropout=0.0,
)
DEBERTA = {
    **SMALL,
    "relative_attention": True,
    "position_buckets": 8,
    "max_relative_positions": 40,
    "pos_att_type": ["p2c", "c2p"],
    "share_att_key": True,
    "norm_rel_ebd": "layer_norm",
    "position_biased_input": False,
    "cls_dropout": 0.0,
}
DEBERTA.pop("classifier_dropout")
MODERN = dict(
    **SIZES,
    hidden_size=32,
    intermediate_size=24,
    num_hidden_layers=4,
    num_attention_heads=4,
    max_position_embeddings=20,
    local_attention=6,
)
KIN = {**SMALL, "type_vocab_size": 2, "pad_token_id": 1}
#: Family -> keys of its configuration.
FAMILIES = {
    "XLMRoberta": KIN,
    "Camembert": KIN,
    "MPNet": {k: v for k, v in KIN.items() if k not in ("type_vocab_size", "classifier_dropout")},
    "Electra": {**SMALL, "embedding_size": 20, "summary_last_dropout": 0.0},
    "DebertaV2": DEBERTA,
    "ModernBert": MODERN,
    "GPTNeoX": NEOX,
    "GPTJ": dict(**SIZES, n_embd=32, n_layer=2, n_head=4, n_positions=20, rotary_dim=4),
    "GPTNeo": NEO,
    "OPT": OPT,
    "Bloom": dict(**SIZES, hidden_size=32, n_layer=2, n_head=4),
    "Falcon": {
        **{key: value for key, value in TURNED.items() if key != "intermediate_size"},
        "classifier_dropout": 0.0,
    },
    "Phi": {**TURNED, "classifier_dropout": 0.0},
    "StableLm": {**TURNED, "num_key_value_heads": 2},
    "Starcoder2": {
        **TURNED,
        "num_key_value_heads": 2,
        "sliding_window": 4,
        "classifier_dropout": 0.0,
    },
    "Olmo": {**TURNED, "clip_qkv": 0.3},
}
GENERAL = ["Model", "ForCausalLM", "ForSequenceClassification"]
HEADS = {
    "XLMRoberta": [*ENCODERS, "ForCausalLM"],
    "Camembert": [*ENCODERS, "ForCausalLM"],
    "MPNet": ENCODERS,
    "Electra": [*ENCODERS, "ForCausalLM", "ForPreTraining"],
    **dict.fromkeys(("DebertaV2", "ModernBert"), ENCODERS),
    **dict.fromkeys(
        ("GPTNeoX", "GPTNeo", "Bloom", "Falcon"), ["Model", "ForCausalLM", *CLASSIFIERS]
    ),
    **dict.fromkeys(("GPTJ", "OPT"), [*GENERAL, "ForQuestionAnswering"]),
    **dict.fromkeys(("Phi", "StableLm", "Starcoder2"), [*GENERAL, "ForTokenClassification"]),
    "Olmo": GENERAL,
}
CASES = {family + head: family for family, heads in HEADS.items() for head in heads}
#: Further forms of a family.
FORMS = {
    "an ELECTRA of one size": ("ElectraForMaskedLM", {"embedding_size": 32}),
    "a DeBERTa with projections of distances": (
        "DebertaV2ForSequenceClassification",
        {"share_att_key": False, "pos_att_type": "c2p|p2c", "num_labels": 3},
    ),
    "a DeBERTa with a convolution": (
        "DebertaV2ForMaskedLM",
        {"conv_kernel_size": 3, "conv_act": "gelu", "embedding_size": 20, "type_vocab_size": 2},
    ),
    "a DeBERTa with all distances": (
        "DebertaV2ForTokenClassification",
        {"position_buckets": -1, "pos_att_type": ["p2c"], "norm_rel_ebd": "none", "num_labels": 3},
    ),
    "a DeBERTa that knows positions": (
        "DebertaV2ForQuestionAnswering",
        {"relative_attention": False, "position_biased_input": True, "pos_att_type": []},
    ),
    "a ModernBERT that takes means": (
        "ModernBertForSequenceClassification",
        {"classifier_pooling": "mean", "num_labels": 3},
    ),
    "a ModernBERT with biases": (
        "ModernBertForMaskedLM",
        {
            **dict.fromkeys(("norm_bias", "attention_bias", "mlp_bias", "classifier_bias"), True),
            "decoder_bias": False,
            "classifier_activation": "relu",
        },
    ),
    "a GPT-NeoX in turn": ("GPTNeoXForCausalLM", {"use_parallel_residual": False}),
    "a GPT-NeoX without biases": ("GPTNeoXForCausalLM", {"attention_bias": False}),
    "a GPT-J that turns whole heads": ("GPTJForCausalLM", {"rotary_dim": 8, "n_inner": 40}),
    "an OPT that normalises behind": (
        "OPTForCausalLM",
        {"do_layer_norm_before": False, "word_embed_proj_dim": 20},
    ),
    "an OPT without biases": (
        "OPTForSequenceClassification",
        {"enable_bias": False, "layer_norm_elementwise_affine": False, "num_labels": 3},
    ),
    "a BLOOM of six heads": ("BloomForCausalLM", {"hidden_size": 36, "n_head": 6}),
    "a BLOOM with shortcuts behind norms": (
        "BloomForCausalLM",
        {"apply_residual_connection_post_layernorm": True},
    ),
    "a Falcon of the newer kind": (
        "FalconForCausalLM",
        {"new_decoder_architecture": True, "num_kv_heads": 2, "ffn_hidden_size": 40},
    ),
    "a newer Falcon with one norm": (
        "FalconForCausalLM",
        {"new_decoder_architecture": True, "num_kv_heads": 2, "num_ln_in_parallel_attn": 1},
    ),
    "a Falcon in turn": (
        "FalconForCausalLM",
        {"multi_query": False, "parallel_attn": False, "bias": True},
    ),
    "a Phi with norms of heads": ("PhiForCausalLM", {"qk_layernorm": True}),
    "a Phi with shared keys": ("PhiForCausalLM", {"num_key_value_heads": 2}),
    "a StarCoder2 without biases that sees everything": (
        "Starcoder2ForCausalLM",
        {"use_bias": False, "sliding_window": None},
    ),
    "an OLMo with biases": ("OlmoForCausalLM", {"attention_bias": True, "clip_qkv": None}),
    "a StableLM in parallel": (
        "StableLmForCausalLM",
        {"use_parallel_residual": True, "use_qkv_bias": True},
    ),
}


def upstream(name, **changes):
    torch.manual_seed(3)
    family = next(f for f in sorted(FAMILIES, key=len, reverse=True) if name.startswith(f))
    config = getattr(transformers, f"{family}Config")(**{**FAMILIES[family], **changes})
    config._attn_implementation = "eager"  # Falcon's other one has no attentions that are right
    model = getattr(transformers, name)(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model


def given_to(name):
    given = inputs(name)
    if name == "ElectraForPreTraining":
        given = {key: given[key] for key in ("input_ids", "attention_mask")}
        given["labels"] = given["input_ids"] % 2
    return given


@pytest.mark.parametrize("name", CASES)
def test_equals_transformers(name, tmp_path):
    counted = ("SequenceClassification", "TokenClassification")
    changes = {"num_labels": 3} if name.endswith(counted) else {}
    if name.startswith(("XLMRoberta", "Camembert", "Electra")) and name.endswith("CausalLM"):
        changes["is_decoder"] = True
    compare(name, upstream(name, **changes), tmp_path, given_to(name))


@pytest.mark.parametrize("form", FORMS)
def test_forms_equal_transformers(form, tmp_path):
    name, changes = FORMS[form]
    compare(name, upstream(name, **changes), tmp_path, given_to(name))


def test_every_head_is_compared():
    assert heads_of(FAMILIES) == set(CASES)
    rest = types_of([*FAMILIES, *DECODERS, *OLDER])
    assert models.AutoConfig.known() - rest == {
        *("t5", "mt5", "deepseek_v2", "deepseek_v3"),
        *("bart", "mbart", "pegasus", "marian"),
        *("vit", "deit", "dinov2", "beit", "resnet", "convnext", "convnextv2", "swin"),
        *("mobilenet_v2", "efficientnet", "segformer"),
        *("clip", "clip_text_model", "clip_vision_model"),
        *("siglip", "siglip_text_model", "siglip_vision_model"),
    }


@pytest.mark.parametrize("name", [name for name in CASES if name.endswith("CausalLM")][3:])
def test_generation_gives_the_tokens_of_transformers(name, tmp_path):
    long = {} if name.startswith("Bloom") else {"max_position_embeddings": 100}
    theirs = upstream(name, **long).eval()
    with torch.no_grad():
        for parameter in theirs.parameters():
            if parameter.ndim > 1:
                parameter.mul_(3)
    theirs.save_pretrained(tmp_path)
    mine = models.AutoModelForCausalLM.from_pretrained(tmp_path)
    assert type(mine).__name__ == name
    ids, mask = np.random.default_rng(2).integers(3, 61, (2, 6)), np.ones((2, 6), np.int64)
    mask[1, :2] = 0
    ids[mask == 0] = 1
    for options in ({"max_new_tokens": 70}, {"max_new_tokens": 8, "num_beams": 3}):
        options = {**options, "eos_token_id": None, "pad_token_id": 1}
        expected = theirs.generate(
            torch.tensor(ids), attention_mask=torch.tensor(mask), do_sample=False, **options
        )
        options["eos_token_id"] = []
        found = mine.generate(ds.tensor(ids), attention_mask=ds.tensor(mask), **options)
        assert found.tolist() == expected.tolist()


@pytest.mark.parametrize("family", FAMILIES)
def test_transformers_loads_what_is_saved(family, tmp_path):
    name = f"{family}ForSequenceClassification"
    config = getattr(models, f"{family}Config")(**FAMILIES[family], num_labels=3)
    mine = getattr(models, name)(config).eval()
    mine.save_pretrained(tmp_path)
    assert type(models.AutoModelForSequenceClassification.from_pretrained(tmp_path)) is type(mine)
    theirs, info = getattr(transformers, name).from_pretrained(tmp_path, output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"]
    ids = np.random.default_rng(3).integers(3, 61, (2, 9))
    close(mine(ds.tensor(ids)).logits, theirs.eval()(torch.tensor(ids)).logits)


#: Sizes of published checkpoints, from their config.json.
_V3 = dict(
    hidden_size=768,
    num_hidden_layers=12,
    num_attention_heads=12,
    intermediate_size=3072,
    position_biased_input=False,
    relative_attention=True,
    position_buckets=256,
    norm_rel_ebd="layer_norm",
    share_att_key=True,
    pos_att_type="p2c|c2p",
)
NAMED = {
    "xlm-roberta-base": (
        "XLMRoberta",
        dict(vocab_size=250002, max_position_embeddings=514, type_vocab_size=1),
    ),
    "camembert-base": (
        "Camembert",
        dict(vocab_size=32005, max_position_embeddings=514, type_vocab_size=1),
    ),
    "mpnet-base": ("MPNet", {}),
    "electra-small": ("Electra", {}),
    "electra-base": (
        "Electra",
        dict(embedding_size=768, hidden_size=768, num_attention_heads=12, intermediate_size=3072),
    ),
    "gpt-neox-20b": ("GPTNeoX", {}),
    "pythia-70m": (
        "GPTNeoX",
        dict(
            vocab_size=50304,
            hidden_size=512,
            num_hidden_layers=6,
            num_attention_heads=8,
            intermediate_size=2048,
        ),
    ),
    "gpt-j-6b": ("GPTJ", {}),
    "gpt-neo-1.3b": ("GPTNeo", {}),
    "opt-125m": ("OPT", {}),
    "opt-350m": (
        "OPT",
        dict(
            hidden_size=1024,
            num_hidden_layers=24,
            num_attention_heads=16,
            ffn_dim=4096,
            word_embed_proj_dim=512,
            do_layer_norm_before=False,
        ),
    ),
    "deberta-v3-base": ("DebertaV2", _V3),
    "modernbert-base": ("ModernBert", {}),
    "bloom-560m": ("Bloom", dict(hidden_size=1024, n_layer=24, n_head=16)),
    "falcon-7b": ("Falcon", {}),
    "phi-1_5": ("Phi", {}),
    "stablelm-3b-4e1t": ("StableLm", {}),
    "starcoder2-3b": ("Starcoder2", {}),
    "olmo-7b": ("Olmo", {}),
}


@pytest.mark.parametrize("name", NAMED)
def test_named_sizes_have_upstream_shapes(name):
    family, values = NAMED[name]
    with torch.device("meta"):
        config = getattr(transformers, f"{family}Config")(**values)
        theirs = getattr(transformers, f"{family}Model")(config)
    before = ds.memory_stats()["in_use"]
    mine = getattr(models, f"{family}Model")(getattr(models, f"{family}Config")(**values))
    assert {k: tuple(v.shape) for k, v in mine.named_parameters()} == {
        k: tuple(v.shape) for k, v in theirs.named_parameters()
    }
    assert ds.memory_stats()["in_use"] - before < 1 << 20


@pytest.mark.parametrize("family", [*FAMILIES, "MT5"])
def test_defaults_are_those_of_transformers(family):
    """Of keys that files leave out, but for those that follow from others."""
    theirs = getattr(transformers, f"{family}Config")().to_dict()
    mine = getattr(models, f"{family}Config")().to_dict()
    both = {key for key in mine.keys() & theirs.keys() if theirs[key] is not None}
    both -= {"num_key_value_heads", "num_decoder_layers"}
    assert len(both) > 12
    assert {key: mine[key] for key in both} == {key: theirs[key] for key in both}


def test_older_files_are_read(tmp_path):
    neox = models.GPTNeoXConfig(rotary_pct=0.5, rotary_emb_base=500)
    assert neox.rope_parameters["rope_theta"] == 500
    assert neox.rope_parameters["partial_rotary_factor"] == 0.5
    assert models.AutoConfig.from_dict(neox.to_dict()) == neox
    assert models.PhiConfig().rope_parameters["partial_rotary_factor"] == 0.5
    assert models.BloomConfig(n_embed=24).hidden_size == 24
    upstream("GPTNeoXForCausalLM").save_pretrained(tmp_path)
    from safetensors.torch import load_file, save_file

    weights = load_file(tmp_path / "model.safetensors")
    assert "embed_out.weight" in weights
    weights["gpt_neox.layers.0.attention.rotary_emb.inv_freq"] = torch.ones(1)
    weights["gpt_neox.layers.0.attention.masked_bias"] = torch.ones(1)
    save_file(weights, tmp_path / "model.safetensors", {"format": "pt"})
    _, info = models.GPTNeoXForCausalLM.from_pretrained(tmp_path, output_loading_info=True)
    assert info == {"missing_keys": [], "unexpected_keys": [], "mismatched_keys": []}


def test_padding_that_sees_nothing_has_results_of_transformers(tmp_path):
    theirs = upstream("ModernBertForQuestionAnswering", local_attention=4).eval()
    theirs.save_pretrained(tmp_path)
    mine = models.ModernBertForQuestionAnswering.from_pretrained(tmp_path)
    ids, mask = np.random.default_rng(2).integers(3, 61, (2, 15)), np.ones((2, 15), np.int64)
    mask[1, 4:] = 0
    given = {"input_ids": ids, "attention_mask": mask}
    expected = theirs(**{k: torch.tensor(v) for k, v in given.items()})
    found = mine(**{k: ds.tensor(v) for k, v in given.items()})
    close(found.start_logits, expected.start_logits)


def test_layers_are_left_out_while_training():
    """Of two states of OPT, those that a layer leaves that is left out are equal."""
    model = models.OPTModel(models.OPTConfig(**{**OPT, "num_hidden_layers": 40, "layerdrop": 0.3}))
    ids = ds.tensor(np.random.default_rng(2).integers(3, 61, (2, 6)))
    ds.manual_seed(1)

    def left_out():
        states = [s.detach().numpy() for s in model(ids, output_hidden_states=True).hidden_states]
        return sum(np.array_equal(a, b) for a, b in zip(states, states[1:], strict=False))

    assert 4 <= left_out() <= 22
    model.eval()
    assert left_out() == 0
    with pytest.raises(ds.ValueError, match="probability 2"):
        models.OPTModel(models.OPTConfig(**{**OPT, "layerdrop": 2.0}))(ids)


@pytest.mark.parametrize(
    "family, changes, error, message",
    [
        ("Electra", {"summary_type": "mean"}, ds.ValueError, "'first', True, 'gelu'"),
        ("GPTNeoX", {"num_attention_heads": 5}, ds.ValueError, "5 attention heads do not divide"),
        ("GPTNeo", {"num_layers": 5}, ds.ValueError, "attention_types make 3 layers of 5"),
        ("Falcon", {"alibi": True}, ds.NotImplementedError, "alibi is True"),
        ("StableLm", {"qk_layernorm": True}, ds.NotImplementedError, "qk_layernorm is True"),
        ("DebertaV2", {"legacy": False}, ds.NotImplementedError, "'legacy': False"),
        ("DebertaV2", {"position_buckets": 2}, ds.ValueError, "position_buckets 2 must be"),
        ("DebertaV2", {"pos_att_type": "p2p"}, ds.ValueError, "pos_att_type 'p2p' is unknown"),
        ("ModernBert", {"sparse_prediction": True}, ds.NotImplementedError, "sparse_prediction"),
        ("ModernBert", {"layer_types": ["full_attention"]}, ds.ValueError, "1 layers of 4"),
        ("ModernBert", {"classifier_pooling": "last"}, ds.ValueError, "use cls or mean"),
        ("Phi", {"num_key_value_heads": 3}, ds.ValueError, "3 key and value heads do not divide"),
    ],
)
def test_bad_configurations_are_named(family, changes, error, message):
    config = getattr(models, f"{family}Config")(**{**FAMILIES[family], **changes})
    with pytest.raises(error, match=message):
        getattr(models, f"{family}ForSequenceClassification")(config)
