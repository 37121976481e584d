# SPDX-License-Identifier: Apache-2.0
"""The files of a pretrained model, in a folder or on a hub."""

import json
import os
import re
from pathlib import Path

from .. import _core
from ..hub import EntryNotFoundError, NotCachedError, hub_download
from .registry import repository_of

_REPOSITORY = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?")
_HUB_ARGUMENTS = ("revision", "token", "cache_dir", "local_files_only")


def split_hub_arguments(arguments: dict) -> tuple[dict, dict]:
    """(what says how to fetch, the rest)."""
    hub = {key: value for key, value in arguments.items() if key in _HUB_ARGUMENTS}
    return hub, {key: value for key, value in arguments.items() if key not in _HUB_ARGUMENTS}


def find_file(name: str | os.PathLike, file: str, **hub) -> Path | None:
    """The file of a local folder or of a model on a hub; nothing when there is none."""
    folder = Path(name)
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
    return {key: value for key, value in hub.items() if value is not None}


def read_json(path: Path) -> dict:
    """A JSON object; FileFormatError for anything else."""
    try:
        values = json.loads(path.read_text("utf-8"))
    except (ValueError, RecursionError) as error:
        raise _core.FileFormatError(f"{path}: this is no JSON: {error}") from error
    if not isinstance(values, dict):
        raise _core.FileFormatError(f"{path}: a JSON object is expected")
    return values
