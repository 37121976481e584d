# SPDX-License-Identifier: Apache-2.0
"""ResNet, ConvNeXt, Swin, MobileNetV2, EfficientNet and SegFormer with the names of transformers:
small random models saved there and loaded here."""

import json

import deepseek as ds
import numpy as np
import pytest
import torch
from deepseek import models
from deepseek.models import cards
from PIL import Image
from small_models import saved_again
from test_language_models import close
from timm_oracle import without_memory

transformers = pytest.importorskip("transformers")

SMALL = {
    "ResNet": dict(embedding_size=8, hidden_sizes=[8, 16, 24], depths=[1, 2, 1]),
    "ConvNext": dict(hidden_sizes=[8, 12, 16], depths=[1, 2, 1], num_stages=3),
    "ConvNextV2": dict(hidden_sizes=[8, 12, 16], depths=[1, 2, 1], num_stages=3),
    "Swin": dict(
        embed_dim=8,
        depths=[2, 2],
        num_heads=[2, 4],
        image_size=32,
        window_size=4,
        drop_path_rate=0.0,
    ),
    "MobileNetV2": dict(depth_multiplier=0.25, classifier_dropout_prob=0.0),
    "EfficientNet": dict(
        width_coefficient=0.25,
        depth_coefficient=1.0,
        hidden_dim=320,
        in_channels=[32, 16, 24],
        out_channels=[16, 24, 40],
        kernel_sizes=[3, 3, 5],
        strides=[1, 2, 2],
        num_block_repeats=[1, 2, 2],
        expand_ratios=[1, 6, 4],
        dropout_rate=0.0,
        drop_connect_rate=0.0,
    ),
    "Segformer": dict(
        hidden_sizes=[8, 16, 16, 32],
        depths=[1, 2, 1, 1],
        num_attention_heads=[1, 2, 2, 4],
        decoder_hidden_size=16,
        drop_path_rate=0.0,
        classifier_dropout_prob=0.0,
    ),
}
#: The class, what differs from the small model, and the images' sides.
CASES = [
    ("ResNetModel", {}, (32, 32)),
    ("ResNetForImageClassification", {"layer_type": "basic"}, (33, 40)),
    ("ResNetForImageClassification", {"downsample_in_bottleneck": True}, (64, 64)),
    (
        "ResNetForImageClassification",
        {"downsample_in_first_stage": True, "hidden_act": "gelu", "num_channels": 1},
        (64, 64),
    ),
    ("ConvNextModel", {"layer_norm_eps": 1e-3}, (32, 48)),
    ("ConvNextForImageClassification", {"layer_scale_init_value": 0.5, "num_labels": 1}, (32, 32)),
    ("ConvNextForImageClassification", {"layer_scale_init_value": 0.0, "patch_size": 2}, (20, 20)),
    ("ConvNextV2Model", {}, (32, 32)),
    ("ConvNextV2ForImageClassification", {"hidden_act": "relu"}, (32, 32)),
    ("SwinModel", {}, (32, 32)),
    ("SwinForImageClassification", {"qkv_bias": False, "mlp_ratio": 3.0}, (32, 32)),
    ("SwinForImageClassification", {"window_size": 3, "layer_norm_eps": 1e-3}, (32, 32)),
    ("SwinForImageClassification", {"window_size": 3}, (50, 41)),
    ("SwinForImageClassification", {"use_absolute_embeddings": True}, (32, 32)),
    # Many layers of relu6 make gradients jump with the last digit, in PyTorch too.
    ("MobileNetV2Model", {"hidden_act": "silu"}, (64, 50)),
    ("MobileNetV2ForImageClassification", {"output_stride": 8, "hidden_act": "silu"}, (64, 64)),
    (
        "MobileNetV2ForImageClassification",
        {"tf_padding": False, "first_layer_is_expansion": False, "finegrained_output": False},
        (65, 64),
    ),
    ("EfficientNetModel", {"pooling_type": "max"}, (64, 48)),
    ("EfficientNetForImageClassification", {"depthwise_padding": [1, 3]}, (48, 48)),
    ("SegformerModel", {}, (64, 96)),
    ("SegformerModel", {"reshape_last_stage": False}, (64, 64)),
    ("SegformerForImageClassification", {"hidden_act": "relu"}, (64, 64)),
    ("SegformerForSemanticSegmentation", {}, (64, 96)),
    ("SegformerForSemanticSegmentation", {"num_labels": 1, "num_channels": 1}, (64, 64)),
]
#: Families whose named sizes are compared with upstream's, and the class of their checkpoints.
KINDS = {
    "mobilenet_v2": "MobileNetV2ForImageClassification",
    "efficientnet": "EfficientNetForImageClassification",
    "segformer": "SegformerForSemanticSegmentation",
}
#: Those that have attentions.
LOOKING = ("Swin", "Segformer")
#: The names of the libraries' modules that count batches, and what files may lack.
NOTHING_LACKS = {"missing_keys": [], "unexpected_keys": [], "mismatched_keys": []}


