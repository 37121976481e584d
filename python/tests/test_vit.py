# SPDX-License-Identifier: Apache-2.0
"""ViT, DeiT, DINOv2 and BEiT with the names of transformers: small random models saved there and
loaded here."""

import json

import deepseek as ds
import numpy as np
import pytest
import torch
from deepseek import models
from PIL import Image
from small_models import saved_again
from test_language_models import close
from timm_oracle import without_memory

transformers = pytest.importorskip("transformers")

SMALL = dict(
    hidden_size=24,
    num_hidden_layers=2,
    num_attention_heads=3,
    intermediate_size=40,
    image_size=32,
    patch_size=8,
    initializer_range=0.2,
)
#: Of heads that look at hidden states.
SEGMENTED = {"out_indices": [1, 2, 3, 4], "num_hidden_layers": 4, "auxiliary_channels": 8}
CASES = [
    ("ViTModel", {"pooler_output_size": 10, "pooler_act": "gelu"}),
    ("ViTForImageClassification", {"qkv_bias": False, "num_channels": 1}),
    ("ViTForImageClassification", {"patch_size": 12, "num_labels": 1}),
    ("DeiTModel", {}),
    ("DeiTForImageClassification", {"hidden_act": "relu"}),
    ("DeiTForImageClassificationWithTeacher", {}),
    ("ViTForMaskedImageModeling", {"encoder_stride": 8}),
    ("DeiTForMaskedImageModeling", {"encoder_stride": 8, "num_channels": 1}),
    ("BeitModel", {"use_mask_token": True, "use_absolute_position_embeddings": True}),
    ("BeitForImageClassification", {"use_relative_position_bias": True}),
    (
        "BeitForImageClassification",
        {
            "use_shared_relative_position_bias": True,
            "use_mean_pooling": False,
            "layer_scale_init_value": 0.0,
        },
    ),
    (
        "BeitForMaskedImageModeling",
        {"use_mask_token": True, "use_relative_position_bias": True, "num_channels": 1},
    ),
    ("BeitForSemanticSegmentation", {**SEGMENTED, "use_relative_position_bias": True}),
    (
        "BeitForSemanticSegmentation",
        {
            **SEGMENTED,
            "pool_scales": [1, 2],
            "auxiliary_concat_input": True,
            "auxiliary_num_convs": 2,
        },
    ),
    ("BeitForSemanticSegmentation", {**SEGMENTED, "use_auxiliary_head": False}),
    ("Dinov2Model", {"layerscale_value": 0.5}),
    ("Dinov2ForImageClassification", {"use_swiglu_ffn": True, "use_mask_token": False}),
    ("Dinov2ForImageClassification", {"mlp_ratio": 3, "qkv_bias": False, "hidden_act": "relu"}),
]
NOTHING_LACKS = {"missing_keys": [], "unexpected_keys": [], "mismatched_keys": []}


def sizes(name):
    """Keys of a small configuration of this class."""
    if name.startswith("Beit"):
        return SMALL | {"vocab_size": 30, "drop_path_rate": 0.0}
    dropped = ("intermediate_size",) if name.startswith("Dinov2") else ()
    return {key: value for key, value in SMALL.items() if key not in dropped}


def upstream(name, **changes):
    torch.manual_seed(3)
    config = getattr(transformers, name.partition("For")[0].removesuffix("Model") + "Config")
    model = getattr(transformers, name)(config(**{**sizes(name), "num_labels": 3, **changes}))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model


def images(model, side=(32, 32)):
    shape = (3, model.config.num_channels, *side)
    return np.random.default_rng(1).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("name, changes", CASES)
def test_equals_transformers(name, changes, tmp_path):
    theirs = upstream(name, **changes)
    theirs.save_pretrained(tmp_path)
    theirs.set_attn_implementation("eager")  # others give no attentions
    mine, info = getattr(models, name).from_pretrained(tmp_path, output_loading_info=True)
    assert info == NOTHING_LACKS and not mine.training
    assert {k: tuple(v.shape) for k, v in mine.state_dict().items()} == {
        k: tuple(v.shape) for k, v in theirs.state_dict().items()
    }
    given = {"pixel_values": images(theirs)}
    if name.endswith("ForImageClassification"):
        given["labels"] = np.array([0, 2, 1])
        if changes.get("num_labels") == 1:
            given["labels"] = given["labels"].astype(np.float32)
    if name.endswith("MaskedImageModeling") or name in ("Dinov2Model", "BeitModel"):
        given["bool_masked_pos"] = np.random.default_rng(2).integers(0, 2, (3, 16)).astype(bool)
    if name == "BeitForSemanticSegmentation":
        told = np.random.default_rng(2).integers(0, 4, (3, 32, 32))
        given["labels"] = np.where(told == 3, 255, told)
    if name == "BeitForMaskedImageModeling":
        given["labels"] = np.arange(given["bool_masked_pos"].sum()) % 30
    asked = {"output_hidden_states": True, "output_attentions": True}
    t = theirs.train()(**{k: torch.tensor(v) for k, v in given.items()}, **asked)
    given = {k: ds.tensor(v) for k, v in given.items()}
    m = mine.train()(**given, **asked)
    assert list(m) == list(t)
    for key in m:
        many = isinstance(m[key], tuple)
        pairs = zip(m[key] if many else [m[key]], t[key] if many else [t[key]], strict=True)
        for ours, other in pairs:
            close(ours, other, key)
    plain = mine(**given, return_dict=False)
    assert len(plain) == len(m) - 2
    result = next(key for key in ("loss", "logits", "pooler_output") if key in m)
    t[result].square().mean().backward()
    m[result].square().mean().backward()
    gradients = {k: p.grad for k, p in mine.named_parameters()}
    assert gradients.keys() == {k for k, _ in theirs.named_parameters()}
    for key, parameter in theirs.named_parameters():
        if parameter.grad is not None:  # that of hidden patches, where none is
            close(gradients[key], parameter.grad, key)


