# SPDX-License-Identifier: Apache-2.0
"""Pipelines against those of transformers on small random models, and resizing against Pillow."""

import deepseek as ds
import numpy as np
import pytest
import torch
from deepseek import models, transforms
from PIL import Image

transformers = pytest.importorskip("transformers")
from small_models import same  # noqa: E402

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "film", "was", "good", "bad", "very"]
TEXTS = ["the film was good", "bad", "the film was very very bad", "was the film good"]
SMALL = dict(
    vocab_size=len(WORDS),
    hidden_size=16,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=24,
    max_position_embeddings=16,
)


def saved(folder, head, words=WORDS, **changes):
    """A random BERT of transformers and its tokenizer; and transformers' own pipeline parts."""
    (folder / "vocab.txt").write_text("\n".join(words))
    changes = {**SMALL, "vocab_size": len(words), **changes}
    tokenizer = transformers.BertTokenizerFast(str(folder / "vocab.txt"), model_max_length=16)
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    model = getattr(transformers, head)(transformers.BertConfig(**changes)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    model.save_pretrained(folder)
    return model, tokenizer


@pytest.mark.parametrize(
    "changes",
    [{"num_labels": 3}, {"num_labels": 1}, {"problem_type": "multi_label_classification"}],
)
def test_text_classification(changes, tmp_path):
    model, tokenizer = saved(tmp_path, "BertForSequenceClassification", **changes)
    theirs = transformers.pipeline("text-classification", model=model, tokenizer=tokenizer)
    mine = ds.pipeline("text-classification", str(tmp_path), batch_size=3)
    same(mine(TEXTS), theirs(TEXTS))
    same(mine(TEXTS[0]), theirs(TEXTS[0]))
    same(mine(TEXTS[0], top_k=2), theirs(TEXTS[0], top_k=2))
    same(mine(TEXTS, top_k=None, batch_size=1), theirs(TEXTS, top_k=None))
    same(mine(TEXTS, function_to_apply="none"), theirs(TEXTS, function_to_apply="none"))
    pair = {"text": TEXTS[0], "text_pair": TEXTS[1]}
    same(mine([pair, pair]), theirs([pair, pair]))


def test_fill_mask(tmp_path):
    model, tokenizer = saved(tmp_path, "BertForMaskedLM")
    theirs = transformers.pipeline("fill-mask", model=model, tokenizer=tokenizer)
    mine = ds.pipeline("fill-mask", tmp_path)
    one, two = "the film was [MASK]", "the [MASK] was very [MASK] good"
    same(mine(one), theirs(one))
    same(mine(two), theirs(two))
    same(mine([one, two, "[MASK]"], top_k=2), theirs([one, two, "[MASK]"], top_k=2))
    same(mine(one, targets=["good", "bad"]), theirs(one, targets=["good", "bad"]))
    with pytest.raises(ds.ValueError, match=r"'the film' has no \[MASK\]"):
        mine("the film")
    with pytest.raises(ds.ValueError, match="'splendid' is no token"):
        mine(one, targets=["splendid"])


def test_feature_extraction(tmp_path):
    model, tokenizer = saved(tmp_path, "BertModel")
    theirs = transformers.pipeline("feature-extraction", model=model, tokenizer=tokenizer)
    mine = ds.pipeline("feature-extraction", tmp_path)
    same(mine(TEXTS), theirs(TEXTS))
    same(mine(TEXTS[0]), theirs(TEXTS[0]))
    assert mine(TEXTS[2], return_tensors=True).shape == (1, 8, 16)


def test_text_generation(tmp_path):
    from tokenizers import Tokenizer, decoders, pre_tokenizers, trainers
    from tokenizers import models as kinds

    raw = Tokenizer(kinds.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    raw.train_from_iterator(
        TEXTS, trainers.BpeTrainer(initial_alphabet=alphabet, special_tokens=["<|end|>"])
    )
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=raw, eos_token="<|end|>")
    tokenizer.save_pretrained(tmp_path)
    torch.manual_seed(0)
    config = transformers.GPT2Config(
        vocab_size=len(tokenizer),
        n_positions=40,
        n_embd=16,
        n_layer=2,
        n_head=2,
        bos_token_id=0,
        eos_token_id=0,
        pad_token_id=0,
    )
    model = transformers.GPT2LMHeadModel(config).eval()
    model.save_pretrained(tmp_path)
    theirs = transformers.pipeline("text-generation", model=model, tokenizer=tokenizer)
    mine = ds.pipeline("text-generation", tmp_path)
    options = dict(max_new_tokens=6, do_sample=False)
    same(mine(TEXTS[0], **options), theirs(TEXTS[0], **options))
    same(mine(TEXTS[:2], **options), theirs(TEXTS[:2], **options))
    assert mine("", **options)[0]["generated_text"]  # behind the first token of all texts
    options.update(num_beams=3, num_return_sequences=2, return_full_text=False)
    same(mine(TEXTS[0], **options), theirs(TEXTS[0], **options))
    template = "{% for m in messages %}{{ m.role ~ ': ' ~ m.content ~ '\\n' }}{% endfor %}"
    template += "{% if add_generation_prompt %}{{ 'assistant:' }}{% endif %}"
    tokenizer.chat_template = mine.tokenizer.chat_template = template
    chat = [{"role": "user", "content": TEXTS[0]}]
    begun = [*chat, {"role": "assistant", "content": TEXTS[1]}]
    options = dict(max_new_tokens=6, do_sample=False)
    for given in (chat, begun, [chat, begun]):
        same(mine(given, **options), theirs(given, **options))
        new = {**options, "return_full_text": False}
        same(mine(given, **new), theirs(given, **new))
    assert len(chat) == 1


def renamed(state):
    """A ViT's parameters under timm's names."""
    renames = (
        ("vit.embeddings.cls_token", "cls_token"),
        ("vit.embeddings.position_embeddings", "pos_embed"),
        ("vit.embeddings.patch_embeddings.projection", "patch_embed.proj"),
        ("vit.layernorm.", "norm."),
        ("classifier.", "head."),
        ("vit.encoder.layer.", "blocks."),
        ("vit.layers.", "blocks."),
        ("layernorm_before", "norm1"),
        ("layernorm_after", "norm2"),
        ("attention.output.dense", "attn.proj"),
        ("attention.o_proj", "attn.proj"),
        ("intermediate.dense", "mlp.fc1"),
        ("output.dense", "mlp.fc2"),
    )
    made = {}
    for name, tensor in state.items():
        for old, new in renames:
            name = name.replace(old, new)
        made[name] = tensor
    for name in [n for n in made if "query" in n or "q_proj" in n]:
        kind = "q_proj" if "q_proj" in name else "query"
        others = [
            name.replace(kind, o)
            for o in (("k_proj", "v_proj") if kind == "q_proj" else ("key", "value"))
        ]
        joined = torch.cat([made.pop(n) for n in (name, *others)])
        prefix, suffix = name.split("attention")[0], name.rpartition(".")[2]
        made[f"{prefix}attn.qkv.{suffix}"] = joined
    return {name: ds.tensor(tensor.numpy()) for name, tensor in made.items()}


def pictures(folder):
    rng = np.random.default_rng(0)
    paths = []
    for i, (h, w) in enumerate([(40, 53), (31, 24), (9, 70)]):
        path = folder / f"{i}.png"
        Image.fromarray(rng.integers(0, 256, (h, w, 3), dtype=np.uint8)).save(path)
        paths.append(str(path))
    return paths


def test_image_classification(tmp_path):
    torch.manual_seed(0)
    config = transformers.ViTConfig(
        hidden_size=24,
        num_hidden_layers=2,
        num_attention_heads=3,
        intermediate_size=96,
        image_size=32,
        patch_size=8,
        layer_norm_eps=1e-6,
        id2label={i: f"class {i}" for i in range(7)},
    )
    model = transformers.ViTForImageClassification(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    processor = transformers.ViTImageProcessorPil(size={"height": 32, "width": 32}, resample=3)
    theirs = transformers.pipeline("image-classification", model=model, image_processor=processor)
    own = models.vit_tiny_patch16_224(
        img_size=32, patch_size=8, embed_dim=24, depth=2, num_heads=3, num_classes=7
    )
    own.load_state_dict(renamed(model.state_dict()))
    own.config.id2label = config.id2label
    own.config.pretrained_cfg.update(
        crop_pct=1.0, crop_mode="squash", mean=[0.5] * 3, std=[0.5] * 3
    )
    own.save_pretrained(tmp_path / "model")
    mine = ds.pipeline("image-classification", tmp_path / "model", batch_size=2)
    paths = pictures(tmp_path)
    same(mine(paths), theirs(paths))
    same(mine(paths[0], top_k=2), theirs(paths[0], top_k=2))
    opened = [Image.open(p) for p in paths]
    same(mine(opened), theirs(paths))
    same(mine([np.asarray(p) for p in opened]), theirs(paths))
    with pytest.raises(ds.IOError, match="no image file"):
        mine("absent.png")
    with pytest.raises(ds.ValueError, match="not deepseek.float32"):
        mine(ds.rand(3, 8, 8))


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("size", [(17, 9), (40, 53), (90, 33), (3, 20), (60, 200)])
def test_antialiased_resizing_has_the_pixels_of_pillow(interpolation, size):
    array = np.random.default_rng(1).integers(0, 256, (40, 53, 3), dtype=np.uint8)
    # Of sizes whose rows every version of Pillow takes first.
    array[:20] = np.where(array[:20] > 127, 255, 0)  # overshoots are cut
    resize = transforms.Resize(size, interpolation, antialias=True)
    kind = getattr(Image.Resampling, interpolation.upper())
    expected = np.asarray(Image.fromarray(array).resize(size[::-1], kind)).transpose(2, 0, 1)
    np.testing.assert_array_equal(resize(array).numpy(), expected)
    plane = array[:, :, 0].astype(np.float32)
    expected = np.asarray(Image.fromarray(plane).resize(size[::-1], kind))
    np.testing.assert_allclose(resize(plane)[0].numpy(), expected, rtol=1e-5, atol=1e-3)


def test_images_are_cut_as_timm_cuts_them():
    model = models.resnet18(num_classes=3)
    model.config.pretrained_cfg["crop_pct"] = 0.9
    prepare = ds.pipelines.ImagePreparation.of_config(model.config)
    array = np.random.default_rng(1).integers(0, 256, (300, 401, 3), dtype=np.uint8)
    image = Image.fromarray(array).resize((int(248 * 401 / 300), 248), Image.Resampling.BICUBIC)
    left = round((image.width - 224) / 2)
    expected = np.asarray(image)[12:236, left : left + 224].astype(np.float32) / 255
    expected = (expected - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    np.testing.assert_allclose(prepare(array).numpy(), expected.transpose(2, 0, 1), atol=1e-5)


@pytest.mark.parametrize(
    "key, value", [("mean", "x"), ("std", [0.1, 0, 0.1]), ("input_size", [3]), ("crop_pct", "all")]
)
def test_damaged_preparations_are_refused(key, value):
    model = models.resnet18(num_classes=3, layers=[1])
    model.config.pretrained_cfg["mean"] = [0, 0, 0]
    ds.pipeline("image-classification", model)
    model.config.pretrained_cfg[key] = value
    with pytest.raises(ds.FileFormatError, match="config.json: (mean|std|input_size)"):
        ds.pipeline("image-classification", model)


def test_bad_calls(tmp_path):
    saved(tmp_path, "BertForSequenceClassification")
    with pytest.raises(ds.ValueError, match="'translate' is unknown; use text-classification"):
        ds.pipeline("translate", tmp_path)
    with pytest.raises(ds.ValueError, match="give the model"):
        ds.pipeline("fill-mask")
    with pytest.raises(ds.ValueError, match="give the tokenizer"):
        ds.pipeline("fill-mask", models.BertForMaskedLM(models.BertConfig(**SMALL)))
    with pytest.raises(ds.ValueError, match="is no image model"):
        ds.pipelines.ImageClassificationPipeline(ds.nn.Linear(2, 2))
    classify = ds.pipeline("sentiment-analysis", tmp_path)
    with pytest.raises(ds.ValueError, match="'topk' is unknown; there are batch_size, top_k"):
        classify("good", topk=3)
    with pytest.raises(ds.ValueError, match="3 is no text"):
        classify([3])
    with pytest.raises(ds.ValueError, match="tokens are more than the 16"):
        classify("good " * 30)
    assert classify("good " * 30, truncation=True)[0]["label"].startswith("LABEL_")
    with pytest.raises(ds.ValueError, match="needs antialias=True"):
        transforms.Resize(3, "bicubic")
