# SPDX-License-Identifier: Apache-2.0
"""Accounts of training on several devices: what each holds, what fits and why, how long a step
takes at best.

A step on one device is recorded (steps.py); how several share it is arithmetic. With N devices:
zero1, zero2 and zero3 are data parallel and share the optimizer state, then the gradients, then the
parameters (Rajbhandari et al., "ZeRO: Memory Optimizations Toward Training Trillion Parameter
Models", 2020). tensor divides each layer, its activations included, as with sequence parallelism
(Korthikanti et al., "Reducing Activation Recomputation in Large Transformer Models", 2022).
pipeline gives each device consecutive layers and keeps as many batches in flight as there are
stages (one forward, one backward). Times add arithmetic or memory traffic, whichever is longer, at
the device's stated peaks, and communication that nothing hides."""

from typing import NamedTuple

from .. import _core
from ..memory import format_bytes
from .devices import Device
from .steps import Case, Step, layer_of, layers_of, record, width_of

#: Of a device's memory; the rest is for its driver, its libraries and gaps.
USABLE = 0.95
_KINDS = ("parameters", "gradients", "optimizer", "activations", "workspace")
SCHEMES = ("data", "zero1", "zero2", "zero3", "tensor", "pipeline")


class Sharding(NamedTuple):
    """Ways of each kind; their product is the number of devices. zero is the ZeRO stage of the
    data-parallel ways."""

    data: int = 1
    tensor: int = 1
    pipeline: int = 1
    zero: int = 0

    def __str__(self) -> str:
        parts = [f"zero{self.zero}" if self.zero else "data"] if self.data > 1 else []
        parts += [f"tensor={self.tensor}"] if self.tensor > 1 else []
        parts += [f"pipeline={self.pipeline}"] if self.pipeline > 1 else []
        if self.data > 1 and len(parts) > 1:
            parts[0] += f"={self.data}"
        return ",".join(parts) or "one device"


def parse_sharding(text: str, count: int) -> Sharding:
    """ "zero3", "tensor=4,pipeline=2", "zero1=4,tensor=2": a name alone takes the devices that are
    left. ValueError when they do not multiply to `count`."""
    ways: dict[str, int] = {}
    open_names, zero = [], 0
    for part in text.split(","):
        name, _, number = part.strip().partition("=")
        if name not in SCHEMES or (number and not number.isdigit()):
            raise _core.ValueError(
                f"plan: sharding '{part}' is unknown; use {', '.join(SCHEMES)}, each with =N or "
                "alone for the devices that are left"
            )
        if name.startswith("zero"):
            name, zero = "data", int(name[4:])
        if name in ways or name in open_names:
            raise _core.ValueError(f"plan: sharding '{text}' names {name} twice")
        if number:
            ways[name] = int(number)
        else:
            open_names.append(name)
    product = 1
    for number in ways.values():
        product *= number
    if open_names and product and count % product == 0:
        ways[open_names.pop()] = count // product
        product = count
    if open_names or product != count:
        raise _core.ValueError(
            f"plan: sharding '{text}' is for {product} devices, there are {count}; the ways of "
            "all kinds multiply to the number of devices"
        )
    return Sharding(zero=zero, **ways)


class Account(NamedTuple):
    """What one device holds at its fullest, in bytes, and the least time of a step in seconds (0
    where the device's rates are unknown): arithmetic and memory, communication and waiting."""

    sharding: Sharding
    recompute: bool
    offload: bool
    micro_batch: int
    parameters: float
    gradients: float
    optimizer: float
    activations: float
    workspace: float
    host: float
    seconds: float
    communication: float
    memory: float

    @property
    def total(self) -> float:
        return sum(getattr(self, kind) for kind in _KINDS)

    @property
    def fits(self) -> bool:
        return self.total <= USABLE * self.memory

    @property
    def reason(self) -> str:
        """Why it fits or does not, in a few words."""
        left = USABLE * self.memory - self.total
        if left >= 0:
            return f"{format_bytes(int(left))} to spare"
        name = max(_KINDS, key=lambda kind: getattr(self, kind))
        most, name = getattr(self, name), "optimizer state" if name == "optimizer" else name
        alone = " alone is more" if most > USABLE * self.memory else " is most of it"
        return f"{format_bytes(int(-left))} too much; {name} {format_bytes(int(most))}{alone}"


