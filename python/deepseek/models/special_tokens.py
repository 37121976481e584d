# SPDX-License-Identifier: Apache-2.0
"""The vocabulary of a tokenizer: its special tokens, tokens that are added, words and ids."""

from collections.abc import Iterable, Mapping

from .. import _core

SPECIAL = (
    "bos_token",
    "eos_token",
    "unk_token",
    "sep_token",
    "pad_token",
    "cls_token",
    "mask_token",
)
#: Names under which lists of further special tokens are kept.
FURTHER = ("additional_special_tokens", "extra_special_tokens")


def _id_of(name: str) -> property:
    def get(self):
        token = getattr(self, name)
        return None if token is None else self._tokenizer.token_to_id(token)

    def set(self, value):
        token = None if value is None else self._tokenizer.id_to_token(int(value))
        if value is not None and token is None:
            raise _core.ValueError(
                f"tokenizer: {name}_id {value} is not below the {len(self)} ids of the vocabulary"
            )
        setattr(self, name, token)

    return property(get, set, doc=f"The id of {name}, None where there is none.")


def tokens_of(given) -> list:
    """Further special tokens: a list, or older files' {attribute: token}."""
    return list(given.values() if isinstance(given, Mapping) else given or ())


def text_of(token) -> str | None:
    """A special token is written as text, as {"content": text}, or as an AddedToken."""
    if isinstance(token, Mapping):
        return token.get("content")
    return getattr(token, "content", token)


