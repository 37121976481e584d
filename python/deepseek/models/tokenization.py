# SPDX-License-Identifier: Apache-2.0
"""Tokenizers of pretrained models, over the package `tokenizers`."""

import json
import os
from collections import UserDict
from pathlib import Path

import numpy as np

from .. import _core
from .._whole_file import write_text
from ..hub import PushToHubMixin
from . import chat
from ._files import find_optional, read_json, read_text, split_hub_arguments

_SPECIAL = (
    "bos_token",
    "eos_token",
    "unk_token",
    "sep_token",
    "pad_token",
    "cls_token",
    "mask_token",
)
_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "config.json",
    chat.FILE,
)
#: Special tokens of families whose files do not name them.
_BERT = {
    "unk_token": "[UNK]",
    "sep_token": "[SEP]",
    "pad_token": "[PAD]",
    "cls_token": "[CLS]",
    "mask_token": "[MASK]",
}
_GPT2 = {"unk_token": "<|endoftext|>", "bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>"}
#: "No limit" is written as a huge number in tokenizer_config.json.
_NO_LIMIT = 10**20


class BatchEncoding(UserDict):
    """input_ids, attention_mask and so on, as keys and as attributes; `**batch` calls a model.
    encodings: what the package `tokenizers` made of each row."""

    def __init__(self, data=None, encodings=()):
        super().__init__(data)
        self.encodings = encodings

    def __getattr__(self, name: str):
        if name != "data" and name in self.data:
            return self.data[name]
        raise AttributeError(f"the encoding has no '{name}'")

    def sequence_ids(self, batch_index: int = 0) -> list[int | None]:
        """For each token of a row the text it is of: 0, 1 or None for special ones."""
        return self.encodings[batch_index].sequence_ids

    def word_ids(self, batch_index: int = 0) -> list[int | None]:
        """For each token of a row the number of its word, None for special ones."""
        return self.encodings[batch_index].word_ids

    def char_to_token(self, batch_index: int, char_index: int, sequence_index: int = 0):
        """The token of a row that holds a character of one of its texts; None outside of it."""
        return self.encodings[batch_index].char_to_token(char_index, sequence_index)

    def to(self, device):
        """The same on a device."""
        return BatchEncoding(
            {k: v.to(device) if isinstance(v, _core.Tensor) else v for k, v in self.data.items()},
            self.encodings,
        )


def _backend():
    try:
        import tokenizers
    except ImportError as error:
        raise _core.NotImplementedError(
            "tokenizer: the package `tokenizers` is not installed; run pip install tokenizers"
        ) from error
    return tokenizers


def _text_of(token) -> str | None:
    """A special token is written as text or as {"content": text}."""
    return token.get("content") if isinstance(token, dict) else token


def _from_vocabulary(files: dict[str, Path], settings: dict):
    """A tokenizer from the files that came before tokenizer.json."""
    library = _backend()
    if "vocab.txt" in files:
        from tokenizers.implementations import BertWordPieceTokenizer

        made = BertWordPieceTokenizer(
            str(files["vocab.txt"]),
            lowercase=settings.get("do_lower_case", True),
            handle_chinese_chars=settings.get("tokenize_chinese_chars", True),
            strip_accents=settings.get("strip_accents"),
        )
        return made._tokenizer, _BERT
    model = library.models.BPE.from_file(str(files["vocab.json"]), str(files["merges.txt"]))
    made = library.Tokenizer(model)
    space = settings.get("add_prefix_space", False)
    made.pre_tokenizer = library.pre_tokenizers.ByteLevel(add_prefix_space=space)
    made.decoder = library.decoders.ByteLevel()
    return made, _GPT2


def _from_files(name, files: dict[str, Path], settings: dict):
    library = _backend()
    try:
        if "tokenizer.json" in files:
            return library.Tokenizer.from_file(str(files["tokenizer.json"])), {}
        if "vocab.txt" in files or {"vocab.json", "merges.txt"} <= set(files):
            return _from_vocabulary(files, settings)
    except Exception as error:  # the package raises bare Exceptions
        raise _core.FileFormatError(f"tokenizer of {name}: {error}") from error
    raise _core.IOError(
        f"{name} has no tokenizer; expected tokenizer.json, vocab.txt, or "
        "vocab.json and merges.txt"
    )


