# SPDX-License-Identifier: Apache-2.0
"""Functions of layers without state."""

from .._core import _functional

globals().update(
    {name: value for name, value in vars(_functional).items() if not name.startswith("_")}
)
__all__ = [name for name in vars(_functional) if not name.startswith("_")]