class SpecialTokens:
    """Special tokens by name (bos_token, ..., their ids bos_token_id, ...) and what a vocabulary is
    asked."""

    def _set_special(self, special: Mapping[str, str], further: Iterable[str]) -> None:
        for name in SPECIAL:
            setattr(self, name, special.get(name))
        self.additional_special_tokens = list(further)
        self._tokenizer.add_special_tokens(
            list(dict.fromkeys(filter(None, [*special.values(), *further])))
        )

    def __len__(self) -> int:
        return self._tokenizer.get_vocab_size()

    def __bool__(self) -> bool:
        return True

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(vocab_size={self.vocab_size}, "
            f"model_max_length={self.model_max_length}, padding_side='{self.padding_side}', "
            f"truncation_side='{self.truncation_side}', special_tokens={self.special_tokens_map})"
        )

    @property
    def vocab_size(self) -> int:
        """Tokens without those that were added to the vocabulary."""
        return self._tokenizer.get_vocab_size(with_added_tokens=False)

    @property
    def special_tokens_map(self) -> dict[str, str | list[str]]:
        """The special tokens that are set, by name."""
        found = {name: getattr(self, name) for name in SPECIAL if getattr(self, name)}
        if self.additional_special_tokens:
            found[FURTHER[0]] = list(self.additional_special_tokens)
        return found

    @property
    def all_special_tokens(self) -> list[str]:
        """Every special token, once."""
        named = [getattr(self, name) for name in SPECIAL]
        return list(dict.fromkeys(filter(None, [*named, *self.additional_special_tokens])))

    @property
    def all_special_ids(self) -> list[int]:
        """The ids of all_special_tokens."""
        return self.convert_tokens_to_ids(self.all_special_tokens)

    @property
    def pad_token_type_id(self) -> int:
        """What fills up token_type_ids."""
        return 0

    @property
    def is_fast(self) -> bool:
        """True: words and characters of tokens are known."""
        return True

    @property
    def backend_tokenizer(self):
        """The tokenizer of the package `tokenizers`."""
        return self._tokenizer

    def get_vocab(self) -> dict[str, int]:
        """Ids by token."""
        return self._tokenizer.get_vocab()

    @property
    def vocab(self) -> dict[str, int]:
        """Ids by token."""
        return self.get_vocab()

    def get_added_vocab(self) -> dict[str, int]:
        """Ids of the tokens that were added to the vocabulary."""
        added = self._tokenizer.get_added_tokens_decoder()
        return {token.content: i for i, token in sorted(added.items())}

    def add_tokens(self, new_tokens, special_tokens: bool = False) -> int:
        """Adds tokens that the vocabulary has not; returns how many. Give the model rows for them:
        model.resize_token_embeddings(len(tokenizer))."""
        tokens = list(new_tokens) if isinstance(new_tokens, list | tuple) else [new_tokens]
        if special_tokens:
            return self._tokenizer.add_special_tokens(tokens)
        return self._tokenizer.add_tokens(tokens)

    def add_special_tokens(
        self, special_tokens_dict: Mapping, replace_extra_special_tokens: bool = True
    ) -> int:
        """Sets special tokens by name, such as {"pad_token": "[PAD]"}, and adds those that the
        vocabulary has not; returns how many. Lists are given as additional_special_tokens, in the
        place of those that there are or behind them."""
        for name in special_tokens_dict:
            if name not in (*SPECIAL, *FURTHER):
                raise _core.ValueError(
                    f"tokenizer: the special token '{name}' is unknown; there are "
                    f"{', '.join(SPECIAL)} and {FURTHER[0]}"
                )
        count = 0
        for name, token in special_tokens_dict.items():
            if name in SPECIAL:
                count += self.add_tokens([token], special_tokens=True)
                setattr(self, name, text_of(token))
        given = [name for name in FURTHER if name in special_tokens_dict]
        if given:  # behind those with a name, as in transformers
            tokens = [token for name in given for token in tokens_of(special_tokens_dict[name])]
            count += self.add_tokens(tokens, special_tokens=True)
            before = [] if replace_extra_special_tokens else self.additional_special_tokens
            self.additional_special_tokens = list(dict.fromkeys([*before, *map(text_of, tokens)]))
        return count

    def num_special_tokens_to_add(self, pair: bool = False) -> int:
        """How many special tokens a text, or a pair of them, gets."""
        return self._tokenizer.num_special_tokens_to_add(pair)

    @property
    def max_len_single_sentence(self) -> int | None:
        """Tokens of a text that fit beside the special ones; None without a limit."""
        limit = self.model_max_length
        return None if limit is None else limit - self.num_special_tokens_to_add()

    @property
    def max_len_sentences_pair(self) -> int | None:
        """Tokens of two texts that fit beside the special ones; None without a limit."""
        limit = self.model_max_length
        return None if limit is None else limit - self.num_special_tokens_to_add(True)

    def get_special_tokens_mask(
        self, token_ids_0, token_ids_1=None, already_has_special_tokens: bool = False
    ) -> list[int]:
        """1 for each special token of ids that hold them, 0 for the others."""
        if not already_has_special_tokens or token_ids_1 is not None:
            raise _core.ValueError(
                "tokenizer: get_special_tokens_mask() takes ids with their special tokens; pass "
                "already_has_special_tokens=True, or return_special_tokens_mask=True to the "
                "tokenizer"
            )
        special = set(self.all_special_ids)
        return [int(i in special) for i in token_ids_0]

    def convert_tokens_to_ids(self, tokens):
        """The id of a token, or of each in a list; that of unk_token for an unknown one."""
        if isinstance(tokens, str):
            found = self._tokenizer.token_to_id(tokens)
            return self.unk_token_id if found is None else found
        return [self.convert_tokens_to_ids(token) for token in tokens]

    def convert_ids_to_tokens(self, ids, skip_special_tokens: bool = False):
        """The token of an id, or of each in a list."""
        if isinstance(ids, int):
            return self._tokenizer.id_to_token(ids)
        left_out = set(self.all_special_ids) if skip_special_tokens else ()
        return [self._tokenizer.id_to_token(int(i)) for i in ids if int(i) not in left_out]

    def convert_tokens_to_string(self, tokens: list[str]) -> str:
        """The text of tokens."""
        decoder = self._tokenizer.decoder
        return " ".join(tokens) if decoder is None else decoder.decode(list(tokens))


for _name in SPECIAL:
    setattr(SpecialTokens, f"{_name}_id", _id_of(_name))
