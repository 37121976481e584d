# SPDX-License-Identifier: Apache-2.0
"""Which layers of a model an adapter changes."""

import re

from .. import _core
from ._config import LoraConfig

LoraLayer = _core._hub.LoraLayer

#: The layers of a family that are adapted when nothing is said: queries and values.
DEFAULT_TARGETS = {
    "bert": ["query", "value"],
    "roberta": ["query", "value"],
    "distilbert": ["q_lin", "v_lin"],
    "gpt2": ["c_attn"],
    **dict.fromkeys(
        ("llama", "mistral", "mixtral", "qwen2", "qwen3", "gemma", "gemma2", "gemma3_text"),
        ["q_proj", "v_proj"],
    ),
    "t5": ["q", "v"],
    "clip": ["q_proj", "v_proj"],
}
#: Heads that "all-linear" leaves out: what turns states into words, and classifiers.
_OUTPUTS = ("lm_head", "lm_head.decoder", "cls.predictions.decoder", "vocab_projector")
#: Tables of tokens and the heads tied to them, which peft saves whole where they are adapted.
EMBEDDINGS = ("embed_tokens", "lm_head")


def layers(model, prefix: str = ""):
    """(dotted name, module) of a model and all below it, but nothing inside adapted layers. A
    module that is there twice comes twice."""
    yield prefix.removesuffix("."), model
    if not isinstance(model, LoraLayer):
        for name, child in model._modules.items():
            if child is not None:
                yield from layers(child, f"{prefix}{name}.")


def kind_of(module) -> str:
    """linear, transposed, table, conv, or nothing for a layer that can not be adapted."""
    base = module.base_layer if isinstance(module, LoraLayer) else module
    return _core._hub.lora_kind(base)


def _named(name: str, ends) -> bool:
    if isinstance(ends, str):
        return re.fullmatch(ends, name) is not None
    return any(name == end or name.endswith(f".{end}") for end in ends)


def _in_layers(name: str, config: LoraConfig) -> bool:
    """Whether the name is in one of the layers of layers_to_transform."""
    wanted = config.layers_to_transform
    if wanted is None or wanted == [] or isinstance(config.target_modules, str):
        return True
    patterns = config.layers_pattern or [None]
    for pattern in [patterns] if isinstance(patterns, str) else patterns:
        found = re.match(
            r".*?\.[^.]*\.(\d+)\." if pattern is None else rf"(?:^|.*?\.){pattern}\.(\d+)\.", name
        )
        if found:
            return int(found[1]) in ([wanted] if isinstance(wanted, int) else wanted)
    return False


def find_targets(model, config: LoraConfig) -> list[str]:
    """Names of the layers to adapt; fills in config.target_modules where it is absent or
    "all-linear". ValueError when nothing fits."""
    saved = config.modules_to_save or []
    found = [
        (name, module)
        for name, module in layers(model)
        if name
        and not (config.exclude_modules and _named(name, config.exclude_modules))
        and not any(re.match(rf"(^|.*\.){re.escape(part)}($|\..*)", name) for part in saved)
    ]
    if config.target_modules is None:
        family = getattr(getattr(model, "config", None), "model_type", "")
        if family not in DEFAULT_TARGETS:
            raise _core.ValueError(
                f"LoraConfig: give target_modules; there is no default for '{family}' models"
            )
        config.target_modules = list(DEFAULT_TARGETS[family])
    if config.target_modules == "all-linear":
        names = [
            name
            for name, module in found
            if kind_of(module) in ("linear", "transposed") and name not in _OUTPUTS
        ]
        config.target_modules = sorted(names)
    names = [
        name
        for name, _ in found
        if _named(name, config.target_modules) and _in_layers(name, config)
    ]
    if not names:
        some = sorted({name.rsplit(".", 1)[-1] for name, module in found if kind_of(module)})
        raise _core.ValueError(
            f"LoraConfig: target_modules {config.target_modules!r} fit no layer of the model; its "
            f"layers are named {', '.join(some[:20])}"
        )
    return names


def by_pattern(patterns: dict, name: str, default):
    """The value of the first pattern that the end of a name fits."""
    for pattern, value in patterns.items():
        if re.match(rf"(.*\.)?({pattern})$", name):
            return value
    return default
