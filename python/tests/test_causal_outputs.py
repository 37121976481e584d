# SPDX-License-Identifier: Apache-2.0
"""What models that predict next words return when asked: what experts were given and the loss that
balances them, and the logits of some tokens alone; against transformers."""

import deepseek as ds
import numpy as np
import pytest
import torch
from deepseek import models
from test_decoders import CASES as DECODERS
from test_decoders import upstream as decoder
from test_deepseek_models import upstream as deepseek
from test_language_models import close
from test_language_models import upstream as older

transformers = pytest.importorskip("transformers")

ROUTED = ("Mixtral", "Qwen2Moe", "Qwen3Moe", "Olmoe", "V2", "V3 halves")


def routed(family, head, **changes):
    """A model of transformers with experts, and its name."""
    if family.startswith("V"):
        return deepseek(family, head, **changes)
    return decoder(family + head, **changes), family + head


def both(theirs, name, folder):
    theirs.save_pretrained(folder)
    return theirs, getattr(models, name).from_pretrained(folder)


def texts(padded=True):
    ids = np.random.default_rng(1).integers(3, 61, (3, 9))
    mask = np.ones_like(ids)
    if padded:
        mask[1, 7:] = 0
        mask[2, :4] = 0
    return {"input_ids": ids, "attention_mask": mask, "labels": np.where(mask == 1, ids, -100)}


def turned(given, tensor):
    return {key: tensor(value) for key, value in given.items()}


@pytest.mark.parametrize("padded", [True, False])
@pytest.mark.parametrize("family", ROUTED)
def test_experts_are_balanced_as_in_transformers(family, padded, tmp_path):
    theirs, mine = both(*routed(family, "ForCausalLM", router_aux_loss_coef=0.3), tmp_path)
    given = texts(padded)
    if not padded:
        del given["attention_mask"]
    asked = {"output_router_logits": True, "output_hidden_states": True}
    t = theirs.train()(**turned(given, torch.tensor), **asked)
    m = mine.train()(**turned(given, ds.tensor), **asked)
    assert list(m) == [key for key in t if key != "cache"]
    assert ("aux_loss" in m) != family.startswith("V")
    for key in [key for key in m if key.endswith("loss")]:
        assert m[key].item() == pytest.approx(t[key].item(), rel=1e-4), key
    assert len(m.router_logits) == len(t.router_logits) > 0
    for ours, other in zip(m.router_logits, t.router_logits, strict=True):
        assert ours.shape == tuple(other.shape)
        close(ours, other)
    t.loss.backward()
    m.loss.backward()
    gradients = {key: p.grad for key, p in mine.named_parameters()}
    for key, parameter in theirs.named_parameters():
        close(gradients[key], parameter.grad, key)


@pytest.mark.parametrize("family", ["Mixtral", "V2"])
def test_the_configuration_asks_for_what_experts_were_given(family, tmp_path):
    theirs, mine = both(*routed(family, "ForCausalLM", output_router_logits=True), tmp_path)
    given = texts()
    t, m = theirs(**turned(given, torch.tensor)), mine(**turned(given, ds.tensor))
    assert m.loss.item() == pytest.approx(t.loss.item(), rel=1e-4) and len(m.router_logits) > 0
    plain = mine(**turned(given, ds.tensor), output_router_logits=False)
    assert plain.router_logits is None and (plain.loss.item() < m.loss.item()) == (
        family == "Mixtral"
    )
    mine.config.output_router_logits = False
    assert mine(**turned(given, ds.tensor)).loss.item() == plain.loss.item()
    # Without labels it is told but not added to anything.
    del given["labels"]
    found = mine(**turned(given, ds.tensor), output_router_logits=True)
    assert found.loss is None
    if family == "Mixtral":
        expected = theirs(**turned(given, torch.tensor), output_router_logits=True)
        assert found.aux_loss.item() == pytest.approx(expected.aux_loss.item(), rel=1e-4)


