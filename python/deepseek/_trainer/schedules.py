# SPDX-License-Identifier: Apache-2.0
"""Optimizers and schedules by the names that TrainingArguments takes."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping

from .. import _core, optim

_made = optim.lr_scheduler

#: Classes by name, and whether they take Adam's numbers.
OPTIMIZERS: dict[str, tuple[type, tuple[str, ...]]] = {
    "adamw_torch": (optim.AdamW, ("betas", "eps")),
    "adamw_torch_fused": (optim.AdamW, ("betas", "eps")),
    "adafactor": (optim.Adafactor, ()),
    "adagrad": (optim.Adagrad, ()),
    "lion_32bit": (optim.Lion, ("betas",)),
    "rmsprop": (optim.RMSprop, ()),
    "sgd": (optim.SGD, ()),
}


def _number(text: str):
    """A value of optim_args: a truth, a tuple "(0.9, 0.99)", or a number."""
    lowered = text.strip().lower()
    if lowered in ("true", "false", "none"):
        return {"true": True, "false": False, "none": None}[lowered]
    if lowered.startswith("("):
        return tuple(float(part) for part in lowered.strip("()").split(",") if part.strip())
    return float(text)


def _parsed(text: str) -> dict:
    """optim_args, "momentum=0.9, nesterov=true", as arguments."""
    parts, depth = [""], 0
    for letter in text:
        depth += (letter == "(") - (letter == ")")
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    values = {}
    for part in filter(str.strip, parts):
        name, sign, value = part.partition("=")
        try:
            values[name.strip()] = _number(value)
        except ValueError:
            sign = ""
        if not sign:
            raise _core.ValueError(
                f"TrainingArguments: optim_args has {part.strip()!r}; write NAME=VALUE, with commas"
            )
    return values


def optimizer_class(args) -> tuple[type, dict]:
    """The class that args.optim names, and its arguments."""
    kind, adam = OPTIMIZERS[args.optim]
    numbers = {"betas": (args.adam_beta1, args.adam_beta2), "eps": args.adam_epsilon}
    options = {"lr": args.learning_rate, **{name: numbers[name] for name in adam}}
    given = _parsed(args.optim_args or "")
    known = inspect.signature(kind).parameters
    for name in given:
        if name not in known:
            raise _core.ValueError(
                f"TrainingArguments: optim_args: {kind.__name__} has no argument '{name}'; it has "
                f"{', '.join(n for n in known if n != 'params')}"
            )
    return kind, {**options, **given}


# Each schedule: (warmup, steps, options) -> the factor of the base rate at a step.


def _after(warmup: int, rule: Callable[[int], float]) -> Callable[[int], float]:
    """Rises on a line in `warmup` steps, then follows the rule."""
    return lambda step: step / max(1, warmup) if step < warmup else rule(step)


def _share(step: int, warmup: int, steps: int) -> float:
    """How much of what follows the warmup is over."""
    return (step - warmup) / max(1, steps - warmup)


def _wave(share: float, cycles: float) -> float:
    return 0.5 * (1 + math.cos(2 * math.pi * cycles * share))


def _cosine_with_restarts(warmup, steps, num_cycles: int = 1):
    def rule(step):
        share = _share(step, warmup, steps)
        return 0.0 if share >= 1 else _wave(num_cycles * share % 1, 0.5)

    return _after(warmup, rule)


def _polynomial(warmup, steps, base: float, lr_end: float = 1e-7, power: float = 1.0):
    if lr_end >= base:
        raise _core.ValueError(
            f"polynomial schedule: lr_end {lr_end} must be below the rate {base} it comes from"
        )

    def rule(step):
        left = max(0.0, 1 - _share(step, warmup, steps))
        return ((base - lr_end) * left**power + lr_end) / base

    return _after(warmup, rule)


def _inverse_sqrt(warmup, steps, timescale: int | None = None):
    scale = timescale or warmup or 10_000
    return _after(warmup, lambda step: 1 / math.sqrt((step + scale - warmup) / scale))


def _least(base: float, min_lr: float | None, min_lr_rate: float | None) -> float:
    """The lowest factor, given as a rate or as a share."""
    if (min_lr is None) == (min_lr_rate is None):
        raise _core.ValueError("cosine schedule: give min_lr or min_lr_rate in lr_scheduler_kwargs")
    return min_lr / base if min_lr_rate is None else min_lr_rate


def _cosine_with_min_lr(
    warmup,
    steps,
    base: float,
    num_cycles: float = 0.5,
    min_lr: float | None = None,
    min_lr_rate: float | None = None,
):
    low = _least(base, min_lr, min_lr_rate)
    return _after(
        warmup,
        lambda step: max(0.0, _wave(_share(step, warmup, steps), num_cycles) * (1 - low) + low),
    )


def _cosine_warmup_with_min_lr(
    warmup,
    steps,
    base: float,
    num_cycles: float = 0.5,
    min_lr: float | None = None,
    min_lr_rate: float | None = None,
    warmup_lr_rate: float | None = None,
):
    low = _least(base, min_lr, min_lr_rate)

    def factor(step):
        if step < warmup:
            if warmup_lr_rate is None:
                return (step + 1) / max(1, warmup)
            return warmup_lr_rate + (1 - warmup_lr_rate) * step / max(1, warmup - 1)
        share = (step - warmup + 1) / max(1, steps - warmup)
        return max(0.0, _wave(share, num_cycles) * (1 - low) + low)

    return factor


def _fall(kind: str, share: float, cycles: float = 0.5) -> float:
    """From 1 to 0 as the share goes from 0 to 1."""
    shapes = {
        "linear": lambda: 1 - share,
        "cosine": lambda: _wave(share, cycles),
        "1-sqrt": lambda: 1 - math.sqrt(share),
    }
    if kind not in shapes:
        raise _core.ValueError(
            f"warmup_stable_decay schedule: the shape {kind!r} is unknown; use {', '.join(shapes)}"
        )
    return shapes[kind]()


def _warmup_stable_decay(
    warmup,
    steps,
    num_decay_steps: int,
    num_stable_steps: int | None = None,
    warmup_type: str = "linear",
    decay_type: str = "cosine",
    min_lr_ratio: float = 0.0,
    num_cycles: float = 0.5,
):
    stable = steps - warmup - num_decay_steps if num_stable_steps is None else num_stable_steps
    fall = warmup + stable  # where it begins
    _fall(warmup_type, 0.0)

    def factor(step):
        if warmup <= step < fall:
            return 1.0
        if step < warmup:
            height = _fall(warmup_type, 1 - step / warmup)
        else:
            share = min(1.0, (step - fall) / max(1, num_decay_steps))
            height = _fall(decay_type, share, num_cycles) if share < 1 else 0.0
        return max(0.0, height * (1 - min_lr_ratio) + min_lr_ratio)

    return factor


_FACTORS = {
    "cosine_with_restarts": _cosine_with_restarts,
    "polynomial": _polynomial,
    "inverse_sqrt": _inverse_sqrt,
    "cosine_with_min_lr": _cosine_with_min_lr,
    "cosine_warmup_with_min_lr": _cosine_warmup_with_min_lr,
    "warmup_stable_decay": _warmup_stable_decay,
}
SCHEDULES = (
    "linear",
    "cosine",
    "constant",
    "constant_with_warmup",
    "reduce_lr_on_plateau",
    *_FACTORS,
)


def make_scheduler(name: str, optimizer, warmup: int, steps: int, options: Mapping | None = None):
    """The schedule of a name over `steps` steps; ValueError names an option that it has not."""
    options = dict(options or {})
    try:
        if name == "linear":
            return _made.linear_with_warmup(optimizer, warmup, steps, **options)
        if name == "cosine":
            cycles = options.pop("num_cycles", 0.5)
            return _made.cosine_with_warmup(optimizer, warmup, steps, cycles, **options)
        if name in ("constant", "constant_with_warmup"):
            rise = warmup if name == "constant_with_warmup" else 0
            return _made.constant_with_warmup(optimizer, rise, **options)
        if name == "reduce_lr_on_plateau":
            return _made.ReduceLROnPlateau(optimizer, **options)
        rule = _FACTORS[name]
        if "base" in inspect.signature(rule).parameters:
            options["base"] = optimizer.param_groups[0]["lr"]
        return _made.LambdaLR(optimizer, rule(warmup, steps, **options))
    except TypeError as error:
        raise _core.ValueError(f"lr_scheduler_kwargs of '{name}': {error}") from error


def get_scheduler(
    name,
    optimizer,
    num_warmup_steps: int | None = None,
    num_training_steps: int | None = None,
    scheduler_specific_kwargs: Mapping | None = None,
):
    """A schedule by the name that lr_scheduler_type has. ValueError for an unknown name, and where
    the schedule needs a number of steps that is not given."""
    name = getattr(name, "value", name)
    if name not in SCHEDULES:
        raise _core.ValueError(
            f"get_scheduler: the schedule {name!r} is unknown; use {', '.join(SCHEDULES)}"
        )
    warms = name not in ("constant", "reduce_lr_on_plateau")
    ends = warms and name not in ("constant_with_warmup", "inverse_sqrt")
    for needed, what, value in (
        (warms, "num_warmup_steps", num_warmup_steps),
        (ends, "num_training_steps", num_training_steps),
    ):
        if needed and value is None:
            raise _core.ValueError(f"get_scheduler: the schedule '{name}' needs {what}")
    return make_scheduler(
        name, optimizer, num_warmup_steps or 0, num_training_steps or 0, scheduler_specific_kwargs
    )


def get_constant_schedule(optimizer):
    """The optimizer's rate."""
    return get_scheduler("constant", optimizer)


