# SPDX-License-Identifier: Apache-2.0
"""Tokenizers of pretrained models, over the package `tokenizers`."""

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from .. import _core
from .._whole_file import write_text
from ..hub import PushToHubMixin
from . import _sentence_piece, chat
from ._files import find_optional, read_json, read_text, split_hub_arguments
from .encoding import BatchEncoding
from .special_tokens import FURTHER, SPECIAL, SpecialTokens, text_of, tokens_of
from .tokenizer_training import TrainingMixin

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


def _backend():
    try:
        import tokenizers
    except ImportError as error:
        raise _core.NotImplementedError(
            "tokenizer: the package `tokenizers` is not installed; run pip install tokenizers"
        ) from error
    return tokenizers


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


def _from_files(name, files: dict[str, Path], settings: dict, kind: str):
    library = _backend()
    try:
        if "tokenizer.json" in files:
            return library.Tokenizer.from_file(str(files["tokenizer.json"])), {}
        if "vocab.txt" in files or {"vocab.json", "merges.txt"} <= set(files):
            return _from_vocabulary(files, settings)
        for file in _sentence_piece.FILES:
            if file in files:
                return _sentence_piece.read_sentence_piece(library, files[file], kind, settings)
    except _core.Error:
        raise
    except Exception as error:  # the package raises bare Exceptions
        raise _core.FileFormatError(f"tokenizer of {name}: {error}") from error
    raise _core.IOError(
        f"{name} has no tokenizer; expected tokenizer.json, vocab.txt, vocab.json and merges.txt, "
        f"or one of {', '.join(_sentence_piece.FILES)}"
    )