@pytest.mark.parametrize("name", ["ViTForImageClassification", "DeiTModel"])
def test_positions_are_interpolated(name, tmp_path):
    theirs = upstream(name).eval()
    theirs.save_pretrained(tmp_path)
    mine = getattr(models, name).from_pretrained(tmp_path)
    for side in ((48, 48), (24, 56), (32, 32)):
        pixels = images(theirs, side)
        t = theirs(torch.tensor(pixels), interpolate_pos_encoding=True)
        close(mine(ds.tensor(pixels), interpolate_pos_encoding=True)[0], t[0], side)
    with pytest.raises(ds.ShapeError, match="must have 32x32 pixels"):
        mine(ds.tensor(images(theirs, (48, 48))))
    with pytest.raises(ds.ShapeError, match="smaller than a patch"):
        mine(ds.tensor(images(theirs, (7, 32))), interpolate_pos_encoding=True)


@pytest.mark.parametrize("name", sorted({name for name, _ in CASES}))
def test_auto_classes_and_saved_models(name, tmp_path):
    tables = ("relative_position_bias", "shared_relative_position_bias")
    changes = {"Dinov2": {"use_swiglu_ffn": True}, "Beit": {f"use_{t}": True for t in tables}}
    if name == "BeitForSemanticSegmentation":
        changes["Beit"] |= SEGMENTED
    family = next((f for f in changes if name.startswith(f)), None)
    theirs = upstream(name, **changes.get(family, {}))
    saved_again(theirs.eval(), images(theirs), tmp_path)


@pytest.mark.parametrize("name", ["Dinov2", "Beit", "Beit with positions"])
def test_images_of_any_size(name, tmp_path):
    tables = ("relative_position_bias", "shared_relative_position_bias")
    changes = {
        "Dinov2": {},
        "Beit": {f"use_{table}": True for table in tables},
        "Beit with positions": {"use_absolute_position_embeddings": True},
    }[name]
    name = f"{name.split()[0]}ForImageClassification"
    theirs = upstream(name, **changes).eval()
    theirs.save_pretrained(tmp_path)
    mine = getattr(models, name).from_pretrained(tmp_path)
    for side in ((48, 48), (24, 56), (32, 32), (35, 39)):
        pixels = images(theirs, side)
        close(mine(ds.tensor(pixels)).logits, theirs(torch.tensor(pixels)).logits, side)


def test_older_files_of_dinov2_are_read(tmp_path):
    """The gated networks' first two matrices are one in files."""
    upstream("Dinov2Model", use_swiglu_ffn=True).save_pretrained(tmp_path)
    from safetensors.torch import load_file

    names = set(load_file(tmp_path / "model.safetensors"))
    assert any("weights_in" in name for name in names)
    models.Dinov2Model.from_pretrained(tmp_path).save_pretrained(tmp_path / "mine")
    assert set(load_file(tmp_path / "mine" / "model.safetensors")) == names


