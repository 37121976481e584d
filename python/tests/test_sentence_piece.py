# SPDX-License-Identifier: Apache-2.0
"""Tokenizers from models of SentencePiece, against SentencePiece itself and transformers."""

import json
import subprocess
import sys
from pathlib import Path

import deepseek as ds
import pytest
from deepseek import models

sentencepiece = pytest.importorskip("sentencepiece")
transformers = pytest.importorskip("transformers")

ROOT = Path(__file__).parents[2]
LINES = (ROOT / "docs/guide/models.md").read_text().splitlines()
TEXTS = [
    *(line for line in LINES if "[" not in line and "<" not in line),
    *("", "  two  spaces ", "a tab\tand ﬁne ① Ａ", "日本 and é"),
]
BERT = {f"{name}_piece": f"[{name.upper()}]" for name in ("pad", "unk")}
BERT |= {"bos_piece": "[CLS]", "eos_piece": "[SEP]"}
#: How families train a model, what their ids are more than its, and the name of the file.
KINDS = {
    "T5": (dict(pad_id=0, eos_id=1, unk_id=2, bos_id=-1), 0, "spiece.model"),
    "DebertaV2": (dict(pad_id=0, bos_id=1, eos_id=2, unk_id=3, **BERT), 0, "spm.model"),
    "XLMRoberta": ({}, 1, "sentencepiece.bpe.model"),
    "Pegasus": (dict(pad_id=0, eos_id=1, unk_id=2, bos_id=-1), 103, "spiece.model"),
}


def trained(**options) -> bytes:
    # In a process of its own: its protocol buffers and those of other libraries do not mix.
    code = (
        "import io, json, sys, sentencepiece\n"
        "given = json.load(sys.stdin)\n"
        "made = io.BytesIO()\n"
        "sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(given['lines']),\n"
        "    model_writer=made, vocab_size=300, minloglevel=2, **given['options'])\n"
        "sys.stdout.buffer.write(made.getvalue())\n"
    )
    given = json.dumps({"lines": LINES, "options": options}).encode()
    return subprocess.run(
        [sys.executable, "-c", code], input=given, capture_output=True, check=True
    ).stdout


def folder_of(kind, tmp_path, **options):
    settings, shift, file = KINDS[kind]
    data = trained(**settings, **options)
    (tmp_path / file).write_bytes(data)
    config = {"tokenizer_class": f"{kind}Tokenizer"}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    return sentencepiece.SentencePieceProcessor(model_proto=data), shift


@pytest.mark.parametrize("kind", KINDS)
def test_ids_are_those_of_sentence_piece(kind, tmp_path):
    theirs, shift = folder_of(kind, tmp_path)
    tokenizer = models.AutoTokenizer.from_pretrained(tmp_path)
    unknown = theirs.unk_id()
    for text in TEXTS:
        expected = [i + shift for i in theirs.encode(text)]
        if kind == "XLMRoberta":
            expected = [3 if i == unknown + shift else i for i in expected]
        assert tokenizer.encode(text, add_special_tokens=False) == expected, text
        if unknown not in theirs.encode(text):
            assert tokenizer.decode(expected) == theirs.decode(theirs.encode(text))


@pytest.mark.parametrize("kind", KINDS)
def test_texts_are_framed_as_by_transformers(kind, tmp_path):
    folder_of(kind, tmp_path)
    mine = models.AutoTokenizer.from_pretrained(tmp_path)
    theirs = getattr(transformers, f"{kind}Tokenizer").from_pretrained(tmp_path)
    for texts in (("the models", None), ("the models", "of a hub")):
        found = mine(*texts)
        expected = theirs(*texts)
        assert found["input_ids"] == expected["input_ids"], texts
        assert mine.tokenize(texts[0]) == theirs.tokenize(texts[0])
    assert ("token_type_ids" in found) == ("token_type_ids" in expected)
    for key in ("pad_token_id", "eos_token_id", "unk_token_id", "mask_token_id"):
        assert getattr(mine, key) == getattr(theirs, key), key
    mine.save_pretrained(tmp_path / "saved")
    again = models.AutoTokenizer.from_pretrained(tmp_path / "saved")
    assert again("the models", "of a hub") == mine("the models", "of a hub")


def test_other_models_are_refused(tmp_path):
    folder_of("T5", tmp_path, model_type="bpe")
    with pytest.raises(ds.NotImplementedError, match="another kind than Unigram"):
        models.AutoTokenizer.from_pretrained(tmp_path)
    with pytest.raises(ds.NotImplementedError, match="special tokens of 'OwnTokenizer'"):
        models.AutoTokenizer.from_pretrained(tmp_path, tokenizer_class="OwnTokenizer")


def test_damaged_files_are_named(tmp_path):
    folder_of("T5", tmp_path)
    data = (tmp_path / "spiece.model").read_bytes()
    for damaged in (b"", data[:-3], data[:7], b"\xff" * 40, b"\x0a\x05hello", b"\x08\x01"):
        (tmp_path / "spiece.model").write_bytes(damaged)
        with pytest.raises(ds.FileFormatError, match="no model of SentencePiece"):
            models.AutoTokenizer.from_pretrained(tmp_path)
