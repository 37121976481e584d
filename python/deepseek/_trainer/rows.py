# SPDX-License-Identifier: Apache-2.0
"""Rows of data sets as a model's inputs: tokenised where they are text, prepared where they are
images."""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np

from .. import _core
from ..data import Dataset, IterableDataset
from .questions import Encoder, Windows, WindowStream

LABELS = ("labels", "label", "target", "class")
_TASKS = {
    "ForCausalLM": "causal",
    "LMHeadModel": "causal",
    "ForMaskedLM": "masked",
    "ForTokenClassification": "tokens",
    "ForQuestionAnswering": "answers",
    "ForConditionalGeneration": "seq2seq",
    "ForSequenceClassification": "classification",
    "ForNextSentencePrediction": "classification",
}
#: Columns that models take, beside those that their signature names.
_INPUTS = frozenset(
    """input_ids attention_mask token_type_ids position_ids inputs_embeds labels label_ids
    start_positions end_positions decoder_input_ids decoder_attention_mask pixel_values
    special_tokens_mask""".split()
)
_WORDS = ("tokens", "words")
_TAGS = (*LABELS, "ner_tags", "pos_tags", "tags")
_IMAGES = ("pixel_values", "image", "img", "images")
#: Tokens of a block of text for a model that could take more.
_BLOCK = 1024


def plain_model(model):
    """The model below adapters."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def task_of(model) -> str:
    """What the head is for; "" for a model without a known one."""
    from ..models import classifies_images

    model = plain_model(model)
    if classifies_images(model):
        return "image"
    for kind in type(model).__mro__:
        for ending, task in _TASKS.items():
            if kind.__name__.endswith(ending):
                return task
    return ""


def column(rows, name: str) -> Sequence:
    """One column of all rows."""
    stored = name in getattr(rows, "column_names", ())
    if stored and getattr(rows, "_transform", None) is None:
        return rows[name]
    # By position: a data set of PyTorch need not end when it is iterated.
    return [rows[i][name] for i in range(len(rows))]


def name_classes(dataset, label: str | None, config) -> None:
    """Gives the model's classes the names that the data set has for them, if any."""
    names = getattr(dataset, "classes", None)
    if names is None:
        features = getattr(dataset, "features", None) or {}
        names = getattr(features.get(label), "names", None)
    if names is not None and len(names) == config.num_labels:
        config.id2label = dict(enumerate(names))
        config.label2id = {name: i for i, name in enumerate(names)}


class Rows(Dataset):
    """A data set whose rows go through a function."""

    def __init__(self, rows, encode: Callable[[Mapping], dict]):
        self._rows, self._encode = rows, encode

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> dict:
        return self._encode(self._rows[index])


class Stream(IterableDataset):
    """The same of a data set that can only be read in order."""

    def __init__(self, rows: Iterable, encode: Callable[[Mapping], dict]):
        self._rows, self._encode = rows, encode

    def __iter__(self) -> Iterator[dict]:
        return map(self._encode, self._rows)


class Blocks(Dataset):
    """Texts in one line, cut into blocks of the same length; what is left at the end is dropped,
    unless there is nothing else."""

    def __init__(self, texts: Iterable[str], tokenizer, length: int):
        end = [] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id]
        parts = []
        for text in texts:
            ids = tokenizer(text or "", add_special_tokens=False)["input_ids"]
            parts.append(np.asarray(ids + end, dtype=np.int32))
        ids = np.concatenate(parts) if parts else np.zeros(0, np.int32)
        if len(ids) < 2:
            raise _core.ValueError("Trainer: the texts hold fewer than two tokens")
        count = len(ids) // length
        self._blocks = ids[: count * length].reshape(count, length) if count else ids[None]

    def __len__(self) -> int:
        return len(self._blocks)

    def __getitem__(self, index: int) -> dict:
        return {"input_ids": self._blocks[index].tolist()}


def text_columns(row: Mapping, count: int, labels: Sequence[str] = ()) -> list[str]:
    """The first columns that hold text and are no label."""
    names = [name for name, value in row.items() if isinstance(value, str) and name not in labels]
    if not names:
        raise _core.ValueError(
            f"Trainer: no column of {list(row)} holds text or input_ids; tokenise the data set "
            "first"
        )
    return names[:count]


def _missing(value) -> bool:
    return value is None or value == "" or (isinstance(value, float) and math.isnan(value))


def require_labels(values: Sequence, name: str) -> None:
    """ValueError for the first row without one."""
    for place, value in enumerate(values):
        if _missing(value):
            raise _core.ValueError(
                f"Trainer: row {place} has no label in column '{name}'; leave such rows out with "
                "dataset.filter()"
            )


