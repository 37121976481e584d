# SPDX-License-Identifier: Apache-2.0
"""Parameters computed from others at every use, as torch.nn.utils.parametrize.

A parametrized module's class is a subclass made for it, whose property computes the tensor from
`module.parametrizations.NAME.original` (or `original0`, `original1`, ...)."""

import contextlib

from ... import _core
from ..._modes import no_grad
from ..containers import ModuleDict, ModuleList
from ..parameter import Parameter

Module = _core.nn.Module

_cache_depth = 0
_cache: dict = {}


@contextlib.contextmanager
def cached():
    """Computes every parametrized tensor once inside, however often it is used."""
    global _cache_depth
    _cache_depth += 1
    try:
        yield
    finally:
        _cache_depth -= 1
        if _cache_depth == 0:
            _cache.clear()


class ParametrizationList(ModuleList):
    """The parametrizations of one tensor in order, and what they start from."""

    def __init__(self, modules, original, unsafe: bool = False):
        super().__init__(modules)
        value = original
        with no_grad():
            for parametrization in reversed(list(self)):
                inverse = getattr(parametrization, "right_inverse", None)
                if inverse is not None:
                    value = inverse(value)
        self.is_tensor = isinstance(value, _core.Tensor)
        self.ntensors = 1 if self.is_tensor else len(value)
        values = [value] if self.is_tensor else list(value)
        names = ["original"] if self.is_tensor else [f"original{i}" for i in range(len(values))]
        for name, start in zip(names, values, strict=False):
            if isinstance(original, Parameter):
                self.register_parameter(name, Parameter(start.detach(), original.requires_grad))
            else:
                self.register_buffer(name, start.detach())
        self._names = names
        if not unsafe:
            self._check(original)

    def _check(self, original) -> None:
        with no_grad():
            made = self()
        if tuple(made.shape) != tuple(original.shape) or made.dtype != original.dtype:
            raise _core.ValueError(
                f"register_parametrization: the parametrization makes {made.dtype} "
                f"{tuple(made.shape)} of {original.dtype} {tuple(original.shape)}; pass "
                "unsafe=True to allow it"
            )

    def right_inverse(self, value) -> None:
        """Writes what the parametrizations make `value` of."""
        with no_grad():
            for parametrization in reversed(list(self)):
                if not hasattr(parametrization, "right_inverse"):
                    raise _core.NotImplementedError(
                        f"parametrize: {type(parametrization).__name__} has no right_inverse, so "
                        "the tensor can not be assigned"
                    )
                value = parametrization.right_inverse(value)
            for name, part in zip(self._names, [value] if self.is_tensor else value, strict=False):
                getattr(self, name).data = part

    def forward(self):
        steps = list(self)
        value = steps[0](*(getattr(self, name) for name in self._names))
        for step in steps[1:]:
            value = step(value)
        return value


class _Computed:
    """The attribute of a parametrized tensor: reading computes, writing goes to the originals."""

    def __init__(self, name: str):
        self.name = name
        self.feeding = False

    def __get__(self, module, owner=None):
        if module is None:
            return self
        source = module.parametrizations[self.name]
        if _cache_depth == 0:
            return source()
        key = (id(module), self.name)
        if key not in _cache:
            _cache[key] = source()
        return _cache[key]

    def __set__(self, module, value):
        if not self.feeding:
            module.parametrizations[self.name].right_inverse(value)

    def feed(self, module) -> None:
        """Makes the present value what the layer, written in C++, computes with: a tensor assigned
        in the place of a parameter stands in for it."""
        self.feeding = True
        try:
            setattr(module, self.name, self.__get__(module))
        finally:
            self.feeding = False


def _class_for(base: type) -> type:
    def forward(self, *args, **kwargs):
        for value in vars(type(self)).values():
            if isinstance(value, _Computed):
                value.feed(self)
        return base.forward(self, *args, **kwargs)

    return type("Parametrized" + base.__name__, (base,), {"forward": forward})


def register_parametrization(module, tensor_name: str, parametrization, *, unsafe: bool = False):
    """Computes `module.tensor_name` by parametrization(original) from now on; several are applied
    one after the other. parametrization.right_inverse(tensor), where there is one, gives the start.
    Returns module."""
    if is_parametrized(module, tensor_name):
        parts = module.parametrizations[tensor_name]
        with no_grad():
            value = getattr(module, tensor_name)
            if hasattr(parametrization, "right_inverse"):
                value = parametrization.right_inverse(value)
                parts.right_inverse(value)
        parts.append(parametrization)
        return module
    original = {**dict(module._parameters), **dict(module._buffers)}.get(tensor_name)
    if original is None:
        raise _core.ValueError(
            f"register_parametrization: {type(module).__name__} has no parameter or buffer "
            f"'{tensor_name}'"
        )
    parts = ParametrizationList([parametrization], original, unsafe)
    delattr(module, tensor_name)
    if not is_parametrized(module):
        module.__class__ = _class_for(type(module))
        module.parametrizations = ModuleDict()
    setattr(type(module), tensor_name, _Computed(tensor_name))
    module.parametrizations[tensor_name] = parts
    return module


def is_parametrized(module, tensor_name: str | None = None) -> bool:
    """True when the module has a parametrization (of that tensor)."""
    parts = dict(module._modules).get("parametrizations")
    if not isinstance(parts, ModuleDict):
        return False
    return len(parts) > 0 if tensor_name is None else tensor_name in parts


def remove_parametrizations(module, tensor_name: str, leave_parametrized: bool = True):
    """Makes `module.tensor_name` a plain tensor again: with its present value, or the original."""
    if not is_parametrized(module, tensor_name):
        raise _core.ValueError(
            f"remove_parametrizations: '{tensor_name}' of {type(module).__name__} has none"
        )
    parts = module.parametrizations[tensor_name]
    if not leave_parametrized and not parts.is_tensor:
        raise _core.ValueError(
            "remove_parametrizations: there are several originals; use leave_parametrized=True"
        )
    original = getattr(parts, parts._names[0])
    with no_grad():
        value = (parts() if leave_parametrized else original).detach()
    delattr(type(module), tensor_name)
    del module.parametrizations[tensor_name]
    if isinstance(original, Parameter):
        module.register_parameter(tensor_name, Parameter(value, original.requires_grad))
    else:
        module.register_buffer(tensor_name, value)
    if not is_parametrized(module):
        delattr(module, "parametrizations")
        module.__class__ = type(module).__bases__[0]
    return module


def type_before_parametrizations(module) -> type:
    """The class that the module had before it was parametrized."""
    return type(module).__bases__[0] if is_parametrized(module) else type(module)


__all__ = [
    "ParametrizationList",
    "cached",
    "is_parametrized",
    "register_parametrization",
    "remove_parametrizations",
    "type_before_parametrizations",
]
