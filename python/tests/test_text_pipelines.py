# SPDX-License-Identifier: Apache-2.0
"""Pipelines of entities, of free labels and of texts that answer, against transformers."""

import deepseek as ds
import pytest
import small_models
import torch
from deepseek import models
from test_pipelines import TEXTS, WORDS, saved

transformers = pytest.importorskip("transformers")
same = small_models.same

TAGS = {0: "O", 1: "B-GOOD", 2: "I-GOOD", 3: "B-BAD", 4: "I-BAD", 5: "PLAIN"}
#: Parts of words, and a word.
PIECES = ["##good", "##bad", "##s", "king"]


def tagger(folder, **changes):
    """A random tagger of transformers whose vocabulary has parts of words."""
    labels = {"id2label": TAGS, "label2id": {name: i for i, name in TAGS.items()}}
    return saved(folder, "BertForTokenClassification", [*WORDS, *PIECES], **labels, **changes)


SENTENCES = [
    "the kingbad was goodbads, very goods",
    "bad goodgood film",
    "unknown the 中good king",
    "was the very goodbad film king badgood very",
]


@pytest.mark.parametrize("strategy", ["none", "simple", "first", "average", "max"])
def test_entities_equal_transformers(tmp_path, strategy):
    model, tokenizer = tagger(tmp_path)
    options = {"aggregation_strategy": strategy}
    theirs = transformers.pipeline("ner", model=model, tokenizer=tokenizer, **options)
    mine = ds.pipeline("ner", tmp_path, batch_size=3, **options)
    same(mine(SENTENCES), plain(theirs(SENTENCES)))
    same(mine(SENTENCES[0]), plain(theirs(SENTENCES[0])))
    for ignored in ([], ["O", "GOOD", "B-BAD"]):
        same(
            mine(SENTENCES, ignore_labels=ignored), plain(theirs(SENTENCES, ignore_labels=ignored))
        )
    words = [sentence.split() for sentence in SENTENCES]
    same(
        mine(words, is_split_into_words=True),
        plain(theirs(words, is_split_into_words=True)),
    )
    same(
        mine(words[0], is_split_into_words=True, delimiter="--"),
        plain(theirs(words[0], is_split_into_words=True, delimiter="--")),
    )
    if strategy != "none":
        long = " ".join(SENTENCES)
        found = mine([long, SENTENCES[1]], stride=4)
        same(found, plain(theirs([long, SENTENCES[1]], stride=4)))
        assert found[0][-1]["end"] > len(SENTENCES[0])


