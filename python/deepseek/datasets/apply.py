# SPDX-License-Identifier: Apache-2.0
"""map(): a function over the rows of a table, here or in several processes."""

import multiprocessing
import multiprocessing.connection
import os
import tempfile
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from .. import _core
from .._download import cache_folder
from ..data.worker import Failure, WorkerError
from .arrow import BATCH_ROWS, batch_of, collect, map_file, pyarrow, write_stream
from .progress import Progress


class Job(NamedTuple):
    """What map() was asked for."""

    rows: object
    function: Callable
    with_indices: bool
    input_columns: list[str] | None
    batched: bool
    batch_size: int
    drop_last_batch: bool
    removed: list[str]
    schema: object
    fn_kwargs: dict


def _call(job: Job, given: Mapping, where) -> dict | None:
    """What the function adds."""
    inputs = [given] if job.input_columns is None else [given[n] for n in job.input_columns]
    if job.with_indices:
        inputs.append(where)
    made = job.function(*inputs, **job.fn_kwargs)
    if made is not None and not isinstance(made, Mapping):
        raise _core.DTypeError(
            f"map: the function must return a dict of columns or None, not {type(made).__name__}"
        )
    return made


def _batches(job: Job, start: int, stop: int, done: Callable[[int], None]) -> Iterator:
    """Batches of the rows from start to stop; nothing where the function returns nothing. What it
    leaves as it is stays as it is stored. done: is told how many rows went through."""
    step = job.batch_size if job.batched else BATCH_ROWS
    for begin in range(start, stop, step):
        end = min(begin + step, stop)
        if job.batched and job.drop_last_batch and end - begin < step:
            return
        made = (_made_of_batch if job.batched else _made_of_rows)(job, begin, end)
        done(end - begin)
        if made is None:
            continue
        stored = job.rows.table_of(slice(begin, end))
        kept = [n for n in stored.schema.names if n not in job.removed and n not in made]
        size = len(next(iter(made.values()), ()))
        if kept and made and size != end - begin:
            raise _core.ValueError(
                f"map: the function returned {size} rows for {end - begin}; remove the columns "
                f"{', '.join(kept)} by remove_columns"
            )
        yield batch_of({**{n: stored.column(n) for n in kept}, **made}, job.schema)


def _changed(job: Job, given: Mapping, made: Mapping) -> dict:
    """What the function made or changed."""
    return {
        name: value
        for name, value in made.items()
        if name in job.removed or name not in given or given[name] is not value
    }


def _made_of_batch(job: Job, begin: int, end: int) -> dict | None:
    given = job.rows[begin:end]
    made = _call(job, dict(given), list(range(begin, end)))
    return None if made is None else _changed(job, given, made)


def _made_of_rows(job: Job, begin: int, end: int) -> dict | None:
    given = job.rows[begin:end]
    rows = [dict(zip(given, values, strict=True)) for values in zip(*given.values(), strict=True)]
    made = [_call(job, dict(row), begin + i) for i, row in enumerate(rows)]
    if all(m is None for m in made):
        return None
    made = [_changed(job, row, m or {}) for row, m in zip(rows, made, strict=True)]
    names = dict.fromkeys(name for m in made for name in m)
    return {n: [m.get(n, row.get(n)) for row, m in zip(rows, made, strict=True)] for n in names}


def _work(job: Job, start: int, stop: int, path: Path, pipe) -> None:
    """One process's share, into a file."""
    _core.set_num_threads(1)
    try:
        table = collect(_batches(job, start, stop, pipe.send), path, job.schema)
        if not path.exists():
            write_stream(path, table.to_batches(), table.schema)
        pipe.send(None)
    except BaseException as error:
        pipe.send(Failure(type(error), traceback.format_exc()))
    pipe.close()
    os._exit(0)  # nothing of the main process is to be torn down here


def _in_processes(job: Job, count: int, bar: Progress):
    """The tables of `count` processes, in order."""
    _core.synchronize()  # no lock of the engine may be held while forking
    context = multiprocessing.get_context("fork")
    root = cache_folder() / "datasets"
    root.mkdir(parents=True, exist_ok=True)
    total = len(job.rows)
    with tempfile.TemporaryDirectory(prefix="map-", dir=root) as folder:
        running = []
        for i in range(count):
            path = Path(folder) / f"{i}.arrow"
            mine, theirs = context.Pipe(duplex=False)
            span = (total * i // count, total * (i + 1) // count)
            process = context.Process(target=_work, args=(job, *span, path, theirs))
            process.start()
            theirs.close()
            running.append((process, mine, path))
        try:
            left = {pipe: (number, process) for number, (process, pipe, _) in enumerate(running)}
            while left:
                for pipe in multiprocessing.connection.wait(list(left)):
                    if _finished(pipe, *left[pipe], bar):
                        del left[pipe]
        finally:
            for process, pipe, _ in running:
                pipe.close()
                if process.is_alive():
                    process.terminate()
                process.join()
        return [map_file(path) for _, _, path in running]


def _finished(pipe, number: int, process, bar: Progress) -> bool:
    """Takes what a process says, rows that are done or its end; raises its error."""
    try:
        said = pipe.recv()
    except EOFError:
        process.join()
        raise WorkerError(
            f"map: process {number} ended with exit status {process.exitcode}; it may "
            "have run out of memory. num_proc=1 shows the error here"
        ) from None
    if isinstance(said, int):
        bar.add(said)
        return False
    if said is not None:
        raise _error_of(said, number)
    return True


def _error_of(failure: Failure, number: int) -> Exception:
    message = f"in process {number} of map():\n{failure.text}"
    try:
        return failure.type(message)
    except Exception:
        return RuntimeError(message)


def map_table(
    rows, function: Callable, num_proc: int, path: Path | None, label: str = "map", **asked
):
    """The table of map(), kept in a file where there is a path; None when the function returned
    nothing for every row. label: of the line that shows progress."""
    if rows.format["type"] in ("arrow", "pandas"):
        rows = rows.with_format(None, rows.format["columns"])
    job = Job(rows, function, **asked)
    if not isinstance(num_proc, int) or num_proc < 1:
        raise _core.ValueError(f"map: num_proc {num_proc!r} must be at least 1")
    count = min(num_proc, len(rows))
    always = None if path is None else -1
    with Progress(label, len(rows)) as bar:
        if count <= 1:
            batches = _batches(job, 0, len(rows), bar.add)
            table = collect(batches, path, job.schema, always)
            return table if table.num_columns else None
        tables = [t for t in _in_processes(job, count, bar) if t.num_columns]
    if not tables:
        return None
    if path is None and all(t.schema.equals(tables[0].schema) for t in tables):
        return pyarrow().concat_tables(tables)
    return collect((batch for t in tables for batch in t.to_batches()), path, None, always)