def test_patches_that_cannot_be_hidden():
    config = models.ViTConfig(**SMALL, encoder_stride=4)
    model = models.ViTForMaskedImageModeling(config)
    marks = ds.ones(1, 16, dtype=ds.bool)
    with pytest.raises(ds.ValueError, match="encoder_stride 4 is not patch_size 8"):
        model(ds.zeros(1, 3, 32, 32), marks)
    assert model(ds.zeros(1, 3, 32, 32)).reconstruction.shape == (1, 3, 16, 16)
    plain = models.ViTModel(config)
    with pytest.raises(ds.ValueError, match="no mask_token for bool_masked_pos"):
        plain(ds.zeros(1, 3, 32, 32), marks)
    with pytest.raises(ds.ShapeError, match=r"must be \[1, 16\], images and patches"):
        models.ViTModel(config, use_mask_token=True)(ds.zeros(1, 3, 32, 32), marks[:, :5])


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"out_indices": [1, 2]}, "out_indices are 2; name four"),
        ({"out_indices": [1, 2, 3, 5]}, "out_indices has 5, the layers are 4"),
        ({"num_labels": 1}, "num_labels 1 must be more than one"),
        ({"pool_scales": [0]}, "pool_scales has 0"),
    ],
)
def test_heads_of_pixels_that_do_not_fit(changes, message):
    config = models.BeitConfig(**{**SMALL, **SEGMENTED, "num_labels": 3, **changes})
    with pytest.raises(ds.ValueError, match=message):
        models.BeitForSemanticSegmentation(config)


def test_older_names_of_layers_that_are_looked_at():
    config = models.BeitConfig.from_dict({"segmentation_indices": [3, 5, 7, 11]})
    assert config.out_indices == [3, 5, 7, 11] and models.BeitConfig()._native().out_indices == []


def test_new_classes_start_at_random(tmp_path):
    upstream("ViTForImageClassification").save_pretrained(tmp_path)
    with pytest.raises(ds.ShapeError, match=r"classifier.weight \(3, 24\) for \(5, 24\)"):
        models.AutoModelForImageClassification.from_pretrained(tmp_path, num_labels=5)
    with pytest.warns(models.LoadWarning, match="classifier.weight"):
        model = models.AutoModelForImageClassification.from_pretrained(
            tmp_path, num_labels=5, ignore_mismatched_sizes=True
        )
    assert model(ds.zeros(1, 3, 32, 32)).logits.shape == (1, 5)


def test_default_sizes_have_upstream_shapes():
    for name in ("ViT", "DeiT", "Dinov2", "Beit"):
        theirs = without_memory(
            lambda name=name: getattr(transformers, f"{name}Model")(
                getattr(transformers, f"{name}Config")()
            )
        )
        mine = getattr(models, f"{name}Model")(getattr(models, f"{name}Config")())
        assert {k: tuple(v.shape) for k, v in mine.named_parameters()} == {
            k: tuple(v.shape) for k, v in theirs.named_parameters()
        }


#: Image processors of transformers and their keys, as files write them.
PROCESSORS = {
    "ViT": {"size": {"height": 32, "width": 32}},
    "ViT of two sides": {"size": {"height": 24, "width": 40}, "resample": 3},
    "ViT with other colours": {"image_mean": [0.1, 0.2, 0.3], "image_std": [0.5, 0.6, 0.7]},
    "ViT as it is": {"do_normalize": False, "do_resize": False},
    "DeiT": {"size": {"height": 40, "width": 40}, "crop_size": {"height": 32, "width": 32}},
    "ConvNext": {"size": {"shortest_edge": 32}},
    "ConvNext squashed": {"size": {"shortest_edge": 384}, "resample": 2},
    "CLIP": {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}},
    "Bit": {"size": {"shortest_edge": 40}, "crop_size": {"height": 32, "width": 32}},
    "Beit": {"size": {"height": 32, "width": 32}},
    "Siglip": {"size": {"height": 32, "width": 32}},
    "Segformer": {"size": {"height": 32, "width": 48}},
    "MobileNetV2": {"size": {"shortest_edge": 40}, "crop_size": {"height": 32, "width": 32}},
    "EfficientNet": {"size": {"height": 32, "width": 32}, "image_std": [0.4, 0.3, 0.2]},
    "EfficientNet of old": {
        "size": {"height": 32, "width": 32},
        "resample": 0,
        "rescale_factor": 1 / 127.5,
        "rescale_offset": True,
        "include_top": False,
    },
    "EfficientNet cut": {
        "size": {"height": 40, "width": 40},
        "crop_size": {"height": 32, "width": 30},
        "do_center_crop": True,
    },
    "ViT of numbers up to 255": {"size": {"height": 32, "width": 32}, "do_rescale": False},
}


@pytest.mark.parametrize("kind", PROCESSORS)
def test_processors_equal_transformers(kind, tmp_path):
    theirs = getattr(transformers, f"{kind.split()[0]}ImageProcessorPil")(**PROCESSORS[kind])
    theirs.save_pretrained(tmp_path)
    mine = models.AutoImageProcessor.from_pretrained(tmp_path)
    rng = np.random.default_rng(0)
    sides = (
        [(50, 61)] if "as it is" in kind else [(50, 61), (44, 90)]
    )  # whose rows every Pillow takes first
    pictures = [Image.fromarray(rng.integers(0, 256, (*side, 3), dtype=np.uint8)) for side in sides]
    expected = theirs(pictures, return_tensors="np")["pixel_values"]
    got = mine(pictures, return_tensors="pt")
    close_to = 1e-5 * max(1, np.abs(expected).max() / 10)
    np.testing.assert_allclose(got.pixel_values.numpy(), expected, atol=close_to)
    assert list(mine.image_mean) == list(theirs.image_mean)
    assert dict(mine.size) == dict(theirs.size)
    with pytest.raises(AttributeError, match="has no 'sizes'"):
        mine.sizes  # noqa: B018
    np.testing.assert_allclose(
        mine(pictures[0], return_tensors="np")["pixel_values"], expected[:1], atol=close_to
    )
    mine.save_pretrained(tmp_path / "again")
    assert models.AutoImageProcessor.from_pretrained(tmp_path / "again").values == mine.values