class PreTrainedTokenizer(chat.ChatMixin, PushToHubMixin):
    """Turns texts into ids and back; arguments as in transformers."""

    def __init__(
        self,
        tokenizer,
        special: dict[str, str] | None = None,
        model_max_length: int | None = None,
        padding_side: str = "right",
        truncation_side: str = "right",
        token_types: bool = False,
    ):
        self._tokenizer = tokenizer
        special = special or {}
        for name in _SPECIAL:
            setattr(self, name, special.get(name))
        self.model_max_length = model_max_length
        self.padding_side, self.truncation_side = padding_side, truncation_side
        self.model_input_names = [
            "input_ids",
            *(["token_type_ids"] if token_types else []),
            "attention_mask",
        ]
        tokenizer.add_special_tokens(list(dict.fromkeys(filter(None, special.values()))))

    @classmethod
    def from_pretrained(cls, name: str | os.PathLike, **arguments):
        """The tokenizer of a folder or a model of a hub: tokenizer.json, vocab.txt, or vocab.json
        and merges.txt. Other arguments replace settings of tokenizer_config.json."""
        hub, changes = split_hub_arguments(arguments)
        files = {file: path for file in _FILES if (path := find_optional(name, file, **hub))}
        read = {
            file: read_json(path)
            for file, path in files.items()
            if file in ("tokenizer_config.json", "special_tokens_map.json", "config.json")
        }
        settings = {
            **read.get("special_tokens_map.json", {}),
            **read.get("tokenizer_config.json", {}),
            **changes,
        }
        tokenizer, special = _from_files(name, files, settings)
        special = {
            **special,
            **{key: _text_of(settings[key]) for key in _SPECIAL if settings.get(key) is not None},
        }
        templates = {"default": files[chat.FILE]} if chat.FILE in files else {}
        if Path(name).is_dir():  # a hub does not list the files of a folder
            templates.update((f.stem, f) for f in sorted(Path(name, chat.FOLDER).glob("*.jinja")))
        limit = settings.get("model_max_length")
        names = settings.get("model_input_names")
        if names is None:
            kind = (
                settings.get("tokenizer_class")
                or read.get("config.json", {}).get("model_type")
                or ("bert" if "vocab.txt" in files else "")
            )
            types = kind.lower().startswith("bert")
        else:
            types = "token_type_ids" in names
        made = cls(
            tokenizer,
            special,
            None if limit is None or limit > _NO_LIMIT else int(limit),
            settings.get("padding_side", "right"),
            settings.get("truncation_side", "right"),
            types,
        )
        made.chat_template = chat.templates_of(
            settings, {key: read_text(path) for key, path in templates.items()}
        )
        return made

    def save_pretrained(self, folder: str | os.PathLike) -> None:
        """Writes tokenizer.json, tokenizer_config.json and chat templates. transformers reads
        them."""
        folder = Path(folder)
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        settings: dict = self.special_tokens_map
        settings.update(
            model_max_length=self.model_max_length or _NO_LIMIT * 10**10,
            padding_side=self.padding_side,
            truncation_side=self.truncation_side,
            model_input_names=self.model_input_names,
            tokenizer_class="PreTrainedTokenizerFast",
        )
        files = {
            "tokenizer.json": self._tokenizer.to_str(pretty=True),
            "tokenizer_config.json": json.dumps(settings, indent=2),
        }
        templates = self.chat_template or {}
        for key, text in (
            {"default": templates} if isinstance(templates, str) else templates
        ).items():
            files[chat.FILE if key == "default" else f"{chat.FOLDER}/{key}.jinja"] = text
        for file, text in files.items():
            path = folder / file
            path.parent.mkdir(parents=True, exist_ok=True)
            write_text(path, text)

    def __len__(self) -> int:
        return self._tokenizer.get_vocab_size()

    @property
    def vocab_size(self) -> int:
        """Tokens without those that were added to the vocabulary."""
        return self._tokenizer.get_vocab_size(with_added_tokens=False)

    @property
    def special_tokens_map(self) -> dict[str, str]:
        """The special tokens that are set, by name."""
        return {name: getattr(self, name) for name in _SPECIAL if getattr(self, name)}

    def get_vocab(self) -> dict[str, int]:
        """Ids by token."""
        return self._tokenizer.get_vocab()

    def __getattr__(self, name: str):
        if name.endswith("_token_id") and name.removesuffix("_id") in _SPECIAL:
            token = getattr(self, name.removesuffix("_id"))
            return None if token is None else self._tokenizer.token_to_id(token)
        raise AttributeError(f"the tokenizer has no '{name}'")

    def _prepare(self, padding, truncation, max_length, multiple, stride=0) -> None:
        """Sets the package's padding and truncation for the next call."""
        limit = max_length or self.model_max_length
        if truncation and truncation != "do_not_truncate" and limit:
            strategy = "longest_first" if truncation is True else truncation
            if not 0 <= stride < limit:
                raise _core.ValueError(
                    f"tokenizer: stride is {stride}; use at least 0 and less than the {limit} "
                    "tokens of max_length"
                )
            self._tokenizer.enable_truncation(
                limit, stride=stride, strategy=strategy, direction=self.truncation_side
            )
        else:
            self._tokenizer.no_truncation()
        if padding in (False, "do_not_pad", None):
            self._tokenizer.no_padding()
            return
        if padding not in (True, "longest", "max_length"):
            raise _core.ValueError(
                f"tokenizer: padding {padding!r} is unknown; use True, " "'longest' or 'max_length'"
            )
        if self.pad_token is None:
            raise _core.ValueError(
                "tokenizer: there is no padding token; set tokenizer.pad_token, "
                "for example to tokenizer.eos_token"
            )
        self._tokenizer.enable_padding(
            direction=self.padding_side,
            pad_id=self.pad_token_id,
            pad_token=self.pad_token,
            length=limit if padding == "max_length" else None,
            pad_to_multiple_of=multiple,
        )

    def __call__(
        self,
        text,
        text_pair=None,
        *,
        add_special_tokens: bool = True,
        padding=False,
        truncation=False,
        max_length: int | None = None,
        stride: int = 0,
        pad_to_multiple_of: int | None = None,
        return_tensors: str | None = None,
        return_token_type_ids: bool | None = None,
        return_attention_mask: bool | None = None,
        return_overflowing_tokens: bool = False,
        return_special_tokens_mask: bool = False,
        return_offsets_mapping: bool = False,
    ) -> BatchEncoding:
        """Ids and masks of a text or a list of texts, each with a second one when text_pair is
        given. return_tensors: "ds" (or "pt") for tensors, "np" for NumPy arrays, None for lists.
        return_overflowing_tokens: what truncation cuts becomes rows of its own, which share stride
        tokens with the row before; overflow_to_sample_mapping names their text. ValueError when
        texts of different lengths are to become one tensor."""
        single = isinstance(text, str)
        texts, pairs = ([text], [text_pair]) if single else (list(text), text_pair)
        pairs = list(pairs) if pairs is not None else [None] * len(texts)
        if len(pairs) != len(texts):
            raise _core.ValueError(f"tokenizer: {len(texts)} texts and {len(pairs)} second texts")
        for item in (*texts, *pairs):
            if not isinstance(item, str) and not (item is None and item in pairs):
                raise _core.ValueError(f"tokenizer: a text is expected, not {item!r}")
        self._prepare(padding, truncation, max_length, pad_to_multiple_of, stride)
        rows = [a if b is None else (a, b) for a, b in zip(texts, pairs, strict=True)]
        found, sample = [], []
        for i, e in enumerate(self._encode(rows, add_special_tokens)):
            found += [e, *e.overflowing] if return_overflowing_tokens else [e]
            sample += [i] * (len(found) - len(sample))
        types = (
            "token_type_ids" in self.model_input_names
            if return_token_type_ids is None
            else return_token_type_ids
        )
        result = {"input_ids": [e.ids for e in found]}
        if types:
            result["token_type_ids"] = [e.type_ids for e in found]
        if return_attention_mask is not False:
            result["attention_mask"] = [e.attention_mask for e in found]
        if return_special_tokens_mask:
            result["special_tokens_mask"] = [e.special_tokens_mask for e in found]
        if return_offsets_mapping:
            result["offset_mapping"] = [e.offsets for e in found]
        if return_overflowing_tokens:
            result["overflow_to_sample_mapping"] = sample
        if return_tensors is None:
            first = single and not return_overflowing_tokens
            return BatchEncoding({k: v[0] for k, v in result.items()} if first else result, found)
        return BatchEncoding({k: _array(v, return_tensors) for k, v in result.items()}, found)

    def _encode(self, rows, add_special_tokens: bool):
        try:
            return self._tokenizer.encode_batch(rows, add_special_tokens=add_special_tokens)
        except BaseException as error:  # the package raises bare Exceptions, and panics
            if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
                raise
            raise _core.ValueError(f"tokenizer: {error}") from error

    def encode(self, text: str, text_pair: str | None = None, **arguments) -> list[int]:
        """The ids of one text."""
        return self(text, text_pair, **arguments).input_ids

    def tokenize(self, text: str) -> list[str]:
        """The tokens of a text, without special ones."""
        self._prepare(False, False, None, None)
        return self._tokenizer.encode(text, add_special_tokens=False).tokens

    def decode(self, ids, skip_special_tokens: bool = False) -> str:
        """The text of ids."""
        ids = ids.tolist() if hasattr(ids, "tolist") else ids
        ids = [ids] if isinstance(ids, int) else list(ids)
        return self._tokenizer.decode(ids, skip_special_tokens=skip_special_tokens)

    def batch_decode(self, rows, skip_special_tokens: bool = False) -> list[str]:
        """The texts of rows of ids."""
        rows = rows.tolist() if hasattr(rows, "tolist") else rows
        return [self.decode(row, skip_special_tokens) for row in rows]

    def convert_tokens_to_ids(self, tokens):
        """The id of a token, or of each in a list; that of unk_token for an unknown one."""
        if isinstance(tokens, str):
            found = self._tokenizer.token_to_id(tokens)
            return self.unk_token_id if found is None else found
        return [self.convert_tokens_to_ids(token) for token in tokens]

    def convert_ids_to_tokens(self, ids):
        """The token of an id, or of each in a list."""
        if isinstance(ids, int):
            return self._tokenizer.id_to_token(ids)
        return [self._tokenizer.id_to_token(int(i)) for i in ids]


