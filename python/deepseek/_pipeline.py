# SPDX-License-Identifier: Apache-2.0
"""What all pipelines share: inputs in batches, options by name, labels by score."""

import os
from collections.abc import Iterable, Iterator, Mapping

from . import _core
from ._modes import no_grad


class Pipeline:
    """A model with what turns inputs into tensors and its results into plain values. Inputs of a
    list run in batches of `batch_size`, and so do those of a generator or a data set, whose results
    come one by one."""

    task = ""
    _auto: type
    _reads_text = True
    #: Options of a call and their defaults.
    _options: dict = {}

    def __init__(self, model, tokenizer=None, batch_size: int = 8, **options):
        self.model, self.tokenizer, self.batch_size = model, tokenizer, batch_size
        self._defaults = self._checked(options)

    @property
    def device(self):
        """Where the model computes."""
        return next(iter(self.model.parameters())).device

    def _checked(self, options: dict) -> dict:
        """ValueError names an option that this task does not have."""
        unknown = [name for name in options if name not in self._options]
        if unknown:
            raise _core.ValueError(
                f"pipeline '{self.task}': the option '{unknown[0]}' is unknown; there are "
                f"{', '.join(('batch_size', *self._options))}"
            )
        return options

    def __call__(self, inputs, batch_size: int | None = None, **options):
        options = {**self._options, **self._defaults, **self._checked(options)}
        size = batch_size or self.batch_size
        if not isinstance(size, int) or size < 1:
            raise _core.ValueError(f"pipeline: batch_size {size!r} must be a positive integer")
        if _streams(inputs):
            return self._stream(inputs, size, options)
        single = not isinstance(inputs, list | tuple)
        items = [inputs] if single else list(inputs)
        results: list = []
        for start in range(0, len(items), size):
            results += self._answers(items[start : start + size], options)
        return self._shaped(results, single, options)

    def _stream(self, inputs: Iterable, size: int, options: dict) -> Iterator:
        items: list = []
        for item in inputs:
            items.append(item)
            if len(items) == size:
                yield from self._shaped(self._answers(items, options), False, options)
                items = []
        if items:
            yield from self._shaped(self._answers(items, options), False, options)

    def _answers(self, items: list, options: dict) -> list:
        was_training = self.model.training
        self.model.eval()
        try:
            with no_grad():
                return self._run(items, options)
        finally:
            self.model.train(was_training)

    def _run(self, items: list, options: dict) -> list:
        raise NotImplementedError

    def _shaped(self, results: list, single: bool, options: dict):
        return results[0] if single else results

    def _encoded(self, items: list, padding=None, **arguments):
        """Texts, and pairs of them as {"text": ..., "text_pair": ...}, as one padded batch."""
        texts, pairs = [], []
        for item in items:
            text, pair = (item, None)
            if isinstance(item, Mapping):
                text, pair = item.get("text"), item.get("text_pair")
            if not isinstance(text, str):
                raise _core.ValueError(
                    f"pipeline '{self.task}': {item!r} is no text; give a string, or "
                    '{"text": ..., "text_pair": ...}'
                )
            texts.append(text)
            pairs.append(pair)
        return self.tokenizer(
            texts,
            pairs if any(pair is not None for pair in pairs) else None,
            padding=padding or len(texts) > 1,
            return_tensors="ds",
            **arguments,
        )

    def _scores(self, logits, function: str | None) -> list[list[float]]:
        """Rows of scores: softmax, or sigmoid for one class or several labels at once, or none."""
        config = self.model.config
        problem, count = getattr(config, "problem_type", None), config.num_labels
        if function is None:
            several = problem == "multi_label_classification" or count == 1
            function = "none" if problem == "regression" else "sigmoid" if several else "softmax"
        logits = logits.float()
        if function == "softmax":
            return logits.softmax(-1).tolist()
        if function == "sigmoid":
            return logits.sigmoid().tolist()
        if function != "none":
            raise _core.ValueError(
                f"pipeline: function_to_apply '{function}' is unknown; use softmax, sigmoid or none"
            )
        return logits.tolist()

    def _label(self, index: int) -> str:
        """The name of a class."""
        return (self.model.config.id2label or {}).get(index, f"LABEL_{index}")

    def _ranked(self, row: list[float], top_k: int | None) -> list[dict]:
        """The labels of the highest scores, best first."""
        order = sorted(range(len(row)), key=lambda i: -row[i])
        return [{"label": self._label(i), "score": row[i]} for i in order[:top_k]]


def _streams(inputs) -> bool:
    """Whether inputs come one after the other: of a generator, a data set or one of its columns."""
    if isinstance(inputs, list | tuple | str | bytes | Mapping | os.PathLike):
        return False
    if hasattr(inputs, "dtype") or hasattr(inputs, "convert"):  # a tensor, an array, an image
        return False
    return hasattr(inputs, "__iter__") or hasattr(inputs, "__getitem__")
