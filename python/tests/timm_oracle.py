# SPDX-License-Identifier: Apache-2.0
"""timm for tests. It imports torchvision, whose compiled part fits one build of PyTorch only and
whose mere presence changes what transformers does; the models compute nothing with it."""

import importlib.abc
import importlib.machinery
import sys
import types

import torch
from torch.overrides import TorchFunctionMode

#: Of torchvision's InterpolationMode, which timm lists in a table.
_MODES = ("NEAREST", "BILINEAR", "BICUBIC", "BOX", "HAMMING", "LANCZOS")


class _StandIn(types.ModuleType):
    """Any torchvision module: every name in it is an empty class."""

    __path__: list = []

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        made = type(name, (), {mode: i for i, mode in enumerate(_MODES)})
        setattr(self, name, made)
        return made


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] != "torchvision":
            return None
        return importlib.machinery.ModuleSpec(name, self, is_package=True)

    def create_module(self, spec):
        return _StandIn(spec.name)

    def exec_module(self, module):
        pass


def import_timm():
    finder = _Finder()
    sys.meta_path.insert(0, finder)
    try:
        import timm
    finally:
        sys.meta_path.remove(finder)
        for name in [n for n in sys.modules if n.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
    return timm


class _Unfilled(TorchFunctionMode):
    """Leaves tensors as they are where values are drawn or changed in place."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        name = getattr(func, "__name__", "")
        if name.endswith("_") and not name.startswith("_") and name != "requires_grad_":
            return args[0] if args else kwargs["tensor"]
        return func(*args, **(kwargs or {}))


def without_memory(make):
    """make() on the meta device, without the time its random start takes."""
    with torch.device("meta"), _Unfilled():
        return make()
