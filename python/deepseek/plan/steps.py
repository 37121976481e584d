# SPDX-License-Identifier: Apache-2.0
"""What one training step of a model costs on one device: the real graph, recorded and planned on
the null backend, which computes nothing and whose large buffers are address space alone."""

import contextlib
import functools
from collections.abc import Callable
from typing import NamedTuple

from .. import _core, models, nn, optim
from .._batch_size import state_bytes
from .._modes import autocast
from ..random import fork_rng
from ..utils.checkpoint import checkpoint

#: Embedding width, layers and heads. GPT-2: Radford et al., 2019; GPT-3: Brown et al., 2020, table
#: 2.1, whose networks are built as GPT-2's, with 2048 positions.
GPT = {
    "gpt2": (768, 12, 12),
    "gpt2-medium": (1024, 24, 16),
    "gpt2-large": (1280, 36, 20),
    "gpt2-xl": (1600, 48, 25),
    "gpt3-2.7b": (2560, 32, 32),
    "gpt3-6.7b": (4096, 32, 32),
    "gpt3-13b": (5120, 40, 40),
    "gpt3-175b": (12288, 96, 96),
}
MODELS = (*GPT, *models.MODELS)
PRECISIONS = ("fp32", "mixed", "bf16")
OPTIMIZERS: dict[str, Callable] = {
    "sgd": lambda p: optim.SGD(p, lr=1e-3),
    "momentum": lambda p: optim.SGD(p, lr=1e-3, momentum=0.9),
    "adam": lambda p: optim.Adam(p),
    "adamw": lambda p: optim.AdamW(p),
    "lion": lambda p: optim.Lion(p),
    "adafactor": lambda p: optim.Adafactor(p),
}


class Step(NamedTuple):
    """Bytes by kind, as in deepseek.memory.summary, and of the largest parameter. Forward and
    backward pass take `seconds` for `flops` operations and `traffic` bytes."""

    parameter_count: float
    largest_parameter: float
    parameters: float
    gradients: float
    optimizer: float
    activations: float
    workspace: float
    inputs: float
    flops: float
    traffic: float
    seconds: float


class Case(NamedTuple):
    """A training step: samples are images of `size` pixels or texts of `size` tokens."""

    model: str
    batch: int
    size: int
    precision: str = "fp32"
    optimizer: str = "adamw"
    recompute: bool = False


def width_of(model: str) -> int:
    """Numbers for each token between two layers."""
    return GPT[model][0]


def layers_of(model: str) -> int:
    """Equal layers of a model; 0 when it repeats none."""
    return GPT[model][1] if model in GPT else 0


def default_size(model: str) -> int:
    """Tokens or pixels a model was made for."""
    if model in GPT:
        return 2048 if model.startswith("gpt3") else 1024
    small = {"lenet": 28, "resnet8": 28, "resnet20": 32}
    return small.get(model, 224)


@contextlib.contextmanager
def _on_null():
    """New tensors are on the null backend; neither the random state nor the budget counts."""
    device, budget = _core.get_default_device(), _core._memory_budget()
    _core.set_default_device("null")
    _core._set_memory_budget(0)
    try:
        with fork_rng():
            yield
    finally:
        _core.set_default_device(device)
        _core._set_memory_budget(budget)


def gpt(case: Case, layers: int):
    """The model, and its loss on a text of zeros. With recomputation, only each layer's input is
    kept of it."""
    width, _, heads = GPT[case.model]
    # GPT-3's paper states no dropout.
    drop = 0.0 if case.model.startswith("gpt3") else 0.1
    config = models.GPT2Config(
        n_embd=width,
        n_layer=layers,
        n_head=heads,
        n_positions=case.size,
        attn_pdrop=drop,
        embd_pdrop=drop,
        resid_pdrop=drop,
    )
    model = models.GPT2LMHeadModel(config)
    ids = _core.zeros(case.batch, case.size, dtype=_core.int64).evaluate()
    if not case.recompute:
        return model, lambda: model(input_ids=ids, labels=ids).loss

    def loss():
        body = model.transformer
        x = body.wte(ids) + body.wpe(_core.arange(case.size))
        x = nn.functional.dropout(x, drop)
        for block in body.h:
            x = checkpoint(block, x)
        logits = model.lm_head(body.ln_f(x))[:, :-1]
        return nn.functional.cross_entropy(
            logits.reshape(-1, logits.shape[-1]), ids[:, 1:].reshape(-1)
        )

    return model, loss


