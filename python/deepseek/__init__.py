# SPDX-License-Identifier: Apache-2.0
"""A deep-learning framework: plain PyTorch-style code, one graph compiler."""

from ._core import (
    DeviceError,
    DTypeError,
    Error,
    FileFormatError,
    IndexError,
    InternalError,
    IOError,
    KeyError,
    NotImplementedError,
    OutOfMemoryError,
    ShapeError,
    StateError,
    ValueError,
    __version__,
    backend_names,
    cpu_info,
    num_threads,
    set_num_threads,
)

__all__ = [
    "DTypeError",
    "DeviceError",
    "Error",
    "FileFormatError",
    "IOError",
    "IndexError",
    "InternalError",
    "KeyError",
    "NotImplementedError",
    "OutOfMemoryError",
    "ShapeError",
    "StateError",
    "ValueError",
    "__version__",
    "backend_names",
    "cpu_info",
    "num_threads",
    "set_num_threads",
]
