# SPDX-License-Identifier: Apache-2.0
"""load_dataset(): rows of files and of data sets on a hub; load_from_disk()."""

import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from .. import _core
from .._download import cache_folder
from .arrow import batch_of, cached_table, collect, map_file, pyarrow
from .features import Features
from .files import Folder, Repository, by_name, data_names, of_patterns, readme_config
from .images import read_images
from .mix import concatenate_datasets
from .readers import OPTIONS, READERS, features_in, kind_of, mapped
from .splits import DatasetDict, IterableDatasetDict
from .stream import IterableDataset
from .table import Dataset

_FORMATS = {"imagefolder": "image", "jsonl": "json", **{kind: kind for kind in READERS}}


def _cache_path(kind: str, paths: Sequence[Path], more, cache_dir) -> Path:
    """Where the table of these files is kept: other contents, another name."""
    stats = [(str(p.absolute()), p.stat().st_size, p.stat().st_mtime_ns) for p in paths]
    key = json.dumps([1, kind, stats, more], default=str)
    folder = Path(cache_dir) if cache_dir else cache_folder() / "datasets"
    return folder / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.arrow"


def _table(kind: str, paths: list[Path], options: Mapping, features, cache_dir) -> Dataset:
    schema = features.schema if features else None
    known = features or features_in(kind, paths)
    text = str(schema) if schema is not None else ""
    cached = _cache_path(kind, paths, [options, text], cache_dir)
    if kind == "arrow" and features is None:
        found = mapped(paths)
        if found is not None:
            return Dataset(found, known)._from_files(cached.stem, cache_dir)
    table = cached_table(cached)
    if table is None:
        table = collect(READERS[kind](paths, options), cached, schema)
    made = Dataset(table, known and Features.from_schema(table.schema).known(known))
    return made._from_files(cached.stem, cache_dir)


def _stream(kind: str, source, names: list[str], options: Mapping, features) -> IterableDataset:
    """A stream that fetches and opens a file when its turn comes."""

    def batches():
        for name in names:
            yield from READERS[kind]([source.path(name)], options)

    if features is None:
        first = next((batch for batch in batches()), None)
        features = None if first is None else Features.from_schema(first.schema)
        if kind in ("parquet", "arrow"):
            features = features_in(kind, [source.path(names[0])])
    return IterableDataset(batches, features)


def _find(path: str | os.PathLike, name, kind, data_files, data_dir, revision, token):
    """(where the files are, files by split, the folder they are under)."""
    place = Path(path)
    if kind is not None and not place.exists():
        if data_files is None and data_dir is None:
            raise _core.ValueError(f"load_dataset: '{path}' needs data_files or data_dir")
        source, config = Folder(Path(data_dir or ".")), {}
        under = ""
        data_dir = None
    elif place.is_file():
        return Folder(place.parent), {"train": [place.name]}, ""
    else:
        if place.is_dir():
            source = Folder(place)
        elif re.fullmatch(r"[\w-][\w.-]*/[\w-][\w.-]*", str(path)):
            source = Repository(str(path), revision, token=token)
        else:
            raise _core.IOError(
                f"load_dataset: {path} is no folder and no file; give one with train.csv or "
                "train.json in it, or owner/name of a data set on a hub"
            )
        config = {} if data_files is not None or data_dir else readme_config(source, name)
        under = str(data_dir or config.get("data_dir") or "")
    data_files = data_files if data_files is not None else config.get("data_files")
    if data_files is not None:
        return source, of_patterns(source, data_files, under), under
    names = data_names(source, under, kind)
    if not names:
        raise _core.IOError(
            f"load_dataset: {data_dir or path} has no train or test file, nor any other of data "
            "(csv, tsv, json, jsonl, txt, parquet, arrow, png, jpg); pass data_files"
        )
    return source, by_name(names), under