@pytest.mark.parametrize("kind", ["Segformer", "MobileNetV2"])
@pytest.mark.parametrize("reduced", [False, True])
def test_pictures_of_classes_equal_transformers(kind, reduced, tmp_path):
    theirs = getattr(transformers, f"{kind}ImageProcessorPil")(
        **PROCESSORS[kind], do_reduce_labels=reduced
    )
    theirs.save_pretrained(tmp_path)
    mine = models.AutoImageProcessor.from_pretrained(tmp_path)
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, (*side, 3), dtype=np.uint8) for side in ((50, 61), (44, 90))]
    maps = [rng.integers(0, 5, picture.shape[:2], dtype=np.uint8) for picture in pictures]
    expected = theirs(pictures, [m.copy() for m in maps], return_tensors="np")
    got = mine(pictures, segmentation_maps=[Image.fromarray(m) for m in maps])
    np.testing.assert_array_equal(got["labels"].numpy(), np.stack(expected["labels"]))
    with pytest.raises(ds.ValueError, match="1 segmentation_maps for 2 images"):
        mine(pictures, maps[:1])
    with pytest.raises(ds.ValueError, match=r"must be \[height, width\]"):
        mine(pictures[:1], pictures[:1])


@pytest.mark.parametrize(
    "values, error, message",
    [
        ({"image_processor_type": "MagicImageProcessor"}, ds.ValueError, "'MagicImageProcessor'"),
        ({"size": {"height": 3}}, ds.FileFormatError, "size is {'height': 3}"),
        ({"resample": 1}, ds.ValueError, "resample 1 is unknown"),
    ],
)
def test_bad_processors(values, error, message, tmp_path):
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(values))
    with pytest.raises(error, match=message):
        models.AutoImageProcessor.from_pretrained(tmp_path)


def test_older_processors():
    old = models.ImageProcessor(feature_extractor_type="ViTFeatureExtractor", size=32)
    assert old(np.zeros((50, 61, 3), np.uint8)).pixel_values.shape == (1, 3, 32, 32)
    old = models.ImageProcessor(
        feature_extractor_type="CLIPFeatureExtractor", size=40, crop_size=32
    )
    assert old(np.zeros((50, 61, 3), np.uint8)).pixel_values.shape == (1, 3, 32, 32)


@pytest.mark.parametrize("name", ["ViTForImageClassification", "DeiTForImageClassification"])
def test_pipeline_equals_transformers(name, tmp_path):
    model = upstream(name, id2label={i: f"class {i}" for i in range(3)}).eval()
    model.save_pretrained(tmp_path)
    side = {"height": 32, "width": 32}
    processor = transformers.ViTImageProcessorPil(size=side)
    processor.save_pretrained(tmp_path)
    rng = np.random.default_rng(0)
    picture = Image.fromarray(rng.integers(0, 256, (40, 53, 3), dtype=np.uint8))
    theirs = transformers.pipeline("image-classification", model=model, image_processor=processor)
    mine = ds.pipeline("image-classification", tmp_path, top_k=3)
    got, expected = mine(picture), theirs(picture)
    assert [row["label"] for row in got] == [row["label"] for row in expected]
    assert [row["score"] for row in got] == pytest.approx(
        [row["score"] for row in expected], rel=2e-3
    )


def test_trainer_takes_images(tmp_path):
    model = models.ViTForImageClassification(models.ViTConfig(**SMALL, num_labels=2))
    rng = np.random.default_rng(0)
    rows = [
        {
            "image": rng.integers(0, 100, (40, 40, 3), dtype=np.uint8) + np.uint8(150 * (i % 2)),
            "label": i % 2,
        }
        for i in range(16)
    ]
    args = ds.TrainingArguments(
        output_dir=str(tmp_path), num_train_epochs=4, learning_rate=3e-3, report_to="none"
    )
    trainer = ds.Trainer(model=model, args=args, train_dataset=rows, eval_dataset=rows)
    before = trainer.evaluate()["eval_loss"]
    trainer.train()
    assert trainer.evaluate()["eval_loss"] < 0.5 * before
