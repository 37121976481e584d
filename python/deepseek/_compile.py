# SPDX-License-Identifier: Apache-2.0
"""ds.compile: what a call records is kept by its arguments and applied again without running the
Python code. docs/guide/compile.md says what is compared and what is not."""

import collections
import dataclasses
import functools
import logging
import os
import random
import sys
import types

from . import _core
from ._core import Tensor, nn

_PACKAGE = os.path.dirname(__file__) + os.sep
_STANDARD = os.path.dirname(os.__file__) + os.sep
_MAX_REPLAYS = 64  # signatures of one function or module
_MAX_ATTEMPTS = 3  # captures of one signature that may fail, and replays that may go stale
_MAX_WATCHED = 20_000  # items of containers; more is data, not settings

_PLAIN = (type(None), bool, int, float, complex, str, bytes, types.EllipsisType, _core.dtype)

# What is compared by identity alone.
_OPAQUE = (Tensor, type, types.ModuleType, types.BuiltinFunctionType, logging.Logger)


class _Refused(Exception):
    """The call has to be recorded each time; the text says why."""


class _Surroundings:
    """What a call may read besides its arguments, as it was when this object was made."""

    def __init__(self, roots, code):
        self.modules, self.contents, self.names, self.fields = [], [], [], []
        self.tensors = set()  # their identities
        self._seen, self._watched = set(), 0
        for root in roots:
            self._visit(root)
        for function, namespace in code.items():
            self._visit_names(function.co_names, namespace)
        self.state = _core._module_state(self.modules)
        if self.state is None:
            raise _Refused("a module has hooks")

    def unchanged(self) -> bool:
        return (
            _core._module_state(self.modules) == self.state
            and _core._same_contents(self.contents)
            and _core._same_names(self.names)
            and all(_fields(config) == values for config, values in self.fields)
        )

    def _visit_names(self, names, namespace):
        """Global names, and names of modules under them, such as `settings.SCALE`."""
        for name in names:
            if name not in namespace:
                continue
            value = namespace[name]
            self.names.append((namespace, name, value))
            if isinstance(value, types.ModuleType):
                if value.__name__.partition(".")[0] != "deepseek" and id(value) not in self._seen:
                    self._seen.add(id(value))
                    self._visit_names(names, vars(value))
            else:
                self._visit(value)

    def _visit(self, value):
        if isinstance(value, Tensor):
            self.tensors.add(id(value))
        if isinstance(value, (*_PLAIN, *_OPAQUE)) or id(value) in self._seen:
            return
        self._seen.add(id(value))
        if isinstance(value, nn.Module):
            self.tensors.update(map(id, (*value.parameters(), *value.buffers())))
            for module in value.modules():
                self._seen.add(id(module))
                self.modules.append(module)
                if vars(module):  # what comes later changes the module's revision
                    self._visit_contents(vars(module))
        elif isinstance(value, dict | list | tuple):
            self._visit_contents(value)
        elif isinstance(value, types.FunctionType):
            for cell in value.__closure__ or ():
                self.contents.append((cell, (cell.cell_contents,)))
                self._visit(cell.cell_contents)
            self._visit(value.__defaults__)
            self._visit(value.__kwdefaults__)
        elif isinstance(value, types.MethodType):
            self._visit(value.__self__)
            self._visit(value.__func__)
        elif isinstance(value, functools.partial):
            for part in (value.func, value.args, value.keywords):
                self._visit(part)
        elif isinstance(getattr(type(value), "fields", None), tuple):
            self.fields.append((value, _fields(value)))
        elif _hides_state(value):
            raise _Refused(f"it may read a {type(value).__name__}, which is not compared")
        elif hasattr(value, "__dict__"):
            self._visit_contents(vars(value))

    def _visit_contents(self, container):
        if isinstance(container, dict):
            items = tuple(part for item in container.items() for part in item)
        else:
            items = tuple(container)
        self._watched += len(items)
        if self._watched > _MAX_WATCHED:
            raise _Refused("too much is reachable from it to be compared in each call")
        self.contents.append((container, items))
        for item in items:
            self._visit(item)


def _hides_state(value) -> bool:
    """Its contents can change without a trace in attributes and items."""
    return (
        type(value).__module__.partition(".")[0] == "numpy"
        or isinstance(value, set | bytearray | collections.deque | random.Random)
        or hasattr(value, "__next__")
    )


def _fields(config) -> tuple:
    """The settings of a model's configuration: numbers, texts and lists of them."""
    return tuple(getattr(config, name) for name in type(config).fields)


def _is_of_user(file: str) -> bool:
    if file.startswith(_STANDARD):
        return "site-packages" in file and not file.startswith(_PACKAGE)
    return not file.startswith(_PACKAGE)


def _traced(call, args, kwargs):
    """The result of a call, and code of the user's that ran with its global names."""
    code = {}

    def note(frame, event, _):
        if event == "call" and _is_of_user(frame.f_code.co_filename):
            code[frame.f_code] = frame.f_globals

    sys.setprofile(note)
    try:
        return call(args, kwargs), code
    finally:
        sys.setprofile(None)


