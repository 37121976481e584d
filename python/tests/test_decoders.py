# SPDX-License-Identifier: Apache-2.0
"""Decoders like Llama against transformers: small random models saved there and loaded here."""

import deepseek as ds
import numpy as np
import pytest
import torch
from deepseek import models
from test_language_models import CLASSIFIERS, LLAMA, close, compare, heads_of

transformers = pytest.importorskip("transformers")

EXPERTS = {**LLAMA, "num_experts": 6, "num_experts_per_tok": 2, "moe_intermediate_size": 20}
GEMMA = {**LLAMA, "head_dim": 12}
#: Family -> keys of its configuration.
FAMILIES = {
    "Mixtral": {
        **LLAMA,
        "num_hidden_layers": 2,
        "num_local_experts": 5,
        "num_experts_per_tok": 2,
        "sliding_window": 4,
    },
    "Qwen2Moe": {**EXPERTS, "shared_expert_intermediate_size": 24, "decoder_sparse_step": 2},
    "Qwen3Moe": {**EXPERTS, "head_dim": 12, "norm_topk_prob": True, "mlp_only_layers": [1]},
    "Gemma": {**GEMMA, "hidden_act": "gelu"},
    "Gemma2": {
        **GEMMA,
        "query_pre_attn_scalar": 10,
        "sliding_window": 4,
        "attn_logit_softcapping": 2.0,
        "final_logit_softcapping": 3.0,
    },
    "Gemma3Text": {
        **GEMMA,
        "query_pre_attn_scalar": 10,
        "sliding_window": 4,
        "sliding_window_pattern": 2,
        "rope_parameters": {
            "full_attention": {"rope_type": "linear", "factor": 2.0, "rope_theta": 500.0},
            "sliding_attention": {"rope_type": "default", "rope_theta": 100.0},
        },
    },
    "Phi3": {
        **LLAMA,
        "original_max_position_embeddings": 16,
        "rope_parameters": {
            "rope_type": "longrope",
            "rope_theta": 1e4,
            "partial_rotary_factor": 0.5,
            "short_factor": [1.0, 1.5],
            "long_factor": [2.0, 3.0],
        },
    },
    "Olmo2": {**LLAMA, "attention_bias": True},
    "Olmoe": {**LLAMA, "num_experts": 6, "num_experts_per_tok": 2, "clip_qkv": 0.5},
    "Granite": {
        **LLAMA,
        "mlp_bias": True,
        "embedding_multiplier": 3.0,
        "logits_scaling": 2.0,
        "residual_multiplier": 0.4,
        "attention_multiplier": 0.3,
    },
    "SmolLM3": {**LLAMA, "no_rope_layer_interval": 2},
}
GENERAL = ["Model", "ForCausalLM", *CLASSIFIERS]
HEADS = {
    **dict.fromkeys(("Mixtral", "Qwen2Moe", "Qwen3Moe", "SmolLM3"), GENERAL),
    **dict.fromkeys(("Gemma", "Gemma2", "Phi3"), GENERAL[:4]),
    "Gemma3Text": ["Model", "ForSequenceClassification"],
    "Olmo2": GENERAL[:3],
    **dict.fromkeys(("Olmoe", "Granite"), GENERAL[:2]),
}
CASES = {family + head: family for family, heads in HEADS.items() for head in heads}
CASES["Gemma3ForCausalLM"] = "Gemma3Text"