def plain(value):
    """Numbers of NumPy as those of Python."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value.item() if hasattr(value, "item") else value


@pytest.mark.parametrize("places", [(0, 2), (2, 0), (1, 2)])
def test_free_labels_equal_transformers(tmp_path, places):
    names = ["neutral"] * 3
    names[places[0]], names[places[1]] = "contradiction", "Entailment"
    labels = {"id2label": dict(enumerate(names)), "label2id": {n: i for i, n in enumerate(names)}}
    model, tokenizer = saved(tmp_path, "BertForSequenceClassification", **labels)
    theirs = transformers.pipeline("zero-shot-classification", model=model, tokenizer=tokenizer)
    mine = ds.pipeline("zero-shot-classification", tmp_path, batch_size=2)
    for call in (
        lambda p: p(TEXTS, ["good", "bad", "very"]),
        lambda p: p(TEXTS[0], candidate_labels="good, bad film"),
        lambda p: p(TEXTS[:2], candidate_labels=["good", "bad"], multi_label=True),
        lambda p: p([TEXTS[0]], ["good"], hypothesis_template="the film was {}"),
        lambda p: p("the film was very " * 9, ["good", "bad"]),  # cut
    ):
        same(call(mine), call(theirs))
    with pytest.raises(ds.ValueError, match="give candidate_labels"):
        mine("good", candidate_labels=[])
    with pytest.raises(ds.ValueError, match="'it is good' has no {}"):
        mine("good", ["a"], hypothesis_template="it is good")
    mine.model.config.id2label = {0: "a", 1: "b", 2: "c"}
    with pytest.raises(ds.ValueError, match="none of the model's labels a, b, c begins"):
        mine("good", ["a"])


@pytest.mark.parametrize("name", ["T5ForConditionalGeneration", "BartForConditionalGeneration"])
def test_texts_that_answer_are_those_of_generate(name, tmp_path):
    torch.manual_seed(0)
    small_models.save_model(
        tmp_path,
        name,
        eos_token_id=3,
        task_specific_params={
            "summarization": {"prefix": "the film was ", "max_new_tokens": 3},
            "translation_en_to_no": {"prefix": "very ", "num_beams": 2, "max_new_tokens": 4},
        },
    )
    theirs = getattr(transformers, name).from_pretrained(tmp_path).eval()
    tokenizer = transformers.BertTokenizerFast(str(tmp_path / "vocab.txt"))

    def expected(texts, **options):
        batch = tokenizer(texts, padding=True, return_tensors="pt", return_token_type_ids=False)
        rows = theirs.generate(**batch, do_sample=False, **options)
        return tokenizer.batch_decode(rows, skip_special_tokens=True)

    texts = ["good film", "it was bad"]
    write = ds.pipeline("text2text-generation", tmp_path, max_new_tokens=5)
    found = write(texts)
    assert found == [{"generated_text": t} for t in expected(texts, max_new_tokens=5)]
    assert write(texts[0]) == [{"generated_text": expected(texts[:1], max_new_tokens=5)[0]}]
    beams = {"num_beams": 3, "num_return_sequences": 2, "max_new_tokens": 5}
    assert [[r["generated_text"] for r in row] for row in write(texts, **beams)] == [
        expected([text], **beams) for text in texts
    ]
    short = ds.pipeline("summarization", tmp_path)(texts[0])
    assert short == [{"summary_text": expected(["the film was good film"], max_new_tokens=3)[0]}]
    other = ds.pipeline("translation_en_to_no", tmp_path)(texts)
    wanted = [expected([f"very {t}"], num_beams=2, max_new_tokens=4)[0] for t in texts]
    assert [row["translation_text"] for row in other] == wanted
    with pytest.raises(ds.ValueError, match="'summarization': give texts"):
        ds.pipeline("summarization", tmp_path)([3])


def test_generators_and_columns_are_read_in_batches(tmp_path):
    saved(tmp_path, "BertForSequenceClassification")
    classify = ds.pipeline("text-classification", tmp_path, device=-1, use_fast=True)
    read = []

    def rows():
        for text in TEXTS:
            read.append(text)
            yield text

    answers = classify(rows(), batch_size=2)
    first = next(answers)
    assert len(read) == 2
    same([first, *answers], classify(TEXTS))
    column = ds.datasets.Dataset.from_dict({"text": TEXTS}).map(lambda row: row)
    same(list(classify(column, batch_size=3)), classify(TEXTS))
    same(
        classify(TEXTS[0], padding="max_length", max_length=12, truncation=True), classify(TEXTS[0])
    )


def test_features_of_images_equal_transformers(tmp_path):
    torch.manual_seed(0)
    config = transformers.ViTConfig(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        image_size=16,
        patch_size=8,
    )
    theirs = transformers.ViTModel(config).eval()
    theirs.save_pretrained(tmp_path)
    mine = ds.pipeline("image-feature-extraction", tmp_path)
    images = [(ds.rand(3, 20, 24) * 255).to(ds.uint8) for _ in range(2)]
    pixels = models.ImageProcessor.of_model(mine.model)(images, return_tensors="np")["pixel_values"]
    with torch.no_grad():
        found = theirs(torch.from_numpy(pixels))
    same(mine(images), [[row.tolist()] for row in found.last_hidden_state])
    same(mine(images, pool=True), [[row.tolist()] for row in found.pooler_output])
    assert mine(images[0], return_tensors=True).shape == (1, 5, 16)


def test_options_of_tags_that_make_no_sense(tmp_path):
    tagger(tmp_path)
    mine = ds.pipeline("token-classification", tmp_path)
    for options, error in (
        ({"aggregation_strategy": "most"}, "'most' is unknown; use none, simple"),
        ({"stride": 3}, "stride.* need an aggregation_strategy"),
        ({"stride": 99, "aggregation_strategy": "max"}, "stride is 99"),
    ):
        with pytest.raises(ds.ValueError, match=error):
            mine("good film", **options)
