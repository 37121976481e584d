# SPDX-License-Identifier: Apache-2.0
"""Data sets to files: CSV, JSON lines, Parquet, and the folders of the package `datasets`."""

import csv
import hashlib
import json
import os
import shutil
from contextlib import contextmanager
from pathlib import Path

from .. import _core
from .arrow import pyarrow, write_stream

#: Bytes of a file of save_to_disk().
SHARD = 500 << 20


@contextmanager
def beside(path: Path):
    """A path beside that takes the name when all is written."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield part
        part.replace(path)
    except OSError as error:
        if isinstance(error, _core.Error):
            raise
        raise _core.IOError(f"{path}: {error.strerror or error}") from error
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def replaced(path: Path):
    """A folder that takes the place of `path` when all is written; rows mapped from the old one
    stay readable."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        if path.exists() and any(path.iterdir()) and not _is_ours(path):
            raise _core.ValueError(
                f"save_to_disk: {path} is a folder with other files; choose a new one"
            )
        part.mkdir(parents=True)
        yield part
        shutil.rmtree(path, ignore_errors=True)
        part.rename(path)
    except OSError as error:
        if isinstance(error, _core.Error):
            raise
        raise _core.IOError(f"save_to_disk: {path}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _is_ours(path: Path) -> bool:
    return (path / "state.json").is_file() or (path / "dataset_dict.json").is_file()


def write_csv(rows, path: Path) -> None:
    """Text in quotes where it needs them, nothing for None. DTypeError for lists and the like."""
    pa = pyarrow()
    for field in rows.features.schema:
        if pa.types.is_nested(field.type) or pa.types.is_binary(field.type):
            raise _core.DTypeError(
                f"to_csv: the column '{field.name}' holds {field.type}, a CSV file text and "
                "numbers; use to_json or to_parquet"
            )
    with beside(path) as part, part.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(rows.column_names)
        for batch in rows._parts():
            writer.writerows(zip(*batch.to_pydict().values(), strict=True))


def _simple(value):
    """What JSON has no kind for, as text."""
    if isinstance(value, bytes):
        raise _core.DTypeError("to_json: a column holds bytes; use to_parquet")
    return str(value)


def write_json(rows, path: Path) -> None:
    """An object a line."""
    with beside(path) as part, part.open("w", encoding="utf-8") as file:
        for batch in rows._parts():
            for row in batch.to_pylist():
                file.write(json.dumps(row, ensure_ascii=False, default=_simple) + "\n")


def write_parquet(rows, path: Path) -> None:
    """A Parquet file."""
    import pyarrow.parquet as pq

    schema = rows.described()
    with beside(path) as part, pq.ParquetWriter(part, schema) as writer:
        for batch in rows._parts():
            writer.write_batch(batch.replace_schema_metadata(schema.metadata))


def save_table(rows, path: Path, num_shards: int | None, size: int | None = None) -> None:
    """Arrow streams of at most so many bytes, and their description for the package `datasets`."""
    count = num_shards or max(1, -(-rows.data.nbytes // (size or SHARD)))
    if count < 1:
        raise _core.ValueError(f"save_to_disk: num_shards {count} must be at least 1")
    schema = rows.described()
    names = [f"data-{i:05d}-of-{count:05d}.arrow" for i in range(count)]
    with replaced(path) as folder:
        for i, name in enumerate(names):
            parts = (
                batch.replace_schema_metadata(schema.metadata)
                for batch in rows.shard(count, i)._parts()
            )
            write_stream(folder / name, parts, schema)
        digest = hashlib.sha256("".join(names).encode() + os.urandom(16)).hexdigest()[:16]
        state = {
            "_data_files": [{"filename": name} for name in names],
            "_fingerprint": digest,
            "_format_columns": None,
            "_format_kwargs": {},
            "_format_type": None,
            "_output_all_columns": False,
            "_split": None,
        }
        (folder / "state.json").write_text(json.dumps(state, indent=2))
        info = {
            "citation": "",
            "description": "",
            "features": rows.features.to_json(),
            "homepage": "",
            "license": "",
        }
        (folder / "dataset_info.json").write_text(json.dumps(info, indent=2))
