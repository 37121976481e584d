# SPDX-License-Identifier: Apache-2.0
"""A tokenizer like another one, with the vocabulary of other texts."""

import copy
import json
import sys
from collections.abc import Iterable

from .. import _core
from .special_tokens import text_of

#: Classes that train a kind of model, by its name in tokenizer.json.
_TRAINERS = {
    "BPE": "BpeTrainer",
    "Unigram": "UnigramTrainer",
    "WordLevel": "WordLevelTrainer",
    "WordPiece": "WordPieceTrainer",
}


class TrainingMixin:
    """train_new_from_iterator() of a tokenizer."""

    def train_new_from_iterator(
        self,
        text_iterator: Iterable,
        vocab_size: int,
        length: int | None = None,
        new_special_tokens: Iterable[str] | None = None,
        **options,
    ):
        """A tokenizer that splits texts as this one does, and has its special tokens, whose
        vocabulary of at most vocab_size tokens is made of other texts: an iterator of texts or of
        lists of them, `length` of which only progress needs. options are those of the trainers of
        the package `tokenizers`."""
        import tokenizers

        parts = json.loads(self._tokenizer.to_str())
        added, behind = parts.pop("added_tokens"), parts.pop("post_processor")
        kind = parts["model"]["type"]
        if kind not in _TRAINERS:
            raise _core.NotImplementedError(
                f"tokenizer: a model of the kind {kind} can not be trained; only "
                f"{', '.join(_TRAINERS)}"
            )
        further = list(new_special_tokens or ())
        kept = [_token(t) for t in added if t["special"] or kind == "Unigram"]
        new = tokenizers.Tokenizer.from_str(json.dumps(_emptied(parts, options)))
        options.setdefault("show_progress", sys.stderr.isatty())
        trainer = getattr(tokenizers.trainers, _TRAINERS[kind])(
            vocab_size=vocab_size, special_tokens=[*kept, *further], **options
        )
        new.train_from_iterator(text_iterator, trainer=trainer, length=length)
        if behind is not None:
            _renumber(behind, new)
            whole = {**json.loads(new.to_str()), "post_processor": behind}
            new = tokenizers.Tokenizer.from_str(json.dumps(whole))
        made = copy.copy(self)
        made._tokenizer, made.name_or_path = new, ""
        named = [*self.additional_special_tokens, *map(text_of, further)]
        made.additional_special_tokens = list(dict.fromkeys(named))
        return made


def _token(described: dict):
    """A token that was added, without its number."""
    import tokenizers

    return tokenizers.AddedToken(**{k: v for k, v in described.items() if k != "id"})


def _emptied(parts: dict, options: dict) -> dict:
    """The tokenizer without its vocabulary; adds what the trainer has to know of it to options."""
    import tokenizers

    model = parts["model"]
    if model["type"] == "Unigram":
        unknown = model["unk_id"]
        if unknown is not None:
            token = model["vocab"][unknown][0]
            options.setdefault("unk_token", token)
            model.update(unk_id=0, vocab=[[token, 0.0]])
        return parts
    model["vocab"] = {}
    if model["type"] == "BPE":
        model["merges"] = []
        for name in ("continuing_subword_prefix", "end_of_word_suffix"):
            if model.get(name) is not None:
                options.setdefault(name, model[name])
    if "ByteLevel" in json.dumps(parts["pre_tokenizer"]):
        alphabet = tokenizers.pre_tokenizers.ByteLevel.alphabet()
        options.setdefault("initial_alphabet", alphabet)
    return parts


def _renumber(processor: dict, tokenizer) -> None:
    """Gives the special tokens around a text the numbers that they have now."""
    for inner in processor.get("processors", ()):
        _renumber(inner, tokenizer)
    for token in (processor.get("special_tokens") or {}).values():
        token["ids"] = [tokenizer.token_to_id(t) for t in token["tokens"]]
    for name in ("cls", "sep"):
        if name in processor:
            processor[name][1] = tokenizer.token_to_id(processor[name][0])