def label_ids(rows, name: str, config, training: bool) -> dict[str, int] | None:
    """Ids of labels that are words; ValueError when labels are missing or do not fit the classes.
    config learns the words of training data."""
    values = column(rows, name)
    require_labels(values, name)
    if any(isinstance(value, str) for value in values):
        return _word_ids([str(value) for value in values], name, config, training)
    count = getattr(config, "num_labels", 1)
    kind = getattr(config, "problem_type", None)
    if kind in ("regression", "multi_label_classification") or count == 1:
        return None
    if all(isinstance(value, int | float | np.number) for value in values):
        broken = next((v for v in values if v != int(v)), None)
        if broken is not None:
            raise _core.ValueError(
                f"Trainer: column '{name}' holds {broken}, which is no class; load the model with "
                "num_labels=1 to predict numbers"
            )
        low, high = int(min(values)), int(max(values))
        if low < 0 or high >= count:
            more = f"load it with num_labels={high + 1} and " if high >= count else ""
            raise _core.ValueError(
                f"Trainer: column '{name}' has classes {low} to {high}, the model {count}; {more}"
                "count from 0"
            )
    return None


def _word_ids(values: Sequence[str], name: str, config, training: bool) -> dict[str, int]:
    known = {label: i for i, label in (config.id2label or {}).items()}
    names = sorted(set(values))
    if set(names) <= set(known):
        return known
    named = any(label != f"LABEL_{i}" for label, i in known.items())
    if named and not training:
        raise _core.ValueError(
            f"Trainer: column '{name}' has the label '{min(set(names) - set(known))}', the model "
            f"knows {', '.join(known)}"
        )
    if len(names) > config.num_labels:
        raise _core.ValueError(
            f"Trainer: column '{name}' has {len(names)} classes ({', '.join(names[:5])}"
            f"{'...' if len(names) > 5 else ''}), the model {config.num_labels}; load it with "
            f"num_labels={len(names)}"
        )
    known = {label: i for i, label in enumerate(names)}
    # Classes that the data do not have keep a name.
    rest = {i: f"LABEL_{i}" for i in range(len(names), config.num_labels)}
    config.id2label = {**{i: label for label, i in known.items()}, **rest}
    config.label2id = {label: i for i, label in config.id2label.items()}
    return known


def _arguments(model) -> tuple[set[str], bool]:
    """The names of forward()'s arguments, none for classes of the C++ library; and whether it takes
    all others too."""
    try:
        parameters = inspect.signature(plain_model(model).forward).parameters.values()
    except ValueError:  # of the C++ library
        return set(), False
    return {p.name for p in parameters}, any(p.kind is p.VAR_KEYWORD for p in parameters)


def _taken(model) -> set[str]:
    """The names of the arguments of a forward() of the C++ library; none of others."""
    for kind in type(plain_model(model)).__mro__:
        written = getattr(kind.__dict__.get("forward"), "__nb_signature__", None)
        if written:
            return {name for form in written for name in re.findall(r"(\w+): ", form[0])}
    return set()


def takes_none(model, names: Iterable[str]) -> bool:
    """forward() is known to take none of these, so that only a loss of the user's own does."""
    takes, others = _arguments(model)
    takes = takes or _taken(model)
    return bool(takes) and not others and not takes & set(names)


class _Columns:
    """The columns of tokenised rows that the model takes, and what collators look at."""

    def __init__(self, model, everything: bool, labels: Sequence[str]):
        takes, others = _arguments(model)
        takes = takes or _taken(model)
        inputs = {*takes, "labels", "label_ids", "special_tokens_mask"} if takes else _INPUTS
        self._kept = None if everything or others else {*inputs, *labels}

    def __call__(self, row: Mapping) -> dict:
        return {k: v for k, v in row.items() if self._kept is None or k in self._kept}


class _Classified:
    """One or two texts and a label."""

    def __init__(self, first: Mapping, tokenizer, limit, label: str | None, ids, whole: bool):
        self._text = text_columns(first, 2, [label] if label else [])
        self._tokenizer, self._limit = tokenizer, limit
        self._label, self._ids, self._whole = label, ids, whole

    def __call__(self, row: Mapping) -> dict:
        texts = [row[name] or "" for name in self._text]
        made = dict(self._tokenizer(*texts, truncation=True, max_length=self._limit))
        if self._label:
            value = row[self._label]
            if isinstance(value, list):  # a number for each label of several
                value = [float(v) for v in value]
            elif self._ids:
                value = self._ids[str(value)]
            elif self._whole and isinstance(value, float):
                value = int(value)
            elif not self._whole and isinstance(value, int):
                value = float(value)
            made["labels"] = value
        return made


