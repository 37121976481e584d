# SPDX-License-Identifier: Apache-2.0
"""Learning-rate schedulers of the C++ library under PyTorch's names and arguments.

The rate is an input of the step's plan: changing it at every step costs nothing."""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Callable, Mapping, Sequence

from .. import _core

_native = _core.optim
#: Entries of a state that are one number, and those that are a whole one.
_SCALARS = frozenset(
    {"last_epoch", "_step_count", "T_cur", "T_i", "best", "num_bad_epochs", "cooldown_counter"}
)
#: Numbers of a group that schedulers read and write, besides the first of its betas.
_SCHEDULED = ("lr", "initial_lr", "momentum")
_WHOLE = frozenset({"last_epoch", "_step_count", "num_bad_epochs", "cooldown_counter"})


def _numbers(group: Mapping) -> dict[str, float]:
    """What schedulers read and write of a group of an optimizer written in Python."""
    numbers = {name: float(group[name]) for name in _SCHEDULED if name in group}
    if "betas" in group:
        numbers["beta1"] = float(group["betas"][0])
    return numbers


@contextlib.contextmanager
def _of(optimizer):
    """The C++ optimizer, while a scheduler is made or runs. For one written in Python it is a
    stand-in with the numbers of its groups, which are put back afterwards."""
    native = getattr(optimizer, "_impl", None)
    if native is not None:
        yield native
        return
    groups = getattr(optimizer, "param_groups", None)
    if groups is None:
        raise TypeError(f"{type(optimizer).__name__} is not an Optimizer")
    native = vars(optimizer).get("_group_numbers")
    if native is None:
        numbers = [_numbers(group) for group in groups]
        native = _native.GroupNumbers(type(optimizer).__name__, numbers)
        optimizer._group_numbers = native
    shared = list(zip(range(native.group_count()), groups, strict=False))
    for index, group in shared:
        for name, value in _numbers(group).items():
            native.set(index, name, value)
    yield native
    for index, group in shared:
        for name, value in native.hyper(index).items():
            if name == "beta1":
                group["betas"] = (value, *group["betas"][1:])
            else:
                group[name] = value


def _list(value) -> list[float]:
    return [float(v) for v in value] if isinstance(value, list | tuple) else [float(value)]


def _nested(flat: dict) -> dict:
    state: dict = {}
    parts: dict[int, dict] = {}
    for key, values in flat.items():
        index, dot, rest = key.partition(".")
        if dot:
            parts.setdefault(int(index), {})[rest] = values
        elif key in _SCALARS:
            state[key] = int(values[0]) if key in _WHOLE else values[0]
        else:
            state[key] = list(values)
    if parts:
        state["_schedulers"] = [_nested(parts[index]) for index in sorted(parts)]
    return state


def _flat(state: Mapping, known: dict) -> dict:
    """The C++ form of a state; what PyTorch's state lacks stays as it is in `known`."""
    merged = dict(known)
    for key in known:
        if "." not in key and key in state:
            merged[key] = _list(state[key])
    for index, part in enumerate(state.get("_schedulers", ())):
        prefix = f"{index}."
        own = {key[len(prefix) :]: v for key, v in known.items() if key.startswith(prefix)}
        merged.update({prefix + key: v for key, v in _flat(part, own).items()})
    return merged


class LRScheduler:
    """Base of all schedulers. A subclass of your own defines get_lr(), one rate per group."""

    _impl = None

    def __init__(self, optimizer, last_epoch: int = -1):
        self.optimizer = optimizer
        me = weakref.ref(self)
        with _of(optimizer) as native:
            self._impl = _native.CustomLR(native, lambda: me().get_lr(), last_epoch)
        with _of(optimizer):  # get_lr() finds initial_lr in the groups
            self._impl.begin()

    def get_lr(self) -> list[float]:
        raise NotImplementedError(f"{type(self).__name__} defines no get_lr()")

    def step(self, epoch=None):
        """Sets the next rates; call it after optimizer.step()."""
        if epoch is not None:
            raise _core.NotImplementedError(
                f"{type(self).__name__}.step: an epoch can not be given; call step() without it"
            )
        with _of(self.optimizer):
            self._impl.step()

    @property
    def last_epoch(self) -> int:
        return self._impl.last_epoch

    @property
    def base_lrs(self) -> list[float]:
        return self._impl.base_lrs

    def get_last_lr(self) -> list[float]:
        """The rates that step() set last."""
        return self._impl.last_lr

    _last_lr = property(get_last_lr)

    def state_dict(self) -> dict:
        """What changes while it runs; the arguments are not part of it."""
        return _nested(self._impl.state_dict())

    def load_state_dict(self, state_dict: Mapping):
        """Continues from a state_dict(), also from PyTorch's."""
        if "last_epoch" not in state_dict and "_schedulers" not in state_dict:
            raise _core.KeyError("lr_scheduler: the state has neither last_epoch nor _schedulers")
        self._impl.load_state_dict(_flat(state_dict, self._impl.state_dict()))