class PreTrainedTokenizer(SpecialTokens, TrainingMixin, chat.ChatMixin, PushToHubMixin):
    """Turns texts into ids and back; arguments as in transformers."""

    #: Where it came from.
    name_or_path = ""

    def __init__(
        self,
        tokenizer,
        special: dict[str, str] | None = None,
        model_max_length: int | None = None,
        padding_side: str = "right",
        truncation_side: str = "right",
        token_types: bool = False,
        additional_special_tokens: Iterable[str] = (),
    ):
        self._tokenizer = tokenizer
        self._set_special(special or {}, additional_special_tokens)
        self.model_max_length = model_max_length
        self.padding_side, self.truncation_side = padding_side, truncation_side
        self.model_input_names = [
            "input_ids",
            *(["token_type_ids"] if token_types else []),
            "attention_mask",
        ]

    @classmethod
    def from_pretrained(cls, name: str | os.PathLike, **arguments):
        """The tokenizer of a folder or a model of a hub: tokenizer.json, vocab.txt, vocab.json
        and merges.txt, or a Unigram model of SentencePiece of T5, DeBERTa, XLM-RoBERTa or PEGASUS.
        Other arguments replace settings of tokenizer_config.json."""
        hub, changes = split_hub_arguments(arguments)
        files = {file: path for file in _FILES if (path := find_optional(name, file, **hub))}
        if not {"tokenizer.json", "vocab.txt", "vocab.json"} & set(files):
            for file in _sentence_piece.FILES:
                if path := find_optional(name, file, **hub):
                    files[file] = path
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
        kind = (
            settings.get("tokenizer_class")
            or read.get("config.json", {}).get("model_type")
            or ("bert" if "vocab.txt" in files else "")
        )
        tokenizer, special = _from_files(name, files, settings, kind)
        special = {
            **special,
            **{key: text_of(settings[key]) for key in SPECIAL if settings.get(key) is not None},
        }
        further = [text_of(token) for name in FURTHER for token in tokens_of(settings.get(name))]
        templates = {"default": files[chat.FILE]} if chat.FILE in files else {}
        if Path(name).is_dir():  # a hub does not list the files of a folder
            templates.update((f.stem, f) for f in sorted(Path(name, chat.FOLDER).glob("*.jinja")))
        limit = settings.get("model_max_length")
        names = settings.get("model_input_names")
        if names is None:
            types = kind.lower().startswith(("bert", "deberta"))
        else:
            types = "token_type_ids" in names
        made = cls(
            tokenizer,
            special,
            None if limit is None or limit > _NO_LIMIT else int(limit),
            settings.get("padding_side", "right"),
            settings.get("truncation_side", "right"),
            types,
            dict.fromkeys(further),
        )
        made.name_or_path = os.fspath(name)
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
            if not chat.is_file_name(key):
                raise _core.ValueError(
                    f"save_pretrained: the chat template's name {key!r} is no name of a file; use "
                    "letters, digits, '_', '-' and '.'"
                )
            files[chat.FILE if key == "default" else f"{chat.FOLDER}/{key}.jinja"] = text
        for file, text in files.items():
            path = folder / file
            path.parent.mkdir(parents=True, exist_ok=True)
            write_text(path, text)

    def _prepare(self, padding, truncation, max_length, multiple, stride=0, side=None) -> None:
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
        if not self._pads(padding):
            self._tokenizer.no_padding()
            return
        self._tokenizer.enable_padding(
            direction=side or self.padding_side,
            pad_id=self.pad_token_id,
            pad_token=self.pad_token,
            length=limit if padding == "max_length" else None,
            pad_to_multiple_of=multiple,
        )

    def _pads(self, padding) -> bool:
        """Whether `padding` asks for some; ValueError where it cannot be."""
        if padding in (False, "do_not_pad", None):
            return False
        if padding not in (True, "longest", "max_length"):
            raise _core.ValueError(
                f"tokenizer: padding {padding!r} is unknown; use True, 'longest' or 'max_length'"
            )
        if self.pad_token is None:
            raise _core.ValueError(
                "tokenizer: there is no padding token; set tokenizer.pad_token, "
                "for example to tokenizer.eos_token"
            )
        if self.pad_token_id is None:
            raise _core.ValueError(
                f"tokenizer: the padding token {self.pad_token!r} is not in the vocabulary; call "
                f"tokenizer.add_special_tokens({{'pad_token': {self.pad_token!r}}}) and "
                "model.resize_token_embeddings(len(tokenizer))"
            )
        return True

    def __call__(
        self,
        text=None,
        text_pair=None,
        text_target=None,
        text_pair_target=None,
        *,
        add_special_tokens: bool = True,
        padding=False,
        truncation=False,
        max_length: int | None = None,
        stride: int = 0,
        is_split_into_words: bool = False,
        pad_to_multiple_of: int | None = None,
        padding_side: str | None = None,
        return_tensors: str | None = None,
        return_token_type_ids: bool | None = None,
        return_attention_mask: bool | None = None,
        return_overflowing_tokens: bool = False,
        return_special_tokens_mask: bool = False,
        return_offsets_mapping: bool = False,
        return_length: bool = False,
    ) -> BatchEncoding:
        """Ids and masks of a text or a list of texts, each with a second one when text_pair is
        given or the list holds pairs. is_split_into_words: a text is a list of words; word_ids() of
        the result says which of them a token is of. text_target: what is to be written; its ids
        are the labels. return_tensors: "ds" (or "pt") for tensors, "np" for NumPy arrays, None for
        lists. return_overflowing_tokens: what truncation cuts becomes rows of its own, which share
        stride tokens with the row before; overflow_to_sample_mapping names their text.
        return_length: also the tokens of each row. ValueError when texts of different lengths are
        to become one tensor."""
        options = {
            name: value
            for name, value in locals().items()
            if name not in ("self", "text", "text_pair", "text_target", "text_pair_target")
        }
        if text is None and text_target is None:
            raise _core.ValueError("tokenizer: give a text, or text_target")
        if text is None:
            return self._encoding(text_target, text_pair_target, **options)
        made = self._encoding(text, text_pair, **options)
        if text_target is not None:
            target = self._encoding(text_target, text_pair_target, **options)
            made["labels"] = target["input_ids"]
        return made

    def _rows(self, text, pair, words: bool) -> tuple[list, bool]:
        """What the package encodes: texts and pairs of them; whether it is one alone."""
        single = isinstance(text, str) or (words and not _lists(text))
        texts, pairs = ([text], [pair]) if single else (list(text), pair)
        if pairs is None and not words and _lists(texts):
            if any(len(row) != 2 for row in texts):
                raise _core.ValueError(
                    "tokenizer: a list of lists is read as pairs of texts, and one has not two; "
                    "pass is_split_into_words=True where texts are lists of words"
                )
            texts, pairs = (list(part) for part in zip(*texts, strict=True))
        pairs = list(pairs) if pairs is not None else [None] * len(texts)
        if len(pairs) != len(texts):
            raise _core.ValueError(f"tokenizer: {len(texts)} texts and {len(pairs)} second texts")
        for item in (*texts, *(pair for pair in pairs if pair is not None)):
            _require_text(item, words)
        if words:
            texts = [list(row) for row in texts]
            pairs = [None if row is None else list(row) for row in pairs]
        return [a if b is None else (a, b) for a, b in zip(texts, pairs, strict=True)], single

    def _encoding(self, text, text_pair, **options) -> BatchEncoding:
        words, kind = options["is_split_into_words"], options["return_tensors"]
        rows, single = self._rows(text, text_pair, words)
        self._prepare(
            options["padding"],
            options["truncation"],
            options["max_length"],
            options["pad_to_multiple_of"],
            options["stride"],
            options["padding_side"],
        )
        overflowing = options["return_overflowing_tokens"]
        found, sample = [], []
        for i, e in enumerate(self._encode(rows, options["add_special_tokens"], words)):
            found += [e, *e.overflowing] if overflowing else [e]
            sample += [i] * (len(found) - len(sample))
        types = options["return_token_type_ids"]
        if types is None:
            types = "token_type_ids" in self.model_input_names
        result: dict = {"input_ids": [e.ids for e in found]}
        if types:
            result["token_type_ids"] = [e.type_ids for e in found]
        if options["return_attention_mask"] is not False:
            result["attention_mask"] = [e.attention_mask for e in found]
        if options["return_special_tokens_mask"]:
            result["special_tokens_mask"] = [e.special_tokens_mask for e in found]
        if options["return_offsets_mapping"]:
            result["offset_mapping"] = [e.offsets for e in found]
        if options["return_length"]:
            result["length"] = [len(e.ids) for e in found]
        if overflowing:
            result["overflow_to_sample_mapping"] = sample
        if kind is None and single and not overflowing:
            result = {k: v if k == "length" else v[0] for k, v in result.items()}
        return BatchEncoding(result, found).convert_to_tensors(kind)

    def pad(
        self,
        encoded_inputs,
        padding=True,
        max_length: int | None = None,
        pad_to_multiple_of: int | None = None,
        padding_side: str | None = None,
        return_attention_mask: bool | None = None,
        return_tensors: str | None = None,
    ) -> BatchEncoding:
        """Rows that are encoded already, a list of dicts or a dict of lists, at one length: the
        longest, max_length with padding="max_length", rounded up to pad_to_multiple_of. Columns
        other than ids and their masks stay as they are."""
        if not isinstance(encoded_inputs, Mapping):
            rows = list(encoded_inputs)
            encoded_inputs = {name: [row[name] for row in rows] for name in rows[0]} if rows else {}
        data = {
            name: values.tolist() if hasattr(values, "tolist") else list(values)
            for name, values in encoded_inputs.items()
        }
        if "input_ids" not in data:
            raise _core.ValueError(f"tokenizer: pad() needs input_ids; there are {list(data)}")
        single = bool(data["input_ids"]) and isinstance(data["input_ids"][0], int)
        if single:
            data = {name: [values] for name, values in data.items()}
        data = {
            name: [v.tolist() if hasattr(v, "tolist") else v for v in values]
            for name, values in data.items()
        }
        if return_attention_mask is not False and "attention_mask" not in data:
            data["attention_mask"] = [[1] * len(row) for row in data["input_ids"]]
        if self._pads(padding):
            length = max(map(len, data["input_ids"]), default=0)
            if padding == "max_length":
                length = max_length or self.model_max_length or length
            multiple = pad_to_multiple_of or 1
            length = -(-length // multiple) * multiple
            fillers = {"input_ids": self.pad_token_id, "special_tokens_mask": 1}
            left = (padding_side or self.padding_side) == "left"
            for name in {*data} & {*fillers, "attention_mask", "token_type_ids"}:
                filled = [[fillers.get(name, 0)] * (length - len(row)) for row in data[name]]
                data[name] = [
                    more + row if left else row + more
                    for row, more in zip(data[name], filled, strict=True)
                ]
        if single and return_tensors is None:
            data = {name: values[0] for name, values in data.items()}
        return BatchEncoding(data).convert_to_tensors(return_tensors)

    def _encode(self, rows, add_special_tokens: bool, words: bool = False):
        try:
            return self._tokenizer.encode_batch(
                rows, add_special_tokens=add_special_tokens, is_pretokenized=words
            )
        except BaseException as error:  # the package raises bare Exceptions, and panics
            if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
                raise
            raise _core.ValueError(f"tokenizer: {error}") from error

    def encode(self, text, text_pair=None, **arguments):
        """The ids of one text; with return_tensors a row of them."""
        return self(text, text_pair, **arguments)["input_ids"]

    def tokenize(
        self, text: str, pair: str | None = None, add_special_tokens: bool = False, **arguments
    ) -> list[str]:
        """The tokens of a text, by default without special ones."""
        return self(text, pair, add_special_tokens=add_special_tokens, **arguments).tokens()

    def decode(
        self, ids, skip_special_tokens: bool = False, clean_up_tokenization_spaces=None
    ) -> str | list[str]:
        """The text of ids; of rows of them, a list. clean_up_tokenization_spaces: no space before
        marks."""
        ids = ids.tolist() if hasattr(ids, "tolist") else ids
        ids = [ids] if isinstance(ids, int) else list(ids)
        if ids and (isinstance(ids[0], list | tuple) or getattr(ids[0], "ndim", 0)):
            return [
                self.decode(row, skip_special_tokens, clean_up_tokenization_spaces) for row in ids
            ]
        text = self._tokenizer.decode(ids, skip_special_tokens=skip_special_tokens)
        return _cleaned(text) if clean_up_tokenization_spaces else text

    def batch_decode(
        self, rows, skip_special_tokens: bool = False, clean_up_tokenization_spaces=None
    ) -> list[str]:
        """The texts of rows of ids."""
        rows = rows.tolist() if hasattr(rows, "tolist") else rows
        return [self.decode(row, skip_special_tokens, clean_up_tokenization_spaces) for row in rows]


def _lists(rows) -> bool:
    """Whether a sequence holds lists."""
    return bool(rows) and not isinstance(rows, str) and isinstance(rows[0], list | tuple)


def _require_text(item, words: bool) -> None:
    """ValueError for what is no text, or with `words` no list of words."""
    if words:
        if not isinstance(item, list | tuple) or not all(isinstance(word, str) for word in item):
            raise _core.ValueError(
                f"tokenizer: is_split_into_words needs lists of words, not {item!r}"
            )
    elif not isinstance(item, str):
        listed = isinstance(item, list | tuple)
        hint = "; pass is_split_into_words=True where texts are lists of words" if listed else ""
        raise _core.ValueError(f"tokenizer: a text is expected, not {item!r}{hint}")


def _cleaned(text: str) -> str:
    """Without the space that stands before marks and the ends of short forms."""
    text = text.replace(" .", ".").replace(" ?", "?").replace(" !", "!").replace(" ,", ",")
    text = text.replace(" ' ", "'")
    for ending in ("n't", "'m", "'s", "'ve", "'re"):
        text = text.replace(f" {ending}", ending)
    return text


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
