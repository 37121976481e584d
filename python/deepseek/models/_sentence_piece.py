# SPDX-License-Identifier: Apache-2.0
"""Tokenizers from models of SentencePiece, of families whose checkpoints have nothing else."""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from .. import _core

#: Names of such files.
FILES = ("spiece.model", "spm.model", "sentencepiece.bpe.model")
_NORMAL, _UNKNOWN, _UNIGRAM = 1, 2, 1


class _Frame(NamedTuple):
    """How a family numbers pieces and what it puts around texts."""

    special: dict[str, str]
    single: str
    pair: str
    skipped: int = 0  # so many pieces of the file are left out
    before: tuple[tuple[str, float], ...] = ()  # pieces and their scores in front of the others
    after: tuple[str, ...] = ()  # special tokens behind the others that the file may lack


_CLS = {
    "unk_token": "[UNK]",
    "sep_token": "[SEP]",
    "pad_token": "[PAD]",
    "cls_token": "[CLS]",
    "mask_token": "[MASK]",
    "bos_token": "[CLS]",
    "eos_token": "[SEP]",
}
_END = {"unk_token": "<unk>", "eos_token": "</s>", "pad_token": "<pad>"}
_MARKS = {"bos_token": "<s>", "cls_token": "<s>", "sep_token": "</s>", "mask_token": "<mask>"}
_T5 = _Frame(_END, "$A </s>", "$A </s> $B </s>")
#: By the beginning of the name of a tokenizer's class, or model type, in small letters.
_FRAMES = {
    "t5": _T5,
    "mt5": _T5,
    "deberta": _Frame(
        _CLS, "[CLS] $A [SEP]", "[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1", after=("[MASK]",)
    ),
    "xlm-roberta": _Frame(
        {**_END, **_MARKS},
        "<s> $A </s>",
        "<s> $A </s> </s> $B </s>",
        skipped=3,
        before=(("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)),
        after=("<mask>",),
    ),
    "pegasus": _Frame(
        {**_END, "mask_token": "<mask_2>"},
        "$A </s>",
        "$A $B </s>",
        skipped=2,
        before=(
            *((token, 0.0) for token in ("<pad>", "</s>", "<mask_1>", "<mask_2>")),
            *((f"<unk_{i}>", -100.0) for i in range(2, 103)),
        ),
    ),
}
_FRAMES["xlmroberta"] = _FRAMES["xlm-roberta"]


def _number(data: bytes, at: int) -> tuple[int, int]:
    """(a number of as many bytes as it needs, where it ends)."""
    value = 0
    for shift in range(0, 70, 7):
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
    raise ValueError("a number does not end")


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The fields of a message of protocol buffers."""
    at = 0
    while at < len(data):
        key, at = _number(data, at)
        kind = key & 7
        if kind == 0:
            value, at = _number(data, at)
        elif kind in (1, 2, 5):
            size, at = _number(data, at) if kind == 2 else ({1: 8, 5: 4}[kind], at)
            value, at = data[at : at + size], at + size
            if at > len(data):
                raise ValueError("a field is longer than the file")
        else:
            raise ValueError(f"a field is of the unknown kind {kind}")
        yield key >> 3, value


class _Model(NamedTuple):
    pieces: list[tuple[str, float, int]]  # text, score and type
    kind: int
    byte_fallback: bool
    charsmap: bytes
    prefix: bool  # a space is put in front of texts


def _read(data: bytes) -> _Model:
    pieces, trainer, normalizer = [], {}, {}
    for number, value in _fields(data):
        if number == 1:
            piece = dict(_fields(value))
            (score,) = struct.unpack("<f", piece.get(2, bytes(4)))
            pieces.append((piece.get(1, b"").decode(), score, piece.get(3, _NORMAL)))
        elif number == 2:
            trainer = dict(_fields(value))
        elif number == 3:
            normalizer = dict(_fields(value))
    if not pieces:
        raise ValueError("there are no pieces")
    return _Model(
        pieces,
        trainer.get(3, _UNIGRAM),
        bool(trainer.get(35, 0)),
        normalizer.get(2, b""),
        bool(normalizer.get(3, 1)),
    )


def read_sentence_piece(library, path: Path, kind: str, settings: dict):
    """(a tokenizer of the package `tokenizers`, its special tokens) from a model of SentencePiece;
    kind is the name of the tokenizer's class or the model type."""
    frame = next((f for start, f in _FRAMES.items() if kind.lower().startswith(start)), None)
    if frame is None:
        raise _core.NotImplementedError(
            f"tokenizer: {path}: the special tokens of '{kind}' are not known, of "
            f"{', '.join(_FRAMES)} they are; save tokenizer.json by transformers' tokenizer"
        )
    try:
        model = _read(path.read_bytes())
    except (ValueError, IndexError, TypeError, AttributeError, struct.error) as error:
        raise _core.FileFormatError(f"{path} is no model of SentencePiece: {error}") from error
    if model.kind != _UNIGRAM:
        raise _core.NotImplementedError(
            f"tokenizer: {path} is a model of SentencePiece of another kind than Unigram; save "
            "tokenizer.json by transformers' tokenizer"
        )
    after = frame.after
    if frame is _T5:
        after = tuple(f"<extra_id_{i}>" for i in reversed(range(settings.get("extra_ids", 100))))
    pieces = [(text, score) for text, score, _ in model.pieces[frame.skipped :]]
    vocabulary = [*frame.before, *pieces]
    known = {text for text, _ in vocabulary}
    unknown = next(
        (i for i, (text, _) in enumerate(vocabulary) if text == frame.special["unk_token"]), 0
    )
    made = library.Tokenizer(
        library.models.Unigram(vocabulary, unk_id=unknown, byte_fallback=model.byte_fallback)
    )
    normalizers = [library.normalizers.Replace(library.Regex(" {2,}"), " ")]
    if model.charsmap:
        normalizers.insert(0, library.normalizers.Precompiled(model.charsmap))
    normalizers.append(library.normalizers.Strip(left=False, right=True))
    made.normalizer = library.normalizers.Sequence(normalizers)
    scheme = "always" if model.prefix else "never"
    made.pre_tokenizer = library.pre_tokenizers.Metaspace(prepend_scheme=scheme)
    made.decoder = library.decoders.Metaspace(prepend_scheme=scheme)
    special = [token for token in frame.special.values() if token in known]
    made.add_special_tokens(list(dict.fromkeys([*special, *after])))
    around = {token for token in frame.special.values() if token in frame.single}
    made.post_processor = library.processors.TemplateProcessing(
        single=frame.single,
        pair=frame.pair,
        special_tokens=[(token, made.token_to_id(token)) for token in sorted(around)],
    )
    return made, frame.special
