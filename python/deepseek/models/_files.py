# SPDX-License-Identifier: Apache-2.0
"""The files of a pretrained model, in a folder or on a hub: config.json and weights."""

import json
import os
import re
from pathlib import Path

from .. import _core
from .._whole_file import write_text
from ..hub import EntryNotFoundError, NotCachedError, hub_download, hub_downloads
from ..serialization import load
from .registry import repository_of

#: Where weights are looked for, the best first; an index names the parts of a sharded file.
WEIGHTS = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
_REPOSITORY = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?")
_HUB_ARGUMENTS = ("revision", "token", "cache_dir", "local_files_only", "subfolder")


def split_hub_arguments(arguments: dict) -> tuple[dict, dict]:
    """(what says how to fetch, the rest)."""
    hub = {key: value for key, value in arguments.items() if key in _HUB_ARGUMENTS}
    return hub, {key: value for key, value in arguments.items() if key not in _HUB_ARGUMENTS}


def find_file(name: str | os.PathLike, file: str, **hub) -> Path | None:
    """The file of a local folder or of a model on a hub, in its subfolder when one is given;
    nothing when there is none."""
    folder = Path(name)
    if hub.get("subfolder"):
        file = f"{hub['subfolder']}/{file}"
    if folder.is_dir():
        path = folder / file
        return path if path.is_file() else None
    if not isinstance(name, str) or not _REPOSITORY.fullmatch(name):
        raise _core.IOError(f"{name} is no folder; give the folder of a model, or owner/name")
    try:
        return hub_download(repository_of(name), file, **_for_hub(hub))
    except EntryNotFoundError:
        return None


def find_optional(name: str | os.PathLike, file: str, **hub) -> Path | None:
    """find_file() of a file that may be absent from a cache too."""
    try:
        return find_file(name, file, **hub)
    except NotCachedError:
        return None


def _for_hub(hub: dict) -> dict:
    return {key: value for key, value in hub.items() if value is not None and key != "subfolder"}


def read_text(path: Path) -> str:
    """The text of a file; FileFormatError when it is not UTF-8."""
    try:
        return path.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise _core.FileFormatError(f"{path}: this is no UTF-8 text: {error}") from error


def read_json(path: Path) -> dict:
    """A JSON object; FileFormatError for anything else."""
    try:
        values = json.loads(path.read_text("utf-8"))
    except (ValueError, RecursionError) as error:
        raise _core.FileFormatError(f"{path}: this is no JSON: {error}") from error
    if not isinstance(values, dict):
        raise _core.FileFormatError(f"{path}: a JSON object is expected")
    return values


def read_config(name: str | os.PathLike, **hub) -> dict:
    """The keys of config.json."""
    path = find_file(name, "config.json", **hub)
    if path is None:
        raise _core.IOError(f"{name} has no config.json, so it holds no pretrained model")
    return read_json(path)


def _shards(name, index: Path, **hub) -> list[Path]:
    names = read_json(index).get("weight_map")
    if not isinstance(names, dict) or not all(isinstance(v, str) for v in names.values()):
        raise _core.FileFormatError(f"{index}: weight_map is missing or damaged")
    files = sorted(set(names.values()))
    for file in files:
        if Path(file).name != file:
            raise _core.FileFormatError(f"{index}: '{file}' is no plain file name")
    if not Path(name).is_dir():
        below = f"{hub['subfolder']}/" if hub.get("subfolder") else ""
        wanted = [below + file for file in files]
        return hub_downloads(repository_of(str(name)), wanted, **_for_hub(hub))
    for file in files:
        if not (index.parent / file).is_file():
            raise _core.IOError(f"{name}: {index.name} names {file}, which is missing")
    return [index.parent / file for file in files]


def read_weights(name: str | os.PathLike, **hub) -> dict:
    """The tensors of all weight files by name. Nothing in a file is executed."""
    lacking = None
    for file in WEIGHTS:
        try:
            path = find_file(name, file, **hub)
        except NotCachedError as error:
            lacking = lacking or error
            continue
        if path is None:
            continue
        tensors: dict = {}
        for part in _shards(name, path, **hub) if file.endswith(".json") else [path]:
            found = load(part)
            if not isinstance(found, dict) or not all(
                isinstance(key, str) and isinstance(value, _core.Tensor)
                for key, value in found.items()
            ):
                raise _core.FileFormatError(f"{part}: a dict of named tensors is expected")
            tensors.update(found)
        return tensors
    if lacking:
        raise lacking
    raise _core.IOError(f"{name} has no weights; expected one of {', '.join(WEIGHTS)}")


def byte_count(size: int | str, verb: str = "save_pretrained") -> int:
    if isinstance(size, int):
        return size
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT])(i?)B", str(size), re.IGNORECASE)
    if match is None:
        raise _core.ValueError(f"{verb}: max_shard_size {size!r} is unknown; write '5GB'")
    power = "KMGT".index(match[2].upper()) + 1
    return int(float(match[1]) * (1024 if match[3] else 1000) ** power)


def write_weights(tensors: dict, folder: Path, max_shard_size: int | str) -> None:
    """model.safetensors, or several and an index when it would be larger than max_shard_size."""
    limit = byte_count(max_shard_size)
    parts: list[dict] = [{}]
    filled = 0
    for name, tensor in tensors.items():
        size = tensor.numel() * tensor.element_size()
        if parts[-1] and filled + size > limit:
            parts.append({})
            filled = 0
        parts[-1][name] = tensor
        filled += size
    count = len(parts)
    files = (
        ["model.safetensors"]
        if count == 1
        else [f"model-{i + 1:05d}-of-{count:05d}.safetensors" for i in range(count)]
    )
    folder.mkdir(parents=True, exist_ok=True)
    for file, part in zip(files, parts, strict=True):
        _core._io.save_safetensors(part, os.fspath(folder / file), {"format": "pt"})
    index = folder / "model.safetensors.index.json"
    if count > 1:
        places = {name: file for file, part in zip(files, parts, strict=True) for name in part}
        total = sum(t.numel() * t.element_size() for t in tensors.values())
        content = {"metadata": {"total_size": total}, "weight_map": places}
        write_text(index, json.dumps(content, indent=2, sort_keys=True) + "\n")
    for stale in folder.glob("model*.safetensors*"):
        if stale.name not in files and not (count > 1 and stale == index):
            stale.unlink()