def load_dataset(
    path: str | os.PathLike,
    name: str | None = None,
    data_dir: str | os.PathLike | None = None,
    data_files=None,
    split: str | Sequence[str] | None = None,
    cache_dir: str | os.PathLike | None = None,
    features: Features | None = None,
    revision: str = "main",
    token: str | bool | None = None,
    streaming: bool = False,
    **options,
):
    """The rows of a folder, of a file, of `owner/name` on a hub, or of `data_files` read as "csv",
    "tsv", "json", "text", "parquet", "arrow" or "imagefolder".

    Files go to splits by their names (train, test, validation, dev and the like), or as the
    README's `configs` say, of which `name` chooses one. data_files: a path or pattern, a list, or
    these by split. split: one of them, a part as in "train[:10%]", a sum with +, or a list of
    these. streaming: rows are read when they are asked for. Further options: delimiter,
    column_names and quotechar of CSV, field of JSON, sample_by of text.

    Returns a DatasetDict, or the rows of `split`. Columns of CSV files whose values are all
    numbers become numbers. What is larger than 64 MiB is converted once into cache_dir (by default
    in DS_CACHE) and mapped from there.

    IOError when there is no such file, FileFormatError when one is damaged, KeyError for a split
    that is not there."""
    pyarrow()
    kind = _FORMATS.get(str(path))
    source, splits, under = _find(path, name, kind, data_files, data_dir, revision, token)
    texts = [split] if isinstance(split, str) else split or []
    asked = {one.split("[")[0].strip() for text in texts for one in text.split("+")}
    if asked and asked <= set(splits):
        splits = {part: files for part, files in splits.items() if part in asked}
    kinds = {part: _kind_of(part, files, kind) for part, files in splits.items()}
    for option in options:
        if not any(option in OPTIONS.get(k, ()) for k in kinds.values()):
            raise _core.ValueError(
                f"load_dataset: '{option}' is no option of {', '.join(sorted(set(kinds.values())))}"
            )
    if "image" in kinds.values():
        made = _images(source, splits, under, streaming)
    elif streaming:
        made = IterableDatasetDict(
            {k: _stream(kinds[k], source, files, options, features) for k, files in splits.items()}
        )
    else:
        made = DatasetDict(
            {
                k: _table(kinds[k], [source.path(f) for f in files], options, features, cache_dir)
                for k, files in splits.items()
            }
        )
    if split is None:
        return made
    if not isinstance(split, str):
        return [_chosen(made, one) for one in split]
    return _chosen(made, split)


def _images(source, splits, under: str, streaming: bool):
    columns, features = read_images(source, splits, under)
    schema, pa = features.schema, pyarrow()
    made = DatasetDict(
        {
            split: Dataset(
                pa.Table.from_batches([batch_of(part, schema)], schema), features
            )._from_files(None)
            for split, part in columns.items()
        }
    )
    if not streaming:
        return made
    return IterableDatasetDict({k: rows.to_iterable_dataset() for k, rows in made.items()})


def _kind_of(split: str, files: list[str], kind: str | None) -> str:
    """What the files of a split hold. ValueError when that is not one thing."""
    if kind is not None:
        return kind
    kinds = {kind_of(file): file for file in files}
    if None in kinds:
        raise _core.ValueError(
            f"load_dataset: the ending of {kinds[None]} is unknown; say what it is as in "
            "load_dataset('csv', data_files=...)"
        )
    if len(kinds) > 1:
        raise _core.ValueError(
            f"load_dataset: {' and '.join(kinds.values())} are both the split '{split}'; pass "
            "data_files to choose"
        )
    return next(iter(kinds))


def _chosen(made: DatasetDict, text: str):
    """A split, a part of one as in train[10%:20%], or a sum of these."""
    parts = []
    for one in text.split("+"):
        match = re.fullmatch(r"\s*([^\[\]]+?)(?:\[(-?\d+%?)?:(-?\d+%?)?\])?\s*", one)
        if match is None:
            raise _core.ValueError(
                f"load_dataset: the split '{one}' is not understood; write train, train[:100] or "
                "train[10%:20%]"
            )
        rows = made[match[1]]
        if "[" not in one:
            parts.append(rows)
            continue
        if isinstance(rows, IterableDataset):
            raise _core.ValueError("load_dataset: a stream has no parts; use take() and skip()")
        total = len(rows)

        def place(bound, default, total=total):
            if bound is None:
                return default
            share = bound.endswith("%")
            at = round(int(bound[:-1]) * total / 100) if share else int(bound)
            return min(max(at + total if at < 0 else at, 0), total)

        begin, end = place(match[2], 0), place(match[3], total)
        parts.append(rows.select(range(begin, max(begin, end))))
    return parts[0] if len(parts) == 1 else concatenate_datasets(parts)


def load_from_disk(path: str | os.PathLike):
    """What save_to_disk() wrote, here or in the package `datasets`: a Dataset or a DatasetDict,
    mapped. IOError when there is none, FileFormatError when it is damaged."""
    folder = Path(path)
    try:
        if (folder / "dataset_dict.json").is_file():
            splits = json.loads((folder / "dataset_dict.json").read_text("utf-8"))["splits"]
            return DatasetDict({split: load_from_disk(folder / split) for split in splits})
        if not (folder / "state.json").is_file():
            raise _core.IOError(
                f"load_from_disk: {folder} has no state.json; save_to_disk() makes it"
            )
        state = json.loads((folder / "state.json").read_text("utf-8"))
        info = json.loads((folder / "dataset_info.json").read_text("utf-8"))
        names = [row["filename"] for row in state["_data_files"]]
        described = info.get("features") or {}
        features = Features.from_json(described)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, _core.Error):
            raise
        raise _core.FileFormatError(f"{folder}: its description is damaged: {error!r}") from error
    pa = pyarrow()
    tables = [map_file(folder / Path(name).name) for name in names]
    table = pa.concat_tables(tables) if tables else features.schema.empty_table()
    table = table.replace_schema_metadata()
    made = Dataset(table, Features.from_schema(table.schema).known(features))
    return made._from_files(
        _cache_path("disk", [folder / Path(n).name for n in names], [], "").stem
    )
