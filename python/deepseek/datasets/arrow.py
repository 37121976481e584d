# SPDX-License-Identifier: Apache-2.0
"""Tables of Apache Arrow: in memory while they are small, in mapped files when they are not."""

import os
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from .. import _core
from .._download import cache_folder

#: Tables up to so many bytes stay in memory.
IN_MEMORY = 64 << 20
#: Rows of a batch in a file: what one row costs to find.
BATCH_ROWS = 1000


def pyarrow():
    """The package, NotImplementedError when it is not installed."""
    try:
        import pyarrow as pa
    except ImportError as error:
        raise _core.NotImplementedError(
            "datasets: the package `pyarrow` is not installed; run pip install pyarrow"
        ) from error
    return pa


def _plain(value):
    """A value of one cell in types that Arrow knows."""
    if isinstance(value, _core.Tensor):
        value = value.detach()
        value = (value.float() if value.dtype == _core.bfloat16 else value).numpy()
    if isinstance(value, np.ndarray):
        return value if value.ndim == 1 else value.tolist()
    if isinstance(value, Mapping):
        return {key: _plain(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        # Lists of plain numbers and texts, by far the most, pass as they are.
        plain = not value or isinstance(value[0], int | float | str)
        return value if plain else [_plain(v) for v in value]
    return value


def column(name: str, values, type=None):
    """Values as an array of Arrow. DTypeError when they are of no one type."""
    pa = pyarrow()
    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks()
    if isinstance(values, pa.Array):
        return values if type is None else values.cast(type)
    if isinstance(values, _core.Tensor):
        values = _plain(values)
    if isinstance(values, np.ndarray) and values.ndim != 1:
        values = values.tolist()
    if not isinstance(values, np.ndarray):
        if isinstance(values, str | bytes | Mapping) or not isinstance(values, Iterable):
            raise _core.DTypeError(
                f"datasets: the column '{name}' must be a list or an array, "
                f"not {values.__class__.__name__}"
            )
        values = [_plain(value) for value in values]
    try:
        return pa.array(values, type=type)
    except (pa.lib.ArrowException, OverflowError) as error:
        wanted = f"of the type {type}" if type else "of one type"
        raise _core.DTypeError(
            f"datasets: the values of the column '{name}' are not {wanted}: {error}"
        ) from error


def batch_of(columns: Mapping, schema=None):
    """A record batch of named lists. ValueError when their lengths differ."""
    pa = pyarrow()
    types = {field.name: field.type for field in schema} if schema is not None else {}
    arrays = {name: column(name, values, types.get(name)) for name, values in columns.items()}
    sizes = {name: len(array) for name, array in arrays.items()}
    if len(set(sizes.values())) > 1:
        raise _core.ValueError(f"datasets: the columns have different lengths: {sizes}")
    return pa.RecordBatch.from_arrays(list(arrays.values()), names=list(arrays))


def batch_of_rows(rows: list[Mapping], schema=None):
    """A record batch of dicts; what a dict lacks is null."""
    names = dict.fromkeys(name for row in rows for name in row)
    return batch_of({name: [row.get(name) for row in rows] for name in names}, schema)


def _without_dictionaries(batch):
    pa = pyarrow()
    if not any(pa.types.is_dictionary(field.type) for field in batch.schema):
        return batch
    arrays = [
        array.dictionary_decode() if pa.types.is_dictionary(array.type) else array
        for array in batch.columns
    ]
    return pa.RecordBatch.from_arrays(arrays, names=batch.schema.names)


def conform(batch, schema):
    """The batch with exactly these columns and types."""
    pa = pyarrow()
    if batch.schema.equals(schema):
        return batch
    there = set(batch.schema.names)
    try:
        arrays = [
            batch.column(field.name).cast(field.type)
            if field.name in there
            else pa.nulls(batch.num_rows, field.type)
            for field in schema
        ]
    except pa.lib.ArrowException as error:
        raise _core.DTypeError(f"datasets: a column does not have its type: {error}") from error
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def unified(schemas):
    """The schema that holds all: integers become numbers, null anything. DTypeError when
    two types have nothing in common."""
    pa = pyarrow()
    try:
        return pa.unify_schemas(list(schemas), promote_options="permissive")
    except pa.lib.ArrowException as error:
        raise _core.DTypeError(
            f"datasets: the rows do not agree on a column's type: {error}"
        ) from error


def map_file(path: Path):
    """The table of an Arrow file or stream, mapped: its bytes are read when they are used."""
    pa = pyarrow()
    try:
        mapped = pa.memory_map(os.fspath(path))
        try:
            return pa.ipc.open_stream(mapped).read_all()
        except pa.lib.ArrowInvalid:
            mapped.seek(0)
            return pa.ipc.open_file(mapped).read_all()
    except pa.lib.ArrowException as error:
        raise _core.FileFormatError(f"{path}: no Arrow file: {error}") from error
    except OSError as error:
        raise _core.IOError(f"{path}: {error.strerror or error}") from error


#: What ends the streams written here; a file that was cut where a batch ends lacks it.
_END = b"\xff\xff\xff\xff\0\0\0\0"


def cached_table(path: Path):
    """The table of a file of the cache; nothing where there is none or it is damaged, so that it
    is made again."""
    try:
        with path.open("rb") as file:
            file.seek(-len(_END), os.SEEK_END)
            if file.read() != _END:
                return None
        table = map_file(path)
        table.validate()
        return table
    except (OSError, _core.FileFormatError, pyarrow().lib.ArrowException):
        return None


def write_stream(path: Path, batches: Iterable, schema) -> None:
    """A stream file of the batches: whole, or not there."""
    pa = pyarrow()
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with pa.OSFile(os.fspath(part), "wb") as file, pa.ipc.new_stream(file, schema) as writer:
            for batch in batches:
                writer.write_batch(batch)
        part.replace(path)
    except OSError as error:
        raise _core.IOError(
            f"datasets: cannot write to {path.parent}: {error.strerror or error}; DS_CACHE names "
            "another folder for the cache"
        ) from error
    finally:
        part.unlink(missing_ok=True)


class Sink:
    """Collects batches to a table. What grows beyond IN_MEMORY bytes goes to `path` and is mapped
    from there; without a path to a file that goes with the table. Types widen as batches come."""

    def __init__(self, path: Path | None = None, schema=None, in_memory: int | None = None):
        self._path, self._schema, self._fixed = path, schema, schema is not None
        self._limit = IN_MEMORY if in_memory is None else in_memory
        self._batches: list = []
        self._bytes = 0
        self._file = self._writer = None

    def add(self, batch) -> None:
        """One more batch, not empty."""
        batch = _without_dictionaries(batch)
        if self._schema is None:
            self._schema = batch.schema.remove_metadata()
        elif not self._fixed and not batch.schema.equals(self._schema):
            wider = unified([self._schema, batch.schema.remove_metadata()])
            if not wider.equals(self._schema):
                self._widen(wider)
        batch = conform(batch, self._schema)
        if self._writer is not None:
            self._write(batch)
            return
        self._batches.append(batch)
        self._bytes += batch.nbytes
        if self._bytes > self._limit:
            self._spill()

    def _spill(self) -> None:
        self._open()
        for batch in self._batches:
            self._write(batch)
        self._batches = []

    def _write(self, batch) -> None:
        try:
            pa = pyarrow()
            for part in pa.Table.from_batches([batch]).to_batches(max_chunksize=BATCH_ROWS):
                self._writer.write_batch(part)
        except OSError as error:
            self.drop()
            raise _core.IOError(
                f"datasets: cannot write to {self._file}: {error.strerror or error}; DS_CACHE "
                "names another folder for the cache"
            ) from error

    def _widen(self, schema) -> None:
        self._schema = schema
        if self._writer is None:
            self._batches = [conform(batch, schema) for batch in self._batches]
            return
        self._writer.close()
        before, table = self._file, map_file(self._file)
        self._open()
        for batch in table.to_batches():
            self._write(conform(batch, schema))
        before.unlink()

    def _open(self) -> None:
        folder = self._path.parent if self._path else cache_folder() / "datasets"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(".part", ".arrow-", folder)
            os.close(handle)
        except OSError as error:
            raise _core.IOError(
                f"datasets: cannot write to {folder}: {error.strerror}; DS_CACHE names another "
                "folder for the cache"
            ) from error
        self._file = Path(name)
        self._writer = pyarrow().ipc.new_stream(name, self._schema)

    def drop(self) -> None:
        """Leaves nothing behind."""
        if self._writer is not None:
            self._file.unlink(missing_ok=True)
            self._writer = None

    def close(self):
        """The table."""
        pa = pyarrow()
        if self._limit < 0 and self._writer is None and self._schema is not None:
            self._spill()
        if self._writer is None:
            schema = pa.schema([]) if self._schema is None else self._schema
            return pa.Table.from_batches(self._batches, schema=schema)
        self._writer.close()
        self._writer = None
        if self._path is not None:
            self._file.replace(self._path)
            return map_file(self._path)
        table = map_file(self._file)
        self._file.unlink()  # the mapping keeps the contents
        return table


def collect(batches: Iterable, path: Path | None = None, schema=None, in_memory: int | None = None):
    """A table of the batches, of more than in_memory bytes in a file; with -1 of any number."""
    sink = Sink(path, schema, in_memory)
    try:
        for batch in batches:
            if batch.num_rows or schema is None:
                sink.add(batch)
        return sink.close()
    finally:
        sink.drop()


class Rows:
    """Rows of a table by position, without touching the batches in between."""

    def __init__(self, table):
        self.batches = [batch for batch in table.to_batches() if batch.num_rows]
        ends = np.cumsum([batch.num_rows for batch in self.batches], dtype=np.int64)
        self.starts = np.concatenate([np.zeros(1, np.int64), ends])[: len(self.batches)]
        self.schema = table.schema

    def row(self, index: int):
        """A batch of one row."""
        which = int(np.searchsorted(self.starts, index, "right")) - 1
        return self.batches[which].slice(index - int(self.starts[which]), 1)

    def take(self, rows: np.ndarray):
        """A table of the rows in this order."""
        pa = pyarrow()
        which = np.searchsorted(self.starts, rows, "right") - 1
        order = np.argsort(which, kind="stable")
        numbers, begins = np.unique(which[order], return_index=True)
        parts = []
        for number, places in zip(numbers, np.split(order, begins[1:]), strict=True):
            local = rows[places] - self.starts[number]
            parts.append(self.batches[number].take(pa.array(local)))
        table = pa.Table.from_batches(parts, schema=self.schema)
        if len(numbers) > 1:
            table = table.combine_chunks().take(pa.array(np.argsort(order)))
        return table
