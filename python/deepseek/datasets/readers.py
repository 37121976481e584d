# SPDX-License-Identifier: Apache-2.0
"""Files of rows as batches of Arrow: CSV, TSV, JSON, text, Parquet, Arrow and Feather."""

import itertools
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from .. import _core
from .arrow import BATCH_ROWS, batch_of, batch_of_rows, conform, map_file, pyarrow, unified
from .features import Features

#: Kinds by ending; .gz, .bz2, .zst and the like behind one of text are undone.
ENDINGS = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".json": "json",
    ".jsonl": "json",
    ".ndjson": "json",
    ".txt": "text",
    ".parquet": "parquet",
    ".arrow": "arrow",
    ".feather": "arrow",
    ".png": "image",
    ".jpg": "image",
    ".jpeg": "image",
}
_COMPRESSED = (".gz", ".bz2", ".zst", ".lz4")
#: Options of load_dataset() by kind.
OPTIONS = {
    "csv": {"delimiter", "sep", "column_names", "quotechar"},
    "tsv": {"column_names", "quotechar"},
    "json": {"field"},
    "text": {"sample_by"},
}


def kind_of(name: str) -> str | None:
    """What a file holds by its name; None for a name that says nothing."""
    path = Path(name)
    if path.suffix.lower() in _COMPRESSED:
        path = path.with_suffix("")
    return ENDINGS.get(path.suffix.lower())


@contextmanager
def _about(path: Path):
    """Errors as those of this library, with the file's name."""
    pa = pyarrow()
    try:
        yield
    except _core.Error as error:
        if str(path) in str(error):
            raise
        raise type(error)(f"{path}: {error}") from error
    except (pa.lib.ArrowException, ValueError, RecursionError, EOFError) as error:
        raise _core.FileFormatError(f"{path}: {error}") from error
    except OSError as error:
        raise _core.IOError(f"{path}: {error.strerror or error}") from error


def _opened(path: Path):
    """The bytes of a file, decompressed."""
    return pyarrow().input_stream(os.fspath(path), compression="detect")


def batches_of_rows(rows: Iterable[Mapping], schema=None) -> Iterator:
    """Batches of dicts."""
    rows = iter(rows)
    while part := list(itertools.islice(rows, BATCH_ROWS)):
        if not all(isinstance(row, Mapping) for row in part):
            raise _core.FileFormatError("every row must be a JSON object or a dict")
        yield batch_of_rows(part, schema)


# ---- CSV


def _csv_batches(path: Path, options: Mapping, types=None) -> Iterator:
    """Batches of a CSV file, all columns text unless their types are given."""
    pa = pyarrow()
    import pyarrow.csv as pc

    damaged: list = []

    def refuse(row):
        damaged.append(row)
        return "error"

    parse = pc.ParseOptions(
        delimiter=options.get("delimiter") or options.get("sep") or ",",
        quote_char=options.get("quotechar", '"'),
        newlines_in_values=True,
        invalid_row_handler=refuse,
    )
    read = pc.ReadOptions(use_threads=False, column_names=options.get("column_names"))

    def opened(names):
        convert = pc.ConvertOptions(
            column_types=types or dict.fromkeys(names, pa.string()), null_values=[""]
        )
        return pc.open_csv(
            _opened(path), read_options=read, parse_options=parse, convert_options=convert
        )

    with _about(path):
        try:
            with opened([]) as reader:
                names = reader.schema.names
            if len(set(names)) != len(names):
                raise _core.FileFormatError(f"{path}: two columns have the same name in {names}")
            with opened(names) as reader:
                yield pa.RecordBatch.from_pylist([], schema=reader.schema)  # there may be no rows
                yield from reader
        except pa.lib.ArrowInvalid as error:
            if damaged:
                row = damaged[0]
                raise _core.FileFormatError(
                    f"{path}: row {row.number} has {row.actual_columns} fields, the header "
                    f"{row.expected_columns}"
                ) from error
            if "Empty CSV file" in str(error):
                raise _core.FileFormatError(f"{path}: the file is empty") from error
            raise


def _fits(values, type) -> bool:
    """Whether texts, none of them empty, are numbers or truths of a type."""
    pa = pyarrow()
    import pyarrow.compute as pc

    if (
        pa.types.is_integer(type)
        and not pc.all(pc.match_substring_regex(values, r"^[+-]?[0-9]+$")).as_py()
    ):
        return False
    if pa.types.is_integer(type):
        values = pc.replace_substring_regex(values, r"^\+", "")
    try:
        values.cast(type)
    except pa.lib.ArrowInvalid:
        return False
    return True