class _Native(LRScheduler):
    """A scheduler whose rule is the C++ class of the same name."""

    def _begin(self, optimizer, *arguments):
        self.optimizer = optimizer
        with _of(optimizer) as native:
            self._impl = getattr(_native, type(self)._class_name())(native, *arguments)

    @classmethod
    def _class_name(cls) -> str:
        return next(c.__name__ for c in cls.__mro__ if hasattr(_native, c.__name__))


class StepLR(_Native):
    """Times gamma every step_size epochs."""

    def __init__(self, optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1):
        self._begin(optimizer, step_size, gamma, last_epoch)


class MultiStepLR(_Native):
    """Times gamma at each milestone."""

    def __init__(
        self, optimizer, milestones: Sequence[int], gamma: float = 0.1, last_epoch: int = -1
    ):
        self._begin(optimizer, list(milestones), gamma, last_epoch)


class ConstantLR(_Native):
    """Times factor for the first total_iters epochs."""

    def __init__(
        self, optimizer, factor: float = 1.0 / 3, total_iters: int = 5, last_epoch: int = -1
    ):
        self._begin(optimizer, factor, total_iters, last_epoch)


class LinearLR(_Native):
    """From start_factor to end_factor on a line over total_iters epochs."""

    def __init__(
        self,
        optimizer,
        start_factor: float = 1.0 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
        last_epoch: int = -1,
    ):
        self._begin(optimizer, start_factor, end_factor, total_iters, last_epoch)


class ExponentialLR(_Native):
    """Times gamma every epoch."""

    def __init__(self, optimizer, gamma: float, last_epoch: int = -1):
        self._begin(optimizer, gamma, last_epoch)


class PolynomialLR(_Native):
    """(1 - epoch / total_iters) to a power."""

    def __init__(self, optimizer, total_iters: int = 5, power: float = 1.0, last_epoch: int = -1):
        self._begin(optimizer, total_iters, power, last_epoch)


class CosineAnnealingLR(_Native):
    """Half a cosine wave from the base rate to eta_min in T_max epochs."""

    def __init__(self, optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1):
        self._begin(optimizer, T_max, eta_min, last_epoch)


class CosineAnnealingWarmRestarts(_Native):
    """Cosine annealing that starts again after T_0 epochs, each period T_mult times the last."""

    def __init__(
        self, optimizer, T_0: int, T_mult: int = 1, eta_min: float = 0.0, last_epoch: int = -1
    ):
        self._begin(optimizer, T_0, T_mult, eta_min, last_epoch)

    def step(self, epoch=None):
        """Also to a point inside an epoch: step(epoch + batch / batches)."""
        with _of(self.optimizer):
            self._impl.step() if epoch is None else self._impl.step_to(epoch)


class LambdaLR(_Native):
    """Base rate times a function of the epoch; one function, or one for each group."""

    def __init__(self, optimizer, lr_lambda, last_epoch: int = -1):
        functions = list(lr_lambda) if isinstance(lr_lambda, list | tuple) else [lr_lambda]
        self._begin(optimizer, functions, last_epoch)


class MultiplicativeLR(LambdaLR):
    """The rate now times a function of the epoch."""


class OneCycleLR(_Native):
    """Up to max_lr and down again; step() after every batch."""

    def __init__(
        self,
        optimizer,
        max_lr,
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum=0.85,
        max_momentum=0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ):
        if total_steps is None:
            if epochs is None or steps_per_epoch is None:
                raise _core.ValueError(
                    "OneCycleLR: give total_steps, or epochs and steps_per_epoch"
                )
            total_steps = epochs * steps_per_epoch
        if anneal_strategy not in ("cos", "linear"):
            raise _core.ValueError(
                f"OneCycleLR: anneal_strategy {anneal_strategy!r} must be 'cos' or 'linear'"
            )
        self.total_steps = total_steps
        self._begin(
            optimizer,
            _list(max_lr),
            total_steps,
            pct_start,
            anneal_strategy == "linear",
            cycle_momentum,
            _list(base_momentum),
            _list(max_momentum),
            div_factor,
            final_div_factor,
            three_phase,
            last_epoch,
        )