def image(case: Case):
    """The model, and its loss on a batch of zeros."""
    channels = 1 if case.model in ("lenet", "resnet8") else 3
    sized = {"img_size": case.size} if case.model in models.vision.SIZED else {}
    model = models.MODELS[case.model](in_channels=channels, **sized)
    x = _core.zeros(case.batch, channels, case.size, case.size)
    x = x.bfloat16() if case.precision == "bf16" else x
    x, y = x.evaluate(), _core.zeros(case.batch, dtype=_core.int64).evaluate()
    return model, lambda: nn.functional.cross_entropy(model(x).float(), y)


def _in_16_bits(model) -> None:
    """Weights in bfloat16; norms keep their FP32."""
    for module in model.modules():
        if not list(module.children()) and "Norm" not in type(module).__name__:
            module.bfloat16()


def _measure(case: Case, layers: int, flop_rate: float, byte_rate: float) -> Step:
    """Records forward and backward pass."""
    model, loss = gpt(case, layers) if layers else image(case)
    if case.precision == "bf16":
        _in_16_bits(model)
    parameters = list(model.parameters())
    _core.evaluate(parameters)
    with autocast("cpu", _core.bfloat16, case.precision != "fp32"):
        value = loss()
    value.backward()
    _core._reset_largest_plan()
    _core.evaluate([value, *(p.grad for p in parameters)])
    kinds = _core._largest_memory_report()["by_kind"]
    flops, traffic, seconds = _core._largest_plan_cost(flop_rate, byte_rate)
    # Parameters in 16 bits have their state, and a master copy, in FP32.
    half = [p for p in parameters if p.dtype == _core.bfloat16]
    full = [p for p in parameters if p.dtype != _core.bfloat16]
    make = OPTIMIZERS[case.optimizer]
    state = state_bytes(make, full) + 2 * state_bytes(make, half) + 4 * sum(p.numel() for p in half)
    return Step(
        sum(p.numel() for p in parameters),
        max(p.numel() * p.dtype.itemsize for p in parameters),
        kinds["parameters"],
        kinds["gradients"],
        state,
        kinds["activations"],
        kinds["workspace"] + kinds["outputs"],
        kinds["inputs"],
        flops,
        traffic,
        seconds,
    )


@functools.lru_cache(maxsize=256)
def record(case: Case, flop_rate: float = 1e12, byte_rate: float = 1e11, fewer: int = 0) -> Step:
    """The step of a case, with `fewer` of the model's equal layers; seconds are for a machine of
    these rates. ValueError for a name that is unknown."""
    if case.model not in MODELS:
        raise _core.ValueError(
            f"plan: model '{case.model}' is unknown; use {', '.join(GPT)} or an image model of "
            "`deepseek models list`"
        )
    for what, value, known in (
        ("precision", case.precision, PRECISIONS),
        ("optimizer", case.optimizer, tuple(OPTIMIZERS)),
    ):
        if value not in known:
            raise _core.ValueError(f"plan: {what} '{value}' is unknown; use {', '.join(known)}")
    layers = layers_of(case.model)
    if case.recompute and not layers:
        raise _core.ValueError(
            f"plan: {case.model} repeats no layer to recompute; recomputation is planned for "
            f"{', '.join(GPT)}"
        )
    with _on_null():
        return _measure(case, layers - fewer, flop_rate, byte_rate)


def layer_of(case: Case, flop_rate: float = 1e12, byte_rate: float = 1e11) -> Step:
    """What a layer adds to a step."""
    whole = record(case, flop_rate, byte_rate)
    fewer = record(case, flop_rate, byte_rate, fewer=1)
    return Step(*(b - a for a, b in zip(fewer, whole, strict=True)))
