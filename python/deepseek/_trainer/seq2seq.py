# SPDX-License-Identifier: Apache-2.0
"""Seq2SeqTrainer: evaluations that look at what the model writes."""

from __future__ import annotations

from dataclasses import dataclass

from .. import _core
from .arguments import TrainingArguments
from .trainer import Trainer

_GENERATED = ("input_ids", "attention_mask")


@dataclass(init=False)
class Seq2SeqTrainingArguments(TrainingArguments):
    """TrainingArguments with predict_with_generate: predictions are tokens that generate() makes,
    with generation_max_length and generation_num_beams, by default those of the model."""

    predict_with_generate: bool = False
    generation_max_length: int | None = None
    generation_num_beams: int | None = None

    def _check(self) -> None:
        super()._check()
        for name in ("generation_max_length", "generation_num_beams"):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, int) or value < 1):
                raise _core.ValueError(
                    f"TrainingArguments: {name} {value!r} must be a positive integer"
                )


class Seq2SeqTrainer(Trainer):
    """A Trainer for models that answer a text, such as T5. evaluate() and predict() take options of
    generate()."""

    def __init__(self, model=None, args: TrainingArguments | None = None, *rest, **named):
        super().__init__(model, args or Seq2SeqTrainingArguments(), *rest, **named)
        self._generation: dict = {}

    def evaluate(
        self, eval_dataset=None, ignore_keys=None, metric_key_prefix="eval", **generation
    ) -> dict:
        """As Trainer's; other arguments are options of generate()."""
        self._generation = generation or self._generation
        return super().evaluate(eval_dataset, ignore_keys, metric_key_prefix)

    def predict(self, test_dataset, ignore_keys=None, metric_key_prefix="test", **generation):
        """As Trainer's; other arguments are options of generate()."""
        self._generation = generation or self._generation
        return super().predict(test_dataset, ignore_keys, metric_key_prefix)

    def prediction_step(self, model, inputs, prediction_loss_only: bool, ignore_keys=None):
        """(loss, tokens that the model writes, labels) of a batch."""
        made = super().prediction_step(model, inputs, prediction_loss_only, ignore_keys)
        if prediction_loss_only or not getattr(self.args, "predict_with_generate", False):
            return made
        options = {
            "max_length": self.args.generation_max_length,
            "num_beams": self.args.generation_num_beams,
            **self._generation,
        }
        if "max_new_tokens" in options:
            del options["max_length"]
        options = {name: value for name, value in options.items() if value is not None}
        given = {name: inputs[name] for name in _GENERATED if name in inputs}
        with self._autocast():
            return made[0], model.generate(**given, **options), made[2]
