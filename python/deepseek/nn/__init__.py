# SPDX-License-Identifier: Apache-2.0
"""Modules: layers, containers, losses. Names, arguments and defaults are PyTorch's."""

from .. import _core
from .._core.nn import *  # noqa: F403

# The packages of these names replace the binding's submodules.
from . import functional, init, modules, parameter, utils  # noqa: E402, I001
from .containers import ModuleDict, ModuleList, ParameterDict, ParameterList, Sequential
from .lazy import *  # noqa: F403
from .lazy import __all__ as _lazy
from .parameter import Buffer, Parameter

__all__ = [
    *(name for name, value in vars(_core.nn).items() if isinstance(value, type)),
    "Buffer",
    "ModuleDict",
    "ModuleList",
    "Parameter",
    "ParameterDict",
    "ParameterList",
    "Sequential",
    "functional",
    "init",
    "modules",
    "parameter",
    "utils",
    *_lazy,
]
