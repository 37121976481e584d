# SPDX-License-Identifier: Apache-2.0
"""Kernels chosen by measurement, on request."""

import functools
from typing import NamedTuple

from . import _core
from ._warn import warn


class Choice(NamedTuple):
    """What was measured for one problem: the kernel to take, the one that the rule takes, and the
    least seconds of both."""

    problem: str
    kernel: str
    rule: str
    seconds: float
    rule_seconds: float


class tune:
    """Measures which of several kernels is the fastest, for every matrix product that is planned
    inside and was not measured on this machine before; takes some tenths of a second each.

    with ds.tune() as tuned:
        train_step()
    print(tuned)                # a line for each problem
    tuned.choices, tuned.path   # the same as tuples, and the file they are kept in

    The choices are kept in a file in DS_CACHE, else in the user's cache folder, which every later
    process reads when it starts. Another kernel rounds differently: results may differ in their
    last bits from those without the file, and are the same bits as long as the file stays.
    DS_TUNE=0 ignores it, DS_TUNE=1 measures from the start. Tune while nothing else runs.

    Also a decorator. Outside of it plans take what the file says."""

    def __init__(self):
        self.choices: list[Choice] = []
        self.path: str = _core._choices_path()
        self._outer: list[tuple[str, int]] = []

    def __call__(self, function):
        @functools.wraps(function)
        def run(*args, **kwargs):
            with self:
                return function(*args, **kwargs)

        return run

    def __enter__(self):
        self._outer.append((_core._tuning(), len(_core._measured_choices())))
        _core._set_tuning("measure")
        return self

    def __exit__(self, *_exc):
        how, before = self._outer.pop()
        self.choices = [Choice(*row) for row in _core._measured_choices()[before:]]
        _core._set_tuning(how)
        warn_of_trouble()

    def __str__(self) -> str:
        lines = [
            f"{c.rule_seconds / c.seconds:6.2f}x  {c.rule_seconds * 1e6:9.1f} us {c.rule:24} "
            f"{c.seconds * 1e6:9.1f} us {c.kernel:24} {c.problem}"
            for c in sorted(self.choices, key=lambda c: c.seconds - c.rule_seconds)
        ]
        changed = sum(c.kernel != c.rule for c in self.choices)
        lines.append(
            f"measured {len(self.choices)}, of which {changed} take another kernel; kept in "
            f"{self.path or 'memory only: no cache folder'}"
        )
        return "\n".join(lines)


def warn_of_trouble() -> None:
    """Says once that the file was ignored or could not be written."""
    trouble = _core._choices_trouble()
    if trouble:
        warn(f"tune: {trouble}", RuntimeWarning)