class _Text:
    """One text; labels are made of it."""

    def __init__(self, first: Mapping, tokenizer, limit):
        self._name = text_columns(first, 1)[0]
        self._tokenizer, self._limit = tokenizer, limit

    def __call__(self, row: Mapping) -> dict:
        text = row[self._name] or ""
        return dict(self._tokenizer(text, truncation=True, max_length=self._limit))


class _Translated:
    """A text and the one that answers it: the first two columns of text, or of the texts that one
    column holds by language."""

    def __init__(self, first: Mapping, tokenizer, limit):
        self._within = next((n for n, v in first.items() if isinstance(v, Mapping)), None)
        names = text_columns(first if self._within is None else first[self._within], 2)
        if len(names) < 2:
            raise _core.ValueError(
                f"Trainer: two columns of text are needed, what is given and what is to be "
                f"written; {list(first)} has one"
            )
        self._names, self._tokenizer, self._limit = names, tokenizer, limit

    def __call__(self, row: Mapping) -> dict:
        texts = row if self._within is None else row[self._within]
        source, target = (
            self._tokenizer(
                texts[name] or "",
                truncation=True,
                max_length=self._limit,
                return_token_type_ids=False,
            )
            for name in self._names
        )
        return {**source, "labels": target["input_ids"]}


class _Tagged:
    """Words and a tag for each: the first token of a word gets its tag, the others none."""

    def __init__(self, first: Mapping, rows, tokenizer, limit, config, training: bool):
        self._words = next((n for n in _WORDS if isinstance(first.get(n), list)), None)
        self._tags = next((n for n in _TAGS if isinstance(first.get(n), list)), None)
        if self._words is None:
            raise _core.ValueError(
                f"Trainer: lists of words are expected in a column {' or '.join(_WORDS)}, and tags "
                f"in one of {', '.join(_TAGS)}; there are {list(first)}"
            )
        self._tokenizer, self._limit, self._ids = tokenizer, limit, None
        if self._tags:
            flat = [{"tag": tag} for tags in column(rows, self._tags) for tag in tags]
            self._ids = label_ids(flat, "tag", config, training) if flat else None

    def __call__(self, row: Mapping) -> dict:
        words = list(row[self._words])
        found = self._tokenizer(
            words, is_split_into_words=True, truncation=True, max_length=self._limit
        )
        made = dict(found)
        if self._tags:
            tags = row[self._tags]
            if len(tags) != len(words):
                raise _core.ValueError(
                    f"Trainer: a row has {len(words)} words and {len(tags)} tags"
                )
            tags = [self._ids[str(tag)] for tag in tags] if self._ids else tags
            labels, before = [], None
            for word in found.word_ids():
                labels.append(-100 if word is None or word == before else int(tags[word]))
                before = word
            made["labels"] = labels
        return made


class _Pictured:
    """An image, prepared as the model's configuration says unless it is a tensor of floating
    numbers, and a class."""

    def __init__(self, first, model, prepare):
        self._image = self.label = None
        if isinstance(first, Mapping):
            self._image = next((n for n in _IMAGES if n in first), None)
            self.label = next((n for n in LABELS if n in first), None)
            if self._image is None:
                raise _core.ValueError(
                    f"Trainer: an image is expected in a column {', '.join(_IMAGES)}; there are "
                    f"{list(first)}"
                )
        from ..models.image_processing import ImagePreparation, ImageProcessor

        if isinstance(prepare, ImageProcessor):
            prepare = prepare.preparation
        self._prepare = prepare or ImagePreparation.of_model(model)
        self._count = model.config.num_labels

    def __call__(self, row) -> dict:
        if isinstance(row, Mapping):
            image, label = row[self._image], row.get(self.label) if self.label else None
        else:
            image, label = row
        floating = getattr(image, "dtype", None) in (_core.float32, np.float32, np.float64)
        made = {"pixel_values": image if floating else self._prepare(image)}
        if label is not None:
            if not 0 <= label < self._count:
                raise _core.ValueError(
                    f"Trainer: a label is {label}, the model has {self._count} classes; load it "
                    f"with num_classes"
                )
            made["labels"] = int(label)
        return made


def _label_of(first: Mapping, given: Sequence[str] | None, training: bool) -> str | None:
    """The column of labels."""
    if given:
        if given[0] not in first and training:
            raise _core.ValueError(f"Trainer: there is no column '{given[0]}' in {list(first)}")
        return given[0] if given[0] in first else None
    found = next((name for name in LABELS if name in first), None)
    if found is None and training:
        raise _core.ValueError(
            f"Trainer: no column of {list(first)} is a label; name one of them "
            f"{', '.join(LABELS[:-1])} or {LABELS[-1]}, or set label_names"
        )
    return found


def _is_raw(row) -> bool:
    """It holds text or an image, which are no inputs yet."""
    if not isinstance(row, Mapping) or "input_ids" in row or "pixel_values" in row:
        return False
    return any(isinstance(value, str) for value in row.values()) or any(n in row for n in _IMAGES)