def _csv_types(paths: list[Path], options: Mapping) -> dict:
    """The type of each column: integers, numbers or truths where all values are, else text. What
    is empty counts for none, so the whole file decides, not its beginning."""
    pa = pyarrow()
    import pyarrow.compute as pc

    left: dict[str, list] = {}
    seen: set[str] = set()
    for path in paths:
        for batch in _csv_batches(path, options):
            for name, values in zip(batch.schema.names, batch.columns, strict=True):
                choices = left.setdefault(name, [pa.int64(), pa.float64(), pa.bool_()])
                if not pa.types.is_string(values.type):
                    raise _core.FileFormatError(f"{path}: the column '{name}' is not UTF-8")
                values = values.filter(pc.not_equal(values, ""))
                seen.update([name] if len(values) else [])
                while choices and len(values) and not _fits(values, choices[0]):
                    choices.pop(0)
    empty = [pa.float64()]
    return {
        name: [*(choices if name in seen else empty), pa.string()][0]
        for name, choices in left.items()
    }


def _read_csv(paths: list[Path], options: Mapping) -> Iterator:
    pa = pyarrow()
    types = _csv_types(paths, options)
    schema = pa.schema(types)
    for path in paths:
        for batch in _csv_batches(path, options, types):
            yield conform(batch, schema)


# ---- the others


def _json_rows(path: Path, options: Mapping) -> Iterator[dict]:
    field = options.get("field")
    with _opened(path) as raw:
        first = raw.read(1 << 16)
    lines = b"\n" in first.strip() and not first.lstrip().startswith(b"[") and field is None
    if lines:
        try:
            json.loads(first.strip().split(b"\n", 1)[0])
        except ValueError:
            lines = False  # an object over several lines
    with _opened(path) as raw:
        if lines:
            import io

            for line in io.TextIOWrapper(io.BufferedReader(raw), "utf-8"):
                if line.strip():
                    yield json.loads(line)
            return
        found = json.loads(raw.read().decode("utf-8-sig"))
    if field is not None:
        if not isinstance(found, Mapping) or field not in found:
            raise _core.FileFormatError(f"there is no field '{field}'")
        found = found[field]
    elif isinstance(found, Mapping):
        found = found["data"] if isinstance(found.get("data"), list) else [found]
    if isinstance(found, Mapping):  # lists by column
        found = batch_of(found).to_pylist()
    if not isinstance(found, list):
        raise _core.FileFormatError("every row must be a JSON object")
    yield from found


def _read_json(paths: list[Path], options: Mapping) -> Iterator:
    for path in paths:
        with _about(path):
            yield from batches_of_rows(_json_rows(path, options))


def _read_text(paths: list[Path], options: Mapping) -> Iterator:
    pa = pyarrow()
    import io

    by = options.get("sample_by", "line")
    if by not in ("line", "paragraph", "document"):
        raise _core.ValueError(f"load_dataset: sample_by '{by}' is not line, paragraph or document")
    schema = pa.schema({"text": pa.string()})
    for path in paths:
        with _about(path), _opened(path) as raw:
            file = io.TextIOWrapper(io.BufferedReader(raw), "utf-8", newline=None)
            if by == "document":
                texts: Iterable[str] = [file.read()]
            elif by == "line":
                texts = (line.rstrip("\n") for line in file)
            else:
                groups = itertools.groupby((line.rstrip("\n") for line in file), key=bool)
                texts = ("\n".join(lines) for full, lines in groups if full)
            yield from batches_of_rows(({"text": text} for text in texts), schema)
    yield pa.RecordBatch.from_pylist([], schema=schema)


def _read_parquet(paths: list[Path], _options: Mapping) -> Iterator:
    import pyarrow.parquet as pq

    for path in paths:
        with _about(path), pq.ParquetFile(path) as file:
            yield from file.iter_batches(BATCH_ROWS)
            yield pyarrow().RecordBatch.from_pylist([], schema=file.schema_arrow)


def _read_arrow(paths: list[Path], _options: Mapping) -> Iterator:
    for path in paths:
        with _about(path):
            table = map_file(path)
            yield from table.to_batches()
            yield pyarrow().RecordBatch.from_pylist([], schema=table.schema)


READERS: dict[str, Callable[[list[Path], Mapping], Iterator]] = {
    "csv": _read_csv,
    "tsv": lambda paths, options: _read_csv(paths, {**options, "delimiter": "\t"}),
    "json": _read_json,
    "text": _read_text,
    "parquet": _read_parquet,
    "arrow": _read_arrow,
}


def mapped(paths: list[Path]):
    """The table of Arrow files where nothing has to be converted, else None."""
    pa = pyarrow()
    before = pa.total_allocated_bytes()
    tables = [map_file(path) for path in paths]
    # Compressed files are unpacked into memory: they go through the cache instead.
    if pa.total_allocated_bytes() - before > sum(t.nbytes for t in tables) // 2 > 1 << 16:
        return None
    schema = unified([t.schema for t in tables])
    same = all(t.schema.equals(schema) for t in tables)
    plain = not any(pa.types.is_dictionary(field.type) for field in schema)
    return pa.concat_tables(tables) if same and plain else None


def features_in(kind: str, paths: list[Path]) -> Features | None:
    """What the files themselves say of their columns: the classes of Parquet and Arrow files."""
    if kind == "parquet":
        import pyarrow.parquet as pq

        with _about(paths[0]):
            return Features.from_schema(pq.read_schema(paths[0]))
    return Features.from_schema(map_file(paths[0]).schema) if kind == "arrow" else None
