# SPDX-License-Identifier: Apache-2.0
"""DeepSeek-V2 and V3 against transformers: small random models saved there and loaded here."""

import deepseek as ds
import numpy as np
import pytest
import torch
from deepseek import models
from test_language_models import close

transformers = pytest.importorskip("transformers")

SMALL = dict(
    vocab_size=61,
    hidden_size=32,
    intermediate_size=48,
    moe_intermediate_size=16,
    num_hidden_layers=3,
    num_attention_heads=4,
    num_key_value_heads=4,
    n_shared_experts=2,
    n_routed_experts=8,
    num_experts_per_tok=3,
    kv_lora_rank=12,
    q_lora_rank=20,
    qk_rope_head_dim=8,
    v_head_dim=10,
    qk_nope_head_dim=6,
    first_k_dense_replace=1,
    max_position_embeddings=128,
    initializer_range=0.2,
)
YARN = {
    "rope_type": "yarn",
    "rope_theta": 10000.0,
    "factor": 4.0,
    "beta_fast": 32,
    "beta_slow": 1,
    "mscale": 0.7,
    "mscale_all_dim": 0.9,
    "original_max_position_embeddings": 32,
}
CASES = {
    "V2": SMALL,
    "V2 groups": {
        **SMALL,
        "topk_method": "group_limited_greedy",
        "n_group": 4,
        "topk_group": 2,
        "q_lora_rank": None,
        "routed_scaling_factor": 1.5,
        "rope_parameters": YARN,
    },
    "V3": {**SMALL, "n_group": 4, "topk_group": 2},
    "V3 halves": {
        **SMALL,
        "n_group": 2,
        "topk_group": 1,
        "norm_topk_prob": False,
        "rope_interleave": False,
        "attention_bias": True,
        "rope_parameters": {**YARN, "mscale_all_dim": 0.0},
    },
}


def upstream(case, head="ForCausalLM"):
    torch.manual_seed(4)
    version = case.split()[0]
    config = getattr(transformers, f"Deepseek{version}Config")(**CASES[case])
    model = getattr(transformers, f"Deepseek{version}{head}")(config)
    with torch.no_grad():
        for name, buffer in model.named_buffers():
            if name.endswith("e_score_correction_bias"):
                buffer.normal_(std=0.2)
        for name, parameter in model.named_parameters():
            if name.endswith("norm.weight"):
                parameter.add_(0.1 * torch.randn_like(parameter))
    return model, f"Deepseek{version}{head}"


# A text of two tokens gathers the matrices of its experts, longer ones use all experts.
@pytest.mark.parametrize("tokens", [2, 11])
@pytest.mark.parametrize("case", CASES)
def test_equals_transformers(case, tokens, tmp_path):
    theirs, name = upstream(case)
    theirs.save_pretrained(tmp_path)
    mine, info = getattr(models, name).from_pretrained(tmp_path, output_loading_info=True)
    assert info == {"missing_keys": [], "unexpected_keys": [], "mismatched_keys": []}
    shapes = {k: tuple(v.shape) for k, v in theirs.state_dict().items()}
    assert {k: tuple(v.shape) for k, v in mine.state_dict().items()} == shapes
    rows = 1 if tokens == 2 else 3
    ids = np.random.default_rng(1).integers(0, 61, (rows, tokens))
    mask = np.ones_like(ids)
    if rows > 1:
        mask[1, 7:] = 0
    given = {"input_ids": ids, "attention_mask": mask, "labels": np.where(mask == 1, ids, -100)}
    t = theirs.train()(**{k: torch.tensor(v) for k, v in given.items()})
    m = mine.train()(**{k: ds.tensor(v) for k, v in given.items()})
    close(m.logits, t.logits)
    assert m.loss.item() == pytest.approx(t.loss.item(), rel=1e-4)
    t.loss.backward()
    m.loss.backward()
    gradients = {k: p.grad for k, p in mine.named_parameters()}
    assert gradients.keys() == {k for k, _ in theirs.named_parameters()}
    for key, parameter in theirs.named_parameters():
        close(gradients[key], parameter.grad, key)


@pytest.mark.parametrize("case", CASES)
def test_generation_gives_the_tokens_of_transformers(case, tmp_path):
    theirs, name = upstream(case)
    theirs.eval().save_pretrained(tmp_path)
    mine = models.AutoModelForCausalLM.from_pretrained(tmp_path)
    assert type(mine).__name__ == name
    ids, mask = np.random.default_rng(2).integers(3, 61, (2, 6)), np.ones((2, 6), np.int64)
    mask[1, :2] = 0
    for options in ({"max_new_tokens": 65}, {"max_new_tokens": 8, "num_beams": 3}):
        options = {**options, "pad_token_id": 2}
        expected = theirs.generate(
            torch.tensor(ids), attention_mask=torch.tensor(mask), **options
        ).numpy()
        found = mine.generate(ds.tensor(ids), attention_mask=ds.tensor(mask), **options).numpy()
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("case", ["V2", "V3"])
def test_transformers_loads_what_is_saved(case, tmp_path):
    name = f"Deepseek{case}ForCausalLM"
    config = getattr(models, f"Deepseek{case}Config")(**CASES[case])
    mine = getattr(models, name)(config).eval()
    mine.save_pretrained(tmp_path)
    theirs, info = getattr(transformers, name).from_pretrained(tmp_path, output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"]
    ids = np.random.default_rng(3).integers(0, 61, (2, 9))
    close(mine(ds.tensor(ids)).logits, theirs.eval()(torch.tensor(ids)).logits)


@pytest.mark.parametrize("version", ["V2", "V3"])
def test_named_sizes_have_upstream_shapes(version):
    # V3 in full; V2-Lite by its config.json.
    lite = dict(
        hidden_size=2048,
        intermediate_size=10944,
        moe_intermediate_size=1408,
        num_hidden_layers=27,
        num_attention_heads=16,
        n_shared_experts=2,
        n_routed_experts=64,
        num_experts_per_tok=6,
        first_k_dense_replace=1,
        q_lora_rank=None,
    )
    values = lite if version == "V2" else {}
    with torch.device("meta"):
        config = getattr(transformers, f"Deepseek{version}Config")(**values)
        theirs = getattr(transformers, f"Deepseek{version}Model")(config)
    config = getattr(models, f"Deepseek{version}Config")(**values)
    mine = getattr(models, f"Deepseek{version}Model")(config)
    assert {k: tuple(v.shape) for k, v in mine.named_parameters()} == {
        k: tuple(v.shape) for k, v in theirs.named_parameters()
    }


def test_choices_that_do_not_fit_are_named():
    for changes, message in (
        ({"num_experts_per_tok": 9}, "num_experts_per_tok 9 must be between 1 and"),
        ({"n_group": 3}, "n_group 3 must divide n_routed_experts 8"),
        ({"kv_lora_rank": 0}, "kv_lora_rank 0"),
    ):
        with pytest.raises(ds.ValueError, match=message):
            models.DeepseekV3Model(models.DeepseekV3Config(**{**CASES["V3"], **changes}))
    with pytest.raises(ds.ValueError, match="topk_method 'magic' is unknown"):
        models.DeepseekV2Model(models.DeepseekV2Config(**{**SMALL, "topk_method": "magic"}))
