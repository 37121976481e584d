# SPDX-License-Identifier: Apache-2.0
"""Modules: layers, containers, losses. Names, arguments and defaults are PyTorch's."""

from .. import _core
from . import functional, init, parameter, utils
from .containers import (
    ModuleDict,
    ModuleList,
    ParameterDict,
    ParameterList,
    Sequential,
)
from .parameter import Buffer, Parameter

_layers = {
    name: value
    for name, value in vars(_core.nn).items()
    if isinstance(value, type)
    and issubclass(value, _core.nn.Module)
    and name not in ("Sequential", "ModuleList", "ModuleDict")
}
globals().update(_layers)

__all__ = [
    *_layers,
    "Buffer",
    "ModuleDict",
    "ModuleList",
    "Parameter",
    "ParameterDict",
    "ParameterList",
    "Sequential",
    "functional",
    "init",
    "parameter",
    "utils",
]
