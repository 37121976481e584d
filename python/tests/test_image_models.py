# SPDX-License-Identifier: Apache-2.0
"""Image models against timm: random models saved there and loaded here."""

import copy
import json
import pickle

import deepseek as ds
import numpy as np
import pytest
import torch
from deepseek import models
from deepseek.models import vision
from timm_oracle import import_timm, without_memory

timm = import_timm()

SMALL_VIT = dict(img_size=32, patch_size=8, embed_dim=24, depth=2, num_heads=3)
SMALL_SWIN = dict(embed_dim=12, depths=(2, 2), num_heads=(2, 3), drop_path_rate=0.0)
SMALL_CONVNEXT = dict(depths=(1, 1, 2, 1), dims=(8, 12, 16, 24))
#: Name of a size -> what changes it, and the side of the images: every branch of every family.
CASES = [
    ("vit_small_patch16_224", SMALL_VIT, 32),
    ("deit_tiny_distilled_patch16_224", SMALL_VIT, 32),
    ("deit3_small_patch16_224", {**SMALL_VIT, "init_values": 0.3}, 32),
    ("vit_small_patch14_reg4_dinov2", {**SMALL_VIT, "num_classes": 0}, 32),
    ("vit_base_patch16_224", {**SMALL_VIT, "global_pool": "avg"}, 32),
    ("swin_tiny_patch4_window7_224", {**SMALL_SWIN, "img_size": 56}, 56),
    ("swin_tiny_patch4_window7_224", {**SMALL_SWIN, "img_size": 36, "window_size": 4}, 36),
    ("convnext_tiny", {**SMALL_CONVNEXT, "ls_init_value": 0.5}, 64),
    ("convnext_atto", {**SMALL_CONVNEXT, "ls_init_value": 0.5}, 64),
    ("convnext_large_mlp", {**SMALL_CONVNEXT, "head_hidden_size": 20}, 64),
    ("convnextv2_atto", SMALL_CONVNEXT, 64),
    ("convnextv2_tiny", SMALL_CONVNEXT, 64),
    ("resnet18", {"layers": [1, 1, 1, 1]}, 64),
    ("resnext50_32x4d", {"layers": [1, 1, 1, 1]}, 64),
    ("resnet26d", {"layers": [1, 1, 1, 1]}, 66),
    ("resnet18d", {"layers": [1, 1, 1, 1]}, 64),
    ("seresnext26d_32x4d", {"layers": [1, 1, 1, 1]}, 64),
    ("vgg11_bn", {"mlp_ratio": 0.015}, 64),
    ("densenet121", {"growth_rate": 8, "block_config": [2, 3, 2, 2]}, 64),
    ("vit_base_patch32_clip_224", SMALL_VIT, 32),
    ("mobilenetv2_035", {}, 96),
    ("mobilenetv3_small_050", {}, 96),
    ("tf_mobilenetv3_large_075", {}, 65),
    ("tf_mobilenetv3_small_minimal_100", {}, 64),
    ("efficientnet_b0", {}, 96),
    ("tf_efficientnetv2_b0", {}, 66),
    ("tf_efficientnet_lite0", {}, 66),
]
#: In f64: with so many steps of relu6 on few pixels, rounding decides where a gradient is 0.
DOUBLE = ("tf_efficientnet_lite0", "mobilenetv2_035")


def upstream(name, changes):
    """A random model of timm, its biases, norms and tokens away from 0 and 1."""
    torch.manual_seed(3)
    model = timm.create_model(name, **{"num_classes": 7, **changes})
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
        for key, buffer in model.named_buffers():
            if key.endswith("running_mean"):
                buffer.normal_(0, 0.1)
            elif key.endswith("running_var"):
                buffer.uniform_(0.8, 1.2)
    return model


def write_upstream(model, name, changes, folder):
    """What timm's own export writes, which needs parts of torchvision."""
    from safetensors.torch import save_file

    save_file(model.state_dict(), folder / "model.safetensors")
    config = {
        "architecture": name,
        "num_classes": model.num_classes,
        "model_args": changes,
        "pretrained_cfg": {"input_size": [3, 224, 224], "tag": "mine"},
    }
    (folder / "config.json").write_text(json.dumps(config))


def shapes(model):
    return {k: tuple(v.shape) for k, v in model.state_dict().items()}