def family_of(name):
    return name.partition("For")[0].removesuffix("Model")


def upstream(name, **changes):
    torch.manual_seed(3)
    family = family_of(name)
    config = getattr(transformers, family + "Config")
    model = getattr(transformers, name)(config(**{**SMALL[family], "num_labels": 3, **changes}))
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            small = 0.1 if parameter.ndim < 2 or "table" in key or "grn" in key else 0.02
            parameter.add_(small * torch.randn_like(parameter))
        for key, statistics in model.named_buffers():
            if key.endswith("running_mean"):
                statistics.normal_(0, 0.1 if family in ("MobileNetV2", "EfficientNet") else 1)
    return model


def images(model, side=(32, 32)):
    shape = (3, model.config.num_channels, *side)
    return np.random.default_rng(1).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("name, changes, side", CASES)
@pytest.mark.parametrize("training", [True, False])
def test_equals_transformers(name, changes, side, training, tmp_path):
    theirs = upstream(name, **changes)
    theirs.save_pretrained(tmp_path)
    if name.startswith(LOOKING):
        theirs.set_attn_implementation("eager")  # others give no attentions
    mine, info = getattr(models, name).from_pretrained(tmp_path, output_loading_info=True)
    assert info == NOTHING_LACKS and not mine.training
    assert {k: tuple(v.shape) for k, v in mine.state_dict().items()} == {
        k: tuple(v.shape) for k, v in theirs.state_dict().items()
    }
    given = {"pixel_values": images(theirs, side)}
    if name.endswith("ForImageClassification"):
        given["labels"] = np.array([0, 2, 1])
        if changes.get("num_labels") == 1:
            given["labels"] = given["labels"].astype(np.float32)
    if name.endswith("ForSemanticSegmentation"):
        told = np.random.default_rng(2).integers(0, theirs.config.num_labels + 1, (3, *side))
        given["labels"] = np.where(told == theirs.config.num_labels, 255, told)
    asked = {"output_hidden_states": True}
    if name.startswith(LOOKING):
        asked["output_attentions"] = True
    t = theirs.train(training)(**{k: torch.tensor(v) for k, v in given.items()}, **asked)
    given = {k: ds.tensor(v) for k, v in given.items()}
    m = mine.train(training)(**given, **asked)
    assert list(m) == list(t)
    for key in m:
        many = isinstance(m[key], tuple)
        pairs = zip(m[key] if many else [m[key]], t[key] if many else [t[key]], strict=True)
        for ours, other in pairs:
            close(ours, other, key)
    result = next(key for key in ("loss", "pooler_output", "last_hidden_state") if key in m)
    t[result].square().mean().backward()
    m[result].square().mean().backward()
    gradients = {k: p.grad for k, p in mine.named_parameters()}
    assert gradients.keys() == {k for k, _ in theirs.named_parameters()}
    for key, parameter in theirs.named_parameters():
        if parameter.grad is not None:
            close(gradients[key], parameter.grad, key)
    if training:
        for key, buffer in theirs.named_buffers():
            if "running" in key:
                close(dict(mine.named_buffers())[key], buffer, key)


@pytest.mark.parametrize("name", sorted({name for name, *_ in CASES}))
def test_auto_classes_and_saved_models(name, tmp_path):
    theirs = upstream(name).eval()
    mine = saved_again(
        theirs, images(theirs, (64, 64) if "Swin" not in name else (32, 32)), tmp_path
    )
    new = type(mine)(type(mine.config)(**SMALL[family_of(name)]))  # saved without ever being theirs
    new.save_pretrained(tmp_path / "new")
    getattr(transformers, name).from_pretrained(tmp_path / "new")


