# SPDX-License-Identifier: Apache-2.0
"""Containers of modules and parameters: the list and dictionary protocols over a module's own."""

from __future__ import annotations

import operator
from collections import OrderedDict
from collections.abc import Iterable, Mapping

from .. import _core
from .parameter import Parameter

Module = _core.nn.Module


def _position(index, length: int) -> int:
    index = operator.index(index)
    if not -length <= index < length:
        raise IndexError(f"index {index} is out of range")
    return index % length


class _Positional(Module):
    """What Sequential and ModuleList share: children named by their position."""

    def _children_list(self) -> list:
        return list(self._modules.values())

    def _replace_children(self, modules) -> None:
        for name in list(self._modules):
            delattr(self, name)
        for position, module in enumerate(modules):
            self.add_module(str(position), module)

    def _name_at(self, index) -> str:
        names = list(self._modules)
        return names[_position(index, len(names))]

    def __len__(self):
        return len(self._modules)

    def __iter__(self):
        return iter(self._children_list())

    def __setitem__(self, index, module):
        setattr(self, self._name_at(index), module)

    def __delitem__(self, index):
        modules = self._children_list()
        del modules[index]
        self._replace_children(modules)

    def append(self, module):
        self.add_module(str(len(self)), module)
        return self

    def extend(self, modules: Iterable):
        if not isinstance(modules, Iterable):
            raise TypeError(
                f"{type(self).__name__}.extend should be called with an iterable, but got "
                + type(modules).__name__
            )
        for module in list(modules):
            self.append(module)
        return self

    def insert(self, index, module):
        modules = self._children_list()
        modules.insert(index, module)
        self._replace_children(modules)
        return self

    def pop(self, key):
        module = self[key]
        del self[key]
        return module

    def __iadd__(self, other):
        return self.extend(other)

    def __dir__(self):
        return [name for name in super().__dir__() if not name.isdigit()]


class Sequential(_Positional, _core.nn.Sequential):
    """Modules in a row, each fed the output of the one before."""

    def __init__(self, *args):
        super().__init__()
        if len(args) == 1 and isinstance(args[0], OrderedDict):
            for name, module in args[0].items():
                self.add_module(name, module)
        else:
            for position, module in enumerate(args):
                self.add_module(str(position), module)

    def __getitem__(self, index):
        if isinstance(index, slice):
            return type(self)(OrderedDict(list(self._modules.items())[index]))
        return getattr(self, self._name_at(index))

    def __add__(self, other):
        return Sequential(*self, *other)

    def __mul__(self, times: int):
        return Sequential(*(list(self) * times))

    def forward(self, input):
        for module in self:
            input = module(input)
        return input


class ModuleList(_Positional, _core.nn.ModuleList):
    """Modules by position, without a forward of its own."""

    def __init__(self, modules: Iterable | None = None):
        super().__init__()
        if modules is not None:
            self.extend(modules)

    def __getitem__(self, index):
        if isinstance(index, slice):
            return type(self)(self._children_list()[index])
        return getattr(self, self._name_at(index))

    def __add__(self, other):
        return ModuleList([*self, *other])

    def __repr__(self):
        """Runs of equal modules as `(0-2): 3 x Linear(...)`, as PyTorch prints them."""
        texts = [repr(module) for module in self]
        if not texts:
            return self._get_name() + "()"
        runs: list[list] = []
        for position, text in enumerate(texts):
            if runs and runs[-1][1] == text:
                runs[-1][2] = position
            else:
                runs.append([position, text, position])
        lines = []
        for first, text, last in runs:
            if first == last:
                shown = f"({first}): {text}"
            else:
                shown = f"({first}-{last}): {last - first + 1} x {text}"
            lines.append(shown.replace("\n", "\n  "))
        return self._get_name() + "(\n  " + "\n  ".join(lines) + "\n)"


