# SPDX-License-Identifier: Apache-2.0
"""DeepSeek-V2 and V3 against transformers: small random models saved there and loaded here."""

import json

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


def upstream(case, head="ForCausalLM", **changes):
    torch.manual_seed(4)
    version = case.split()[0]
    config = getattr(transformers, f"Deepseek{version}Config")(**{**CASES[case], **changes})
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


@pytest.mark.parametrize("case", CASES)
def test_classes_of_texts_equal_transformers(case, tmp_path):
    theirs, name = upstream(case, "ForSequenceClassification", num_labels=3, pad_token_id=1)
    theirs.save_pretrained(tmp_path)
    mine, info = models.AutoModelForSequenceClassification.from_pretrained(
        tmp_path, output_loading_info=True
    )
    assert type(mine).__name__ == name
    assert info == {"missing_keys": [], "unexpected_keys": [], "mismatched_keys": []}
    ids = np.random.default_rng(1).integers(2, 61, (3, 9))
    ids[1, 6:] = 1
    labels = np.array([0, 2, 1])
    t = theirs.train()(torch.tensor(ids), labels=torch.tensor(labels))
    m = mine.train()(ds.tensor(ids), labels=ds.tensor(labels))
    close(m.logits, t.logits)
    assert m.loss.item() == pytest.approx(t.loss.item(), rel=1e-4)
    t.loss.backward()
    m.loss.backward()
    gradients = {k: p.grad for k, p in mine.named_parameters()}
    for key, parameter in theirs.named_parameters():
        close(gradients[key], parameter.grad, key)


FP8 = {"quant_method": "fp8", "weight_block_size": [128, 128], "activation_scheme": "dynamic"}


def quantised(folder):
    """Rewrites a checkpoint as DeepSeek's are, every matrix in eight bits and a scale a block;
    returns what the matrices then are."""
    from safetensors.torch import load_file, save_file

    weights, plain = load_file(folder / "model.safetensors"), {}
    for name, weight in list(weights.items()):
        if not name.endswith("_proj.weight"):
            continue
        rows, columns = (-(-size // 128) for size in weight.shape)
        padded = torch.zeros(rows * 128, columns * 128)
        padded[: weight.shape[0], : weight.shape[1]] = weight
        blocks = padded.reshape(rows, 128, columns, 128)
        scale = blocks.abs().amax((1, 3)).clamp(min=1e-6) / 448
        eight = (blocks / scale[:, None, :, None]).to(torch.float8_e4m3fn)
        whole = (eight.float() * scale[:, None, :, None]).reshape(padded.shape)
        eight = eight.reshape(padded.shape)[: weight.shape[0], : weight.shape[1]]
        weights[name], weights[name + "_scale_inv"] = eight.contiguous(), scale
        plain[name] = whole[: weight.shape[0], : weight.shape[1]].to(torch.bfloat16).float()
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "quantization_config": FP8}))
    return plain


def test_eight_bit_checkpoints_are_made_plain(tmp_path):
    sizes = {"hidden_size": 160, "intermediate_size": 300, "moe_intermediate_size": 132}
    theirs, name = upstream("V3", **sizes)
    theirs.save_pretrained(tmp_path)
    plain = quantised(tmp_path)
    assert len(plain) > 30
    mine, info = getattr(models, name).from_pretrained(tmp_path, output_loading_info=True)
    assert info == {"missing_keys": [], "unexpected_keys": [], "mismatched_keys": []}
    assert not hasattr(mine.config, "quantization_config")
    mine.save_pretrained(tmp_path / "plain")
    from safetensors.torch import load_file

    saved = load_file(tmp_path / "plain" / "model.safetensors")
    for key, weight in plain.items():
        assert torch.equal(saved[key].float(), weight), key
    again = getattr(transformers, name).from_pretrained(tmp_path / "plain", dtype="float32").eval()
    again.set_attn_implementation("eager")  # others need heads of certain sizes
    ids = np.random.default_rng(3).integers(0, 61, (2, 9))
    close(mine.to(ds.float32)(ds.tensor(ids)).logits, again(torch.tensor(ids)).logits)


@pytest.mark.parametrize("kind", ["float8_e4m3fn", "float8_e5m2"])
def test_every_eight_bit_number_is_read(kind, tmp_path):
    from safetensors.torch import save_file

    every = torch.arange(256, dtype=torch.int32).to(torch.uint8).view(getattr(torch, kind))
    save_file({"x": every.reshape(2, 128), "y": torch.ones(3)}, tmp_path / "x.safetensors")
    got = ds.load(tmp_path / "x.safetensors")["x"]
    assert got.dtype == ds.bfloat16 and got.shape == (2, 128)
    np.testing.assert_array_equal(got.float().numpy().reshape(-1), every.float().numpy())


def test_scales_that_do_not_fit_are_named(tmp_path):
    theirs, name = upstream("V3")
    theirs.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    for changes, error, message in (
        ({"quant_method": "gptq"}, ds.NotImplementedError, "quantised by 'gptq'"),
        ({**FP8, "weight_block_size": [0, 128]}, ds.FileFormatError, r"weight_block_size \[0, 128"),
    ):
        values = {**config, "quantization_config": changes}
        (tmp_path / "config.json").write_text(json.dumps(values))
        with pytest.raises(error, match=message):
            getattr(models, name).from_pretrained(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({**config, "quantization_config": FP8}))
    from safetensors.torch import load_file, save_file

    weights = load_file(tmp_path / "model.safetensors")
    weights["model.layers.0.mlp.up_proj.weight_scale_inv"] = torch.ones(3, 1)
    save_file(weights, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(ds.FileFormatError, match=r"up_proj.weight_scale_inv \(3, 1\) does not fit"):
        getattr(models, name).from_pretrained(tmp_path)