def close(mine, theirs, message, bound=1e-3):
    mine, theirs = mine.detach().numpy(), theirs.detach().numpy()
    error = np.linalg.norm(mine - theirs) / max(np.linalg.norm(theirs), 1e-6)
    assert error < bound, f"{message}: relative error {error}"


@pytest.mark.parametrize("name, changes, side", CASES)
def test_equals_timm(name, changes, side, tmp_path):
    precision = "float64" if name in DOUBLE else "float32"
    theirs = upstream(name, changes).to(getattr(torch, precision))
    write_upstream(theirs, name, changes, tmp_path)
    mine, info = models.AutoModelForImageClassification.from_pretrained(
        tmp_path, output_loading_info=True, dtype=getattr(ds, precision)
    )
    assert info == {"missing_keys": [], "unexpected_keys": [], "mismatched_keys": []}
    assert not mine.training and shapes(mine) == shapes(theirs)
    x = np.random.default_rng(0).standard_normal((4, 3, side, side)).astype(precision)
    with torch.no_grad():
        expected = theirs.eval()(torch.tensor(x))
    with ds.no_grad():
        close(mine(ds.tensor(x)), expected, "eval")
    t, m = theirs.train()(torch.tensor(x)), mine.train()(ds.tensor(x))
    close(m, t, "train")
    target = np.arange(4) % t.shape[1]
    t_loss = torch.nn.functional.cross_entropy(t, torch.tensor(target))
    m_loss = ds.nn.functional.cross_entropy(m, ds.tensor(target))
    t_loss.backward()
    m_loss.backward()
    assert m_loss.item() == pytest.approx(t_loss.item(), rel=1e-4)
    gradients = {k: p.grad for k, p in mine.named_parameters()}
    assert gradients.keys() == {k for k, _ in theirs.named_parameters()}
    # Where rounding is all there is, as behind a norm that takes the sum away, nothing is compared.
    scale = max(float(p.grad.norm()) for p in theirs.parameters() if p.grad is not None)
    for key, parameter in theirs.named_parameters():
        if parameter.grad is None or float(parameter.grad.norm()) < 1e-4 * scale:
            continue
        close(gradients[key], parameter.grad, key, 2e-2)
    for key, buffer in theirs.state_dict().items():
        if "running" in key:
            close(mine.state_dict()[key], buffer, key)


@pytest.mark.parametrize("name", [n for n in vision.MODELS if n not in ("resnet8", "resnet20")])
def test_named_sizes_have_upstream_shapes(name):
    theirs = without_memory(lambda: timm.create_model(name))
    mine = vision.MODELS[name]()
    assert shapes(mine) == shapes(theirs)
    assert {k: tuple(v.shape) for k, v in mine.named_parameters()} == {
        k: tuple(v.shape) for k, v in theirs.named_parameters()
    }


def test_registry_names_upstream_repositories():
    for name in vision.MODELS:
        source = models.registry.SOURCES.get(name)
        cfg = timm.models.get_pretrained_cfg(name) if timm.is_model(name) else None
        if source is None:
            assert cfg is None or not cfg.hf_hub_id, name
        else:
            assert (source.repository, source.licence) == (cfg.hf_hub_id, cfg.license)


def test_timm_loads_what_is_saved(tmp_path):
    changes = {**SMALL_VIT, "num_classes": 5, "in_chans": 1}
    mine = models.vit_small_patch16_224(**changes).eval()
    mine.config.id2label = dict(enumerate("abcde"))
    mine.save_pretrained(tmp_path)
    theirs = timm.create_model(f"local-dir:{tmp_path}", pretrained=True).eval()
    x = np.random.default_rng(0).standard_normal((2, 1, 32, 32)).astype(np.float32)
    with torch.no_grad():
        close(mine(ds.tensor(x)), theirs(torch.tensor(x)), "logits")
    again = models.VisionTransformer.from_pretrained(tmp_path)
    assert again.config == mine.config and again.config.id2label[4] == "e"
    assert again(ds.tensor(x)).tolist() == mine(ds.tensor(x)).tolist()


