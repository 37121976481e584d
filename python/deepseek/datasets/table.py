# SPDX-License-Identifier: Apache-2.0
"""Dataset: rows of named columns in Apache Arrow, with the verbs of the package `datasets`."""

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from .. import _core
from .._download import cache_folder
from .._warn import warn
from ..data import Dataset as _Dataset
from ..data.sampler import draw_seed
from . import fingerprint, split_rows
from .apply import map_table
from .arrow import (
    Rows,
    batch_of,
    batch_of_rows,
    cached_table,
    collect,
    conform,
    map_file,
    pyarrow,
)
from .arrow import column as column_of
from .features import ClassLabel, DatasetInfo, Feature, Features, List, Value, arrow_type
from .formats import check_kind, format_batch, format_column, format_row
from .leaving import Leaving

Names = str | Sequence[str]


def listed(names: Names | None) -> list[str]:
    """One name or several."""
    return [] if names is None else [names] if isinstance(names, str) else list(names)


class Dataset(Leaving, _Dataset):
    """Rows of named columns: rows[3] is a dict, rows["text"] a column, rows[:8] a dict of columns.

    The columns lie in Arrow tables, those of large files mapped from disk, and every verb returns a
    new Dataset that shares them. Rows that are chosen or shuffled are looked up, not copied."""

    def __init__(self, table, features: Features | None = None):
        names = table.schema.names
        if len(set(names)) != len(names):
            raise _core.ValueError(f"Dataset: two columns have the same name in {names}")
        self._table = table
        self._features = features or Features.from_schema(table.schema)
        self._chosen: np.ndarray | None = None  # rows of the table, when not all in order
        self._kind: str | None = None
        self._transform: Callable | None = None
        self._shown: list[str] | None = None
        self._rows = None
        self._origin: str | None = None  # the fingerprint of the table, where it is known
        self._kept: Path | None = None  # where results of map() are kept, for rows of files

    def _with(self, **changes) -> "Dataset":
        made = object.__new__(Dataset)
        made.__dict__.update(self.__dict__)
        made.__dict__.update({f"_{name}": value for name, value in changes.items()})
        if "table" in changes:
            made._rows = None
            made._origin = changes.get("origin")
            if made._shown is not None:
                made._shown = [name for name in made._shown if name in made._table.schema.names]
        return made

    def _from_files(self, origin: str | None, cache_dir=None) -> "Dataset":
        """Rows whose maps are kept between runs."""
        folder = Path(cache_dir) if cache_dir else cache_folder() / "datasets"
        return self._with(origin=origin, kept=folder)

    def _derived(self, *how) -> str | None:
        """The origin of a table that is made of this one in a way that is quickly told."""
        return self._origin and fingerprint.fingerprint(self._origin, *how)

    @property
    def _fingerprint(self) -> str:
        """Of the rows as they are seen: data, choice, order, features, format."""
        if self._origin is None:
            self._origin = fingerprint.table_fingerprint(self._table)
        described = self._features.to_json()
        seen = (self._chosen, self._kind, self._transform, self._shown, described)
        return fingerprint.fingerprint(self._origin, *seen)

    # ---- making

    @classmethod
    def from_dict(cls, mapping: Mapping, features: Features | None = None) -> "Dataset":
        """Of lists or arrays by name."""
        batch = batch_of(mapping, features.schema if features else None)
        return cls(pyarrow().Table.from_batches([batch]), features)

    @classmethod
    def from_list(cls, mapping: Sequence[Mapping], features: Features | None = None) -> "Dataset":
        """Of dicts; what a dict lacks is None."""
        batch = batch_of_rows(list(mapping), features.schema if features else None)
        return cls(pyarrow().Table.from_batches([batch]), features)

    @classmethod
    def from_pandas(
        cls, df, features: Features | None = None, preserve_index: bool | None = False
    ) -> "Dataset":
        """Of a data frame, without its index, or with it as a column; None keeps one that is not
        just row numbers."""
        schema = features.schema if features else None
        table = pyarrow().Table.from_pandas(df, schema=schema, preserve_index=preserve_index)
        return cls(collect(table.replace_schema_metadata().to_batches()), features)

    @classmethod
    def from_generator(
        cls, generator: Callable, features: Features | None = None, gen_kwargs: dict | None = None
    ) -> "Dataset":
        """Of the dicts that generator(**gen_kwargs) yields; more than memory holds is fine."""
        from .readers import batches_of_rows

        schema = features.schema if features else None
        rows = generator(**(gen_kwargs or {}))
        return cls(collect(batches_of_rows(rows, schema), schema=schema), features)

    @classmethod
    def _of_files(cls, kind: str, paths, features, options) -> "Dataset":
        from .loading import load_dataset

        made = load_dataset(kind, data_files=paths, split="train", **options)
        return made if features is None else made.cast(features)

    @classmethod
    def from_csv(cls, path_or_paths, features: Features | None = None, **options) -> "Dataset":
        """Of one CSV file or several; options are those of load_dataset()."""
        return cls._of_files("csv", path_or_paths, features, options)

    @classmethod
    def from_json(cls, path_or_paths, features: Features | None = None, **options) -> "Dataset":
        """Of one file of JSON or of a JSON object a line, or of several."""
        return cls._of_files("json", path_or_paths, features, options)

    @classmethod
    def from_parquet(cls, path_or_paths, features: Features | None = None, **options) -> "Dataset":
        """Of one Parquet file or several."""
        return cls._of_files("parquet", path_or_paths, features, options)

    @classmethod
    def from_text(cls, path_or_paths, features: Features | None = None, **options) -> "Dataset":
        """The lines of one file of text or of several, as a column text."""
        return cls._of_files("text", path_or_paths, features, options)

    @staticmethod
    def load_from_disk(dataset_path: str | os.PathLike) -> "Dataset":
        """What save_to_disk() wrote."""
        from .loading import load_from_disk

        made = load_from_disk(dataset_path)
        if not isinstance(made, Dataset):
            raise _core.ValueError(
                f"Dataset: {dataset_path} holds several splits; use load_from_disk()"
            )
        return made

    # ---- looking

    def __len__(self) -> int:
        return self._table.num_rows if self._chosen is None else len(self._chosen)

    @property
    def num_rows(self) -> int:
        """How many rows there are."""
        return len(self)

    @property
    def column_names(self) -> list[str]:
        """Names in order."""
        return list(self._table.schema.names)

    @property
    def num_columns(self) -> int:
        """How many columns there are."""
        return self._table.num_columns

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return len(self), self.num_columns

    @property
    def features(self) -> Features:
        """What the columns hold."""
        return Features(self._features)

    @property
    def info(self) -> "DatasetInfo":
        """What is known of the rows beside their values."""
        return DatasetInfo(features=self._features, dataset_size=self._table.nbytes)

    @property
    def split(self) -> None:
        """None: rows that verbs made are of no split any more."""
        return None

    @property
    def data(self):
        """The table of pyarrow that the rows lie in, before any choice of rows."""
        return self._table

    @property
    def format(self) -> dict:
        """The type and the columns of with_format()."""
        return {"type": self._kind, "columns": self._shown or self.column_names}

    def __repr__(self) -> str:
        return f"Dataset({len(self)} rows: {', '.join(self.column_names)})"

    def _lookup(self) -> Rows:
        if self._rows is None:
            self._rows = Rows(self._table)
        return self._rows

    def _check(self, names: Names | None) -> list[str]:
        """KeyError for a column that is not there."""
        found = listed(names)
        for name in found:
            if name not in self._features:
                raise _core.KeyError(
                    f"Dataset: there is no column '{name}'; there are "
                    f"{', '.join(self.column_names) or 'none'}"
                )
        return found

    def _place(self, index: int) -> int:
        if not -len(self) <= index < len(self):
            raise _core.IndexError(f"Dataset: row {index} of {len(self)}")
        index = int(index) % len(self)
        return index if self._chosen is None else int(self._chosen[index])

    def table_of(self, rows, columns: list[str] | None = None):
        """The table of pyarrow of a slice or of positions, in order."""
        if isinstance(rows, slice):
            start, stop, step = rows.indices(len(self))
            if step == 1 and self._chosen is None:
                part = self._table.slice(start, max(stop - start, 0))
                return part if columns is None else part.select(columns)
            rows = np.arange(start, stop, step)
        places = np.asarray(rows, dtype=np.int64).reshape(-1)
        for bad in places[(places < -len(self)) | (places >= len(self))]:
            raise _core.IndexError(f"Dataset: row {bad} of {len(self)}")
        places = np.where(places < 0, places + len(self), places)
        places = places if self._chosen is None else self._chosen[places]
        if len(places) == 0:
            part = self._table.slice(0, 0)
            return part if columns is None else part.select(columns)
        if columns is not None:
            return Rows(self._table.select(columns)).take(places)
        return self._lookup().take(places)

    def __getitem__(self, key):
        if isinstance(key, str):
            self._check(key)
            part = self.table_of(slice(None), [key]) if self._chosen is not None else self._table
            return format_column(part.column(key), self._features[key], self._kind)
        if isinstance(key, slice | list | range | np.ndarray):
            found = format_batch(self.table_of(key, self._shown), self._features, self._kind)
            return found if self._transform is None else self._transformed(found)
        if self._transform is not None:
            place = int(key) + (len(self) if key < 0 else 0)
            if not 0 <= place < len(self):
                raise _core.IndexError(f"Dataset: row {key} of {len(self)}")
            return {name: values[0] for name, values in self[place : place + 1].items()}
        batch = self._lookup().row(self._place(key))
        if self._shown is not None:
            batch = batch.select(self._shown)
        if self._kind == "arrow":
            return pyarrow().Table.from_batches([batch])
        return format_row(batch, self._features, self._kind)

    def __getitems__(self, rows: list[int]) -> list[dict]:
        """The rows at these positions, found together."""
        columns = self[list(rows)]
        return [
            dict(zip(columns, values, strict=True))
            for values in zip(*columns.values(), strict=True)
        ]

    def __iter__(self) -> Iterator[dict]:
        if self._kind in ("arrow", "pandas"):
            yield from (self[i] for i in range(len(self)))
            return
        for columns in self.iter(1000):
            for values in zip(*columns.values(), strict=True):
                yield dict(zip(columns, values, strict=True))

    def iter(self, batch_size: int, drop_last_batch: bool = False) -> Iterator[dict]:
        """Dicts of columns, batch_size rows each."""
        for start in range(0, len(self), batch_size):
            if drop_last_batch and start + batch_size > len(self):
                return
            yield self[start : start + batch_size]

    def with_format(self, type: str | None = None, columns: Names | None = None) -> "Dataset":
        """Rows as "numpy" arrays, as "torch" tensors (those of this library), "arrow", "pandas" or
        Python's values; with `columns` only these."""
        shown = None if columns is None else self._check(columns)
        return self._with(kind=check_kind(type), shown=shown, transform=None)

    def set_format(self, type: str | None = None, columns: Names | None = None) -> None:
        """with_format() on this data set itself."""
        self.__dict__.update(self.with_format(type, columns).__dict__)

    def with_transform(self, transform: Callable, columns: Names | None = None) -> "Dataset":
        """Rows that a function makes when they are read: it gets a dict of columns, with `columns`
        of these only, and returns one with as many rows."""
        shown = None if columns is None else self._check(columns)
        return self._with(kind=None, shown=shown, transform=transform)

    def set_transform(self, transform: Callable, columns: Names | None = None) -> None:
        """with_transform() on this data set itself."""
        self.__dict__.update(self.with_transform(transform, columns).__dict__)

    def _transformed(self, columns: Mapping) -> dict:
        made = self._transform(dict(columns))
        if not isinstance(made, Mapping):
            raise _core.DTypeError(
                "with_transform: the function must return a dict of columns, not "
                f"{type(made).__name__}"
            )
        return dict(made)

    def reset_format(self) -> None:
        """Python's values again."""
        self.set_format()

    @contextlib.contextmanager
    def formatted_as(self, type: str | None = None, columns: Names | None = None):
        """set_format() inside `with`."""
        before = (self._kind, self._shown, self._transform)
        self.set_format(type, columns)
        try:
            yield
        finally:
            self._kind, self._shown, self._transform = before

    # ---- rows

    def _choose(self, rows: np.ndarray) -> "Dataset":
        if self._chosen is not None:
            return self._with(chosen=self._chosen[rows])
        if len(rows) and np.array_equal(rows, np.arange(rows[0], rows[0] + len(rows))):
            begin, count = int(rows[0]), len(rows)
            part = self._table.slice(begin, count)
            return self._with(table=part, origin=self._derived("slice", begin, count))
        return self._with(chosen=rows) if len(rows) else self._with(table=self._table.slice(0, 0))

    def select(self, indices: Sequence[int]) -> "Dataset":
        """The rows at these positions."""
        given = indices if hasattr(indices, "__len__") else list(indices)
        places = np.asarray(given, dtype=np.int64)
        for bad in places[(places < -len(self)) | (places >= len(self))]:
            raise _core.IndexError(f"Dataset: row {bad} of {len(self)}")
        return self._choose(np.where(places < 0, places + len(self), places))

    def take(self, n: int) -> "Dataset":
        """The first n rows."""
        return self.select(range(min(n, len(self))))

    def skip(self, n: int) -> "Dataset":
        """All but the first n rows."""
        return self.select(range(min(n, len(self)), len(self)))

    def repeat(self, num_times: int) -> "Dataset":
        """The rows num_times one after the other."""
        return self.select(np.tile(np.arange(len(self)), max(num_times, 0)))

    def add_item(self, item: Mapping) -> "Dataset":
        """The same with one more row at the end."""
        from .mix import concatenate_datasets

        missing = [name for name in self.column_names if name not in item]
        if missing or len(item) != self.num_columns:
            raise _core.ValueError(
                f"add_item: the row has {', '.join(item)}; the columns are "
                f"{', '.join(self.column_names)}"
            )
        row = {name: item[name] for name in self.column_names}
        return concatenate_datasets([self, Dataset.from_list([row], self._features)])

    def batch(self, batch_size: int, drop_last_batch: bool = False) -> "Dataset":
        """Rows whose values are lists of batch_size values of rows one after the other."""
        if not isinstance(batch_size, int) or batch_size < 1:
            raise _core.ValueError(f"batch: batch_size {batch_size!r} must be a positive integer")
        return self.with_format(None).map(
            lambda rows: {name: [values] for name, values in rows.items()},
            batched=True,
            batch_size=batch_size,
            drop_last_batch=drop_last_batch,
            features=Features({name: List(f) for name, f in self._features.items()}),
            desc="batch",
        )

    def shard(self, num_shards: int, index: int, contiguous: bool = True) -> "Dataset":
        """Part `index` of num_shards of about the same size: neighbours, or every num_shards-th."""
        if not 0 <= index < num_shards:
            raise _core.ValueError(f"shard: part {index} of {num_shards}")
        if not contiguous:
            return self.select(range(index, len(self), num_shards))
        size, more = divmod(len(self), num_shards)  # the first `more` parts have one row more
        ends = [size * i + min(i, more) for i in (index, index + 1)]
        return self.select(range(*ends))

    def filter(
        self,
        function: Callable,
        with_indices: bool = False,
        input_columns: Names | None = None,
        batched: bool = False,
        batch_size: int = 1000,
        num_proc: int | None = None,
        fn_kwargs: dict | None = None,
        load_from_cache_file: bool = True,
        keep_in_memory: bool = False,
        desc: str | None = None,
    ) -> "Dataset":
        """The rows of which function(row) is true; with `batched` it returns a list of truths."""

        def keep(*given, **named):
            kept = function(*given, **named)
            return {"keep": [bool(k) for k in kept] if batched else bool(kept)}

        if len(self) == 0:
            return self
        kept = self.map(
            keep,
            with_indices=with_indices,
            input_columns=input_columns,
            batched=batched,
            batch_size=batch_size,
            remove_columns=self.column_names,
            num_proc=num_proc,
            fn_kwargs=fn_kwargs,
            load_from_cache_file=load_from_cache_file,
            keep_in_memory=keep_in_memory,
            desc=desc or "filter",
        )
        if len(kept) != len(self):
            raise _core.ValueError(f"filter: {len(kept)} truths for {len(self)} rows")
        return self._choose(np.flatnonzero(kept.with_format("numpy")["keep"]))

    def shuffle(self, seed: int | None = None) -> "Dataset":
        """The rows in random order, for a seed in the order of the package `datasets`."""
        return self._choose(_draw(seed).permutation(len(self)))

    def sort(
        self, column_names: Names, reverse: bool | Sequence[bool] = False, nulls: str = "at_end"
    ) -> "Dataset":
        """The rows by the values of columns; rows that are equal keep their order."""
        names = self._check(column_names)
        down = [reverse] * len(names) if isinstance(reverse, bool) else list(reverse)
        if len(down) != len(names):
            raise _core.ValueError(f"sort: {len(down)} directions for {len(names)} columns")
        import pyarrow.compute as pc

        keys = [(n, "descending" if d else "ascending") for n, d in zip(names, down, strict=True)]
        table = self.table_of(slice(None), names)
        return self._choose(
            pc.sort_indices(table, sort_keys=keys, null_placement=nulls).to_numpy().astype(np.int64)
        )

    def train_test_split(
        self,
        test_size: float | int | None = None,
        train_size: float | int | None = None,
        shuffle: bool = True,
        stratify_by_column: str | None = None,
        seed: int | None = None,
    ):
        """Parts "train" and "test" of sizes that are shares or numbers of rows, by default a
        quarter for the test; stratify_by_column keeps the share of every class in both."""
        from .splits import DatasetDict

        sizes = split_rows.sizes(len(self), test_size, train_size)
        if stratify_by_column is not None:
            self._check(stratify_by_column)
            if not shuffle:
                raise _core.ValueError("train_test_split: a stratified split needs shuffle=True")
            values = self.with_format(None)[stratify_by_column]
            rows = split_rows.stratified(values, *sizes, _draw(seed))
        else:
            order = _draw(seed).permutation(len(self)) if shuffle else None
            rows = split_rows.plain(len(self), *sizes, order)
        return DatasetDict(train=self._choose(rows[0]), test=self._choose(rows[1]))

    def flatten_indices(self) -> "Dataset":
        """The chosen rows copied in their order, so that reading them is reading on."""
        if self._chosen is None:
            return self
        steps = range(0, len(self), 1000)
        parts = (self.table_of(slice(i, i + 1000)).combine_chunks().to_batches() for i in steps)
        schema = self._features.schema
        table = collect((batch for part in parts for batch in part), schema=schema)
        origin = self._derived("flat", self._chosen)
        return self._with(table=table, chosen=None, origin=origin)

    # ---- columns

    def map(
        self,
        function: Callable,
        with_indices: bool = False,
        input_columns: Names | None = None,
        batched: bool = False,
        batch_size: int | None = 1000,
        drop_last_batch: bool = False,
        remove_columns: Names | None = None,
        features: Features | None = None,
        num_proc: int | None = None,
        fn_kwargs: dict | None = None,
        desc: str | None = None,
        load_from_cache_file: bool = True,
        cache_file_name: str | os.PathLike | None = None,
        keep_in_memory: bool = False,
        writer_batch_size: int | None = None,
    ) -> "Dataset":
        """Rows (with `batched` dicts of columns) through a function whose dict adds or replaces
        columns; with `batched` it may return more or fewer rows than it got.

        num_proc: processes that share the rows. Of rows that come from files the result is kept in
        the cache and taken from there when the same function, with the same values around it, is
        asked for the same rows; load_from_cache_file=False computes it anew, keep_in_memory keeps
        nothing, cache_file_name names the file. desc: stands before the progress on a
        terminal; writer_batch_size is accepted and changes nothing."""
        removed = self._check(remove_columns)
        asked = dict(
            with_indices=with_indices,
            input_columns=None if input_columns is None else self._check(input_columns),
            batched=batched,
            batch_size=max(len(self), 1) if batch_size is None or batch_size < 1 else batch_size,
            drop_last_batch=drop_last_batch,
            removed=removed,
            schema=features.schema if features else None,
            fn_kwargs=fn_kwargs or {},
        )
        path, origin, found = None, None, cached_table
        if cache_file_name is not None:
            path, found = Path(cache_file_name), map_file  # what is there may not be ours
        elif self._kept is not None and not keep_in_memory and fingerprint.is_caching_enabled():
            origin = self._result_of(function, asked)
            path = origin and self._kept / f"map-{origin}.arrow"
        made = found(path) if path and load_from_cache_file and path.is_file() else None
        if made is None:
            made = map_table(self, function, num_proc or 1, path, desc or "map", **asked)
        if made is None:  # the function returned nothing: it was for its effects
            return self.remove_columns(removed)
        known = features or Features.from_schema(made.schema).known(self._features)
        return self._with(table=made, features=known, chosen=None, origin=origin)

    def _result_of(self, function: Callable, asked: dict) -> str | None:
        """The fingerprint of what map() makes; None where it cannot be told."""
        how = {**asked, "schema": str(asked["schema"])}
        if not asked["batched"]:
            del how["batch_size"]
        try:
            return fingerprint.fingerprint(1, self._fingerprint, function, how)
        except fingerprint.Unknown as error:
            warn(f"map: the result is not kept for the next run, as the function uses {error}")
            return None

    def cleanup_cache_files(self) -> int:
        """Removes all results of map() from the cache folder of these rows, and says how many;
        rows that are in use stay readable."""
        found = list(self._kept.glob("map-*.arrow")) if self._kept else []
        for path in found:
            path.unlink(missing_ok=True)
        return len(found)

    def select_columns(self, column_names: Names) -> "Dataset":
        """These columns, in this order."""
        kept = self._check(column_names)
        features = Features({name: self._features[name] for name in kept})
        table = self._table.select(kept)
        return self._with(table=table, features=features, origin=self._derived("columns", kept))

    def remove_columns(self, column_names: Names) -> "Dataset":
        """All other columns."""
        gone = set(self._check(column_names))
        return self.select_columns([name for name in self.column_names if name not in gone])

    def rename_columns(self, column_mapping: Mapping[str, str]) -> "Dataset":
        """The same with other names for columns."""
        names = column_mapping
        self._check(list(names))
        renamed = [names.get(name, name) for name in self.column_names]
        if len(set(renamed)) != len(renamed):
            raise _core.ValueError(f"rename_columns: two columns have the same name in {renamed}")
        shown = self._shown and [names.get(name, name) for name in self._shown]
        features = Features(zip(renamed, self._features.values(), strict=True))
        table = self._table.rename_columns(renamed)
        origin = self._derived("names", renamed)
        return self._with(shown=shown)._with(table=table, features=features, origin=origin)

    def rename_column(self, original_column_name: str, new_column_name: str) -> "Dataset":
        """The same with another name for a column."""
        return self.rename_columns({original_column_name: new_column_name})

    def add_column(self, name: str, column, feature: Feature | None = None) -> "Dataset":
        """The same with one more column, of what it holds or of a feature."""
        if name in self._features:
            raise _core.ValueError(f"add_column: there is a column '{name}' already")
        array = column_of(name, column)
        if len(array) != len(self):
            raise _core.ValueError(f"add_column: {len(array)} values for {len(self)} rows")
        flat = self.flatten_indices()
        table = flat._table.append_column(name, array)
        features = Features({**self._features, name: Features.from_schema(table.schema)[name]})
        made = flat._with(table=table, features=features)
        return made if feature is None else made.cast_column(name, feature)

    def flatten(self) -> "Dataset":
        """Columns of dicts as a column for each of their keys, named column.key."""
        made = self.flatten_indices()
        while any(isinstance(feature, dict) for feature in made._features.values()):
            features = {}
            for name, feature in made._features.items():
                inner = feature if isinstance(feature, dict) else {None: feature}
                for key, value in inner.items():
                    features[name if key is None else f"{name}.{key}"] = value
            # Only these: an image is stored as such a column too.
            parts = []
            for name, feature in made._features.items():
                part = made._table.select([name])
                parts.append(part.flatten() if isinstance(feature, dict) else part)
            columns = [column for part in parts for column in part.columns]
            table = pyarrow().Table.from_arrays(columns, names=list(features))
            made = made._with(table=table, features=Features(features), shown=None)
        return made

    def align_labels_with_mapping(self, label2id: Mapping[str, int], label_column: str):
        """A column of classes with the numbers that a model has for their names."""
        self._check(label_column)
        classes = self._features[label_column]
        if not isinstance(classes, ClassLabel):
            raise _core.ValueError(
                f"align_labels_with_mapping: '{label_column}' holds {classes}, not ClassLabel; "
                "call class_encode_column() first"
            )
        known = {name.lower(): int(number) for name, number in label2id.items()}
        missing = [name for name in classes.names if name.lower() not in known]
        if missing:
            raise _core.ValueError(
                f"align_labels_with_mapping: the mapping has no '{missing[0]}'; it has "
                f"{', '.join(label2id)}"
            )
        names = sorted(label2id, key=lambda name: int(label2id[name]))
        changed = self.map(
            lambda rows: {
                label_column: [
                    None if i is None else known[classes.int2str(i).lower()]
                    for i in rows[label_column]
                ]
            },
            batched=True,
            features=Features({**self._features, label_column: Value("int64")}),
        )
        return changed.cast_column(label_column, ClassLabel(names))

    def unique(self, column: str) -> list:
        """The values of a column, each once, in the order they come."""
        self._check(column)
        return self.table_of(slice(None), [column]).column(column).unique().to_pylist()

    def cast(self, features: Mapping[str, Feature]) -> "Dataset":
        """Columns as other features: numbers as other numbers, names as classes."""
        self._check(list(features))
        wanted = Features({**self._features, **features})
        schema = wanted.schema
        names = {
            name: feature
            for name, feature in wanted.items()
            if isinstance(feature, ClassLabel)
            and pyarrow().types.is_string(arrow_type(self._features[name]))
        }

        def changed(batch):
            for name, classes in names.items():
                place = batch.schema.get_field_index(name)
                known = {text: i for i, text in enumerate(classes.names)}
                values = [
                    None
                    if text is None
                    else known[text]
                    if text in known
                    else classes.str2int(text)
                    for text in batch.column(name).to_pylist()
                ]
                batch = batch.set_column(place, name, pyarrow().array(values, pyarrow().int64()))
            return conform(batch, schema)

        table = collect((changed(batch) for batch in self._table.to_batches()), schema=schema)
        return self._with(table=table, features=wanted)

    def cast_column(self, column: str, feature: Feature) -> "Dataset":
        """A column as another feature."""
        return self.cast({column: feature})

    def class_encode_column(self, column: str, include_nulls: bool = False) -> "Dataset":
        """A column of texts, integers or truths as classes, which are its values in order;
        include_nulls makes rows without a value a class "None", else they stay without one."""
        self._check(column)
        if isinstance(self._features[column], ClassLabel):
            return self
        values = self.unique(column)
        texts = self.cast({column: Value("string")})
        if None in values and include_nulls:
            texts = texts.map(
                lambda rows: {column: ["None" if v is None else v for v in rows[column]]},
                batched=True,
            )
            values = [v for v in values if v is not None] + ["None"]
        classes = ClassLabel(sorted({str(v) for v in values if v is not None}))
        return texts.cast({column: classes})


def _draw(seed: int | None) -> np.random.Generator:
    """By the seed, else by manual_seed()."""
    return np.random.default_rng(draw_seed() if seed is None else seed)
