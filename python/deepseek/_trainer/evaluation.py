# SPDX-License-Identifier: Apache-2.0
"""What evaluations give and how they are put together."""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np

from .. import _core


class TrainOutput(NamedTuple):
    """What train() returns."""

    global_step: int
    training_loss: float
    metrics: dict


class PredictionOutput(NamedTuple):
    """What predict() returns."""

    predictions: np.ndarray | tuple
    label_ids: np.ndarray | tuple | None
    metrics: dict


class EvalLoopOutput(NamedTuple):
    """What evaluation_loop() returns."""

    predictions: np.ndarray | tuple | None
    label_ids: np.ndarray | tuple | None
    metrics: dict
    num_samples: int


class EvalPrediction:
    """What compute_metrics gets: predictions and label_ids, also as a pair, and inputs and losses
    where include_for_metrics asks for them."""

    def __init__(self, predictions, label_ids, inputs=None, losses=None):
        self.predictions, self.label_ids = predictions, label_ids
        self.inputs, self.losses = inputs, losses

    def _values(self) -> tuple:
        more = (value for value in (self.inputs, self.losses) if value is not None)
        return (self.predictions, self.label_ids, *more)

    def __iter__(self):
        return iter(self._values())

    def __getitem__(self, index: int):
        return self._values()[index]


def host(value):
    """Tensors, also in tuples, as arrays; 16-bit numbers as FP32."""
    if isinstance(value, tuple | list):
        return tuple(host(v) for v in value)
    if value.dtype in (_core.bfloat16, _core.float16):
        value = value.float()
    return value.numpy()


def joined(parts: list):
    """Arrays of batches as one; rows of different lengths are filled with -100."""
    if not parts:
        return None
    if isinstance(parts[0], tuple):
        return tuple(joined(list(part)) for part in zip(*parts, strict=True))
    if parts[0].ndim < 2 or len({p.shape[1] for p in parts}) == 1:
        return np.concatenate(parts)
    length = max(p.shape[1] for p in parts)
    return np.concatenate(
        [
            np.pad(
                p,
                [(0, 0), (0, length - p.shape[1]), *itertools.repeat((0, 0), p.ndim - 2)],
                constant_values=-100,
            )
            for p in parts
        ]
    )


def speed(prefix: str, seconds: float, samples: int | None, steps: int | None) -> dict:
    """Run time and pace under transformers' names."""
    found = {f"{prefix}_runtime": round(seconds, 4)}
    for name, count in (("samples", samples), ("steps", steps)):
        if count is not None and seconds > 0:
            found[f"{prefix}_{name}_per_second"] = round(count / seconds, 3)
    return found