def test_a_body_is_found_below_a_head_and_a_head_is_new(tmp_path):
    upstream("SwinForImageClassification").save_pretrained(tmp_path)
    with pytest.warns(models.LoadWarning, match="classifier.weight"):
        body = models.SwinModel.from_pretrained(tmp_path)
    assert body(ds.zeros(1, 3, 32, 32)).pooler_output.shape == (1, 16)
    with pytest.warns(models.LoadWarning, match="classifier.weight"):
        model = models.AutoModelForImageClassification.from_pretrained(
            tmp_path, num_labels=5, ignore_mismatched_sizes=True
        )
    assert model(ds.zeros(1, 3, 32, 32)).logits.shape == (1, 5)
    assert model.base_model is model.swin


@pytest.mark.parametrize(
    "name", [name for name, (kind, _) in cards.LANGUAGE.items() if kind in KINDS]
)
def test_named_sizes_have_upstream_shapes(name):
    kind, changes = cards.LANGUAGE[name]
    theirs = without_memory(
        lambda: getattr(transformers, KINDS[kind])(
            transformers.AutoConfig.for_model(kind, **changes)
        )
    )
    mine = getattr(models, KINDS[kind])(models.AutoConfig.for_model(kind, **changes))
    assert {k: tuple(v.shape) for k, v in mine.named_parameters()} == {
        k: tuple(v.shape) for k, v in theirs.named_parameters()
    }


@pytest.mark.parametrize("family", SMALL)
def test_default_sizes_have_upstream_shapes(family):
    theirs = without_memory(
        lambda: getattr(transformers, f"{family}Model")(getattr(transformers, f"{family}Config")())
    )
    mine = getattr(models, f"{family}Model")(getattr(models, f"{family}Config")())
    assert {k: tuple(v.shape) for k, v in mine.named_parameters()} == {
        k: tuple(v.shape) for k, v in theirs.named_parameters()
    }


def test_positions_of_swin_are_interpolated(tmp_path):
    theirs = upstream("SwinModel", use_absolute_embeddings=True).eval()
    theirs.save_pretrained(tmp_path)
    mine = models.SwinModel.from_pretrained(tmp_path)
    pixels = images(theirs, (48, 48))
    t = theirs(torch.tensor(pixels), interpolate_pos_encoding=True)
    close(mine(ds.tensor(pixels), interpolate_pos_encoding=True)[0], t[0])
    with pytest.raises(ds.ShapeError, match="must have 32x32 pixels"):
        mine(ds.tensor(pixels))


@pytest.mark.parametrize(
    "family, changes, message",
    [
        ("ResNet", {"layer_type": "wide"}, "layer_type 'wide' is unknown"),
        ("ResNet", {"depths": [1]}, "3 hidden_sizes and 1 depths"),
        ("ConvNext", {"hidden_act": "magic"}, "magic"),
        ("Swin", {"num_heads": [3, 4]}, "3 heads do not divide the 8 channels"),
        ("Swin", {"num_heads": [2]}, "2 depths and 1 num_heads"),
        ("MobileNetV2", {"depth_multiplier": -1.0}, "depth_multiplier -1"),
        ("EfficientNet", {"hidden_dim": 7}, "hidden_dim 7 is not the 320 channels"),
        ("EfficientNet", {"strides": [1, 3, 1]}, "strides holds 3"),
        ("EfficientNet", {"strides": [1]}, "must be of one length"),
        ("Segformer", {"num_attention_heads": [1, 3, 2, 4]}, "3 heads do not divide the 16"),
        ("Segformer", {"depths": [1]}, "1 depths for 4 stages"),
    ],
)
def test_bad_configurations(family, changes, message):
    config = getattr(models, f"{family}Config")(**{**SMALL[family], **changes})
    with pytest.raises(ds.ValueError, match=message):
        getattr(models, f"{family}Model")(config)


