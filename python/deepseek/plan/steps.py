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


class Text(NamedTuple):
    """A model of texts: its class, numbers for each token between two layers, equal layers, tokens
    it was made for, and the keys of its configuration that differ from the defaults. `depth`: the
    keys for the number of layers; `positions`: that for the longest text."""

    kind: str
    width: int
    layers: int
    tokens: int
    options: dict
    depth: tuple[str, ...] = ("num_hidden_layers",)
    positions: str | None = "max_position_embeddings"


def _gpt(width: int, layers: int, heads: int, tokens: int = 1024, drop: float = 0.1) -> Text:
    options = {"n_embd": width, "n_head": heads}
    options |= dict.fromkeys(("attn_pdrop", "embd_pdrop", "resid_pdrop"), drop)
    return Text("GPT2LMHeadModel", width, layers, tokens, options, ("n_layer",), "n_positions")


def _gpt3(width: int, layers: int, heads: int) -> Text:
    return _gpt(width, layers, heads, 2048, drop=0.0)  # the paper states no dropout


def _decoder(
    kind: str, width: int, inner: int, layers: int, heads: tuple, words: int, tokens: int, **more
) -> Text:
    """Heads: of queries, of keys and values."""
    options = {"hidden_size": width, "intermediate_size": inner, "vocab_size": words, **more}
    options |= {"num_attention_heads": heads[0], "num_key_value_heads": heads[1]}
    return Text(f"{kind}ForCausalLM", width, layers, tokens, options)


def _bert(width: int, layers: int, heads: int) -> Text:
    options = {"hidden_size": width, "num_attention_heads": heads, "intermediate_size": 4 * width}
    return Text("BertForMaskedLM", width, layers, 512, options)


def _t5(inner: int, heads: int) -> Text:
    options = {"d_model": 1024, "d_kv": 128, "d_ff": inner, "num_heads": heads}
    options |= {"pad_token_id": 0, "decoder_start_token_id": 0}
    depth = ("num_layers", "num_decoder_layers")
    return Text("T5ForConditionalGeneration", 1024, 24, 512, options, depth, None)


#: Sizes of the papers and of the configurations published with the weights. GPT-2: Radford et al.,
#: 2019; GPT-3: Brown et al., 2020, table 2.1, whose networks are built as GPT-2's; BERT: Devlin et
#: al., 2019; T5: Raffel et al., 2020; Llama 2: Touvron et al., 2023; Llama 3: Grattafiori et al.,
#: 2024, table 3; Mistral and Mixtral: Jiang et al., 2023 and 2024; Qwen 2.5: its report, 2024;
#: DeepSeek-V3: its report, 2024, section 4.2, without the module for a second token.
TEXTS = {
    "gpt2": _gpt(768, 12, 12),
    "gpt2-medium": _gpt(1024, 24, 16),
    "gpt2-large": _gpt(1280, 36, 20),
    "gpt2-xl": _gpt(1600, 48, 25),
    "gpt3-2.7b": _gpt3(2560, 32, 32),
    "gpt3-6.7b": _gpt3(4096, 32, 32),
    "gpt3-13b": _gpt3(5120, 40, 40),
    "gpt3-175b": _gpt3(12288, 96, 96),
    "bert-base": _bert(768, 12, 12),
    "bert-large": _bert(1024, 24, 16),
    "t5-3b": _t5(16384, 32),
    "t5-11b": _t5(65536, 128),
    "llama2-7b": _decoder("Llama", 4096, 11008, 32, (32, 32), 32000, 4096),
    "llama2-13b": _decoder("Llama", 5120, 13824, 40, (40, 40), 32000, 4096),
    "llama2-70b": _decoder("Llama", 8192, 28672, 80, (64, 8), 32000, 4096),
    "llama3-8b": _decoder("Llama", 4096, 14336, 32, (32, 8), 128256, 8192),
    "llama3-70b": _decoder("Llama", 8192, 28672, 80, (64, 8), 128256, 8192),
    "llama3-405b": _decoder("Llama", 16384, 53248, 126, (128, 8), 128256, 8192),
    "mistral-7b": _decoder("Mistral", 4096, 14336, 32, (32, 8), 32000, 8192),
    "mixtral-8x7b": _decoder("Mixtral", 4096, 14336, 32, (32, 8), 32000, 8192),
    "mixtral-8x22b": _decoder("Mixtral", 6144, 16384, 56, (48, 8), 32768, 8192),
    "qwen2.5-7b": _decoder("Qwen2", 3584, 18944, 28, (28, 4), 152064, 8192),
    "qwen2.5-72b": _decoder("Qwen2", 8192, 29568, 80, (64, 8), 152064, 8192),
    "deepseek-v3": Text("DeepseekV3ForCausalLM", 7168, 61, 4096, {}),
}
MODELS = (*TEXTS, *models.MODELS)
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
    return TEXTS[model].width


def layers_of(model: str) -> int:
    """Equal layers of a model; 0 when it repeats none."""
    return TEXTS[model].layers if model in TEXTS else 0


def default_size(model: str) -> int:
    """Tokens or pixels a model was made for."""
    if model in TEXTS:
        return TEXTS[model].tokens
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


def text(case: Case, layers: int):
    """The model, and its loss on a text of zeros."""
    made = TEXTS[case.model]
    options = {**made.options, **dict.fromkeys(made.depth, layers)}
    if made.positions is not None:
        options[made.positions] = case.size
    kind = models.CLASSES[made.kind]
    model = kind(kind.config_class(**options))
    ids = _core.zeros(case.batch, case.size, dtype=_core.int64).evaluate()
    return model, lambda: model(input_ids=ids, labels=ids).loss


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
    model, loss = text(case, layers) if layers else image(case)
    if case.precision == "bf16":
        _in_16_bits(model)
    parameters = list(model.parameters())
    _core.evaluate(parameters)
    _core._hub._set_layer_checkpoints(case.recompute)
    try:
        with autocast("cpu", _core.bfloat16, case.precision != "fp32"):
            value = loss()
    finally:
        _core._hub._set_layer_checkpoints(False)
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
            f"plan: model '{case.model}' is unknown; use {', '.join(TEXTS)} or an image model of "
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
            f"{', '.join(TEXTS)}"
        )
    with _on_null():
        return _measure(case, layers - fewer, flop_rate, byte_rate)


def layer_of(case: Case, flop_rate: float = 1e12, byte_rate: float = 1e11) -> Step:
    """What a layer adds to a step."""
    whole = record(case, flop_rate, byte_rate)
    fewer = record(case, flop_rate, byte_rate, fewer=1)
    return Step(*(b - a for a, b in zip(fewer, whole, strict=True)))
