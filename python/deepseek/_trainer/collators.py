# SPDX-License-Identifier: Apache-2.0
"""Collators: rows of lists as batches of tensors; names and arguments are transformers'."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from .. import _core
from ..data.sampler import draw_seed

_LABELS = ("labels", "label", "label_ids")
#: What fills up columns other than input_ids.
_FILLERS = {"labels": -100, "special_tokens_mask": 1}


def _is_row(value) -> bool:
    return isinstance(value, list | tuple) or getattr(value, "ndim", 0) > 0


def _array(values: Sequence, name: str = "labels") -> np.ndarray:
    """Numbers, lists or tensors of one shape, of the column `name`."""
    arrays = [np.asarray(v.numpy() if hasattr(v, "numpy") else v) for v in values]
    shapes = {array.shape for array in arrays}
    if len(shapes) > 1:
        raise _core.ValueError(
            f"collator: rows of '{name}' have the shapes {', '.join(map(str, sorted(shapes)))}; "
            "pass data_collator=DataCollatorWithPadding(tokenizer), or padding='max_length' to the "
            "tokenizer"
        )
    array = np.stack(arrays)
    return array.astype(np.float32) if array.dtype == np.float64 else array


def _as(batch: dict, kind: str) -> dict:
    """Tensors ("ds" or "pt") or arrays ("np")."""
    if kind not in ("ds", "pt", "np"):
        raise _core.ValueError(f"collator: return_tensors {kind!r} is unknown; use 'ds' or 'np'")
    if kind != "np":
        return batch
    return {k: v.numpy() if isinstance(v, _core.Tensor) else v for k, v in batch.items()}


def default_data_collator(features: Sequence, return_tensors: str = "ds") -> dict:
    """Stacks every column; label and label_ids become labels. Texts and None are left out."""
    rows = [row if isinstance(row, Mapping) else vars(row) for row in features]
    batch = {}
    for name, value in rows[0].items():
        if value is not None and not isinstance(value, str):
            key = "labels" if name in _LABELS else name
            batch[key] = _core.tensor(_array([row[name] for row in rows], name))
    return _as(batch, return_tensors)


@dataclass
class DefaultDataCollator:
    """default_data_collator() as a class."""

    return_tensors: str = "ds"

    def __call__(self, features: Sequence) -> dict:
        return default_data_collator(features, self.return_tensors)


def _filled(row, length: int, filler, left: bool) -> list:
    more = [filler] * (length - len(row))
    return more + list(row) if left else list(row) + more


@dataclass
class DataCollatorWithPadding:
    """Rows of token lists as tensors, padded to the longest row of the batch.

    tokenizer: names the padding token and its side; or the token's id. padding "max_length": to
    max_length. pad_to_multiple_of: lengths are rounded up, so that batches share few shapes, each
    of which is planned once. pad_labels: lists of labels may belong to the tokens."""

    tokenizer: object = 0
    padding: bool | str = True
    max_length: int | None = None
    pad_to_multiple_of: int | None = 8
    return_tensors: str = "ds"
    fillers: dict = field(default_factory=dict)
    pad_labels: bool = True

    @property
    def pad_token_id(self) -> int:
        if isinstance(self.tokenizer, int):
            return self.tokenizer
        found = getattr(self.tokenizer, "pad_token_id", None)
        return 0 if found is None else found

    def _length(self, longest: int) -> int:
        if self.padding == "max_length":
            if self.max_length is None:
                raise _core.ValueError(
                    f"{type(self).__name__}: padding='max_length' needs max_length"
                )
            return max(longest, self.max_length)
        multiple = self.pad_to_multiple_of or 1
        length = -(-longest // multiple) * multiple
        return max(longest, min(length, self.max_length or length))

    def _by_token(self, rows: Sequence[Mapping]) -> bool:
        """Whether labels belong to tokens, and not to the whole row, of which there are as many in
        every row."""
        sizes = {len(row["labels"]) for row in rows}
        each = all(len(row["labels"]) == len(row["input_ids"]) for row in rows)
        return self.pad_labels and (each or len(sizes) > 1)

    def __call__(self, rows: Sequence[Mapping]) -> dict:
        rows = [{"labels" if k in _LABELS else k: v for k, v in row.items()} for row in rows]
        length = self._length(max(len(row["input_ids"]) for row in rows))
        left = getattr(self.tokenizer, "padding_side", "right") == "left"
        fillers = {**_FILLERS, **self.fillers, "input_ids": self.pad_token_id}
        batch = {}
        for name, first in rows[0].items():
            values = [row[name] for row in rows]
            if first is None or isinstance(first, str):
                continue
            if name == "labels" and _is_row(first) and not self._by_token(rows):
                batch[name] = _core.tensor(_array(values))
                continue
            if _is_row(first):
                own = length
                if max(map(len, values)) > length:  # labels of another sequence
                    own = self._length(max(map(len, values)))
                values = [_filled(v, own, fillers.get(name, 0), left) for v in values]
            batch[name] = _core.tensor(_array(values, name))
        if "attention_mask" not in batch:
            mask = [_filled([1] * len(row["input_ids"]), length, 0, left) for row in rows]
            batch["attention_mask"] = _core.tensor(np.asarray(mask, dtype=np.int64))
        return _as(batch, self.return_tensors)


class DataCollatorForTokenClassification(DataCollatorWithPadding):
    """Pads labels, one for every token, beside the tokens; label_pad_token_id is not counted in the
    loss."""

    def __init__(
        self,
        tokenizer=0,
        padding: bool | str = True,
        max_length: int | None = None,
        pad_to_multiple_of: int | None = 8,
        label_pad_token_id: int = -100,
        return_tensors: str = "ds",
    ):
        fillers = {"labels": label_pad_token_id}
        super().__init__(
            tokenizer, padding, max_length, pad_to_multiple_of, return_tensors, fillers
        )


class DataCollatorForSeq2Seq(DataCollatorForTokenClassification):
    """Pads labels to their own longest row. model: the one that is trained; it makes its decoder's
    inputs of the labels itself."""

    def __init__(self, tokenizer=0, model=None, *args, **named):
        super().__init__(tokenizer, *args, **named)
        self.model = model

    def __call__(self, rows):
        kept = [{k: v for k, v in row.items() if k not in _LABELS} for row in rows]
        labels = [next((row[k] for k in _LABELS if row.get(k) is not None), None) for row in rows]
        batch = super().__call__(kept)
        if any(label is None for label in labels):
            return batch
        length = self._length(max(map(len, labels)))
        left = getattr(self.tokenizer, "padding_side", "right") == "left"
        filler = self.fillers["labels"]
        batch["labels"] = _core.tensor(
            _array([_filled(label, length, filler, left) for label in labels])
        )
        return _as(batch, self.return_tensors)


@dataclass
class DataCollatorForMultipleChoice:
    """Rows whose columns hold a list of tokens for each choice, and the number of the right one, as
    tensors [rows, choices, tokens]; arguments are those of DataCollatorWithPadding."""

    tokenizer: object = 0
    padding: bool | str = True
    max_length: int | None = None
    pad_to_multiple_of: int | None = 8
    return_tensors: str = "ds"

    def __call__(self, rows: Sequence[Mapping]) -> dict:
        counts = {len(row["input_ids"]) for row in rows}
        if len(counts) > 1:
            raise _core.ValueError(
                f"DataCollatorForMultipleChoice: rows have {sorted(counts)} choices; give all the "
                "same number"
            )
        label = next((n for n in _LABELS if n in rows[0]), None)
        lists = [n for n, v in rows[0].items() if _is_row(v) and n != label]
        flat = [{name: row[name][i] for name in lists} for row in rows for i in range(max(counts))]
        pad = DataCollatorWithPadding(
            self.tokenizer, self.padding, self.max_length, self.pad_to_multiple_of
        )
        batch = {
            name: values.reshape(len(rows), max(counts), -1) for name, values in pad(flat).items()
        }
        if label is not None:
            batch["labels"] = _core.tensor(np.asarray([int(row[label]) for row in rows]))
        return _as(batch, self.return_tensors)


@dataclass
class DataCollatorForLanguageModeling:
    """Labels for language models. mlm: of mlm_probability of the tokens, mask_replace_prob become
    the mask token and random_replace_prob another token, and only they are predicted; otherwise
    every token is. seed: of the choice; by default that of manual_seed()."""

    tokenizer: object
    mlm: bool = True
    mlm_probability: float | None = 0.15
    mask_replace_prob: float = 0.8
    random_replace_prob: float = 0.1
    pad_to_multiple_of: int | None = 8
    return_tensors: str = "ds"
    seed: int | None = None

    def __post_init__(self):
        if self.mlm and getattr(self.tokenizer, "mask_token", None) is None:
            raise _core.ValueError(
                "DataCollatorForLanguageModeling: the tokenizer has no mask token; pass mlm=False "
                "to predict the next token"
            )
        for name in ("mlm_probability", "mask_replace_prob", "random_replace_prob"):
            value = getattr(self, name)
            if self.mlm and (value is None or not 0 <= value <= 1):
                raise _core.ValueError(
                    f"DataCollatorForLanguageModeling: {name} {value!r} must be between 0 and 1"
                )
        if self.mask_replace_prob + self.random_replace_prob > 1:
            raise _core.ValueError(
                "DataCollatorForLanguageModeling: mask_replace_prob and random_replace_prob "
                "together must not be above 1"
            )
        self._random = None if self.seed is None else np.random.default_rng(self.seed)

    def __call__(self, rows: Sequence) -> dict:
        rows = [row if isinstance(row, Mapping) else {"input_ids": row} for row in rows]
        rows = [{k: v for k, v in row.items() if k not in _LABELS} for row in rows]
        pad = DataCollatorWithPadding(self.tokenizer, pad_to_multiple_of=self.pad_to_multiple_of)
        batch = pad(rows)
        special = batch.pop("special_tokens_mask", None)
        ids = batch["input_ids"].numpy().copy()
        if self.mlm:
            batch["labels"] = _core.tensor(self._mask(ids, special))
            batch["input_ids"] = _core.tensor(ids)
        else:
            ids[batch["attention_mask"].numpy() == 0] = -100
            batch["labels"] = _core.tensor(ids)
        return _as(batch, self.return_tensors)

    def _special_ids(self) -> list[int]:
        names = ("bos", "eos", "sep", "pad", "cls", "mask")
        found = (getattr(self.tokenizer, f"{name}_token_id", None) for name in names)
        return [i for i in found if i is not None]

    def _mask(self, ids: np.ndarray, special) -> np.ndarray:
        """Replaces tokens of `ids`; returns the labels."""
        random = self._random or np.random.default_rng(draw_seed())
        fixed = np.isin(ids, self._special_ids()) if special is None else special.numpy() != 0
        chosen = (random.random(ids.shape) < self.mlm_probability) & ~fixed
        labels = np.where(chosen, ids, -100)
        draw = random.random(ids.shape)
        ids[chosen & (draw < self.mask_replace_prob)] = self.tokenizer.mask_token_id
        other = chosen & (draw >= self.mask_replace_prob)
        other &= draw < self.mask_replace_prob + self.random_replace_prob
        ids[other] = random.integers(0, len(self.tokenizer), ids.shape)[other]
        return labels
