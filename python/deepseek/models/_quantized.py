# SPDX-License-Identifier: Apache-2.0
"""Checkpoints of eight-bit floating-point numbers with a scale a block, as DeepSeek-V3's, made
plain while they are loaded."""

from .. import _core

_SCALE = "_scale_inv"


def plain_weights(weights: dict, config, source: str) -> dict:
    """The weights that quantization_config describes, as BF16 numbers without scales; the
    configuration then no longer has that key. NotImplementedError for other ways to quantise."""
    quantised = getattr(config, "quantization_config", None)
    if not quantised:
        return weights
    method = quantised.get("quant_method") if isinstance(quantised, dict) else quantised
    if method != "fp8":
        raise _core.NotImplementedError(
            f"from_pretrained: {source}: the weights are quantised by {method!r}; fp8 alone is "
            "known, load a checkpoint that is not quantised"
        )
    block = quantised.get("weight_block_size") or [128, 128]
    if len(block) != 2 or not all(isinstance(size, int) and size > 0 for size in block):
        raise _core.FileFormatError(
            f"{source}: weight_block_size {block!r} must be two positive integers"
        )
    plain = {}
    for name, tensor in weights.items():
        if name.endswith(_SCALE) and name.removesuffix(_SCALE) in weights:
            continue
        scale = weights.get(name + _SCALE)
        plain[name] = tensor if scale is None else _plain(name, tensor, scale, block, source)
    del config.quantization_config
    return plain


def _plain(name: str, tensor, scale, block: list[int], source: str):
    """tensor [out, in] times the scale of each of its blocks."""
    counts = tuple(-(-size // part) for size, part in zip(tensor.shape, block, strict=False))
    if scale.numel() != 1 and (tensor.dim() != 2 or tuple(scale.shape) != counts):
        raise _core.FileFormatError(
            f"{source}: {name}{_SCALE} {tuple(scale.shape)} does not fit {name} "
            f"{tuple(tensor.shape)} in blocks of {block[0]}x{block[1]}"
        )
    factor = scale.float()
    if scale.numel() != 1:
        rows, columns = tensor.shape
        factor = factor.repeat_interleave(block[0], 0)[:rows]
        factor = factor.repeat_interleave(block[1], 1)[:, :columns]
    return (tensor.float() * factor).to(_core.bfloat16)