class _Planner:
    """Accounts of one case on `count` devices."""

    def __init__(self, case: Case, count: int, device: Device):
        self.case, self.count, self.device = case, count, device
        self.layers = layers_of(case.model)
        flops = device.flops32 if case.precision == "fp32" else device.flops16
        self.rates = (flops or 1e12, device.bandwidth or 1e11)
        self.timed = flops > 0 and device.bandwidth > 0

    def account(self, sharding: Sharding, recompute: bool, offload: bool, micro: int) -> Account:
        case = self.case._replace(batch=micro, recompute=recompute)
        step = record(case, *self.rates)
        batches = self.case.batch // sharding.data // micro
        held = self._held(case, step, sharding, batches)
        host = 0.0
        if offload:
            host, held["optimizer"] = held["optimizer"], 0.0
        seconds, communication = (
            self._seconds(case, step, sharding, batches, offload) if self.timed else (0.0, 0.0)
        )
        return Account(
            sharding,
            recompute,
            offload,
            micro,
            host=host,
            seconds=seconds,
            communication=communication,
            memory=float(self.device.memory),
            **held,
        )

    def _held(self, case: Case, step: Step, sharding: Sharding, batches: int) -> dict:
        """Bytes of the fullest device by kind."""
        kinds = {name: getattr(step, name) for name in _KINDS}
        kinds["workspace"] += step.inputs
        if sharding.pipeline > 1:
            kinds = self._fuller_stage(case, step, sharding.pipeline, batches)
        kinds = {name: value / sharding.tensor for name, value in kinds.items()}
        if sharding.zero >= 1:
            kinds["optimizer"] /= sharding.data
        if sharding.zero >= 2:
            kinds["gradients"] /= sharding.data
        if sharding.zero >= 3:
            kinds["parameters"] /= sharding.data
            whole = step.largest_parameter
            if self.layers:
                whole = max(whole, layer_of(case, *self.rates).parameters)
            # The layer that computes and the next one, which is on its way, are whole.
            kinds["workspace"] += 2 * whole / sharding.tensor
        return kinds

    def _fuller_stage(self, case: Case, step: Step, stages: int, batches: int) -> dict:
        """Bytes of the first or the last stage. Both hold the embedding, the last one as its head;
        one layer's activations stand for what the first computes in."""
        layer = layer_of(case, *self.rates)
        count = -(-self.layers // stages)
        held = {name: count * getattr(layer, name) for name in _KINDS}
        rest = {name: getattr(step, name) - self.layers * getattr(layer, name) for name in _KINDS}
        for name in ("parameters", "gradients", "optimizer"):
            held[name] += rest[name]
        first = {**held, "activations": held["activations"] * min(batches, stages)}
        first["workspace"] = layer_of(case._replace(recompute=False), *self.rates).activations
        last = {**held, "activations": held["activations"] + rest["activations"]}
        last["workspace"] = rest["workspace"] + step.inputs
        return max(first, last, key=lambda stage: sum(stage.values()))

    def _seconds(self, case, step, sharding, batches, offload) -> tuple[float, float]:
        """A step's time, and the part of it that is communication and waiting."""
        device, shards = self.device, sharding.tensor * sharding.pipeline
        computing = batches * step.seconds / shards
        owners = shards * (sharding.data if sharding.zero else 1)
        if not offload:  # the update reads and writes each state once
            swept = 2 * step.parameters + step.gradients + 2 * step.optimizer
            computing += swept / owners / device.bandwidth
        moved = 0.0
        if sharding.data > 1:
            share = (sharding.data - 1) / sharding.data / shards
            if sharding.zero == 3:  # gathered in both passes, gradients summed, for every batch
                moved += batches * share * (2 * step.parameters + step.gradients)
            else:
                moved += 2 * share * step.gradients
        if sharding.tensor > 1:  # two sums in each pass of a layer
            width = 4 if case.precision == "fp32" else 2
            across = case.batch * case.size * width_of(case.model) * width
            sums = (4 + 2 * case.recompute) * self.layers / sharding.pipeline
            moved += batches * sums * 2 * (sharding.tensor - 1) / sharding.tensor * across
        waiting = moved / device.link if moved else 0.0
        if sharding.pipeline > 1:
            waiting += computing / batches * (sharding.pipeline - 1)
        if offload and device.host_link:
            waiting += (step.parameters + step.gradients) / owners / device.host_link
        return computing + waiting, waiting

    def best(self, sharding: Sharding, recompute: bool, offload: bool, micro: int | None):
        """The account with the given micro batch, or with the largest that fits (1 when none)."""
        own = self.case.batch // sharding.data
        if own * sharding.data != self.case.batch:
            raise _core.ValueError(
                f"plan: a batch of {self.case.batch} does not divide among {sharding.data} "
                "data-parallel devices"
            )
        if micro is not None:
            if own % micro:
                raise _core.ValueError(
                    f"plan: {own} samples of a device do not divide into micro batches of {micro}"
                )
            return self.account(sharding, recompute, offload, micro)
        sizes = [size for size in range(own, 0, -1) if own % size == 0]
        if sharding.pipeline > 1:  # as many batches as stages keep the pipeline busy
            sizes = [s for s in sizes if own // s >= min(own, sharding.pipeline)]
        for size in sizes:
            made = self.account(sharding, recompute, offload, size)
            if made.fits:
                return made
        return made


def plan(
    case: Case,
    count: int,
    device: Device,
    shardings: list[str] | None = None,
    recompute: bool | None = None,
    offload: bool | None = None,
    micro_batch: int | None = None,
) -> list[Account]:
    """An account for every sharding, with and without recomputation of each layer from its input,
    with and without the optimizer state in the host's memory; None asks for both. case.batch is the
    batch of all devices together; each takes micro_batch samples at once, by itself as many as
    fit. ValueError for what does not divide."""
    layered = layers_of(case.model) > 0
    planner = _Planner(case, count, device)
    if shardings is None:
        names = SCHEMES if layered else SCHEMES[:4]
        chosen = [parse_sharding(name, count) for name in names] if count > 1 else [Sharding()]
        chosen = [s for s in chosen if case.batch % s.data == 0]
        chosen = [s for s in chosen if s.pipeline <= max(planner.layers, 1)]
    else:
        chosen = [parse_sharding(text, count) for text in shardings]
        if not layered and any(s.tensor * s.pipeline > 1 for s in chosen):
            raise _core.ValueError(
                f"plan: {case.model} repeats no layer; use data, zero1, zero2 or zero3"
            )
    again = [False, True] if recompute is None else [recompute]
    if recompute is None and not layered:
        again = [False]
    return [
        planner.best(sharding, r, o, micro_batch)
        for o in ([False, True] if offload is None else [offload])
        for sharding in chosen
        for r in again
    ]
