# SPDX-License-Identifier: Apache-2.0
"""What map() was asked for as a short text, so that its result is found again in the next run.

A function counts as its code, its defaults, the values around it and the globals it names; one of
an installed package as its name and the package's version."""

import dis
import functools
import hashlib
import json
import pickle
import sys
import sysconfig
import types
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from .. import _core

_INSTALLED = tuple(
    str(Path(sysconfig.get_path(name)).resolve()) for name in ("stdlib", "purelib", "platlib")
)
_PLAIN = (bool, int, float, complex, str, bytes, type(None), type(Ellipsis))
_DESCRIPTORS = (
    types.WrapperDescriptorType,
    types.MethodDescriptorType,
    types.GetSetDescriptorType,
    types.MemberDescriptorType,
)
_MADE_IN_PYTHON = 1 << 9  # Py_TPFLAGS_HEAPTYPE
_enabled = True


def enable_caching() -> None:
    """map() and filter() keep what they made of files, and take it from there again."""
    global _enabled
    _enabled = True


def disable_caching() -> None:
    """map() and filter() compute every time."""
    global _enabled
    _enabled = False


def is_caching_enabled() -> bool:
    """Whether map() and filter() keep results."""
    return _enabled


class Unknown(Exception):
    """A value that has no stable text."""


class _Hash:
    def __init__(self):
        self.digest = hashlib.blake2b(digest_size=16)
        self._seen: dict[int, int] = {}
        self._kept: list = []  # so that no id is used twice

    def write(self, *parts) -> None:
        for part in parts:
            data = part if isinstance(part, bytes) else str(part).encode()
            self.digest.update(len(data).to_bytes(8, "little") + data)

    def add(self, value) -> None:
        """One more value, whatever it is."""
        if isinstance(value, _PLAIN):
            return self.write(type(value).__name__, repr(value))
        if id(value) in self._seen:
            return self.write("again", self._seen[id(value)])
        self._seen[id(value)] = len(self._seen)
        self._kept.append(value)
        if isinstance(value, list | tuple):
            self.write(type(value).__name__, len(value))
            for item in value:
                self.add(item)
        elif isinstance(value, Mapping):
            self.write("mapping", len(value))
            for key, item in value.items():
                self.add(key)
                self.add(item)
        elif isinstance(value, set | frozenset):
            self.write("set", *sorted(fingerprint(item) for item in value))
        elif isinstance(value, np.ndarray) and value.dtype != object:
            self.write("array", value.dtype, value.shape, np.ascontiguousarray(value).tobytes())
        elif isinstance(value, _core.Tensor):
            self.write("tensor", value.dtype)
            self.add(value.detach().numpy())
        else:
            self._add_code(value)

    def _add_code(self, value) -> None:
        if isinstance(value, types.CodeType):
            self.write("code", value.co_code, value.co_names, value.co_varnames, value.co_freevars)
            self.add(value.co_consts)
        elif isinstance(value, types.ModuleType):
            self.write("module", value.__name__, getattr(value, "__version__", ""))
        elif isinstance(value, types.FunctionType | type) and _is_installed(value):
            package = sys.modules.get(value.__module__.split(".")[0])
            version = getattr(package, "__version__", "")
            self.write("installed", value.__module__, value.__qualname__, version)
        elif isinstance(value, types.FunctionType):
            self._add_function(value)
        elif isinstance(value, _DESCRIPTORS):
            self.write("built in", value.__qualname__)
        elif isinstance(value, types.BuiltinFunctionType):
            self.write("built in", value.__qualname__)
            self.add(value.__self__)
        elif isinstance(value, type) and not value.__flags__ & _MADE_IN_PYTHON:
            self.write("built in", value.__module__, value.__qualname__)
        elif isinstance(value, type):
            self.write("class", value.__qualname__)
            self.add(value.__bases__)
            members = {k: v for k, v in vars(value).items() if k not in ("__dict__", "__weakref__")}
            self.add({k: v for k, v in members.items() if k not in ("__module__", "__doc__")})
        else:
            self._add_object(value)

    def _add_function(self, function) -> None:
        self.write("function", function.__qualname__)
        self.add(function.__code__)
        self.add((function.__defaults__, function.__kwdefaults__))
        for cell in function.__closure__ or ():
            try:
                self.add(cell.cell_contents)
            except ValueError:  # nothing is in it yet
                self.write("empty")
        for name in sorted(set(_names(function.__code__))):
            if name in function.__globals__:
                self.write("global", name)
                self.add(function.__globals__[name])

    def _add_object(self, value) -> None:
        if isinstance(value, types.MethodType):
            self.write("method")
            return self.add((value.__func__, value.__self__))
        if isinstance(value, functools.partial):
            self.write("partial")
            return self.add((value.func, value.args, value.keywords))
        if isinstance(value, staticmethod | classmethod):
            return self.add(value.__func__)
        if isinstance(value, property):
            return self.add((value.fget, value.fset, value.fdel))
        kind = type(value)
        self.write("object", kind.__module__, kind.__qualname__)
        if not _is_installed(kind):
            self.add(kind)
        if kind.__module__.split(".")[0] == "tokenizers" and hasattr(value, "to_str"):
            # Padding and truncation are those of the last call.
            text = json.loads(value.to_str())
            return self.add({k: v for k, v in text.items() if k not in ("padding", "truncation")})
        if hasattr(value, "state_dict") and callable(value.state_dict):
            return self.add(dict(value.state_dict()))
        own = getattr(value, "__dict__", None)
        if own and not hasattr(kind, "__slots__"):
            return self.add(own)
        try:
            self.write(pickle.dumps(value, 5))
        except Exception as error:
            raise Unknown(f"a {kind.__qualname__} ({error})") from error


def _names(code: types.CodeType) -> Iterator[str]:
    """Globals that a function and those in it look up."""
    for instruction in dis.get_instructions(code):
        if instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
            yield instruction.argval
    for value in code.co_consts:
        if isinstance(value, types.CodeType):
            yield from _names(value)


def _is_installed(value) -> bool:
    """Whether a function or a class is found by its name in an installed package."""
    module = sys.modules.get(getattr(value, "__module__", None) or "")
    if module is None or module.__name__ == "__main__":
        return False
    found = module
    for name in value.__qualname__.split("."):
        found = getattr(found, name, None)
    file = getattr(module, "__file__", None)
    own = module.__name__.split(".")[0] == __name__.split(".")[0]
    return found is value and (
        file is None or own or str(Path(file).resolve()).startswith(_INSTALLED)
    )


def fingerprint(*values) -> str:
    """32 characters that are the same for the same values in every run. Unknown for a value that
    has none."""
    made = _Hash()
    for value in values:
        made.add(value)
    return made.digest.hexdigest()


def table_fingerprint(table) -> str:
    """The same of what a table of Arrow holds."""
    import pyarrow as pa

    class Sink:
        closed = False
        digest = hashlib.blake2b(digest_size=16)

        def write(self, data) -> int:
            self.digest.update(data)
            return len(data)

        def flush(self) -> None:
            pass

    sink = Sink()
    with pa.ipc.new_stream(pa.PythonFile(sink, "w"), table.schema) as writer:
        writer.write_table(table)
    return sink.digest.hexdigest()
