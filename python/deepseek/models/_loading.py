# SPDX-License-Identifier: Apache-2.0
"""Arguments of from_pretrained() that are about loading, not about a configuration."""

from typing import NamedTuple

from .. import _core

_DTYPES = ("float64", "float32", "float16", "bfloat16")
#: Placing of parts, of which there is one.
_PLACES = ("auto", "balanced", "balanced_low_0", "sequential")
#: Arguments without a meaning here: weights are always mapped, and code is never run.
_NEEDLESS = ("low_cpu_mem_usage", "trust_remote_code", "resume_download", "use_safetensors")
#: Arguments that must be absent or false, and what to do instead.
_REFUSED = {
    "load_in_8bit": "load it with dtype=ds.bfloat16",
    "load_in_4bit": "load it with dtype=ds.bfloat16",
    "quantization_config": "load it with dtype=ds.bfloat16",
    "variant": "rename the files, or give a folder that has them under their usual names",
    "gguf_file": "convert it to safetensors",
    "from_tf": "convert it to safetensors",
    "from_flax": "convert it to safetensors",
    "tp_plan": "leave it out",
    "device_mesh": "leave it out",
    "proxies": "set the variable HTTPS_PROXY",
    "force_download": "delete the repository's folder in the cache",
}


class LoadOptions(NamedTuple):
    """Where a model goes and what its numbers become."""

    dtype: object = None
    device: object = None
    state_dict: dict | None = None


def dtype_of(value, saved: str | None = None, weights: dict | None = None):
    """A dtype of deepseek from one, its name, or "auto": that of the file; None for None."""
    if value is None or isinstance(value, _core.dtype):
        return value
    name = str(value).removeprefix("torch.")
    if name == "auto":
        name = str(saved or "").removeprefix("torch.")
        if name not in _DTYPES:
            floating = (t.dtype for t in (weights or {}).values() if t.is_floating_point())
            return next(floating, None)
    if name not in _DTYPES:
        raise _core.ValueError(
            f"from_pretrained: dtype {value!r} is unknown; use 'auto' or one of "
            f"{', '.join(_DTYPES)}"
        )
    return getattr(_core, name)


def _device_of(value):
    if isinstance(value, dict):
        if len(set(map(str, value.values()))) != 1:
            raise _core.NotImplementedError(
                f"from_pretrained: device_map {value!r} names several devices; give one"
            )
        value = next(iter(value.values()))
    return "auto" if value in _PLACES else value


def split_load_options(arguments: dict) -> tuple[LoadOptions, dict]:
    """(the options, the rest). NotImplementedError for what cannot be done."""
    rest = {key: value for key, value in arguments.items() if key not in _NEEDLESS}
    for key, instead in _REFUSED.items():
        if rest.pop(key, None):
            raise _core.NotImplementedError(f"from_pretrained: there is no {key}; {instead}")
    attention = rest.pop("attn_implementation", None)
    if attention not in (None, "eager", "sdpa"):
        raise _core.NotImplementedError(
            f"from_pretrained: attn_implementation {attention!r} is unknown; leave it out, "
            "attention is computed by tiles anyway"
        )
    older = rest.pop("torch_dtype", None)
    dtype = rest.pop("dtype", None)
    return LoadOptions(
        older if dtype is None else dtype,
        _device_of(rest.pop("device_map", None)),
        rest.pop("state_dict", None),
    ), rest
