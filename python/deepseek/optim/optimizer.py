# SPDX-License-Identifier: Apache-2.0
"""The base of all optimizers: groups as dictionaries, state dictionaries, hooks.

The numbers of a group and the state of a parameter live in the C++ optimizer; a ParamGroup reads
and writes them there, so schedulers in either language see one truth. Subclasses written in Python
have no C++ optimizer: their groups and state are plain dictionaries."""

from __future__ import annotations

import functools
from collections import OrderedDict, defaultdict
from collections.abc import Mapping, MutableMapping
from copy import deepcopy

from .. import _core
from .._modes import enable_grad

#: Hyperparameters that are one tuple in Python and several numbers in C++.
_TUPLES = {
    "betas": ("beta1", "beta2"),
    "eps": ("eps1", "eps2"),
    "etas": ("eta_minus", "eta_plus"),
    "step_sizes": ("step_min", "step_max"),
}
_FLAGS = frozenset({"nesterov", "maximize", "amsgrad", "centered", "decoupled_weight_decay"})


class ParamGroup(MutableMapping):
    """The hyperparameters of a group and its `params`, as PyTorch's dictionary of them."""

    def __init__(self, impl, index: int, params: list, extra: dict):
        self._impl = impl
        self._index = index
        numbers = impl.hyper(index)
        self._tuples = {
            name: parts for name, parts in _TUPLES.items() if all(p in numbers for p in parts)
        }
        self._inner = {part for parts in self._tuples.values() for part in parts}
        self._extra = {"params": params, **extra}

    @property
    def _numbers(self) -> list[str]:
        """Hyperparameters that are one number; a scheduler may have added initial_lr."""
        return [name for name in self._impl.hyper(self._index) if name not in self._inner]

    def _number(self, name: str):
        value = self._impl.get(self._index, name)
        if name in _FLAGS:
            return bool(value)
        # Adafactor's first eps: a negative number stands for None, the epsilon of the dtype.
        return None if name == "eps1" and value < 0 else value

    def __getitem__(self, key):
        if key in self._tuples:
            return tuple(self._number(part) for part in self._tuples[key])
        if key in self._numbers:
            return self._number(key)
        return self._extra[key]

    def __setitem__(self, key, value):
        if key in self._tuples:
            parts = self._tuples[key]
            if len(value) != len(parts):
                raise _core.ValueError(f"optimizer: {key} takes {len(parts)} numbers")
            for part, number in zip(parts, value, strict=False):
                self._impl.set(self._index, part, -1.0 if number is None else float(number))
        elif key in self._numbers or key == "initial_lr":
            self._impl.set(self._index, key, float(value))
        elif key == "params" and "params" in self._extra:
            raise _core.ValueError("optimizer: the parameters of a group can not be replaced")
        else:
            self._extra[key] = value

    def __delitem__(self, key):
        if key in self._tuples or key in self._numbers or key == "params":
            raise _core.ValueError(f"optimizer: '{key}' can not be removed from a group")
        del self._extra[key]

    def __iter__(self):
        yield "params"
        yield from ("lr",) if "lr" in self._numbers else ()
        yield from self._tuples
        yield from (name for name in self._numbers if name != "lr")
        yield from (name for name in self._extra if name != "params")

    def __len__(self):
        return len(self._tuples) + len(self._numbers) + len(self._extra)

    def copy(self) -> dict:
        return dict(self)

    def __repr__(self):
        return repr(dict(self))


class _State(MutableMapping):
    """State by parameter, read from the C++ optimizer when asked."""

    def __init__(self, optimizer):
        self._optimizer = optimizer

    def __getitem__(self, param):
        return self._optimizer._impl.state(param)

    def __setitem__(self, param, values):
        self._optimizer._impl.set_state(param, dict(values))

    def __delitem__(self, param):
        self._optimizer._impl.set_state(param, {})

    def __iter__(self):
        for group in self._optimizer.param_groups:
            for param in group["params"]:
                if self._optimizer._impl.state(param):
                    yield param

    def __len__(self):
        return sum(1 for _ in self)


def _groups_of(params) -> list[dict]:
    """The groups that an optimizer's first argument stands for."""
    if isinstance(params, _core.Tensor):
        raise TypeError(
            "params argument given to the optimizer should be an iterable of Tensors or dicts, "
            "but got " + type(params).__name__
        )
    groups = list(params)
    if not groups:
        raise _core.ValueError("optimizer got an empty parameter list")
    if not isinstance(groups[0], Mapping):
        groups = [{"params": groups}]
    return groups


def _plain_params(group: Mapping) -> dict:
    """A group whose `params` is a list of tensors; names of (name, tensor) pairs are kept."""
    group = dict(group)
    params = group["params"]
    if isinstance(params, set):
        raise TypeError(
            "optimizer parameters need to be organized in ordered collections, but the ordering "
            "of tensors in sets will change between runs. Please use a list instead."
        )
    params = [params] if isinstance(params, _core.Tensor) else list(params)
    if params and isinstance(params[0], tuple):
        group["param_names"] = [name for name, _ in params]
        params = [param for _, param in params]
    for param in params:
        if not isinstance(param, _core.Tensor):
            raise TypeError(
                "optimizer can only optimize Tensors, but one of the params is "
                + type(param).__name__
            )
        if not param.is_leaf:
            raise _core.ValueError("can't optimize a non-leaf Tensor")
    group["params"] = params
    return group


