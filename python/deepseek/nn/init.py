# SPDX-License-Identifier: Apache-2.0
"""Initialisation of parameters in place."""

from .._core.nn import init as _init
from .._core.nn.init import *  # noqa: F403
from .._core.nn.init import _calculate_fan_in_and_fan_out  # noqa: F401

__all__ = [name for name in vars(_init) if not name.startswith("_")]