@pytest.mark.parametrize("family", ["Qwen2Moe", "V3"])
def test_models_without_a_head_tell_what_experts_were_given(family, tmp_path):
    theirs, mine = both(*routed(family, "Model"), tmp_path)
    given = texts()
    del given["labels"]
    t = theirs(**turned(given, torch.tensor), output_router_logits=True)
    m = mine(**turned(given, ds.tensor), output_router_logits=True)
    assert list(m) == [key for key in t if key != "cache"]
    for ours, other in zip(m.router_logits, t.router_logits, strict=True):
        close(ours, other)
    assert mine(**turned(given, ds.tensor)).router_logits is None
    with pytest.raises(ds.ValueError, match="no .*output_router_logits"):
        mine(ds.tensor(given["input_ids"]), use_cache=True, output_router_logits=True)


def test_what_balances_experts_needs_a_number_for_every_token(tmp_path):
    _, mine = both(*routed("Mixtral", "ForCausalLM"), tmp_path)
    seen = ds.ones(3, 9, 9)
    with pytest.raises(ds.ShapeError, match="one number a token"):
        mine(ds.tensor(texts()["input_ids"]), attention_mask=seen, output_router_logits=True)


#: Tokens to keep of texts of 9.
KEPT = {
    "one": 1,
    "four": 4,
    "all": 0,
    "more than there are": 12,
    "positions": np.array([0, 5, 8]),
    "positions of each text": np.array([[0, 5], [8, 2], [1, 1]]),
    "marked": np.random.default_rng(4).integers(0, 2, (3, 9)).astype(bool),
}
CAUSAL = ("GPT2LMHeadModel", "BertLMHeadModel", "LlamaForCausalLM", "GraniteForCausalLM")


@pytest.mark.parametrize("kept", KEPT)
@pytest.mark.parametrize("name", CAUSAL)
def test_logits_of_some_tokens_equal_transformers(name, kept, tmp_path):
    changes = {"is_decoder": True} if name.startswith("Bert") else {}
    make = decoder if name in DECODERS else older
    theirs, mine = both(make(name, **changes).eval(), name, tmp_path)
    given, keep = texts(padded=False), KEPT[kept]
    labels = given.pop("labels")
    tensors = [
        tensor(keep) if isinstance(keep, np.ndarray) else keep
        for tensor in (torch.tensor, ds.tensor)
    ]
    t = theirs(**turned(given, torch.tensor), logits_to_keep=tensors[0])
    m = mine(**turned(given, ds.tensor), logits_to_keep=tensors[1])
    assert m.logits.shape == tuple(t.logits.shape)
    close(m.logits, t.logits)
    # Labels are those of the tokens that are kept.
    rows = labels[:, -keep:] if kept in ("four", "all", "more than there are") else None
    if kept == "marked":
        rows = labels[keep]
    if rows is not None:
        t = theirs(
            **turned(given, torch.tensor), labels=torch.tensor(rows), logits_to_keep=tensors[0]
        )
        m = mine(**turned(given, ds.tensor), labels=ds.tensor(rows), logits_to_keep=tensors[1])
        assert m.loss.item() == pytest.approx(t.loss.item(), rel=1e-4)


def test_logits_of_the_last_token_with_a_cache(tmp_path):
    _, mine = both(older("LlamaForCausalLM").eval(), "LlamaForCausalLM", tmp_path)
    ids = ds.tensor(texts()["input_ids"])
    whole = mine(ids).logits
    first = mine(ids[:, :7], use_cache=True, logits_to_keep=1)
    assert list(first) == ["logits", "past_key_values"]
    np.testing.assert_allclose(first.logits.numpy(), whole[:, 6:7].detach().numpy(), atol=1e-4)
    rest = mine(ids[:, 7:], past_key_values=first.past_key_values, logits_to_keep=ds.tensor([1]))
    np.testing.assert_allclose(rest.logits.numpy(), whole[:, 8:].detach().numpy(), atol=1e-4)


def test_tokens_that_cannot_be_kept(tmp_path):
    _, mine = both(older("GPT2LMHeadModel").eval(), "GPT2LMHeadModel", tmp_path)
    ids = ds.tensor(texts()["input_ids"])
    with pytest.raises(ds.ValueError, match="logits_to_keep: -1 is negative"):
        mine(ids, logits_to_keep=-1)
    with pytest.raises(ds.ShapeError, match=r"logits_to_keep: .* must be a number, \[positions\]"):
        mine(ids, logits_to_keep=ds.zeros(1, 2, 3, dtype=ds.int64))
    with pytest.raises(ds.IndexError):
        mine(ids, logits_to_keep=ds.tensor([9])).logits.tolist()
