# SPDX-License-Identifier: Apache-2.0
"""Folders of images as rows: the class is the folder's name, or a metadata file tells more."""

from pathlib import Path, PurePosixPath

from .. import _core
from .arrow import batch_of, pyarrow
from .features import ClassLabel, Features, Image
from .files import Folder, Repository, _split_of
from .readers import READERS, kind_of

_METADATA = ("metadata.csv", "metadata.jsonl", "metadata.parquet")


def _described(source, names: list[str]) -> dict[str, dict]:
    """Rows of the metadata files beside and above the images, by image."""
    made: dict[str, dict] = {}
    for name in source.names():
        path = PurePosixPath(name)
        if path.name not in _METADATA:
            continue
        for batch in READERS[kind_of(name)]([source.path(name)], {}):
            if "file_name" not in batch.schema.names:
                raise _core.FileFormatError(f"{name}: there is no column 'file_name'")
            for row in batch.to_pylist():
                made[str(path.parent / row.pop("file_name"))] = row
    missing = [name for name in names if name not in made] if made else []
    if missing:
        raise _core.ValueError(
            f"load_dataset: {missing[0]} has no row in {' or '.join(_METADATA)} ({len(missing)} "
            "images have none)"
        )
    return made


def read_images(
    source: Folder | Repository, splits: dict[str, list[str]], under: str
) -> tuple[dict, Features]:
    """(columns of each split, features): the image, and its class or what the metadata say."""
    names = [name for files in splits.values() for name in files]
    described = _described(source, names)
    columns = {}
    for split, files in splits.items():
        paths = [str(Path(source.path(name)).absolute()) for name in files]
        columns[split] = {"image": [{"bytes": None, "path": path} for path in paths]}
    if described:
        pa = pyarrow()
        rows = {split: [described[name] for name in files] for split, files in splits.items()}
        keys = list(dict.fromkeys(k for part in rows.values() for row in part for k in row))
        every = {k: [row.get(k) for part in rows.values() for row in part] for k in keys}
        known = Features.from_schema(pa.schema(batch_of(every).schema))
        for split, part in rows.items():
            columns[split].update({k: [row.get(k) for row in part] for k in keys})
        return columns, Features({"image": Image(), **known})
    folders = {name: PurePosixPath(name).relative_to(under or ".").parts[:-1] for name in names}
    labels = {name: parts[-1] if parts else None for name, parts in folders.items()}
    classes = sorted({label for label in labels.values() if label is not None})
    plain = None in labels.values() or any(map(_split_of, classes))
    if plain or len(classes) < 2 or len({len(parts) for parts in folders.values()}) > 1:
        return columns, Features({"image": Image()})
    for split, files in splits.items():
        columns[split]["label"] = [classes.index(labels[name]) for name in files]
    return columns, Features({"image": Image(), "label": ClassLabel(classes)})