def _array(rows: list, kind: str):
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


#: Tokenizers of users' own models, by model type.
_OWN: dict[str, type] = {}


class AutoTokenizer:
    """The tokenizer of a model."""

    @staticmethod
    def register(
        config_class: type,
        slow_tokenizer_class: type | None = None,
        fast_tokenizer_class: type | None = None,
        exist_ok: bool = False,
    ) -> None:
        """Makes a class of your own, the second where there are both, read the tokenizers of models
        with this configuration; it has from_pretrained()."""
        made = fast_tokenizer_class or slow_tokenizer_class
        if made is None:
            raise _core.ValueError("AutoTokenizer.register: give a tokenizer class")
        kind = config_class.model_type
        if _OWN.get(kind, made) is not made and not exist_ok:
            raise _core.ValueError(
                f"AutoTokenizer.register: {config_class.__name__} has {_OWN[kind].__name__} "
                "already; pass exist_ok=True to replace it"
            )
        _OWN[kind] = made

    @staticmethod
    def from_pretrained(name: str | os.PathLike, **arguments) -> PreTrainedTokenizer:
        """As PreTrainedTokenizer.from_pretrained()."""
        made = PreTrainedTokenizer
        if _OWN:
            hub, _ = split_hub_arguments(arguments)
            path = find_optional(name, "config.json", **hub)
            made = _OWN.get((read_json(path) if path else {}).get("model_type"), made)
        return made.from_pretrained(name, **arguments)
