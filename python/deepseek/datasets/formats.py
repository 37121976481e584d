# SPDX-License-Identifier: Apache-2.0
"""Columns of Arrow as what a user asked for: Python's values, arrays of NumPy, tensors."""

import numpy as np

from .. import _core
from .arrow import pyarrow
from .features import decoded, decodes

KINDS = (None, "python", "numpy", "torch", "arrow", "pandas")


def check_kind(kind: str | None) -> str | None:
    """ValueError for a format that is none; None is the same as "python"."""
    if kind not in KINDS:
        raise _core.ValueError(
            f"with_format: '{kind}' is unknown; use {', '.join(filter(None, KINDS))} or None"
        )
    return None if kind == "python" else kind


def _array(array):
    """An array of NumPy; lists of one length give further dimensions, others a list."""
    pa = pyarrow()
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
        if isinstance(array, pa.ChunkedArray):  # of no chunk
            array = pa.concat_arrays(array.chunks) if array.chunks else pa.array([], array.type)
    kind = array.type
    nested = pa.types.is_list(kind) or pa.types.is_large_list(kind)
    if (nested or pa.types.is_fixed_size_list(kind)) and not array.null_count:
        sizes = np.unique(array.value_lengths().to_numpy(zero_copy_only=False))
        if len(sizes) == 1:
            inner = _array(array.flatten())
            if isinstance(inner, np.ndarray):
                return inner.reshape(len(array), int(sizes[0]), *inner.shape[1:])
        return [_array(value.values) for value in array]
    if pa.types.is_primitive(kind) and not pa.types.is_temporal(kind):
        return array.to_numpy(zero_copy_only=False)
    return np.array([*array.to_pylist(), None], dtype=object)[:-1]


def _tensor(value):
    """Arrays of numbers as tensors: integers of 64 and numbers of 32 bits."""
    if isinstance(value, list):
        return [_tensor(inner) for inner in value]
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "biuf":
        return value.tolist() if isinstance(value, np.ndarray) else value
    wide = {"b": np.bool_, "f": np.float32}.get(value.dtype.kind, np.int64)
    return _core.from_numpy(np.array(value, dtype=wide))  # a copy: it is the user's to write to


def format_column(array, feature, kind: str | None):
    """A column for a format."""
    if decodes(feature):
        return [decoded(feature, value) for value in array.to_pylist()]
    if kind is None:
        return array.to_pylist()
    made = _array(array)
    return made if kind == "numpy" else _tensor(made)


def format_batch(table, features, kind: str | None):
    """A dict of columns; a table for "arrow", a data frame for "pandas"."""
    if kind == "arrow":
        return table
    if kind == "pandas":
        return table.to_pandas()
    return {
        name: format_column(table.column(name), features[name], kind) for name in table.schema.names
    }


def format_row(batch, features, kind: str | None):
    """The only row of a batch, as a dict."""
    if kind in ("arrow", "pandas"):
        return format_batch(batch, features, kind)
    columns = format_batch(batch, features, kind)
    return {name: values[0] for name, values in columns.items()}
