# SPDX-License-Identifier: Apache-2.0
"""Data sets one after the other, side by side or in turns."""

import itertools
from collections.abc import Iterator, Sequence

import numpy as np

from .. import _core
from .arrow import conform, pyarrow, unified
from .features import Features
from .stream import IterableDataset
from .table import Dataset, _draw


def _kinds(datasets: Sequence, name: str) -> bool:
    """Whether they are streams. ValueError for none, or for both kinds."""
    kinds = {isinstance(d, IterableDataset) for d in datasets}
    known = all(isinstance(d, Dataset | IterableDataset) for d in datasets)
    if len(kinds) != 1 or not known:
        raise _core.ValueError(f"{name}: give a list of Dataset, or one of IterableDataset")
    return kinds.pop()


def concatenate_datasets(datasets: Sequence, axis: int = 0):
    """The rows one after the other, or with axis=1 the columns side by side. DTypeError when two
    hold different things in a column."""
    if _kinds(datasets, "concatenate_datasets"):
        if axis != 0:
            raise _core.ValueError("concatenate_datasets: streams have no columns side by side")
        return IterableDataset.of_streams(
            datasets, lambda rows: itertools.chain.from_iterable(rows)
        )
    pa = pyarrow()
    if axis == 1:
        return _side_by_side([d.flatten_indices() for d in datasets])
    schema = unified([d.features.schema for d in datasets])
    tables = [
        pa.Table.from_batches([conform(b, schema) for b in d.data.to_batches()], schema=schema)
        for d in datasets
    ]
    known: dict = {}
    for d in datasets:
        for name, feature in d.features.items():
            if known.setdefault(name, feature) != feature and feature_clash(known[name], feature):
                raise _core.DTypeError(
                    f"concatenate_datasets: '{name}' is {known[name]} and {feature}"
                )
    features = Features.from_schema(schema).known(known)
    made = Dataset(pa.concat_tables(tables), features)
    made._kept = next((d._kept for d in datasets if d._kept), None)
    if all(d._chosen is None for d in datasets):
        return made
    starts = np.cumsum([0, *(d.data.num_rows for d in datasets)])
    rows = [
        start + (np.arange(len(d)) if d._chosen is None else d._chosen)
        for start, d in zip(starts, datasets, strict=False)
    ]
    return made.select(np.concatenate(rows))


def feature_clash(one, other) -> bool:
    """Whether two features must not be mixed: classes with different names."""
    return type(one) is type(other) and hasattr(one, "names")


def _side_by_side(datasets: Sequence[Dataset]) -> Dataset:
    pa = pyarrow()
    if len({len(d) for d in datasets}) > 1:
        raise _core.ValueError(
            f"concatenate_datasets: {[len(d) for d in datasets]} rows are not side by side"
        )
    names = [name for d in datasets for name in d.column_names]
    columns = [column for d in datasets for column in d.data.columns]
    if len(set(names)) != len(names):
        raise _core.ValueError(f"concatenate_datasets: two columns have the same name in {names}")
    features = Features({k: v for d in datasets for k, v in d.features.items()})
    return Dataset(pa.Table.from_arrays(columns, names=names), features)


def _turns(count: int, probabilities, seed: int | None) -> Iterator[int]:
    """Whose turn it is: each in turn, or by probabilities."""
    if probabilities is None:
        yield from itertools.cycle(range(count))
    draw = _draw(seed)
    while True:
        yield from (int(i) for i in draw.choice(count, size=1000, p=probabilities))


def interleave_datasets(
    datasets: Sequence,
    probabilities: Sequence[float] | None = None,
    seed: int | None = None,
    stopping_strategy: str = "first_exhausted",
):
    """Rows of each in turn, or drawn by probabilities, until the first has no more, or with
    "all_exhausted" until every row came (shorter ones begin again)."""
    streams = _kinds(datasets, "interleave_datasets")
    if stopping_strategy not in ("first_exhausted", "all_exhausted"):
        raise _core.ValueError(
            f"interleave_datasets: '{stopping_strategy}' is unknown; use first_exhausted or "
            "all_exhausted"
        )
    if probabilities is not None and (
        len(probabilities) != len(datasets) or abs(sum(probabilities) - 1) > 1e-6
    ):
        raise _core.ValueError(
            f"interleave_datasets: {list(probabilities)} for {len(datasets)} data sets; give each "
            "a probability, 1 together"
        )
    every = stopping_strategy == "all_exhausted"
    if streams:
        return IterableDataset.of_streams(
            datasets, lambda rows: _mixed(rows, _turns(len(rows), probabilities, seed), every)
        )
    sizes = [len(d) for d in datasets]
    if min(sizes) == 0:
        raise _core.ValueError("interleave_datasets: a data set has no rows")
    places, done = [0] * len(sizes), [False] * len(sizes)
    starts, rows = np.cumsum([0, *sizes]), []
    for turn in _turns(len(sizes), probabilities, seed):
        # In turns a round is not left before its end; draws stop at once.
        if (all if every else any)(done) and (probabilities is not None or turn == 0):
            break
        rows.append(int(starts[turn]) + places[turn])
        places[turn] += 1
        if places[turn] == sizes[turn]:
            places[turn], done[turn] = 0, True
    return concatenate_datasets(datasets).select(rows)


def _mixed(streams: list, turns: Iterator[int], every: bool) -> Iterator[dict]:
    running = [iter(stream) for stream in streams]
    done = [False] * len(streams)
    for turn in turns:
        row = next(running[turn], None)
        if row is None:
            done[turn] = True
            if not every or all(done):
                return
            running[turn] = iter(streams[turn])
            row = next(running[turn], None)
            if row is None:
                raise _core.ValueError("interleave_datasets: a data set has no rows")
        yield row
