# SPDX-License-Identifier: Apache-2.0
"""Optimizers. Names, arguments, defaults and the layout of state dictionaries are PyTorch's."""

from . import lr_scheduler
from .optimizer import Optimizer, ParamGroup
from .optimizers import (
    LAMB,
    SGD,
    Adafactor,
    Adagrad,
    Adam,
    AdamW,
    Lion,
    RMSprop,
)

__all__ = [
    "LAMB",
    "SGD",
    "Adafactor",
    "Adagrad",
    "Adam",
    "AdamW",
    "Lion",
    "Optimizer",
    "ParamGroup",
    "RMSprop",
    "lr_scheduler",
]
