# SPDX-License-Identifier: Apache-2.0
"""A line on a terminal that shows how far map() is."""

import sys
import time

_shown = True


def disable_progress_bars() -> None:
    """map() and filter() show no progress."""
    global _shown
    _shown = False


def enable_progress_bars() -> None:
    """map() and filter() show progress on a terminal, as they do by default."""
    global _shown
    _shown = True


def are_progress_bars_disabled() -> bool:
    """Whether disable_progress_bars() was called."""
    return not _shown


class Progress:
    """Rows that are done out of `total`, drawn on stderr not more often than can be read; nothing
    where stderr is no terminal or the work is quick."""

    SECONDS = 0.2  # between two drawings, and before the first

    def __init__(self, label: str, total: int):
        self._label, self._total, self._done = label, total, 0
        self._start = self._drawn = time.monotonic()
        self._width = 0
        self._on = _shown and getattr(sys.stderr, "isatty", bool)()

    def add(self, rows: int) -> None:
        """So many more are done."""
        self._done += rows
        now = time.monotonic()
        if not self._on or now - self._drawn < self.SECONDS:
            return
        self._drawn = now
        pace = self._done / max(now - self._start, 1e-9)
        left = int((self._total - self._done) / max(pace, 1e-9))
        text = (
            f"{self._label}: {100 * self._done // max(self._total, 1):3} % of {self._total} rows, "
            f"{pace:.0f} rows/s, {left // 60}:{left % 60:02} left"
        )
        self._write(text)
        self._width = len(text)

    def _write(self, text: str) -> None:
        sys.stderr.write("\r" + text.ljust(self._width))
        sys.stderr.flush()

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *error) -> None:
        if self._width:
            self._write("")
            sys.stderr.write("\r")
