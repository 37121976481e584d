# SPDX-License-Identifier: Apache-2.0
"""save() and load(): nested data with tensors, in one safetensors file.

The structure is JSON in the file's metadata, so any reader of safetensors finds the tensors by
their dotted names. Files of torch.save are read without executing anything."""

import json
import os

from . import _core

_KEY = "deepseek.tree"


def _plain(value, name: str, tensors: dict):
    """JSON of nested data; tensors go into `tensors` under dotted names."""
    if isinstance(value, _core.Tensor):
        tensors[name] = value
        return {"tensor": name}
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int | float):
        return value
    if isinstance(value, _core.dtype):
        return {"dtype": str(value).split(".")[-1]}
    if isinstance(value, tuple | list):
        items = [_plain(v, f"{name}.{i}" if name else str(i), tensors) for i, v in enumerate(value)]
        return {"tuple": items} if isinstance(value, tuple) else items
    if isinstance(value, dict):
        pairs = []
        for key, item in value.items():
            if not isinstance(key, str | int) or isinstance(key, bool):
                raise _core.ValueError(f"save: the dict key {key!r} must be a string or an integer")
            pairs.append([key, _plain(item, f"{name}.{key}" if name else str(key), tensors)])
        return {"dict": pairs}
    raise _core.DTypeError(
        f"save: '{name}' is a {type(value).__name__}; save tensors, numbers, strings, lists, "
        "tuples and dicts of them, such as a state_dict()"
    )


def _nested(value, tensors: dict):
    if isinstance(value, list):
        return [_nested(v, tensors) for v in value]
    if not isinstance(value, dict):
        return value
    if "tensor" in value:
        return tensors[value["tensor"]]
    if "dtype" in value:
        return getattr(_core, value["dtype"])
    if "tuple" in value:
        return tuple(_nested(v, tensors) for v in value["tuple"])
    return {key: _nested(item, tensors) for key, item in value["dict"]}


def save(obj, f: str | os.PathLike) -> None:
    """Writes nested dicts, lists, numbers, strings and tensors; a reader sees the old file or the
    whole new one. DTypeError for other objects, IOError when the disk is full."""
    tensors: dict = {}
    tree = _plain(obj, "", tensors)
    if list(tensors) == [""]:
        tensors, tree = {"tensor": tensors[""]}, {"tensor": "tensor"}
    _core._io.save_safetensors(tensors, os.fspath(f), {_KEY: json.dumps(tree)})


def load(f: str | os.PathLike, map_location=None, weights_only: bool = True):
    """What save() wrote; the tensors by name of any other safetensors file; the data of a file of
    torch.save. Nothing in a file is executed. FileFormatError when it is damaged or holds more than
    data. map_location names a device; weights_only is always so."""
    path = os.fspath(f)
    with open(path, "rb") as file:
        start = file.read(9)
    if start[8:9] == b"{":
        try:
            tensors, metadata = _core._io.load_safetensors(path)
        except UnicodeDecodeError as error:
            raise _core.FileFormatError(f"{path}: a name or text in it is no UTF-8") from error
        if _KEY not in metadata:
            result = tensors
        else:
            try:
                result = _nested(json.loads(metadata[_KEY]), tensors)
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
                raise _core.FileFormatError(f"{path}: its structure is damaged: {error}") from error
    elif start[:6] == b"\x93NUMPY":
        result = _core._io.load_npy(path)
    else:
        result = _core._io.load_torch(path)
    return _moved(result, map_location) if map_location not in (None, "cpu") else result


def _moved(value, device):
    if isinstance(value, _core.Tensor):
        return value.to(device)
    if isinstance(value, dict):
        return {key: _moved(item, device) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return type(value)(_moved(item, device) for item in value)
    return value
