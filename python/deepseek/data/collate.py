# SPDX-License-Identifier: Apache-2.0
"""Samples to a batch."""

from collections.abc import Mapping

import numpy as np

from .. import _core


def default_convert(data):
    """Arrays and numbers inside of data as tensors; everything else as it is."""
    if isinstance(data, np.ndarray | np.generic):
        return data if data.dtype.kind in "SUO" else _core.as_tensor(data)
    if isinstance(data, Mapping):
        return {key: default_convert(value) for key, value in data.items()}
    if isinstance(data, tuple):
        parts = [default_convert(part) for part in data]
        return type(data)(*parts) if hasattr(data, "_fields") else parts
    return [default_convert(part) for part in data] if isinstance(data, list) else data


def default_collate(samples: list):
    """Stacks samples: tensors and arrays along a new first dimension, numbers to a tensor;
    sequences and dicts element by element; strings stay a list."""
    first = samples[0]
    if isinstance(first, _core.Tensor):
        return _core.stack(samples, 0)
    if isinstance(first, np.ndarray):
        if any(s.shape != first.shape for s in samples):
            shapes = sorted({s.shape for s in samples})
            raise _core.ShapeError(
                f"default_collate: arrays of shapes {shapes[0]} and {shapes[-1]} do not stack; "
                "resize or pad them, or pass collate_fn"
            )
        return _core.from_numpy(np.stack(samples))
    if isinstance(first, bool | np.bool_):
        return _core.tensor([bool(s) for s in samples])
    if isinstance(first, int | np.integer):
        return _core.tensor([int(s) for s in samples], dtype=_core.int64)
    if isinstance(first, float | np.floating):
        dtype = _core.float64 if isinstance(first, float) else None
        values = np.asarray(samples)
        return _core.tensor(values) if dtype is None else _core.tensor(values, dtype=dtype)
    if isinstance(first, str | bytes) or first is None:
        return list(samples)
    if isinstance(first, Mapping):
        return {key: default_collate([s[key] for s in samples]) for key in first}
    if isinstance(first, tuple) and hasattr(first, "_fields"):
        return type(first)(*(default_collate(list(part)) for part in zip(*samples, strict=True)))
    if isinstance(first, tuple | list):
        if any(len(s) != len(first) for s in samples):
            raise _core.ShapeError("default_collate: samples have different numbers of parts")
        return [default_collate(list(part)) for part in zip(*samples, strict=True)]
    raise _core.DTypeError(
        f"default_collate: a sample holds {type(first).__name__}; return tensors, arrays, numbers, "
        "strings, sequences or dicts, or pass collate_fn"
    )
