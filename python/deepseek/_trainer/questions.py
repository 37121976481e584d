# SPDX-License-Identifier: Apache-2.0
"""Rows of question answering: windows over contexts that are longer than the model."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from .. import _core, _questions
from ..data import Dataset, IterableDataset

#: Rows that are tokenised at once.
_AT_ONCE = 1000


class _Window(NamedTuple):
    inputs: dict[str, np.ndarray]
    positions: tuple[int, int] | None  # of the answer's first and last token
    inside: np.ndarray  # which tokens are of the context
    offsets: np.ndarray | None  # of all tokens
    none: int  # the token that stands for no answer


def _answers(row: Mapping, place: int) -> list[tuple[str, int]] | None:
    """Texts and beginnings of the answers of a row: of a column answers as SQuAD has it, or of
    answer, with answer_start or where the context has it first. None for an unlabelled row."""
    if row.get("answers") is not None:
        found = row["answers"]
        return list(zip(found["text"], found["answer_start"], strict=True))
    if "answer" not in row:
        return None
    text, start = row["answer"], row.get("answer_start")
    if not text:
        return []
    if start is None:
        start = row["context"].find(text)
        if start < 0:
            raise _core.ValueError(
                f"Trainer: the context of row {place} does not hold its answer {text!r}"
            )
    return [(text, int(start))]


class Encoder:
    """Rows with question, context and answers to windows of at most `limit` tokens. A window
    without the whole answer has no answer: its place is the first token."""

    def __init__(self, first: Mapping, tokenizer, limit: int | None, stride: int | None):
        if not {"question", "context"} <= set(first):
            raise _core.ValueError(
                f"Trainer: columns question, context and answers are expected, not {list(first)}"
            )
        self._tokenizer, self._limit, self._stride = tokenizer, limit, stride

    def __call__(self, rows: Sequence[Mapping], first: int = 0) -> Iterator[tuple[int, _Window]]:
        """(place of the row, window), places counted from `first`."""
        texts = [[row[name] or "" for row in rows] for name in ("question", "context")]
        try:
            found = _questions.windows(self._tokenizer, *texts, self._limit, self._stride)
        except _questions.QuestionTooLong as error:
            raise _core.ValueError(
                f"Trainer: row {first + error.place}: {error} (max_length, doc_stride)"
            ) from error
        for i, encoding in enumerate(found.encodings):
            sample = found["overflow_to_sample_mapping"][i]
            inputs = {
                name: np.asarray(found[name][i], np.int32)
                for name in self._tokenizer.model_input_names
            }
            yield first + sample, self._window(inputs, encoding, rows[sample], first + sample)

    def _window(self, inputs, encoding, row: Mapping, place: int) -> _Window:
        inside = _questions.in_context(self._tokenizer, encoding)
        offsets = np.asarray(encoding.offsets, np.int32).reshape(-1, 2)
        marks = np.nonzero(inputs["input_ids"] == self._tokenizer.cls_token_id)[0]
        none = int(marks[0]) if len(marks) else 0
        answers, positions = _answers(row, place), None
        if answers is not None:
            positions = none, none
            if answers:
                text, begin = answers[0]
                if not text or row["context"][begin : begin + len(text)] != text:
                    raise _core.ValueError(
                        f"Trainer: the context of row {place} does not hold its answer {text!r} "
                        f"at character {begin}; answer_start counts characters from 0"
                    )
                end = begin + len(text)
                positions = _questions.find_answer(inside, offsets, begin, end, none)
        return _Window(inputs, positions, inside, offsets, none)


def _row(window: _Window) -> dict:
    row: dict = {name: values.tolist() for name, values in window.inputs.items()}
    if window.positions is not None:
        row["start_positions"], row["end_positions"] = window.positions
    return row


class Windows(Dataset):
    """The windows of all rows; those of training data cannot be measured."""

    def __init__(self, rows, encode: Encoder, training: bool):
        self._rows = rows
        self._windows: list[_Window] = []
        self._row_of: list[int] = []
        for first in range(0, len(rows), _AT_ONCE):
            some = [rows[i] for i in range(first, min(first + _AT_ONCE, len(rows)))]
            for place, window in encode(some, first):
                self._row_of.append(place)
                self._windows.append(window._replace(offsets=None) if training else window)

    def __len__(self) -> int:
        return len(self._windows)

    def __getitem__(self, index: int) -> dict:
        return _row(self._windows[index])

    def measures(self, start: np.ndarray, end: np.ndarray) -> dict[str, float]:
        """exact_match and f1 of the answers that logits of all windows give. Where rows without an
        answer are among them, none is given when that is likelier."""
        answers = [_answers(self._rows[i], i) for i in range(len(self._rows))]
        silent = any(known == [] for known in answers)
        best = [(-np.inf, "") for _ in answers]
        nothing = [np.inf] * len(answers)
        for i, (place, window) in enumerate(zip(self._row_of, self._windows, strict=True)):
            count = len(window.inside)
            s, e = start[i, :count], end[i, :count]
            score, first, last = _questions.best_answer(s, e, window.inside)
            if score > best[place][0]:
                begin, behind = window.offsets[first, 0], window.offsets[last, 1]
                best[place] = (score, self._rows[place]["context"][begin:behind])
            nothing[place] = min(nothing[place], float(s[window.none] + e[window.none]))
        found = [
            "" if silent and none > score else text
            for (score, text), none in zip(best, nothing, strict=True)
        ]
        return _questions.squad_measures(found, [[t for t, _ in known] for known in answers])


class WindowStream(IterableDataset):
    """The windows of rows that can only be read in order."""

    def __init__(self, rows: Iterable[Mapping], encode: Encoder):
        self._rows, self._encode = rows, encode

    def __iter__(self) -> Iterator[dict]:
        for place, row in zip(itertools.count(), self._rows):
            for _, window in self._encode([row], place):
                yield _row(window)
