# SPDX-License-Identifier: Apache-2.0
"""load_dataset(): tables of text and numbers from local files, with a few verbs to change them."""

import csv
import json
import math
import os
import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from . import _core
from .data import Dataset as _Dataset

_ENDINGS = {".csv": "csv", ".tsv": "tsv", ".json": "json", ".jsonl": "json", ".txt": "text"}
_SPLITS = {
    "train": "train",
    "test": "test",
    "validation": "validation",
    "valid": "validation",
    "dev": "validation",
    "val": "validation",
}


class Table(_Dataset):
    """Rows of named columns: table[3] is a dict, table["text"] a column, table[:8] a dict of
    columns."""

    def __init__(self, columns: dict[str, list]):
        sizes = {name: len(values) for name, values in columns.items()}
        if len(set(sizes.values())) > 1:
            raise _core.ValueError(f"Table: the columns have different lengths: {sizes}")
        self._columns = columns

    def __len__(self) -> int:
        return len(next(iter(self._columns.values()), ()))

    @property
    def column_names(self) -> list[str]:
        """Names in order."""
        return list(self._columns)

    def __getitem__(self, key):
        if isinstance(key, str):
            if key not in self._columns:
                raise _core.KeyError(
                    f"Table: there is no column '{key}'; there are " f"{', '.join(self._columns)}"
                )
            return self._columns[key]
        if isinstance(key, slice):
            return {name: values[key] for name, values in self._columns.items()}
        if not -len(self) <= key < len(self):
            raise _core.IndexError(f"Table: row {key} of {len(self)}")
        return {name: values[key] for name, values in self._columns.items()}

    def __iter__(self) -> Iterator[dict]:
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        return f"Table({len(self)} rows: {', '.join(self._columns)})"

    def select(self, rows: Sequence[int]) -> "Table":
        """The rows at these positions."""
        return Table({name: [values[i] for i in rows] for name, values in self._columns.items()})

    def map(
        self,
        function: Callable,
        batched: bool = False,
        batch_size: int = 1000,
        remove_columns: str | Sequence[str] = (),
    ) -> "Table":
        """Rows (with `batched` dicts of columns) through a function whose dict adds or replaces
        columns."""
        dropped = {remove_columns} if isinstance(remove_columns, str) else set(remove_columns)
        parts: dict[str, list] = {}
        step = batch_size if batched else 1
        for start in range(0, len(self), step):
            given = self[start : start + step] if batched else self[start]
            made = function(dict(given)) or {}
            row = {**{k: v for k, v in given.items() if k not in dropped}, **made}
            for name, value in row.items():
                parts.setdefault(name, []).extend(value if batched else [value])
        return Table(parts)

    def filter(self, function: Callable) -> "Table":
        """The rows of which function(row) is true."""
        return self.select([i for i in range(len(self)) if function(self[i])])

    def shuffle(self, seed: int | None = None) -> "Table":
        """The rows in random order."""
        order = list(range(len(self)))
        random.Random(seed).shuffle(order)
        return self.select(order)

    def train_test_split(
        self, test_size: float | int = 0.25, seed: int | None = None, shuffle: bool = True
    ) -> "DatasetDict":
        """Two tables; test_size is a share, or a number of rows."""
        share = isinstance(test_size, float)
        count = math.ceil(test_size * len(self)) if share else test_size
        if not 0 < count < len(self):
            raise _core.ValueError(
                f"train_test_split: {count} of {len(self)} rows for the test "
                "leave one part empty"
            )
        rows = self.shuffle(seed) if shuffle else self
        cut = len(self) - count
        return DatasetDict(train=rows.select(range(cut)), test=rows.select(range(cut, len(self))))

    def remove_columns(self, names: str | Sequence[str]) -> "Table":
        """All other columns."""
        gone = {names} if isinstance(names, str) else set(names)
        for name in gone:
            self[name]
        return Table({k: v for k, v in self._columns.items() if k not in gone})

    def rename_column(self, old: str, new: str) -> "Table":
        """The same with another name for a column."""
        self[old]
        return Table({new if k == old else k: v for k, v in self._columns.items()})


class DatasetDict(dict):
    """Tables by split; map, filter and shuffle act on all of them."""

    def __getattr__(self, name: str):
        if name not in ("map", "filter", "shuffle", "remove_columns", "rename_column"):
            raise AttributeError(f"DatasetDict has no '{name}'")
        return lambda *args, **named: DatasetDict(
            {split: getattr(table, name)(*args, **named) for split, table in self.items()}
        )

    def __missing__(self, split):
        raise _core.KeyError(f"there is no split '{split}'; there are {', '.join(self) or 'none'}")


