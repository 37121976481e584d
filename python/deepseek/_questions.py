# SPDX-License-Identifier: Apache-2.0
"""Questions that are answered with a part of a text: windows over texts that are longer than the
model, answers from its logits, and the measures of SQuAD."""

from __future__ import annotations

import collections
import re
import string
from collections.abc import Sequence

import numpy as np

from . import _core

#: Tokens of an answer, at most, when a trained model is measured.
_LONGEST = 30
_MASKED = -10000.0


class QuestionTooLong(_core.ValueError):
    """`place` is that of the question."""

    def __init__(self, place: int, limit: int, stride: int):
        super().__init__(
            f"the question leaves too little room for its context in {limit} tokens of which "
            f"windows share {stride}; shorten it, or use longer windows or a smaller stride"
        )
        self.place = place


def _check_room(tokenizer, questions: list[str], contexts: list[str], limit, stride: int) -> None:
    if not limit or not questions:
        return
    special = len(tokenizer("", "")["input_ids"])
    asked = tokenizer(questions, add_special_tokens=False)["input_ids"]
    for place, ids in enumerate(asked):
        if limit - len(ids) - special <= stride:
            both = tokenizer(questions[place], contexts[place])["input_ids"]
            if len(both) > limit:
                raise QuestionTooLong(place, limit, stride)


def windows(tokenizer, questions: list[str], contexts: list[str], limit, stride=None, **more):
    """Questions with their contexts as rows of at most `limit` tokens; the context goes on from row
    to row and shares `stride` tokens, by default half of a row and at most 128, with the one
    before. QuestionTooLong when no window would hold more of a context than that."""
    if stride is None:
        stride = min(limit // 2, 128) if limit else 0
    _check_room(tokenizer, questions, contexts, limit, stride)
    in_order = tokenizer.padding_side == "right"
    return tokenizer(
        *((questions, contexts) if in_order else (contexts, questions)),
        truncation="only_second" if in_order else "only_first",
        max_length=limit,
        stride=stride,
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
        **more,
    )


def in_context(tokenizer, encoding) -> np.ndarray:
    """Which tokens of a window are of the context."""
    part = 1 if tokenizer.padding_side == "right" else 0
    return np.asarray([i == part for i in encoding.sequence_ids], bool)


def find_answer(inside: np.ndarray, offsets: np.ndarray, begin: int, end: int, none: int):
    """First and last token of the characters [begin, end) of the context; `none` twice where a
    window does not hold them all."""
    places = np.nonzero(inside)[0]
    if not len(places) or offsets[places[0], 0] > begin or offsets[places[-1], 1] < end:
        return none, none
    first = places[np.searchsorted(offsets[places, 0], begin, "right") - 1]
    return int(first), int(places[np.searchsorted(offsets[places, 1], end, "left")])


def spans(start: np.ndarray, end: np.ndarray, allowed: np.ndarray, count: int, longest: int):
    """The likeliest answers of a window as (first token, last token, score), and the score of no
    answer. The first token, which stands for none, is in the softmax where it is allowed."""
    chance = []
    for logits in (start, end):
        logits = np.where(allowed, logits.astype(np.float32), _MASKED)
        exp = np.exp(logits - logits.max())
        chance.append(exp / exp.sum())
    nothing = float(chance[0][0] * chance[1][0])
    chance[0][0] = chance[1][0] = 0.0
    scores = np.tril(np.triu(np.outer(*chance)), longest - 1)
    flat = scores.ravel()
    best = np.argpartition(-flat, count)[:count] if count < len(flat) else np.arange(len(flat))
    best = best[np.argsort(-flat[best], kind="stable")]
    found = [
        (int(s), int(e), float(scores[s, e]))
        for s, e in zip(*np.unravel_index(best, scores.shape), strict=True)
        if allowed[s] and allowed[e]
    ]
    return found, nothing


def best_answer(start: np.ndarray, end: np.ndarray, inside: np.ndarray):
    """The likeliest answer of a window as (sum of logits, first token, last token)."""
    places = np.nonzero(inside)[0]
    if not len(places):
        return -np.inf, 0, 0
    scores = start[places, None] + end[None, places]
    keep = np.tril(np.triu(np.ones_like(scores, bool)), _LONGEST - 1)
    scores = np.where(keep, scores, -np.inf)
    first, last = np.unravel_index(scores.argmax(), scores.shape)
    return float(scores[first, last]), int(places[first]), int(places[last])


def _words(answer: str) -> list[str]:
    """What SQuAD compares: no case, signs of punctuation and articles."""
    text = "".join(c for c in answer.lower() if c not in string.punctuation)
    return re.sub(r"\b(a|an|the)\b", " ", text).split()


def _f1(found: list[str], right: list[str]) -> float:
    if not found or not right:
        return float(found == right)
    same = sum((collections.Counter(found) & collections.Counter(right)).values())
    return 2 * same / (len(found) + len(right))


def squad_measures(found: Sequence[str], right: Sequence[Sequence[str]]) -> dict[str, float]:
    """exact_match and f1, in percent, of answers against those that are right; an empty list of
    right ones asks for no answer."""
    exact = f1 = 0.0
    for answer, known in zip(found, right, strict=True):
        words = _words(answer)
        choices = [_words(text) for text in known if _words(text)] or [[]]
        exact += max(words == choice for choice in choices)
        f1 += max(_f1(words, choice) for choice in choices)
    return {"exact_match": 100 * exact / len(found), "f1": 100 * f1 / len(found)}
