# SPDX-License-Identifier: Apache-2.0
"""Where values were forced: every place that made the program wait."""

from typing import NamedTuple

from . import _core


class Sync(NamedTuple):
    """One place: what asked for a value, the user's line, how often."""

    reason: str
    location: str
    count: int


def syncs() -> list[Sync]:
    """Places where values were forced since the start or clear_syncs(), most frequent first."""
    return sorted((Sync(*row) for row in _core._syncs()), key=lambda s: -s.count)


def clear_syncs() -> None:
    """Forgets the places."""
    _core._clear_syncs()