def _typed(values: list[str]) -> list:
    """A column of a text file: integers or numbers where all are, None for what is empty."""
    for kind in (int, float):
        try:
            return [None if v == "" else kind(v) for v in values]
        except ValueError:
            continue
    return values


def _read_csv(path: Path, delimiter: str) -> dict[str, list]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.reader(file, delimiter=delimiter, strict=True))
    if not rows:
        raise _core.FileFormatError(f"{path}: the file is empty")
    names = rows[0]
    if len(set(names)) != len(names):
        raise _core.FileFormatError(f"{path}: two columns have the same name in {names}")
    for number, row in enumerate(rows[1:], 2):
        if len(row) != len(names):
            raise _core.FileFormatError(
                f"{path}: row {number} has {len(row)} fields, the header " f"{len(names)}"
            )
    return {name: _typed([row[i] for row in rows[1:]]) for i, name in enumerate(names)}


def _read_json(path: Path) -> dict[str, list]:
    text = path.read_text("utf-8")
    if text.lstrip().startswith("["):
        rows = json.loads(text)
    else:
        rows = [json.loads(line) for line in text.splitlines() if line.strip()]
        if len(rows) == 1 and isinstance(rows[0].get("data"), list):
            rows = rows[0]["data"]
    if not all(isinstance(row, dict) for row in rows):
        raise _core.FileFormatError(f"{path}: every row must be a JSON object")
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: [row.get(name) for row in rows] for name in names}


def _read(path: Path, kind: str) -> Table:
    try:
        if kind in ("csv", "tsv"):
            return Table(_read_csv(path, "," if kind == "csv" else "\t"))
        if kind == "json":
            return Table(_read_json(path))
        return Table({"text": path.read_text("utf-8").splitlines()})
    except (ValueError, csv.Error, RecursionError, AttributeError) as error:
        if isinstance(error, _core.Error):
            raise
        raise _core.FileFormatError(f"{path}: {error}") from error
    except OSError as error:
        raise _core.IOError(f"{path}: {error.strerror}") from error


def _splits_of(folder: Path) -> dict[str, Path]:
    """train.csv, test.csv and so on; "train" alone for the only file of another name."""
    files = sorted(f for f in folder.iterdir() if f.suffix in _ENDINGS and f.is_file())
    named = {}
    for file in files:
        split = _SPLITS.get(file.stem.lower())
        if split in named:
            raise _core.ValueError(
                f"load_dataset: {named[split].name} and {file.name} are both "
                f"the split '{split}'; pass data_files to choose"
            )
        if split:
            named[split] = file
    if not named and len(files) == 1:
        return {"train": files[0]}
    if not named:
        raise _core.IOError(
            f"load_dataset: {folder} has no train or test file (csv, tsv, json, "
            "jsonl or txt); pass data_files={'train': ...}"
        )
    return named


def load_dataset(path: str | os.PathLike, data_files=None, split: str | None = None):
    """The tables of a folder with train.csv, test.csv, validation.csv (or tsv, json, jsonl, txt),
    of one such file, or of `data_files` (a path, or paths by split) read as "csv", "tsv", "json" or
    "text". Returns a DatasetDict, or the table of `split`. Columns whose values are all numbers
    become numbers.

    IOError when there is no such file, FileFormatError when one is damaged, KeyError for a split
    that is not there."""
    kinds = {**{k: k for k in ("csv", "tsv", "json", "text")}, "jsonl": "json"}
    place = Path(path)
    if data_files is not None:
        paths = data_files if isinstance(data_files, dict) else {"train": data_files}
        base = Path() if str(path) in kinds else place
        files = {name: base / file for name, file in paths.items()}
    elif place.is_dir():
        files = _splits_of(place)
    elif place.is_file():
        files = {"train": place}
    else:
        raise _core.IOError(
            f"load_dataset: {path} is no folder and no file; give one with "
            "train.csv or train.json in it"
        )
    tables = DatasetDict()
    for name, file in files.items():
        kind = kinds.get(str(path)) or _ENDINGS.get(file.suffix)
        if kind is None:
            raise _core.ValueError(
                f"load_dataset: the ending of {file} is unknown; use " f"{', '.join(_ENDINGS)}"
            )
        tables[name] = _read(file, kind)
    return tables if split is None else tables[split]