def test_older_files_and_names_of_classes(tmp_path):
    mine = models.resnet18(layers=[1], num_classes=2)
    mine.save_pretrained(tmp_path)
    old = {
        "architecture": "resnet18",
        "num_classes": 2,
        "input_size": [3, 64, 64],
        "labels": ["n01", "n02"],
    }
    config = models.ImageConfig.from_dict(old)
    assert config.pretrained_cfg["input_size"] == [3, 64, 64] and config.num_labels == 2
    assert config.id2label == {0: "n01", 1: "n02"}
    new = {
        **mine.config.to_dict(),
        "label_names": ["n01", "n02"],
        "label_descriptions": {"n01": "tench"},
    }
    (tmp_path / "config.json").write_text(json.dumps(new))
    again = models.AutoModelForImageClassification.from_pretrained(tmp_path)
    assert again.config.id2label == {0: "tench", 1: "n02"}
    again.save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["label_descriptions"]


def test_another_number_of_classes_starts_at_random(tmp_path):
    mine = models.resnet18(layers=[1, 1], num_classes=5)
    mine.save_pretrained(tmp_path)
    with pytest.warns(models.LoadWarning, match="fc.bias, fc.weight"):
        other = models.AutoModelForImageClassification.from_pretrained(tmp_path, num_classes=3)
    assert other.fc.weight.shape == (3, 128) and other.config.num_labels == 3
    assert other.conv1.weight.tolist() == mine.conv1.weight.tolist()
    with pytest.raises(ds.ShapeError, match="conv1.weight"):
        models.ResNet.from_pretrained(tmp_path, in_chans=1)


@pytest.mark.parametrize("name", ["vit_small_patch16_224", "swin_tiny_patch4_window7_224"])
def test_copies_are_equal(name):
    changes = SMALL_VIT if name.startswith("vit") else {**SMALL_SWIN, "img_size": 32}
    model = vision.MODELS[name](num_classes=3, **changes).eval()
    model.note = "kept"
    if name.startswith("vit"):
        model.head = ds.nn.Linear(24, 9)
    x = ds.randn(2, 3, 32, 32)
    expected = model.eval()(x).tolist()
    for again in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert again(x).tolist() == expected and again.config == model.config
        assert again.note == "kept" and not again.training


def test_drop_path_leaves_out_whole_samples():
    ds.manual_seed(0)
    model = models.convnext_atto(**SMALL_CONVNEXT, ls_init_value=1.0, drop_path_rate=0.9)
    x = ds.ones(64, 3, 32, 32)
    outputs = {tuple(row) for row in model(x).round(decimals=4).tolist()}
    assert 2 < len(outputs) <= 2**4  # the first block of five always stays
    assert len({tuple(row) for row in model.eval()(x).round(decimals=4).tolist()}) == 1


def test_bad_arguments_and_files(tmp_path):
    with pytest.raises(ds.ValueError, match="pretrained is 10"):
        models.resnet18(10)
    with pytest.raises(ds.ValueError, match="no pretrained weights"):
        models.resnet20(pretrained=True)
    with pytest.raises(ds.ValueError, match="'depht' is unknown; there are img_size"):
        models.vit_tiny_patch16_224(depht=3)
    with pytest.raises(ds.ValueError, match="depth is 'x'; expected int"):
        models.vit_tiny_patch16_224(depth="x")
    with pytest.raises(ds.ShapeError, match="must have 224x224 pixels"):
        models.vit_tiny_patch16_224(depth=0)(ds.ones(1, 3, 32, 32))
    with pytest.raises(ds.ShapeError, match=r"must be \[batch, 3, height, width\]"):
        models.resnet8(in_channels=3)(ds.ones(1, 1, 8, 8))
    with pytest.raises(ds.ValueError, match="variant 'b0' is unknown; use mobilenet_v2"):
        models.EfficientNet("b0")
    for values, error, message in (
        ({"architecture": "vgg99", "pretrained_cfg": {}}, ds.ValueError, "'vgg99' is unknown"),
        ({"architecture": "resnet18"}, ds.ValueError, "one of ResNet; use vit_tiny"),
        ({"model_type": "bert"}, ds.FileFormatError, "architecture is None"),
        (
            {"architecture": "vit_tiny_patch16_224", "num_classes": "x", "pretrained_cfg": {}},
            ds.FileFormatError,
            "num_classes is 'x'",
        ),
    ):
        (tmp_path / "config.json").write_text(json.dumps(values))
        with pytest.raises(error, match=message):
            models.VisionTransformer.from_pretrained(tmp_path)
