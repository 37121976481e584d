# SPDX-License-Identifier: Apache-2.0
"""Functions of layers without state."""

from .._core import _functional
from .._core._functional import *  # noqa: F403

__all__ = [name for name in vars(_functional) if not name.startswith("_")]