def rows_of(
    dataset,
    model,
    processing_class,
    limit: int | None,
    *,
    training: bool,
    everything: bool = False,
    label_names: Sequence[str] | None = None,
    stride: int | None = None,
    collated: bool = False,
):
    """The data set as one of the model's inputs. everything: of all columns; collated: by a
    collator of the user's own, which then gets the rows as they are."""
    which = "train_dataset" if training else "the data set to evaluate"
    if dataset is None:
        raise _core.ValueError(f"Trainer: {which} is missing; give it to Trainer")
    if isinstance(dataset, Mapping):
        raise _core.ValueError(
            f"Trainer: {which} holds the splits {', '.join(map(str, dataset))}; give one of them, "
            f"dataset['{next(iter(dataset), 'train')}']"
        )
    sized = hasattr(dataset, "__len__")
    if sized and len(dataset) == 0:
        raise _core.ValueError(f"Trainer: {which} is empty")
    first = dataset[0] if sized else next(iter(dataset), None)
    if first is None:
        raise _core.ValueError(f"Trainer: {which} is empty")
    if everything and (collated or not _is_raw(first)):
        return dataset
    kind, task, config = Rows if sized else Stream, task_of(model), getattr(model, "config", None)
    if task == "image":
        encode = _Pictured(first, plain_model(model), processing_class)
        if training:
            name_classes(dataset, encode.label, config)
        return kind(dataset, encode)
    if not isinstance(first, Mapping):
        return dataset
    inputs = {"input_ids", "inputs_embeds", "pixel_values"} | _arguments(model)[0] - {*LABELS}
    tokenised = any(name in first for name in inputs)
    if not tokenised and type(plain_model(model)).__name__.endswith("ForMultipleChoice"):
        raise _core.ValueError(
            f"Trainer: {type(plain_model(model)).__name__} takes rows of tokens, a list for each "
            f"choice: input_ids [choices, tokens]; there are {list(first)}. Tokenise the text with "
            "each of its choices by dataset.map(), as the guide shows"
        )
    if tokenised or not task:
        return kind(dataset, _labelled(dataset, first, model, everything, label_names, training))
    if processing_class is None:
        text_columns(first, 1, LABELS)
        raise _core.ValueError(
            "Trainer: the rows are text and the model came without a tokenizer; pass "
            "processing_class=tokenizer"
        )
    if task == "causal":
        name = text_columns(first, 1)[0]
        texts = column(dataset, name) if sized else (row[name] for row in dataset)
        return Blocks(texts, processing_class, min(limit or _BLOCK, _BLOCK))
    if task == "masked":
        return kind(dataset, _Text(first, processing_class, limit))
    if task == "seq2seq":
        return kind(dataset, _Translated(first, processing_class, limit))
    if task == "tokens":
        tagged = dataset if sized else ()
        return kind(dataset, _Tagged(first, tagged, processing_class, limit, config, training))
    if task == "answers":
        encode = Encoder(first, processing_class, limit, stride)
        return Windows(dataset, encode, training) if sized else WindowStream(dataset, encode)
    text_columns(first, 2, LABELS)
    label = _label_of(first, label_names, training)
    ids = label_ids(dataset, label, config, training) if label and sized else None
    if training and ids is None:
        name_classes(dataset, label, config)
    if label and not sized and isinstance(first[label], str):
        ids = {name: i for i, name in (config.id2label or {}).items()}
    problem = getattr(config, "problem_type", None)
    whole = problem != "regression" and config.num_labels > 1
    return kind(dataset, _Classified(first, processing_class, limit, label, ids, whole))


def _labelled(dataset, first: Mapping, model, everything, label_names, training: bool):
    """Tokenised rows: their columns, with labels that fit."""
    label = next((n for n in (label_names or LABELS) if n in first), None)
    columns = _Columns(model, everything, [label] if label else [])
    if label is None or isinstance(first[label], list) or not hasattr(dataset, "__len__"):
        return columns
    if getattr(first[label], "ndim", 0) > 0 or task_of(model) != "classification":
        return columns
    ids = label_ids(dataset, label, model.config, training)
    if training and ids is None:
        name_classes(dataset, label, model.config)

    name = label if label in ("label", "label_ids") else "labels"  # collators know them all
    config = model.config
    whole = config.num_labels > 1 and getattr(config, "problem_type", None) in (
        None,
        "single_label_classification",
    )

    def encode(row: Mapping) -> dict:
        made = columns(row)
        value = made.pop(label)
        if ids:
            value = ids[str(value)]
        elif whole and isinstance(value, float):  # of a column that once had gaps
            value = int(value)
        return {**made, name: value}

    return encode
