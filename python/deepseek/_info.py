# SPDX-License-Identifier: Apache-2.0
"""What PyTorch scripts ask about dtypes, tensors and switches, under torch's names."""

from typing import NamedTuple

import numpy as np

from . import _core
from ._core import Tensor

# Largest, smallest normal, rounding unit and decimal places of the type NumPy lacks.
_BFLOAT16 = (3.3895313892515355e38, 1.1754943508222875e-38, 0.0078125, 0.01)


class finfo:
    """Limits of a floating dtype (the default one when none is given)."""

    def __init__(self, dtype=None):
        dtype = _core.get_default_dtype() if dtype is None else dtype
        if not dtype.is_floating_point:
            raise _core.DTypeError(f"finfo: {dtype} is not a floating dtype; use iinfo")
        self.dtype = dtype.name
        self.bits = dtype.itemsize * 8
        if dtype == _core.bfloat16:
            self.max, self.tiny, self.eps, self.resolution = _BFLOAT16
        else:
            limits = np.finfo(dtype.name)
            self.max, self.tiny = float(limits.max), float(limits.tiny)
            self.eps, self.resolution = float(limits.eps), float(limits.resolution)
        self.min, self.smallest_normal = -self.max, self.tiny

    def __repr__(self):
        return (
            f"finfo(resolution={self.resolution:g}, min={self.min:g}, max={self.max:g}, "
            f"eps={self.eps:g}, smallest_normal={self.smallest_normal:g}, tiny={self.tiny:g}, "
            f"dtype={self.dtype})"
        )


class iinfo:
    """Limits of an integer dtype."""

    def __init__(self, dtype):
        if dtype.is_floating_point or dtype == _core.bool:
            raise _core.DTypeError(f"iinfo: {dtype} is not an integer dtype; use finfo")
        limits = np.iinfo(dtype.name)
        self.dtype, self.bits = dtype.name, dtype.itemsize * 8
        self.min, self.max = int(limits.min), int(limits.max)

    def __repr__(self):
        return f"iinfo(min={self.min}, max={self.max}, dtype={self.dtype})"


class memory_format(NamedTuple):
    """How PyTorch lays out the dimensions of a tensor. Accepted and without effect: the graph
    compiler chooses the layouts."""

    name: str

    def __repr__(self):
        return f"deepseek.{self.name}"


contiguous_format = memory_format("contiguous_format")
preserve_format = memory_format("preserve_format")
channels_last = memory_format("channels_last")
channels_last_3d = memory_format("channels_last_3d")


def is_floating_point(input: Tensor) -> bool:
    """True when the dtype is floating."""
    return input.dtype.is_floating_point


def is_complex(input: Tensor) -> bool:
    """False: there are no complex dtypes."""
    return False


def is_nonzero(input: Tensor) -> bool:
    """True when the one element is not 0; computes. ValueError for several elements."""
    return bool(input)


def numel(input: Tensor) -> int:
    """Number of elements."""
    return input.numel()


def can_cast(from_, to) -> bool:
    """True when a value may be converted without changing its kind: bool, integer, floating."""
    return _kind(from_) <= _kind(to)


def _kind(dtype) -> int:
    return 2 if dtype.is_floating_point else 0 if dtype == _core.bool else 1


def typename(obj) -> str:
    """The full name of an object's type; of a tensor with its dtype, as Tensor.type()."""
    if isinstance(obj, Tensor):
        return obj.type()
    cls = obj if isinstance(obj, type) else type(obj)
    return (
        cls.__qualname__
        if cls.__module__ == "builtins"
        else (f"{cls.__module__}.{cls.__qualname__}")
    )


_precision = "highest"


def set_float32_matmul_precision(precision: str) -> None:
    """Allows less exact f32 products ("high", "medium"); they stay exact here."""
    global _precision
    if precision not in ("highest", "high", "medium"):
        raise _core.ValueError(
            f"set_float32_matmul_precision: '{precision}' must be highest, high or medium"
        )
    _precision = precision


def get_float32_matmul_precision() -> str:
    """What set_float32_matmul_precision allowed."""
    return _precision


def use_deterministic_algorithms(mode: bool, *, warn_only: bool = False) -> None:
    """Without effect: a program gives the same bits for the same number of threads."""


def are_deterministic_algorithms_enabled() -> bool:
    """True."""
    return True


def get_num_threads() -> int:
    """Threads that a parallel loop uses."""
    return _core.num_threads()


__all__ = [
    name
    for name in dir()
    if not name.startswith("_") and name not in ("NamedTuple", "Tensor", "np")
]