class ModuleDict(_core.nn.ModuleDict):
    """Modules by name, without a forward of its own."""

    def __init__(self, modules=None):
        super().__init__()
        if modules is not None:
            self.update(modules)

    def __getitem__(self, key):
        return self._modules[key]

    def __setitem__(self, key, module):
        if key in self._modules:
            setattr(self, key, module)
        else:
            self.add_module(key, module)

    def __delitem__(self, key):
        if key not in self._modules:
            raise KeyError(key)
        delattr(self, key)

    def __len__(self):
        return len(self._modules)

    def __iter__(self):
        return iter(self._modules)

    def __contains__(self, key):
        return key in self._modules

    def clear(self):
        for name in list(self._modules):
            delattr(self, name)

    def pop(self, key):
        module = self[key]
        del self[key]
        return module

    def keys(self):
        return self._modules.keys()

    def items(self):
        return self._modules.items()

    def values(self):
        return self._modules.values()

    def update(self, modules):
        pairs = modules.items() if hasattr(modules, "items") else modules
        for key, module in pairs:
            self[key] = module


def _parameter_line(name: str, value) -> str:
    if isinstance(value, _core.Tensor):
        kind = "Parameter" if isinstance(value, Parameter) else "Tensor"
        sizes = "x".join(str(size) for size in value.shape)
        dtype = str(value.dtype).replace("deepseek.", "")
        return f"  ({name}): {kind} containing: [{dtype} of size {sizes}]"
    return f"  ({name}): Object of type: {type(value).__name__}"


class ParameterList(Module):
    """Parameters (and other values) by position."""

    def __init__(self, values: Iterable | None = None):
        super().__init__()
        self._size = 0
        if values is not None:
            self.extend(values)

    def __getitem__(self, index):
        if isinstance(index, slice):
            return type(self)(getattr(self, str(i)) for i in range(*index.indices(len(self))))
        return getattr(self, str(_position(index, len(self))))

    def __setitem__(self, index, value):
        if isinstance(value, _core.Tensor) and not isinstance(value, Parameter):
            value = Parameter(value)
        setattr(self, str(_position(index, len(self))), value)

    def __len__(self):
        return self._size

    def __iter__(self):
        return iter(self[i] for i in range(len(self)))

    def __iadd__(self, values):
        return self.extend(values)

    def append(self, value):
        self._size += 1
        self[self._size - 1] = value
        return self

    def extend(self, values: Iterable):
        for value in list(values):
            self.append(value)
        return self

    def extra_repr(self):
        return "\n".join(_parameter_line(str(i), value) for i, value in enumerate(self))


class ParameterDict(Module):
    """Parameters (and other values) by name."""

    def __init__(self, parameters=None):
        super().__init__()
        self._keys: dict = {}
        if parameters is not None:
            self.update(parameters)

    def __getitem__(self, key):
        if key not in self._keys:
            raise KeyError(key)
        return getattr(self, str(key))

    def __setitem__(self, key, value):
        if isinstance(value, _core.Tensor) and not isinstance(value, Parameter):
            value = Parameter(value)
        self._keys[key] = None
        setattr(self, str(key), value)

    def __delitem__(self, key):
        del self._keys[key]
        delattr(self, str(key))

    def __len__(self):
        return len(self._keys)

    def __iter__(self):
        return iter(self._keys)

    def __contains__(self, key):
        return key in self._keys

    def keys(self):
        return self._keys.keys()

    def values(self):
        return (self[key] for key in self._keys)

    def items(self):
        return ((key, self[key]) for key in self._keys)

    def get(self, key, default=None):
        return self[key] if key in self._keys else default

    def pop(self, key):
        value = self[key]
        del self[key]
        return value

    def update(self, parameters: Mapping | Iterable):
        pairs = parameters.items() if hasattr(parameters, "items") else parameters
        for key, value in pairs:
            self[key] = value

    def extra_repr(self):
        return "\n".join(_parameter_line(str(key), value) for key, value in self.items())


for _class in (Sequential, ModuleList, ModuleDict):
    _class.__module__ = "deepseek.nn"
    _core.nn._register_module_class(_class)
