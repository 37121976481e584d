# SPDX-License-Identifier: Apache-2.0
"""CLIP against transformers: small random models saved there and loaded here, and back."""

import json

import deepseek as ds
import numpy as np
import pytest
import torch
from deepseek import models
from deepseek.models import cards
from PIL import Image
from timm_oracle import without_memory

transformers = pytest.importorskip("transformers")

LAYERS = dict(num_hidden_layers=2, num_attention_heads=2, intermediate_size=24, projection_dim=10)
TEXT = dict(LAYERS, vocab_size=11, hidden_size=16, max_position_embeddings=12, eos_token_id=3)
VISION = dict(LAYERS, hidden_size=12, image_size=24, patch_size=8)
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "photo", "of", "cat", "dog", "very"]


def upstream(**text):
    torch.manual_seed(0)
    config = transformers.CLIPConfig(
        text_config={**TEXT, **text}, vision_config=VISION, projection_dim=10
    )
    model = transformers.CLIPModel(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name != "logit_scale":
                parameter.add_(0.2 * torch.randn_like(parameter))
    return model


def inputs():
    rng = np.random.default_rng(0)
    ids = rng.integers(5, 11, (3, 7))
    ids[:, 6] = 3
    ids[1, 4:] = [3, 0, 0]
    mask = np.ones_like(ids)
    mask[1, 5:] = 0
    pixels = rng.standard_normal((3, 3, 24, 24)).astype(np.float32)
    return {"input_ids": ids, "attention_mask": mask, "pixel_values": pixels}


def close(mine, theirs, message=""):
    theirs = theirs.detach().numpy()
    bound = 2e-5 * max(1.0, float(np.abs(theirs).max()))
    np.testing.assert_allclose(
        mine.detach().numpy(), theirs, rtol=1e-3, atol=bound, err_msg=message
    )


@pytest.mark.parametrize("eos", [3, 2])
def test_equals_transformers(eos, tmp_path):
    theirs = upstream(eos_token_id=eos)
    theirs.save_pretrained(tmp_path)
    mine, info = models.AutoModel.from_pretrained(tmp_path, output_loading_info=True)
    assert type(mine) is models.CLIPModel and not any(info.values())
    assert {k: tuple(v.shape) for k, v in mine.state_dict().items()} == {
        k: tuple(v.shape) for k, v in theirs.state_dict().items()
    }
    given = inputs()
    t = theirs.train()(**{k: torch.tensor(v) for k, v in given.items()}, return_loss=True)
    m = mine.train()(**{k: ds.tensor(v) for k, v in given.items()}, return_loss=True)
    for key in ("logits_per_image", "logits_per_text", "text_embeds", "image_embeds", "loss"):
        close(m[key], t[key], key)
    for part in ("text_model_output", "vision_model_output"):
        for key in ("last_hidden_state", "pooler_output"):
            close(m[part][key], t[part][key], f"{part}.{key}")
    t.loss.backward()
    m.loss.backward()
    gradients = {k: p.grad for k, p in mine.named_parameters()}
    assert gradients.keys() == {k for k, _ in theirs.named_parameters()}
    scale = max(float(p.grad.abs().max()) for p in theirs.parameters())
    for key, parameter in theirs.named_parameters():
        np.testing.assert_allclose(
            gradients[key].numpy(),
            parameter.grad.numpy(),
            rtol=5e-3,
            atol=1e-4 * scale,
            err_msg=key,
        )


def test_each_encoder_alone_and_saved_again(tmp_path):
    theirs = upstream().eval()
    theirs.save_pretrained(tmp_path / "clip")
    given = inputs()
    ids, pixels = given["input_ids"], given["pixel_values"]
    for mine, other, value in (
        (models.CLIPTextModel, transformers.CLIPTextModel, ids),
        (models.CLIPVisionModel, transformers.CLIPVisionModel, pixels),
    ):
        with pytest.warns(models.LoadWarning, match="not in the model"):
            part = mine.from_pretrained(tmp_path / "clip")
        expected = (theirs.text_model if value is ids else theirs.vision_model)(
            torch.tensor(value), output_hidden_states=True
        )
        got = part(ds.tensor(value), output_hidden_states=True)
        close(got.pooler_output, expected.pooler_output)
        assert len(got.hidden_states) == len(expected.hidden_states)
        for a, b in zip(got.hidden_states, expected.hidden_states, strict=True):
            close(a, b)
        part.save_pretrained(tmp_path / "part")
        again, info = other.from_pretrained(tmp_path / "part", output_loading_info=True)
        assert not info["missing_keys"] and not info["unexpected_keys"]
        close(got.pooler_output, again.eval()(torch.tensor(value)).pooler_output)
    whole = models.CLIPModel.from_pretrained(tmp_path / "clip")
    whole.save_pretrained(tmp_path / "again")
    again = transformers.CLIPModel.from_pretrained(tmp_path / "again").eval()
    tensors = {k: torch.tensor(v) for k, v in given.items()}
    close(whole(**{k: ds.tensor(v) for k, v in given.items()})[0], again(**tensors)[0])
    features = whole.get_text_features(ds.tensor(ids)).pooler_output
    close(features, theirs.get_text_features(tensors["input_ids"]).pooler_output)


@pytest.mark.parametrize(
    "name", ["TextModelWithProjection", "VisionModelWithProjection", "ForImageClassification"]
)
def test_other_classes_equal_transformers(name, tmp_path):
    whole = upstream()
    part = {"T": whole.config.text_config, "V": whole.config.vision_config}.get(name[0])
    config = part or type(whole.config).from_dict({**whole.config.to_dict(), "num_labels": 3})
    theirs = getattr(transformers, f"CLIP{name}")(config)
    theirs.save_pretrained(tmp_path)
    theirs.set_attn_implementation("eager")  # others give no attentions
    mine, info = getattr(models, f"CLIP{name}").from_pretrained(tmp_path, output_loading_info=True)
    assert info == {"missing_keys": [], "unexpected_keys": [], "mismatched_keys": []}
    given = inputs()
    given = {k: v for k, v in given.items() if (k == "pixel_values") == (name[0] != "T")}
    if name[0] == "F":
        given["labels"] = np.arange(len(given["pixel_values"])) % 3
    asked = {"output_hidden_states": True, "output_attentions": True}
    t = theirs.train()(**{k: torch.tensor(v) for k, v in given.items()}, **asked)
    m = mine.train()(**{k: ds.tensor(v) for k, v in given.items()}, **asked)
    assert list(m) == list(t)
    for key in m:
        many = isinstance(m[key], tuple)
        for ours, other in zip(
            m[key] if many else [m[key]], t[key] if many else [t[key]], strict=True
        ):
            close(ours, other, key)
    result = "loss" if name[0] == "F" else "last_hidden_state"
    t[result].square().mean().backward()
    m[result].square().mean().backward()
    gradients = {k: p.grad for k, p in mine.named_parameters()}
    assert gradients.keys() == {k for k, _ in theirs.named_parameters()}
    for key, parameter in theirs.named_parameters():
        if parameter.grad is None:
            assert gradients[key] is None, key
        else:
            close(gradients[key], parameter.grad, key)


@pytest.mark.parametrize("patch, hidden", [(32, 768), (14, 1024)])
def test_named_sizes_have_upstream_shapes(patch, hidden):
    name = {32: "clip-vit-base-patch32", 14: "clip-vit-large-patch14"}[patch]
    _, changes = cards.LANGUAGE[name]
    mine = models.CLIPModel(models.CLIPConfig(**changes))
    theirs = without_memory(lambda: transformers.CLIPModel(transformers.CLIPConfig(**changes)))
    assert mine.vision_model.embeddings.class_embedding.shape == (hidden,)
    assert {k: tuple(v.shape) for k, v in mine.named_parameters()} == {
        k: tuple(v.shape) for k, v in theirs.named_parameters()
    }


def test_zero_shot_image_classification(tmp_path):
    model = upstream().eval()
    model.save_pretrained(tmp_path)
    (tmp_path / "vocab.txt").write_text("\n".join(WORDS))
    tokenizer = transformers.BertTokenizerFast(
        str(tmp_path / "vocab.txt"), model_input_names=["input_ids", "attention_mask"]
    )
    tokenizer.save_pretrained(tmp_path)
    size = {"height": 24, "width": 24}
    processor = transformers.CLIPImageProcessorPil(size={"shortest_edge": 24}, crop_size=size)
    processor.save_pretrained(tmp_path)
    task = "zero-shot-image-classification"
    theirs = transformers.pipeline(
        task, model=model, tokenizer=tokenizer, image_processor=processor
    )
    mine = ds.pipeline(task, tmp_path, hypothesis_template="a photo of {}")
    rng = np.random.default_rng(0)
    images = [
        Image.fromarray(rng.integers(0, 256, (h, w, 3), dtype=np.uint8))
        for h, w in ((40, 53), (33, 24))
    ]
    labels = ["cat", "a very very dog", "dog"]
    expected = theirs(images, candidate_labels=labels, hypothesis_template="a photo of {}")
    got = mine(images, candidate_labels=labels)
    assert [[r["label"] for r in row] for row in got] == [
        [r["label"] for r in row] for row in expected
    ]
    for row, other in zip(got, expected, strict=True):
        assert [r["score"] for r in row] == pytest.approx([r["score"] for r in other], rel=2e-3)
    assert mine(images[0], candidate_labels="cat, dog")[0].keys() == {"score", "label"}
    with pytest.raises(ds.ValueError, match="give candidate_labels"):
        mine(images[0])


def test_bad_configs_and_inputs(tmp_path):
    with pytest.raises(ds.ValueError, match="text_config is 3"):
        models.CLIPConfig(text_config=3)
    with pytest.raises(ds.ValueError, match="hidden_size is 'x'"):
        models.CLIPModel(models.CLIPConfig(text_config={"hidden_size": "x"}))
    model = models.CLIPModel(models.CLIPConfig(text_config=TEXT, vision_config=VISION))
    with pytest.raises(ds.ValueError, match="give pixel_values"):
        model(input_ids=ds.tensor([[5, 3]]))
    with pytest.raises(ds.ValueError, match="13 tokens are more than the 12"):
        model.get_text_features(ds.ones(1, 13, dtype=ds.int64))
    with pytest.raises(ds.ShapeError, match="must have 24x24 pixels"):
        model.get_image_features(ds.ones(1, 3, 25, 24))
    config = models.CLIPConfig(text_config=TEXT, vision_config=VISION)
    config.save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["text_config"]["vocab_size"] == 11
    assert models.AutoConfig.from_pretrained(tmp_path) == config
    older = {"text_config_dict": {"hidden_size": 64}, "vision_config_dict": None}
    assert models.CLIPConfig(**older).text_config.hidden_size == 64
