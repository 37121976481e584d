# SPDX-License-Identifier: Apache-2.0
"""Initialisation of parameters in place."""

from .._core.nn import init as _init

globals().update({name: value for name, value in vars(_init).items() if not name.startswith("__")})
__all__ = [name for name in vars(_init) if not name.startswith("_")]
