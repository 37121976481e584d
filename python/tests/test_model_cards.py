# SPDX-License-Identifier: Apache-2.0
"""What is said of models: their sizes, and the command that shows it."""

import json

import deepseek as ds
import pytest
from deepseek import cli
from deepseek.models import cards, registry, vision

#: As model pages of the upstream libraries and of hubs state them.
PUBLISHED = {
    "resnet50": 25_557_032,
    "wide_resnet50_2": 68_883_240,
    "mobilenetv2_100": 3_504_872,
    "efficientnet_b0": 5_288_548,
    "efficientnet-b0": 5_288_548,
    "efficientnet-b7": 66_347_960,
    "mobilenet_v2_1.0_224": 3_506_153,
    "convnext_tiny": 28_589_128,
    "vit_base_patch16_224": 86_567_656,
    "swin_tiny_patch4_window7_224": 28_288_354,
    "dinov2-base": 86_580_480,
    "bert-base-uncased": 109_482_240,
    "bert-large-uncased": 335_141_888,
    "roberta-base": 124_645_632,
    "distilbert-base-uncased": 66_362_880,
    "all-minilm-l6-v2": 22_713_216,
    "gpt2": 124_439_808,
    "gpt2-xl": 1_557_611_200,
    "distilgpt2": 81_912_576,
    "xlm-roberta-base": 278_043_648,
    "all-mpnet-base-v2": 109_486_464,
    "gpt-neox-20b": 20_554_567_680,
    "opt-125m": 125_239_296,
    "bloom-560m": 559_214_592,
    "clip-vit-base-patch32": 151_277_313,
    "clip-vit-large-patch14": 427_616_513,
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_sizes_are_the_published_ones(name):
    assert cards.card(name).parameters == PUBLISHED[name]


def test_every_model_has_a_card():
    names = cards.names()
    assert {*registry.SOURCES, *vision.MODELS} == set(names)
    assert cards.family_of("vit_small_patch14_dinov2").title == "DINOv2"
    assert cards.family_of("distilgpt2").title == "GPT-2" and not cards.REPORTED.keys() - set(names)
    for family in cards.FAMILIES:
        assert any(cards.family_of(name) is family for name in names), family.title
    ds.manual_seed(3)
    expected = ds.rand(1).item()
    ds.manual_seed(3)
    cards.parameters_of.cache_clear()
    cards.card("resnet18")
    assert ds.rand(1).item() == expected  # counting draws nothing from the user's stream


def run(capsys, *args, code=0):
    assert cli.main(["models", *args]) == code
    out, err = capsys.readouterr()
    return out if code == 0 else out + err


def test_models_are_listed_and_found(capsys):
    listed = run(capsys, "list", "--task", "fill-mask")
    assert "bert-base-chinese" in listed and "resnet50" not in listed
    assert "109.5 M  google-bert/bert-base-uncased, apache-2.0" in listed
    found = json.loads(run(capsys, "search", "swin", "mit", "--json"))
    assert {card["family"] for card in found} == {"Swin Transformer"} and len(found) == 6
    everything = run(capsys, "list")
    assert all(f"  {name} " in everything for name in cards.names())
    assert "no model fits" in run(capsys, "search", "nosuchmodel", code=1)


def test_a_model_is_shown(capsys):
    shown = run(capsys, "show", "deepseek/resnet50")
    for text in ("25,557,032", "97.5 MiB in fp32", "timm/resnet50.a1_in1k", "momentum 0.9"):
        assert text in shown
    assert "deepseek.models.resnet50(pretrained=True)" in shown
    assert "none; it starts at random" in run(capsys, "show", "resnet20")
    assert "in its config.json" in run(capsys, "show", "qwen3-8b")
    as_json = json.loads(run(capsys, "show", "bert-base-cased", "--json"))
    assert as_json["bytes"]["bf16"] == 2 * as_json["parameters"]
    assert as_json["repository"] == "google-bert/bert-base-cased"
    assert "such as resnet50" in run(capsys, "show", "resnet500", code=1)