def _take_apart(value, tensors):
    """Collects the tensors of a result; returns the function that puts new ones in their place."""
    if isinstance(value, Tensor):
        at = len(tensors)
        tensors.append(value)
        return lambda new: new[at]
    if isinstance(value, _PLAIN):
        return lambda new: value
    if isinstance(value, tuple | list):
        parts = [_take_apart(item, tensors) for item in value]
        kind = type(value)
        if kind in (tuple, list):
            return lambda new: kind([part(new) for part in parts])
        if hasattr(kind, "_make"):
            return lambda new: kind._make(part(new) for part in parts)
    elif isinstance(value, dict):
        kind = type(value)
        named = {name: _take_apart(item, tensors) for name, item in value.items()}
        if kind.__name__ == "ModelOutput":
            named |= {name: _take_apart(item, tensors) for name, item in vars(value).items()}
        if kind is dict or kind.__name__ == "ModelOutput":
            return lambda new: kind({name: part(new) for name, part in named.items()})
    elif dataclasses.is_dataclass(value):
        kind = type(value)
        named = {name: _take_apart(item, tensors) for name, item in vars(value).items()}

        def rebuild(new):
            made = object.__new__(kind)
            for name, part in named.items():
                object.__setattr__(made, name, part(new))
            return made

        return rebuild
    raise _Refused(f"it returns a {type(value).__name__}")


class _Signature:
    """Calls with one kind of arguments."""

    def __init__(self, code):
        self.code = code  # what ran, with its global names
        self.replay = self.surroundings = self.rebuild = None
        self.failures = 0
        self.reason = ""


class Compiled:
    """Calls of one function or module."""

    def __init__(self, call, root):
        self._call, self._root = call, root
        self._signatures = {}
        self.replayed = self.recorded = 0
        self.reason = ""

    def __call__(self, args, kwargs):
        if _core._capturing():
            return self._call(args, kwargs)
        key = _core._call_key(args, kwargs)
        if key is None:
            return self._record(args, kwargs, "an argument is of a type that is not compared")
        if sys.getprofile() is not None:
            return self._record(args, kwargs, "a profiler watches the code")
        text, tensors = key
        signature = self._signatures.get(text)
        if signature is None:
            return self._first(text, args, kwargs)
        if signature.replay is not None:
            if signature.surroundings.unchanged():
                outputs = signature.replay.run(tensors)
                if outputs is not None:
                    self.replayed += 1
                    return signature.rebuild(outputs)
            signature.replay = signature.surroundings = None
            signature.failures += 1
            signature.reason = "what it reads changes from call to call"
        if signature.failures >= _MAX_ATTEMPTS:
            return self._record(args, kwargs, signature.reason)
        return self._capture(signature, args, kwargs, tensors)

    def _record(self, args, kwargs, reason):
        self.recorded += 1
        self.reason = reason
        return self._call(args, kwargs)

    def _first(self, text, args, kwargs):
        """Recorded as it is: what comes once is not worth more. Notes which code runs."""
        self.recorded += 1
        result, code = _traced(self._call, args, kwargs)
        while len(self._signatures) >= _MAX_REPLAYS:
            del self._signatures[next(iter(self._signatures))]
        self._signatures[text] = _Signature(code)
        return result

    def _capture(self, signature, args, kwargs, tensors):
        self.recorded += 1
        watch = None
        try:
            surroundings = _Surroundings((self._root,), signature.code)
            if not surroundings.tensors.isdisjoint(map(id, tensors)):
                raise _Refused("an argument is also read in another way")
            drawn = random.getstate()
            watch = _core._Watch()
        except _Refused as refused:
            return self._refuse(signature, str(refused), self._call(args, kwargs))
        watch.start()
        try:
            result, code = _traced(self._call, args, kwargs)
            outputs = []
            rebuild = _take_apart(result, outputs)
            replay = watch.finish(tensors, outputs)
        except _Refused as refused:
            return self._refuse(signature, str(refused), result)
        finally:
            watch.stop()
        if isinstance(replay, str):
            return self._refuse(signature, replay, result)
        if not code.keys() <= signature.code.keys():
            signature.code |= code  # with names that were not compared
            return result
        if not surroundings.unchanged() or drawn != random.getstate():
            return self._refuse(signature, "it changes what it reads", result)
        signature.replay, signature.surroundings = replay, surroundings
        signature.rebuild = rebuild
        return result

    def _refuse(self, signature, reason, result):
        signature.failures += 1
        signature.reason = self.reason = reason
        return result


def compile(
    model=None,
    *,
    fullgraph=False,
    dynamic=None,
    backend=None,
    mode=None,
    options=None,
    disable=False,
):
    """A module or function whose calls are replayed: what a call recorded is kept by the shapes and
    types of its arguments, and later calls that need no gradient apply it without running the code.

    model: a module, which is changed and returned (its calls are replayed from then on), or a
    function, for which a new one is returned. Without it, a decorator. The other arguments are
    those of torch.compile and without effect, but for disable, which leaves `model` as it is.
    TypeError for what can not be called.

    Results are those of the plain call: whatever is not replayed for a reason that is found
    (`ds.debug.replays(model)` names it) is recorded as without ds.compile. docs/guide/compile.md
    says what is compared."""
    if model is None:
        return functools.partial(compile, disable=disable)
    if not callable(model):
        raise TypeError(f"compile: expected a module or a function, got {type(model).__name__}")
    if disable or hasattr(model, "_deepseek_compiled"):
        return model
    if isinstance(model, nn.Module):
        if _core._compiled(model) is None:
            _core._set_compiled(
                model, Compiled(functools.partial(_core._call_module, model), model)
            )
        return model
    compiled = Compiled(lambda args, kwargs: model(*args, **kwargs), model)

    @functools.wraps(model)
    def run(*args, **kwargs):
        return compiled(args, kwargs)

    run._deepseek_compiled = compiled
    return run


__all__ = ["compile"]
