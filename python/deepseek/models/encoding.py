# SPDX-License-Identifier: Apache-2.0
"""What tokenizers return: ids and masks by name, and which token is of which word and character."""

from collections import UserDict
from typing import NamedTuple

import numpy as np

from .. import _core


class CharSpan(NamedTuple):
    """Characters from start up to end, which is behind the last."""

    start: int
    end: int


class TokenSpan(NamedTuple):
    """Tokens from start up to end, which is behind the last."""

    start: int
    end: int


def _span(kind: type, pair: tuple[int, int] | None):
    return None if pair is None else kind(*pair)


class BatchEncoding(UserDict):
    """input_ids, attention_mask and so on, as keys and as attributes; `**batch` calls a model.
    encodings: what the package `tokenizers` made of each row; an index gives that of a row.

    Methods that take a row and a place in it take the place alone too, for the first row."""

    def __init__(self, data=None, encodings=()):
        super().__init__(data)
        self.encodings = encodings

    def __getattr__(self, name: str):
        if name != "data" and name in self.data:
            return self.data[name]
        raise AttributeError(f"the encoding has no '{name}'")

    def __getitem__(self, key):
        return self._row(key) if isinstance(key, int | slice) else super().__getitem__(key)

    def _row(self, index: int | slice):
        if not self.encodings:
            raise _core.ValueError(
                "encoding: its rows are known where a tokenizer made it, not after pad()"
            )
        return self.encodings[index]

    @property
    def is_fast(self) -> bool:
        """Whether words and characters of tokens are known."""
        return bool(self.encodings)

    def tokens(self, batch_index: int = 0) -> list[str]:
        """The tokens of a row, as text."""
        return self._row(batch_index).tokens

    def sequence_ids(self, batch_index: int = 0) -> list[int | None]:
        """For each token of a row the text it is of: 0, 1 or None for special ones."""
        return self._row(batch_index).sequence_ids

    def word_ids(self, batch_index: int = 0) -> list[int | None]:
        """For each token of a row the number of its word, None for special ones."""
        return self._row(batch_index).word_ids

    def _at(self, row: int, place: int | None, tokens: bool = False):
        """The encoding of a row and a place in it; a token counts from the end where it is below
        0."""
        row, place = (0, row) if place is None else (row, place)
        found = self._row(row)
        return found, place + len(found.ids) if tokens and place < 0 else place

    def token_to_sequence(self, row: int, token: int | None = None) -> int | None:
        """The text that a token is of: 0, 1 or None for special ones."""
        found, place = self._at(row, token, True)
        return found.token_to_sequence(place)

    def token_to_word(self, row: int, token: int | None = None) -> int | None:
        """The number of the word that a token is of."""
        found, place = self._at(row, token, True)
        return found.token_to_word(place)

    def token_to_chars(self, row: int, token: int | None = None) -> CharSpan | None:
        """The characters of its text that a token stands for."""
        found, place = self._at(row, token, True)
        pair = found.token_to_chars(place)
        return _span(CharSpan, pair and (pair[1] if isinstance(pair[1], tuple) else pair))

    def word_to_tokens(
        self, row: int, word: int | None = None, sequence_index: int = 0
    ) -> TokenSpan | None:
        """The tokens of a word."""
        found, place = self._at(row, word)
        return _span(TokenSpan, found.word_to_tokens(place, sequence_index))

    def word_to_chars(
        self, row: int, word: int | None = None, sequence_index: int = 0
    ) -> CharSpan | None:
        """The characters of a word."""
        found, place = self._at(row, word)
        return _span(CharSpan, found.word_to_chars(place, sequence_index))

    def char_to_token(self, row: int, char: int | None = None, sequence_index: int = 0):
        """The token that holds a character of one of the texts; None outside of it."""
        found, place = self._at(row, char)
        return found.char_to_token(place, sequence_index)

    def char_to_word(self, row: int, char: int | None = None, sequence_index: int = 0):
        """The word that holds a character of one of the texts; None outside of it."""
        found, place = self._at(row, char)
        return found.char_to_word(place, sequence_index)

    def convert_to_tensors(self, tensor_type: str | None = None):
        """Turns its lists into tensors ("ds" or "pt") or arrays ("np"), in place."""
        if tensor_type is not None:
            self.data = {name: as_array(rows, tensor_type) for name, rows in self.data.items()}
        return self

    def to(self, device):
        """The same on a device."""
        return BatchEncoding(
            {k: v.to(device) if isinstance(v, _core.Tensor) else v for k, v in self.data.items()},
            self.encodings,
        )


def as_array(rows: list, kind: str):
    """Lists of numbers as a tensor or an array; ValueError for lists of different lengths."""
    if kind not in ("ds", "pt", "np"):
        raise _core.ValueError(f"tokenizer: return_tensors '{kind}' is unknown; use 'ds' or 'np'")
    nested = bool(rows) and isinstance(rows[0], list)
    if nested and len({len(row) for row in rows}) > 1:
        raise _core.ValueError(
            "tokenizer: the texts have different lengths; pass padding=True to "
            "make one tensor of them, and truncation=True to limit it"
        )
    array = np.asarray(rows, dtype=np.int64)
    return array if kind == "np" else _core.tensor(array)