def get_constant_schedule_with_warmup(optimizer, num_warmup_steps: int):
    """Rises on a line in num_warmup_steps, then stays."""
    return get_scheduler("constant_with_warmup", optimizer, num_warmup_steps)


def get_linear_schedule_with_warmup(optimizer, num_warmup_steps: int, num_training_steps: int):
    """Rises on a line in num_warmup_steps, then falls on one to 0 at num_training_steps."""
    return get_scheduler("linear", optimizer, num_warmup_steps, num_training_steps)


def get_cosine_schedule_with_warmup(
    optimizer, num_warmup_steps: int, num_training_steps: int, num_cycles: float = 0.5
):
    """Rises on a line in num_warmup_steps, then falls as num_cycles waves of a cosine do."""
    options = {"num_cycles": num_cycles}
    return get_scheduler("cosine", optimizer, num_warmup_steps, num_training_steps, options)


def get_cosine_with_hard_restarts_schedule_with_warmup(
    optimizer, num_warmup_steps: int, num_training_steps: int, num_cycles: int = 1
):
    """The same, where each of num_cycles falls to 0 and the next begins at the top."""
    options = {"num_cycles": num_cycles}
    return get_scheduler(
        "cosine_with_restarts", optimizer, num_warmup_steps, num_training_steps, options
    )


def get_polynomial_decay_schedule_with_warmup(
    optimizer,
    num_warmup_steps: int,
    num_training_steps: int,
    lr_end: float = 1e-7,
    power: float = 1.0,
):
    """Rises on a line in num_warmup_steps, then falls to lr_end as a power of what is left."""
    options = {"lr_end": lr_end, "power": power}
    return get_scheduler("polynomial", optimizer, num_warmup_steps, num_training_steps, options)


def get_inverse_sqrt_schedule(optimizer, num_warmup_steps: int, timescale: int | None = None):
    """Rises on a line in num_warmup_steps, then falls as one over the root of the step."""
    options = {"timescale": timescale}
    return get_scheduler("inverse_sqrt", optimizer, num_warmup_steps, None, options)