class CyclicLR(_Native):
    """Triangles between base_lr and max_lr."""

    _MODES = ("triangular", "triangular2", "exp_range")

    def __init__(
        self,
        optimizer,
        base_lr,
        max_lr,
        step_size_up: int = 2000,
        step_size_down: int | None = None,
        mode: str = "triangular",
        gamma: float = 1.0,
        scale_fn: Callable[[float], float] | None = None,
        scale_mode: str = "cycle",
        cycle_momentum: bool = True,
        base_momentum=0.8,
        max_momentum=0.9,
        last_epoch: int = -1,
    ):
        if mode not in self._MODES and scale_fn is None:
            raise _core.ValueError(f"CyclicLR: mode {mode!r} must be one of {self._MODES}")
        self._begin(
            optimizer,
            _list(base_lr),
            _list(max_lr),
            step_size_up,
            -1 if step_size_down is None else step_size_down,
            self._MODES.index(mode) if mode in self._MODES else 0,
            gamma,
            scale_fn,
            scale_mode == "cycle",
            cycle_momentum,
            _list(base_momentum),
            _list(max_momentum),
            last_epoch,
        )


class SequentialLR(_Native):
    """One scheduler after another; number i runs from milestone i - 1 on."""

    def __init__(
        self,
        optimizer,
        schedulers: Sequence[LRScheduler],
        milestones: Sequence[int],
        last_epoch: int = -1,
    ):
        self._schedulers = list(schedulers)
        self._begin(optimizer, [s._impl for s in self._schedulers], list(milestones), last_epoch)


class ChainedScheduler(_Native):
    """All schedulers at every step: their factors multiply."""

    def __init__(self, schedulers: Sequence[LRScheduler], optimizer=None):
        self._schedulers = list(schedulers)
        self.optimizer = optimizer or self._schedulers[0].optimizer
        with _of(self.optimizer):
            self._impl = _native.ChainedScheduler([s._impl for s in self._schedulers])


class ReduceLROnPlateau(_Native):
    """Times factor when the metric has not improved for more than `patience` epochs."""

    def __init__(
        self,
        optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr=0.0,
        eps: float = 1e-8,
    ):
        if mode not in ("min", "max"):
            raise _core.ValueError(f"ReduceLROnPlateau: mode {mode!r} must be 'min' or 'max'")
        if threshold_mode not in ("rel", "abs"):
            raise _core.ValueError(
                f"ReduceLROnPlateau: threshold_mode {threshold_mode!r} must be 'rel' or 'abs'"
            )
        self._begin(
            optimizer,
            mode == "max",
            factor,
            patience,
            threshold,
            threshold_mode == "abs",
            cooldown,
            _list(min_lr),
            eps,
        )

    def step(self, metrics, epoch=None):
        """Takes the epoch's metric, a number or a tensor of one."""
        with _of(self.optimizer):
            self._impl.step(float(metrics))

    @property
    def best(self) -> float:
        return self._impl.best

    @property
    def num_bad_epochs(self) -> int:
        return self._impl.num_bad_epochs


class _Made(LRScheduler):
    def __init__(self, make: Callable, optimizer, *arguments):
        self.optimizer = optimizer
        with _of(optimizer) as native:
            self._impl = make(native, *arguments)


def constant_with_warmup(optimizer, warmup_steps: int) -> LRScheduler:
    """From 0 to the base rate in warmup_steps, then the base rate."""
    return _Made(_native.constant_with_warmup, optimizer, warmup_steps)


def linear_with_warmup(optimizer, warmup_steps: int, total_steps: int) -> LRScheduler:
    """From 0 to the base rate in warmup_steps, then on a line to 0 at total_steps."""
    return _Made(_native.linear_with_warmup, optimizer, warmup_steps, total_steps)


def cosine_with_warmup(
    optimizer, warmup_steps: int, total_steps: int, cycles: float = 0.5
) -> LRScheduler:
    """From 0 to the base rate in warmup_steps, then `cycles` cosine waves to 0 at total_steps."""
    return _Made(_native.cosine_with_warmup, optimizer, warmup_steps, total_steps, cycles)
