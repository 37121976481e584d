# SPDX-License-Identifier: Apache-2.0
"""Training planned for devices that are not here: memory by kind, what fits and why, least time."""

from .accounts import SCHEMES, USABLE, Account, Sharding, parse_sharding, plan
from .devices import DEVICES, Device, parse_devices
from .steps import MODELS, OPTIMIZERS, PRECISIONS, Case, Step, default_size, layers_of, record

__all__ = [
    "DEVICES",
    "MODELS",
    "OPTIMIZERS",
    "PRECISIONS",
    "SCHEMES",
    "USABLE",
    "Account",
    "Case",
    "Device",
    "Sharding",
    "Step",
    "default_size",
    "layers_of",
    "parse_devices",
    "parse_sharding",
    "plan",
    "record",
]