def test_bad_images():
    swin = models.SwinModel(models.SwinConfig(**SMALL["Swin"]))
    with pytest.raises(ds.ShapeError, match="fewer than a window of 4"):
        swin(ds.zeros(1, 3, 16, 16))
    with pytest.raises(ds.ValueError, match="give pixel_values"):
        swin()
    model = models.SegformerForSemanticSegmentation(models.SegformerConfig(**SMALL["Segformer"]))
    with pytest.raises(ds.ShapeError, match=r"must be \[1, height, width\]"):
        model(ds.zeros(1, 3, 64, 64), labels=ds.zeros(64, 64, dtype=ds.int64))
    resnet = models.ResNetModel(models.ResNetConfig(**SMALL["ResNet"]))
    with pytest.raises(ds.ShapeError, match="ResNetModel"):
        resnet(ds.zeros(1, 1, 32, 32))


@pytest.mark.parametrize("family, kind", [("ResNet", "ConvNext"), ("Swin", "ViT")])
def test_pipeline_equals_transformers(family, kind, tmp_path):
    name = f"{family}ForImageClassification"
    model = upstream(name, id2label={i: f"class {i}" for i in range(3)}).eval()
    model.save_pretrained(tmp_path)
    size = {"height": 32, "width": 32} if kind == "ViT" else {"shortest_edge": 32}
    processor = getattr(transformers, f"{kind}ImageProcessorPil")(size=size)
    processor.save_pretrained(tmp_path)
    rng = np.random.default_rng(0)
    picture = Image.fromarray(rng.integers(0, 256, (40, 53, 3), dtype=np.uint8))
    theirs = transformers.pipeline("image-classification", model=model, image_processor=processor)
    got, expected = ds.pipeline("image-classification", tmp_path, top_k=3)(picture), theirs(picture)
    assert [row["label"] for row in got] == [row["label"] for row in expected]
    assert [row["score"] for row in got] == pytest.approx(
        [row["score"] for row in expected], rel=2e-3
    )
    assert json.loads((tmp_path / "config.json").read_text())["model_type"] == family.lower()


def test_segmentation_equals_transformers(tmp_path):
    theirs = upstream("SegformerForSemanticSegmentation", num_labels=4).eval()
    theirs.save_pretrained(tmp_path)
    processor = transformers.SegformerImageProcessorPil(size={"height": 64, "width": 64})
    processor.save_pretrained(tmp_path)
    rng = np.random.default_rng(0)
    pictures = [
        Image.fromarray(rng.integers(0, 256, (*sides, 3), dtype=np.uint8))
        for sides in ((40, 53), (90, 70))
    ]
    expected = transformers.pipeline(
        "image-segmentation", model=theirs, image_processor=processor, subtask="semantic"
    )(pictures)
    segment = ds.pipeline("image-segmentation", tmp_path)
    got = segment(pictures, subtask="semantic")
    assert [row["label"] for row in segment(pictures[0])] == [row["label"] for row in got[0]]
    for mine, other in zip(got, expected, strict=True):
        assert [row["label"] for row in mine] == [row["label"] for row in other]
        for ours, row in zip(mine, other, strict=True):
            assert ours["mask"].size == row["mask"].size and ours["score"] is None
            assert np.mean(np.asarray(ours["mask"]) != np.asarray(row["mask"])) < 0.01
    with pytest.raises(ds.ValueError, match="subtask 'panoptic' is unknown"):
        segment(pictures[0], subtask="panoptic")


@pytest.mark.parametrize("family", SMALL)
def test_trainer_takes_images(family, tmp_path):
    config = getattr(models, f"{family}Config")(**SMALL[family], num_labels=2)
    model = getattr(models, f"{family}ForImageClassification")(config)
    rng = np.random.default_rng(0)
    rows = [
        {
            "image": rng.integers(0, 100, (40, 40, 3), dtype=np.uint8) + np.uint8(150 * (i % 2)),
            "label": i % 2,
        }
        for i in range(16)
    ]
    (tmp_path / "preprocessor_config.json").write_text(
        json.dumps(
            {"image_processor_type": "ViTImageProcessor", "size": {"height": 32, "width": 32}}
        )
    )
    args = ds.TrainingArguments(
        output_dir=str(tmp_path), num_train_epochs=6, learning_rate=1e-2, report_to="none"
    )
    model.name_or_path = str(tmp_path)
    trainer = ds.Trainer(model=model, args=args, train_dataset=rows, eval_dataset=rows)
    trainer.train()
    losses = [row["loss"] for row in trainer.state.log_history if "loss" in row]
    assert losses[-1] < 0.9 * losses[0] and "eval_accuracy" in trainer.evaluate()
