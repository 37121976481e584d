# SPDX-License-Identifier: Apache-2.0
"""Which rows go to the parts of train_test_split()."""

import math

import numpy as np

from .. import _core


def _count(size: float | int, total: int, rounded) -> int:
    if isinstance(size, float):
        if not 0 < size < 1:
            raise _core.ValueError(f"train_test_split: the share {size} is not between 0 and 1")
        return int(rounded(size * total))
    return int(size)


def sizes(total: int, test_size, train_size) -> tuple[int, int]:
    """(rows of the training part, rows of the test part). ValueError when one is empty or there
    are not so many rows."""
    if test_size is None and train_size is None:
        test_size = 0.25
    test = None if test_size is None else _count(test_size, total, math.ceil)
    train = total - test if train_size is None else _count(train_size, total, math.floor)
    test = total - train if test is None else test
    if train < 1 or test < 1 or train + test > total:
        raise _core.ValueError(
            f"train_test_split: {train} rows to train and {test} to test of {total} leave one part "
            "empty or are too many"
        )
    return train, test


def plain(total: int, train: int, test: int, order: np.ndarray | None):
    """Rows of both parts: in order the training part first, else the first of `order` to test."""
    if order is None:
        return np.arange(train), np.arange(total - test, total)
    return order[test : test + train], order[:test]


def _shares(counts: np.ndarray, size: int) -> np.ndarray:
    """How many of each class make a part of `size`: those of the largest remainders round up."""
    exact = counts * (size / counts.sum())
    taken = np.floor(exact).astype(np.int64)
    for i in np.argsort(taken - exact, kind="stable")[: size - taken.sum()]:
        taken[i] += 1
    return taken


def stratified(values: list, train: int, test: int, draw: np.random.Generator):
    """Rows of both parts with the classes in the same shares. ValueError when a class has one row
    only, or a part has fewer rows than there are classes."""
    names, classes, counts = np.unique(np.asarray(values), return_inverse=True, return_counts=True)
    if counts.min() < 2 or min(train, test) < len(names):
        raise _core.ValueError(
            f"train_test_split: {train} and {test} rows cannot both hold each of {len(names)} "
            f"classes, of which the smallest has {counts.min()} rows"
        )
    in_test = _shares(counts, test)
    in_train = np.minimum(_shares(counts, train), counts - in_test)
    for i in np.argsort(in_test + in_train - counts):  # what rounding took from a full class
        room = counts[i] - in_test[i] - in_train[i]
        in_train[i] += min(room, train - in_train.sum())
    parts: tuple[list, list] = ([], [])
    for i in range(len(names)):
        rows = draw.permutation(np.flatnonzero(classes == i))
        parts[1].append(rows[: in_test[i]])
        parts[0].append(rows[in_test[i] : in_test[i] + in_train[i]])
    return tuple(draw.permutation(np.concatenate(part)) for part in parts)
