# SPDX-License-Identifier: Apache-2.0
"""SigLIP against transformers: small random models saved there and loaded here, and back."""

import deepseek as ds
import numpy as np
import pytest
import torch
from deepseek import models
from deepseek.models import cards
from PIL import Image
from small_models import saved_again
from test_clip import close
from timm_oracle import without_memory

transformers = pytest.importorskip("transformers")

LAYERS = dict(num_hidden_layers=2, num_attention_heads=2, intermediate_size=24, hidden_size=12)
IDS = dict(pad_token_id=0, bos_token_id=2, eos_token_id=3)
TEXT = dict(LAYERS, **IDS, vocab_size=11, max_position_embeddings=12)
VISION = dict(LAYERS, image_size=24, patch_size=8)
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "photo", "of", "cat", "dog", "very"]


def upstream(name="SiglipModel", text=(), vision=(), **changes):
    torch.manual_seed(0)
    config = transformers.SiglipConfig(
        text_config={**TEXT, **dict(text)}, vision_config={**VISION, **dict(vision)}, **changes
    )
    part = {"SiglipTextModel": "text_config", "SiglipVisionModel": "vision_config"}.get(name)
    model = getattr(transformers, name)(getattr(config, part) if part else config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return model


def inputs(*names):
    rng = np.random.default_rng(0)
    mask = np.ones((3, 7), np.int64)
    mask[1, 4:] = 0
    given = {
        "input_ids": rng.integers(5, 11, (3, 7)),
        "attention_mask": mask,
        "pixel_values": rng.standard_normal((3, 3, 24, 24)).astype(np.float32),
        "labels": np.array([0, 2, 1]),
    }
    return {name: given[name] for name in names}


def same_gradients(mine, theirs):
    gradients = {k: p.grad for k, p in mine.named_parameters()}
    assert gradients.keys() == {k for k, _ in theirs.named_parameters()}
    scale = max(float(p.grad.abs().max()) for p in theirs.parameters() if p.grad is not None)
    for key, parameter in theirs.named_parameters():
        if parameter.grad is not None:
            np.testing.assert_allclose(
                gradients[key].numpy(),
                parameter.grad.numpy(),
                rtol=5e-3,
                atol=1e-4 * scale,
                err_msg=key,
            )


def both(theirs, folder):
    """The same model here, with the same parameters in the same shapes."""
    theirs.save_pretrained(folder)
    kind = getattr(models, type(theirs).__name__)
    mine, info = kind.from_pretrained(folder, output_loading_info=True)
    assert info == {"missing_keys": [], "unexpected_keys": [], "mismatched_keys": []}
    assert {k: tuple(v.shape) for k, v in mine.state_dict().items()} == {
        k: tuple(v.shape) for k, v in theirs.state_dict().items()
    }
    return mine


@pytest.mark.parametrize("masked", [True, False])
def test_equals_transformers(masked, tmp_path):
    theirs = upstream()
    mine = both(theirs, tmp_path)
    given = inputs("input_ids", "pixel_values", *(["attention_mask"] if masked else []))
    t = theirs.train()(**{k: torch.tensor(v) for k, v in given.items()}, return_loss=True)
    m = mine.train()(**{k: ds.tensor(v) for k, v in given.items()}, return_loss=True)
    assert [k for k in m if m[k] is not None] == [k for k in t if t[k] is not None]
    for key in ("logits_per_image", "logits_per_text", "text_embeds", "image_embeds", "loss"):
        close(m[key], t[key], key)
    for part in ("text_model_output", "vision_model_output"):
        for key in ("last_hidden_state", "pooler_output"):
            close(m[part][key], t[part][key], f"{part}.{key}")
    t.loss.backward()
    m.loss.backward()
    same_gradients(mine, theirs)


@pytest.mark.parametrize(
    "name, changes, names",
    [
        ("SiglipTextModel", {"text": {"projection_size": 5}}, ("input_ids", "attention_mask")),
        ("SiglipVisionModel", {}, ("pixel_values",)),
        ("SiglipVisionModel", {"vision": {"vision_use_head": False}}, ("pixel_values",)),
        ("SiglipForImageClassification", {"num_labels": 3}, ("pixel_values", "labels")),
    ],
)
def test_other_classes_equal_transformers(name, changes, names, tmp_path):
    theirs = upstream(name, **changes)
    mine = both(theirs, tmp_path)
    theirs.set_attn_implementation("eager")  # others give no attentions
    given = inputs(*names)
    asked = {"output_hidden_states": True, "output_attentions": True}
    t = theirs.train()(**{k: torch.tensor(v) for k, v in given.items()}, **asked)
    m = mine.train()(**{k: ds.tensor(v) for k, v in given.items()}, **asked)
    assert list(m) == list(t)
    for key in m:
        many = isinstance(m[key], tuple)
        pairs = zip(m[key] if many else [m[key]], t[key] if many else [t[key]], strict=True)
        for ours, other in pairs:
            close(ours, other, key)
    result = next(key for key in ("loss", "pooler_output", "last_hidden_state") if key in m)
    t[result].square().mean().backward()
    m[result].square().mean().backward()
    same_gradients(mine, theirs)


@pytest.mark.parametrize("name", ["SiglipVisionModel", "SiglipForImageClassification"])
def test_auto_classes_and_saved_models(name, tmp_path):
    saved_again(upstream(name).eval(), inputs("pixel_values")["pixel_values"], tmp_path)


def test_saved_pairs_and_their_parts(tmp_path):
    theirs = upstream().eval()
    theirs.save_pretrained(tmp_path / "theirs")
    mine = models.AutoModel.from_pretrained(tmp_path / "theirs")
    assert type(mine) is models.SiglipModel
    mine.save_pretrained(tmp_path / "mine")
    again, info = transformers.SiglipModel.from_pretrained(
        tmp_path / "mine", output_loading_info=True
    )
    assert not info["missing_keys"] and not info["unexpected_keys"]
    given = inputs("input_ids", "pixel_values")
    expected = again.eval()(**{k: torch.tensor(v) for k, v in given.items()})
    close(mine(**{k: ds.tensor(v) for k, v in given.items()})[0], expected.logits_per_image)
    ids, pixels = given["input_ids"], given["pixel_values"]
    close(
        mine.get_text_features(ds.tensor(ids)).pooler_output,
        theirs.get_text_features(torch.tensor(ids)).pooler_output,
    )
    with pytest.warns(models.LoadWarning, match="not in the model"):
        part = models.SiglipVisionModel.from_pretrained(tmp_path / "theirs")
    close(
        part(ds.tensor(pixels)).pooler_output,
        theirs.get_image_features(torch.tensor(pixels)).pooler_output,
    )


def test_images_of_another_size(tmp_path):
    theirs = upstream("SiglipVisionModel").eval()
    mine = both(theirs, tmp_path)
    for side in ((32, 40), (24, 24), (50, 17)):
        pixels = np.random.default_rng(1).standard_normal((2, 3, *side)).astype(np.float32)
        t = theirs(torch.tensor(pixels), interpolate_pos_encoding=True)
        close(mine(ds.tensor(pixels), interpolate_pos_encoding=True)[0], t[0], str(side))
    with pytest.raises(ds.ShapeError, match="must have 24x24 pixels"):
        mine(ds.zeros(1, 3, 32, 32))
    with pytest.raises(ds.ShapeError, match="smaller than a patch"):
        mine(ds.zeros(1, 3, 7, 32), interpolate_pos_encoding=True)


def test_what_does_not_fit_is_told():
    config = models.SiglipConfig(
        text_config=TEXT, vision_config={**VISION, "vision_use_head": False}
    )
    with pytest.raises(ds.ValueError, match="set vision_use_head"):
        models.SiglipModel(config)(ds.zeros(1, 3, dtype=ds.int64), ds.zeros(1, 3, 24, 24))
    text = models.SiglipTextModel(models.SiglipTextConfig(**TEXT))
    with pytest.raises(ds.ValueError, match="13 tokens are more than the 12"):
        text(ds.zeros(1, 13, dtype=ds.int64))
    with pytest.raises(ds.ValueError, match="give pixel_values"):
        models.SiglipVisionModel(models.SiglipVisionConfig(**VISION))()
    with pytest.raises(ds.ValueError, match="patches of 8 pixels do not fit"):
        models.SiglipVisionModel(models.SiglipVisionConfig(**{**VISION, "image_size": 7}))
    with pytest.raises(ds.ValueError, match="projection_size -1"):
        models.SiglipTextModel(models.SiglipTextConfig(**TEXT, projection_size=-1))


@pytest.mark.parametrize("name", [n for n, (kind, _) in cards.LANGUAGE.items() if kind == "siglip"])
def test_named_sizes_have_upstream_shapes(name):
    kind, changes = cards.LANGUAGE[name]
    theirs = without_memory(
        lambda: transformers.SiglipModel(transformers.AutoConfig.for_model(kind, **changes))
    )
    mine = models.SiglipModel(models.AutoConfig.for_model(kind, **changes))
    assert {k: tuple(v.shape) for k, v in mine.named_parameters()} == {
        k: tuple(v.shape) for k, v in theirs.named_parameters()
    }


def test_zero_shot_classification_equals_transformers(tmp_path):
    model = upstream().eval()
    model.save_pretrained(tmp_path)
    (tmp_path / "vocab.txt").write_text("\n".join(WORDS))
    processor = transformers.SiglipImageProcessorPil(size={"height": 24, "width": 24})
    processor.save_pretrained(tmp_path)
    rng = np.random.default_rng(0)
    picture = Image.fromarray(rng.integers(0, 256, (40, 53, 3), dtype=np.uint8))
    labels = ["cat", "dog", "very"]
    classify = ds.pipeline("zero-shot-image-classification", tmp_path)
    got = classify(picture, candidate_labels=labels, hypothesis_template="a {}")
    tokenizer = transformers.BertTokenizerFast(str(tmp_path / "vocab.txt"))
    texts = [f"a {label}" for label in labels]
    batch = tokenizer(texts, padding="max_length", max_length=12, return_tensors="pt")
    batch.pop("token_type_ids")
    pixels = torch.tensor(processor([picture], return_tensors="np")["pixel_values"])
    logits = model(**batch, pixel_values=pixels).logits_per_image[0]
    expected = sorted(zip(logits.sigmoid().tolist(), labels, strict=True), reverse=True)
    assert [row["label"] for row in got] == [label for _, label in expected]
    assert [row["score"] for row in got] == pytest.approx([s for s, _ in expected], rel=2e-3)