class Optimizer:
    """Base of all optimizers. A subclass written in Python calls super().__init__(params,
    defaults) and defines step(), as with torch.optim.Optimizer."""

    _impl = None  # the C++ optimizer

    def __init__(self, params, defaults: dict):
        self.defaults = defaults
        self._hooks: tuple[OrderedDict, OrderedDict] = (OrderedDict(), OrderedDict())
        self.param_groups: list = []
        self.state = defaultdict(dict) if self._impl is None else _State(self)
        for group in _groups_of(params):
            self.add_param_group(group)

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        if "step" in cls.__dict__:
            cls.step = _with_hooks(cls.__dict__["step"])

    def _make(self, params: list):
        """The C++ optimizer over a first list of parameters; None for one written in Python."""
        return None

    def add_param_group(self, param_group: Mapping):
        """Adds parameters with their own hyperparameters."""
        if not isinstance(param_group, Mapping):
            raise TypeError(f"param_group must be a dict, but got {type(param_group)}")
        group = _plain_params(param_group)
        taken = {id(param) for other in self.param_groups for param in other["params"]}
        if any(id(param) in taken for param in group["params"]):
            raise _core.ValueError("some parameters appear in more than one parameter group")
        params = group.pop("params")
        native = self._impl is not None
        if not native and not self.param_groups:
            self._impl = self._make(params)
            native = self._impl is not None
            if native:
                self.state = _State(self)
        elif native:
            self._impl.add_group(params)
        if not native:
            self.param_groups.append({"params": params, **self.defaults, **group})
            return
        made = ParamGroup(self._impl, len(self.param_groups), params, {})
        for key, value in {**self.defaults, **group}.items():
            made[key] = value
        self.param_groups.append(made)

    def zero_grad(self, set_to_none: bool = True):
        """Drops or zeroes the gradients of all parameters."""
        for group in self.param_groups:
            for param in group["params"]:
                if param.grad is None:
                    continue
                param.grad = None if set_to_none else _core.zeros_like(param.grad)

    def step(self, closure=None):
        """Updates every parameter that has a gradient. closure: computes the loss again, with
        gradients, and returns it. A step that raises OutOfMemoryError, because it does not fit the
        memory budget, changes nothing and can be called again."""
        if self._impl is None:
            raise NotImplementedError(f"{type(self).__name__} defines no step()")
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        self._impl.step()
        return loss

    def state_dict(self) -> dict:
        """`state` by the parameter's position and `param_groups` with those positions."""
        position = {}
        groups = []
        for group in self.param_groups:
            packed = {key: value for key, value in group.items() if key != "params"}
            packed["params"] = [
                position.setdefault(id(param), len(position)) for param in group["params"]
            ]
            groups.append(packed)
        state = {}
        for group in self.param_groups:
            for param in group["params"]:
                if values := self.state[param] if param in self.state else None:
                    state[position[id(param)]] = dict(values)
        return {"state": state, "param_groups": groups}

    def load_state_dict(self, state_dict: Mapping):
        """Continues from a state_dict(), also one that PyTorch wrote. Nothing changes when the
        groups do not fit."""
        saved = list(state_dict["param_groups"])
        if len(saved) != len(self.param_groups):
            raise _core.ValueError("loaded state dict has a different number of parameter groups")
        for ours, theirs in zip(self.param_groups, saved, strict=False):
            if len(ours["params"]) != len(theirs["params"]):
                raise _core.ValueError(
                    "loaded state dict contains a parameter group that doesn't match the size "
                    "of optimizer's group"
                )
        for ours, theirs in zip(self.param_groups, saved, strict=False):
            for key, value in theirs.items():
                if key != "params":
                    ours[key] = value
            for index, param in zip(theirs["params"], ours["params"], strict=False):
                values = state_dict["state"].get(index, {})
                self.state[param] = {key: _state_value(value) for key, value in values.items()}

    def register_step_pre_hook(self, hook):
        return self._add_hook(0, hook)

    def register_step_post_hook(self, hook):
        return self._add_hook(1, hook)

    def _add_hook(self, kind: int, hook):
        handle = _StepHookHandle(self._hooks[kind])
        self._hooks[kind][id(handle)] = hook
        return handle

    def __getstate__(self):
        return {
            "defaults": self.defaults,
            "state_dict": self.state_dict(),
            "params": [list(group["params"]) for group in self.param_groups],
        }

    def __setstate__(self, state):
        self.defaults = state["defaults"]
        self._hooks = (OrderedDict(), OrderedDict())
        self.param_groups = []
        self.state = defaultdict(dict)
        for params in state["params"]:
            self.add_param_group({"params": params})
        self.load_state_dict(state["state_dict"])

    def __repr__(self):
        text = type(self).__name__ + " ("
        for index, group in enumerate(self.param_groups):
            text += f"\nParameter Group {index}\n"
            for key in sorted(group.keys()):
                if key != "params":
                    text += f"    {key}: {group[key]}\n"
        return text + ")"


class _StepHookHandle:
    def __init__(self, hooks):
        self._hooks = hooks

    def remove(self):
        self._hooks.pop(id(self), None)


def _with_hooks(step):
    @functools.wraps(step)
    def run(self, *args, **kwargs):
        before, after = self._hooks
        for hook in list(before.values()):
            changed = hook(self, args, kwargs)
            if changed is not None:
                args, kwargs = changed
        result = step(self, *args, **kwargs)
        for hook in list(after.values()):
            hook(self, args, kwargs)
        return result

    return run


Optimizer.step = _with_hooks(Optimizer.step)


def _state_value(value):
    """A number or a tensor of ours; tensors of other libraries are converted."""
    if isinstance(value, _core.Tensor | int | float) or value is None:
        return value
    if isinstance(value, list):
        return [_state_value(part) for part in value]
    if hasattr(value, "detach"):
        value = value.detach().numpy()
    if hasattr(value, "__array__"):
        return _core.tensor(value)
    return deepcopy(value)
