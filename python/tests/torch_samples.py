# SPDX-License-Identifier: Apache-2.0
"""PyTorch's own table of operators and sample inputs, turned into calls of ours."""

import functools
import itertools

import deepseek as ds
import numpy as np
import torch
from torch.testing._internal.common_methods_invocations import op_db

DTYPES = {
    torch.float64: ds.float64,
    torch.float32: ds.float32,
    torch.float16: ds.float16,
    torch.bfloat16: ds.bfloat16,
    torch.int64: ds.int64,
    torch.int32: ds.int32,
    torch.int16: ds.int16,
    torch.int8: ds.int8,
    torch.uint8: ds.uint8,
    torch.bool: ds.bool,
}


def resolve(name: str):
    """Our function for an operator's name, None when there is none."""
    place = ds
    for part in name.split("."):
        place = getattr(place, part, None)
        if place is None:
            break
    if callable(place):
        return place
    method = getattr(ds.Tensor, name, None)
    return method if callable(method) else None


@functools.cache
def table() -> dict:
    """Operators both have, by name; variants of one name apart."""
    rows = {}
    for op in op_db:
        function = resolve(op.name)
        if function is not None:
            rows[op.full_name] = (op, function)
    return rows


def to_ds(value):
    """A torch value as ours: tensors, dtypes, containers; everything else unchanged."""
    if isinstance(value, torch.Tensor):
        out = from_torch(value)
        return out.requires_grad_() if value.requires_grad else out
    if isinstance(value, torch.dtype):
        return DTYPES[value]
    if isinstance(value, torch.Size):
        return tuple(value)
    if isinstance(value, torch.device):
        return "cpu"
    if isinstance(value, tuple):
        return tuple(to_ds(v) for v in value)
    if isinstance(value, list):
        return [to_ds(v) for v in value]
    if isinstance(value, dict):
        return {k: to_ds(v) for k, v in value.items()}
    return value


def from_torch(t: torch.Tensor):
    t = t.detach()
    if t.dtype in (torch.bfloat16,):
        return ds.tensor(t.float().numpy()).to(ds.bfloat16)
    return ds.tensor(np.array(t.numpy()))


def to_numpy(t) -> np.ndarray:
    if isinstance(t, torch.Tensor):
        return (t.detach().float() if t.dtype == torch.bfloat16 else t.detach()).numpy()
    return (t.detach().float() if t.dtype == ds.bfloat16 else t.detach()).numpy()


def flat_tensors(value, kind) -> list:
    """Tensors of a result in order: one, a sequence or a named tuple."""
    if isinstance(value, kind):
        return [value]
    if isinstance(value, tuple | list):
        return list(itertools.chain.from_iterable(flat_tensors(v, kind) for v in value))
    return []
