# SPDX-License-Identifier: Apache-2.0
"""IterableDataset: rows one after the other, never all in memory."""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from .. import _core
from ..data import IterableDataset as _IterableDataset
from ..data import get_worker_info
from ..data.sampler import draw_seed
from .arrow import batch_of_rows
from .features import Features, decoded
from .formats import check_kind, format_row


class _Share(NamedTuple):
    """The rows of one of several workers."""

    index: int
    count: int

    def of(self, rows: Iterator) -> Iterator:
        return itertools.islice(rows, self.index, None, self.count)


class _Step(NamedTuple):
    """Rows to rows. whole: it needs the rows of all workers."""

    run: Callable[[Iterator, int], Iterator]
    whole: bool = False


def _listed(names: str | Sequence[str] | None) -> list[str]:
    return [] if names is None else [names] if isinstance(names, str) else list(names)


class IterableDataset(_IterableDataset):
    """A stream of rows, which are dicts. Verbs return new streams and compute nothing until rows
    are asked for. Workers of a DataLoader share the rows."""

    def __init__(self, batches: Callable[[], Iterator], features: Features | None = None):
        self._features = features

        def rows(share: _Share | None) -> Iterator[dict]:
            stored = (row for batch in batches() for row in batch.to_pylist())
            stored = stored if share is None else share.of(stored)
            if features is None:
                return stored
            return ({n: decoded(features[n], v) for n, v in row.items()} for row in stored)

        self._source = rows
        self._steps: tuple[_Step, ...] = ()
        self._kind: str | None = None
        self._epoch = 0

    @classmethod
    def of_streams(cls, streams: Sequence["IterableDataset"], join: Callable) -> "IterableDataset":
        """A stream of several, made by join(streams)."""
        made = cls(lambda: iter(()), streams[0].features)
        made._source = lambda share: iter(join([_Part(s, share, made) for s in streams]))
        return made

    @classmethod
    def from_generator(
        cls, generator: Callable, features: Features | None = None, gen_kwargs: dict | None = None
    ):
        """Of the dicts that generator(**gen_kwargs) yields."""
        made = cls(lambda: iter(()), features)

        def rows(share):
            found = iter(generator(**(gen_kwargs or {})))
            return found if share is None else share.of(found)

        made._source = rows
        return made

    @property
    def features(self) -> Features | None:
        """What the columns hold; None where only the rows will tell."""
        return self._features

    @property
    def column_names(self) -> list[str] | None:
        """Names in order; None where only the rows will tell."""
        return None if self._features is None else list(self._features)

    def __repr__(self) -> str:
        return f"IterableDataset({', '.join(self.column_names or ['unknown columns'])})"

    def _with(self, step: _Step | None = None, **changes) -> "IterableDataset":
        made = object.__new__(IterableDataset)
        made.__dict__.update(self.__dict__)
        made.__dict__.update({f"_{name}": value for name, value in changes.items()})
        if step is not None:
            made._steps = (*self._steps, step)
        return made

    def set_epoch(self, epoch: int) -> None:
        """The epoch whose order comes next."""
        self._epoch = epoch

    def _run(self, share: _Share | None, epoch: int) -> Iterator[dict]:
        # Rows are shared out behind the last step that counts the rows of all.
        whole = max((i + 1 for i, step in enumerate(self._steps) if step.whole), default=0)
        rows = self._source(None if whole else share)
        for i, step in enumerate(self._steps):
            rows = step.run(rows, epoch)
            if share is not None and i + 1 == whole:
                rows = share.of(rows)
        return rows

    def __iter__(self) -> Iterator[dict]:
        worker = get_worker_info()
        share = _Share(worker.id, worker.num_workers) if worker else None
        rows = self._run(share, self._epoch)
        if self._kind is None:
            return rows
        return (self._formatted(row) for row in rows)

    def _formatted(self, row: Mapping) -> dict:
        held = {k: v for k, v in row.items() if not isinstance(v, _core.Tensor)}
        batch = batch_of_rows([held])
        made = format_row(batch, Features.from_schema(batch.schema), self._kind)
        return {name: made.get(name, value) for name, value in row.items()}

    def iter(self, batch_size: int, drop_last_batch: bool = False) -> Iterator[dict]:
        """Dicts of columns, batch_size rows each."""
        rows = iter(self)
        while part := list(itertools.islice(rows, batch_size)):
            if drop_last_batch and len(part) < batch_size:
                return
            yield _columns(part)

    def map(
        self,
        function: Callable,
        with_indices: bool = False,
        input_columns: str | Sequence[str] | None = None,
        batched: bool = False,
        batch_size: int = 1000,
        drop_last_batch: bool = False,
        remove_columns: str | Sequence[str] | None = None,
        features: Features | None = None,
        fn_kwargs: dict | None = None,
    ) -> "IterableDataset":
        """Rows (with `batched` dicts of columns) through a function whose dict adds or replaces
        columns; with `batched` it may return more or fewer rows than it got."""
        removed, inputs = set(_listed(remove_columns)), _listed(input_columns)

        def call(given: Mapping, where) -> dict:
            arguments = [given[name] for name in inputs] if inputs else [given]
            arguments += [where] if with_indices else []
            made = function(*arguments, **(fn_kwargs or {})) or {}
            return {**{k: v for k, v in given.items() if k not in removed}, **made}

        def by_row(rows, _epoch):
            return (call(dict(row), i) for i, row in enumerate(rows))

        def by_batch(rows, _epoch):
            rows, start = iter(rows), 0
            while part := list(itertools.islice(rows, batch_size)):
                if drop_last_batch and len(part) < batch_size:
                    return
                made = call(_columns(part), list(range(start, start + len(part))))
                start += len(part)
                sizes = {name: len(values) for name, values in made.items()}
                if len(set(sizes.values())) > 1:
                    raise _core.ValueError(f"map: the columns have different lengths: {sizes}")
                yield from _rows(made)

        # Positions count the rows of all workers.
        step = _Step(by_batch if batched else by_row, whole=with_indices)
        return self._with(step, features=features)

    def filter(
        self,
        function: Callable,
        with_indices: bool = False,
        input_columns: str | Sequence[str] | None = None,
        batched: bool = False,
        batch_size: int = 1000,
        fn_kwargs: dict | None = None,
    ) -> "IterableDataset":
        """The rows of which function(row) is true; with `batched` it returns a list of truths."""
        inputs = _listed(input_columns)

        def call(given: Mapping, where):
            arguments = [given[name] for name in inputs] if inputs else [given]
            arguments += [where] if with_indices else []
            return function(*arguments, **(fn_kwargs or {}))

        def by_row(rows, _epoch):
            return (row for i, row in enumerate(rows) if call(row, i))

        def by_batch(rows, _epoch):
            rows, start = iter(rows), 0
            while part := list(itertools.islice(rows, batch_size)):
                kept = list(call(_columns(part), list(range(start, start + len(part)))))
                if len(kept) != len(part):
                    raise _core.ValueError(f"filter: {len(kept)} truths for {len(part)} rows")
                start += len(part)
                yield from itertools.compress(part, kept)

        return self._with(_Step(by_batch if batched else by_row, whole=with_indices))

    def shuffle(self, seed: int | None = None, buffer_size: int = 1000) -> "IterableDataset":
        """Each row in the place of a random one of the buffer_size rows that were read ahead;
        another order in every epoch."""
        seed = draw_seed() if seed is None else seed
        if buffer_size < 1:
            raise _core.ValueError(f"shuffle: buffer_size {buffer_size} must be at least 1")

        def mixed(rows, epoch):
            draw, buffer = np.random.default_rng([seed, epoch]), []
            for row in rows:
                if len(buffer) < buffer_size:
                    buffer.append(row)
                    continue
                place = int(draw.integers(buffer_size))
                yield buffer[place]
                buffer[place] = row
            yield from (buffer[i] for i in draw.permutation(len(buffer)))

        return self._with(_Step(mixed))

    def take(self, n: int) -> "IterableDataset":
        """The first n rows."""
        return self._with(_Step(lambda rows, _epoch: itertools.islice(rows, n), whole=True))

    def skip(self, n: int) -> "IterableDataset":
        """All but the first n rows."""
        return self._with(_Step(lambda rows, _epoch: itertools.islice(rows, n, None), whole=True))

    def repeat(self, num_times: int | None) -> "IterableDataset":
        """The rows num_times one after the other, for None without end."""
        turns = itertools.count() if num_times is None else range(max(num_times, 0))
        made = self._with(steps=())

        def again(share):
            return (row for _ in turns for row in self._run(share, made._epoch))

        made._source = again
        return made

    def batch(self, batch_size: int, drop_last_batch: bool = False) -> "IterableDataset":
        """Rows that hold lists of batch_size values."""

        def grouped(rows, _epoch):
            rows = iter(rows)
            while part := list(itertools.islice(rows, batch_size)):
                if drop_last_batch and len(part) < batch_size:
                    return
                yield _columns(part)

        return self._with(_Step(grouped), features=None)

    def _per_row(self, change: Callable[[dict], dict], features) -> "IterableDataset":
        return self._with(_Step(lambda rows, _epoch: map(change, rows)), features=features)

    def _check(self, names) -> list[str]:
        found = _listed(names)
        for name in found:
            if self._features is not None and name not in self._features:
                raise _core.KeyError(
                    f"IterableDataset: there is no column '{name}'; there are "
                    f"{', '.join(self._features)}"
                )
        return found

    def _features_of(self, names) -> Features | None:
        known = self._features
        return None if known is None else Features({name: known[name] for name in names})

    def add_column(self, name: str, column: Sequence) -> "IterableDataset":
        """The same with one more column, of which there must be a value for every row."""
        if self._features is not None and name in self._features:
            raise _core.ValueError(f"add_column: there is a column '{name}' already")

        def added(rows, _epoch):
            count = 0
            for count, row in enumerate(rows, 1):
                if count > len(column):
                    raise _core.ValueError(f"add_column: {len(column)} values, and more rows")
                yield {**row, name: column[count - 1]}

        return self._with(_Step(added, whole=True), features=None)

    def cast(self, features: Mapping) -> "IterableDataset":
        """Columns as other features: numbers as other numbers, names as classes."""
        self._check(list(features))
        wanted = Features({**(self._features or {}), **features})

        def changed(rows, _epoch):
            from .table import Dataset

            rows = iter(rows)
            while part := list(itertools.islice(rows, 1000)):
                yield from Dataset.from_list(part).cast(features)

        return self._with(_Step(changed), features=wanted if self._features else None)

    def cast_column(self, column: str, feature) -> "IterableDataset":
        """A column as another feature."""
        return self.cast({column: feature})

    def select_columns(self, column_names: str | Sequence[str]) -> "IterableDataset":
        """These columns, in this order."""
        kept = self._check(column_names)
        return self._per_row(lambda row: {k: row[k] for k in kept}, self._features_of(kept))

    def remove_columns(self, column_names: str | Sequence[str]) -> "IterableDataset":
        """All other columns."""
        gone = set(self._check(column_names))
        left = [name for name in self.column_names or () if name not in gone]
        return self._per_row(
            lambda row: {k: v for k, v in row.items() if k not in gone}, self._features_of(left)
        )

    def rename_columns(self, column_mapping: Mapping[str, str]) -> "IterableDataset":
        """The same with other names for columns."""
        names = column_mapping
        self._check(list(names))
        features = self._features and Features(
            {names.get(name, name): feature for name, feature in self._features.items()}
        )
        return self._per_row(lambda row: {names.get(k, k): v for k, v in row.items()}, features)

    def rename_column(self, original_column_name: str, new_column_name: str) -> "IterableDataset":
        """The same with another name for a column."""
        return self.rename_columns({original_column_name: new_column_name})

    def with_format(self, type: str | None = None) -> "IterableDataset":
        """Rows as "numpy" arrays, as "torch" tensors (those of this library) or Python's values."""
        return self._with(kind=check_kind(type))


class _Part:
    """One stream of several: iterating it begins anew."""

    def __init__(self, stream: IterableDataset, share: _Share | None, owner: IterableDataset):
        self._stream, self._share, self._owner = stream, share, owner

    def __iter__(self):
        return iter(self._stream._run(self._share, self._owner._epoch))


def _columns(rows: list[Mapping]) -> dict[str, list]:
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: [row.get(name) for row in rows] for name in names}


def _rows(columns: Mapping[str, Sequence]) -> Iterator[dict]:
    for values in zip(*columns.values(), strict=True):
        yield dict(zip(columns, values, strict=True))