def upstream(name, **changes):
    torch.manual_seed(3)
    family = CASES[name]
    config = getattr(transformers, f"{family}Config")(**{**FAMILIES[family], **changes})
    model = getattr(transformers, name)(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model


@pytest.mark.parametrize("name", CASES)
def test_equals_transformers(name, tmp_path):
    counted = ("SequenceClassification", "TokenClassification")
    compare(name, upstream(name, **({"num_labels": 3} if name.endswith(counted) else {})), tmp_path)


def test_every_head_is_compared():
    assert heads_of(FAMILIES) == set(CASES)


@pytest.mark.parametrize("name", [name for name in CASES if name.endswith("CausalLM")])
def test_generation_gives_the_tokens_of_transformers(name, tmp_path):
    theirs = upstream(name, initializer_range=0.3).eval()
    theirs.save_pretrained(tmp_path)
    theirs.set_attn_implementation("eager")  # others leave out the limit of scores
    mine = models.AutoModelForCausalLM.from_pretrained(tmp_path)
    assert type(mine).__name__ == name
    ids, mask = np.random.default_rng(2).integers(3, 61, (2, 6)), np.ones((2, 6), np.int64)
    mask[1, :2] = 0
    for options in ({"max_new_tokens": 9}, {"max_new_tokens": 6, "num_beams": 3}):
        expected = theirs.generate(
            torch.tensor(ids), attention_mask=torch.tensor(mask), do_sample=False, **options
        )
        found = mine.generate(ds.tensor(ids), attention_mask=ds.tensor(mask), **options)
        assert found.tolist() == expected.tolist()


def test_long_texts_of_phi3_begin_anew(tmp_path):
    """Above 16 tokens all positions are turned by other factors, those of the cache too."""
    theirs = upstream("Phi3ForCausalLM", initializer_range=0.3, max_position_embeddings=64).eval()
    theirs.save_pretrained(tmp_path)
    mine = models.Phi3ForCausalLM.from_pretrained(tmp_path)
    ids, mask = np.random.default_rng(2).integers(3, 61, (2, 11)), np.ones((2, 11), np.int64)
    mask[1, :2] = 0
    given = {"input_ids": ids, "attention_mask": mask}
    t = {key: torch.tensor(value) for key, value in given.items()}
    m = {key: ds.tensor(value) for key, value in given.items()}
    for options in ({"max_new_tokens": 30}, {"max_new_tokens": 12, "num_beams": 3}):
        expected = theirs.generate(**t, do_sample=False, **options)
        assert mine.generate(**m, **options).tolist() == expected.tolist()
    # Without it the tokens would be others.
    mine.config.rope_parameters["original_max_position_embeddings"] = 64
    short = models.Phi3ForCausalLM(mine.config).eval()
    short.load_state_dict(mine.state_dict())
    wanted = mine.generate(**m, max_new_tokens=30).tolist()
    assert short.generate(**m, max_new_tokens=30).tolist() != wanted
    # A conversation crosses it too, with padding between its parts.
    more = np.random.default_rng(3).integers(3, 61, (2, 8))
    longer = np.concatenate([ids, more], 1)
    padded = np.concatenate([mask, np.ones_like(more)], 1)
    padded[0, 11:13] = 0
    longer, padded = ds.tensor(longer), ds.tensor(padded)
    first = mine(**m, use_cache=True)
    cache = first.past_key_values
    options = {"attention_mask": padded, "max_new_tokens": 5}
    found = mine.generate(longer, past_key_values=cache, **options)
    assert found.tolist() == mine.generate(longer, **options).tolist()
    assert cache.get_seq_length() == 23


@pytest.mark.parametrize("family", FAMILIES)
def test_transformers_loads_what_is_saved(family, tmp_path):
    name = next(n for n in CASES if CASES[n] == family and n.endswith("CausalLM"))
    config = getattr(models, f"{family}Config")(**FAMILIES[family], initializer_range=0.2)
    mine = getattr(models, name)(config).eval()
    mine.save_pretrained(tmp_path)
    assert models.AutoConfig.from_pretrained(tmp_path)._native().hidden_size == config.hidden_size
    theirs, info = getattr(transformers, name).from_pretrained(tmp_path, output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"]
    theirs.set_attn_implementation("eager")
    ids = np.random.default_rng(3).integers(0, 61, (2, 9))
    close(mine(ds.tensor(ids)).logits, theirs.eval()(torch.tensor(ids)).logits)


@pytest.mark.parametrize("family", FAMILIES)
def test_default_sizes_have_upstream_shapes(family):
    config = getattr(transformers, f"{family}Config")()
    config._experts_implementation = None
    with torch.device("meta"):
        theirs = getattr(transformers, f"{family}Model")(config)
    mine = getattr(models, f"{family}Model")(getattr(models, f"{family}Config")())
    assert {k: tuple(v.shape) for k, v in mine.named_parameters()} == {
        k: tuple(v.shape) for k, v in theirs.named_parameters()
    }


@pytest.mark.parametrize("tokens", [1, 3, 40, 150])
@pytest.mark.parametrize("experts, chosen", [(5, 2), (32, 4)])
def test_only_chosen_experts_are_computed(tokens, experts, chosen, tmp_path):
    """What nobody chose may be no number at all, which reaches no result and no gradient."""
    changes = {"num_local_experts": experts, "num_experts_per_tok": chosen, "num_hidden_layers": 1}
    theirs = upstream("MixtralModel", max_position_embeddings=256, **changes)
    block = theirs.layers[0].mlp
    with torch.no_grad():
        block.gate.weight[experts // 2 :] = 0
        block.gate.weight[: experts // 2] += 0.5  # of one sign, so one half wins for most
    theirs.save_pretrained(tmp_path)
    mine = models.MixtralModel.from_pretrained(tmp_path)
    x = np.abs(np.random.default_rng(1).standard_normal((1, tokens, 32))).astype(np.float32)
    _, _, taken = block.gate(torch.tensor(x))
    unused = sorted(set(range(experts)) - set(taken.reshape(-1).tolist()))
    assert unused
    own = mine.layers[0].mlp
    with ds.no_grad():
        for expert in unused:
            own.experts.gate_up_proj[expert] = float("nan")
    given = ds.tensor(x).requires_grad_()
    t_in = torch.tensor(x, requires_grad=True)
    expected, got = block(t_in), own(given)
    close(got, expected)
    expected.square().sum().backward()
    got.square().sum().backward()
    close(given.grad, t_in.grad)
    used = sorted(set(range(experts)) - set(unused))
    for key in ("gate_up_proj", "down_proj"):
        gradient = getattr(own.experts, key).grad
        close(gradient[ds.tensor(used)], getattr(block.experts, key).grad[used], key)
    close(own.gate.weight.grad, block.gate.weight.grad)


def test_bad_configurations_are_named():
    for family, changes, error, message in (
        ("Mixtral", {"num_experts_per_tok": 9}, ds.ValueError, "num_experts_per_tok 9 must be"),
        ("Gemma2", {"layer_types": ["full_attention"]}, ds.ValueError, "1 entries for 3 layers"),
        ("Gemma2", {"layer_types": ["x"] * 3}, ds.ValueError, "the layer type 'x' is unknown"),
        ("Qwen3Moe", {"decoder_sparse_step": 0}, ds.ValueError, "decoder_sparse_step 0"),
        ("SmolLM3", {"no_rope_layers": [1]}, ds.ValueError, "has 1 entries for 3 layers"),
    ):
        config = getattr(models, f"{family}Config")(**{**FAMILIES[family], **changes})
        with pytest.raises(error, match=message):
            getattr(models, f"{family}Model")(config)


def test_older_configurations():
    phi = models.Phi3Config(
        rope_scaling={"type": "su", "short_factor": [1.0], "long_factor": [1.0]},
        rope_theta=500.0,
    )
    assert phi.rope_parameters["rope_type"] == "longrope"
    assert phi.rope_parameters["original_max_position_embeddings"] == 4096
    gemma = models.Gemma3TextConfig(rope_theta=7.0, rope_local_base_freq=5.0, num_hidden_layers=7)
    assert gemma.rope_parameters["full_attention"]["rope_theta"] == 7.0
    assert gemma.rope_parameters["sliding_attention"]["rope_theta"] == 5.0
    assert gemma.layer_types.index("full_attention") == 5
    again = models.AutoConfig.from_dict(gemma.to_dict())
    assert again == gemma
    assert models.Qwen3MoeConfig(num_local_experts=7).num_experts == 7
    assert models.GemmaConfig(hidden_act="gelu").hidden_act == "gelu_pytorch_tanh"
