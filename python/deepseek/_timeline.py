# SPDX-License-Identifier: Apache-2.0
"""Live bytes over a step: text, and a picture as SVG."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple
from xml.sax.saxutils import escape

from ._format import format_bytes

#: What stays under what comes and goes.
_KINDS = (
    "parameters",
    "optimizer state",
    "inputs",
    "outputs",
    "gradients",
    "activations",
    "workspace",
)
_COLOURS = ("#4e79a7", "#76b7b2", "#bab0ac", "#9c755f", "#f28e2b", "#e15759", "#edc948")
_WIDTH, _HEIGHT, _LEFT, _TOP, _FOOT = 760, 300, 80, 30, 50


class Moment(NamedTuple):
    """What is in memory while one operation of a step runs."""

    op: str
    location: str
    backward: bool
    by_kind: dict[str, int]

    @property
    def bytes(self) -> int:
        return sum(self.by_kind.values())


class Timeline(NamedTuple):
    """Live bytes by kind at every operation of a step, in the order in which they run."""

    moments: list[Moment]

    @property
    def peak(self) -> Moment:
        """The moment that needs most."""
        return max(self.moments, key=lambda m: m.bytes)

    def table(self, rows: int = 16) -> str:
        """A bar for each of `rows` stretches of the step: the most that is live in it."""
        if not self.moments:
            return "no step was planned"
        count = len(self.moments)
        rows = max(1, min(rows, count))
        most = self.peak.bytes
        lines = [f"{'operations':>13}  {'most live':>11}  phase"]
        for row in range(rows):
            first, last = count * row // rows, count * (row + 1) // rows
            top = max(self.moments[first:last], key=lambda m: m.bytes)
            bar = "#" * round(40 * top.bytes / most)
            phase = "backward" if top.backward else "forward"
            lines.append(
                f"{first:>6}-{last - 1:<6}  {format_bytes(top.bytes):>11}  {phase:8}  {bar}  "
                f"{top.op} {top.location}".rstrip()
            )
        return "\n".join(lines)

    def svg(self) -> str:
        """The picture: kinds on top of each other, the peak marked."""
        if not self.moments:
            raise ValueError("timeline: no step was planned; run a step first")
        count, most = len(self.moments), self.peak.bytes

        def x(i):
            return _LEFT + (_WIDTH - _LEFT - 10) * i / count

        def y(size):
            return _TOP + (_HEIGHT - _TOP - _FOOT) * (1 - size / most)

        areas, base = [], [0] * count
        for kind, colour in zip(_KINDS, _COLOURS, strict=True):
            top = [b + m.by_kind[kind] for b, m in zip(base, self.moments, strict=True)]
            if top != base:
                steps = [(x(i + e), y(v)) for i, v in enumerate(top) for e in (0, 1)]
                steps += [(x(i + e), y(base[i])) for i in reversed(range(count)) for e in (1, 0)]
                points = " ".join(f"{a:.1f},{b:.1f}" for a, b in steps)
                areas.append(
                    f'<polygon points="{points}" fill="{colour}"><title>{kind}</title></polygon>'
                )
            base = top
        at = self.moments.index(self.peak)
        where = f"{format_bytes(most)}: {self.peak.op} {self.peak.location}".rstrip()
        legend = "".join(
            f'<rect x="{_LEFT + 96 * i}" y="{_HEIGHT - 22}" width="10" height="10" fill="{c}"/>'
            f'<text x="{_LEFT + 96 * i + 14}" y="{_HEIGHT - 13}">{k}</text>'
            for i, (k, c) in enumerate(zip(_KINDS, _COLOURS, strict=True))
        )
        return "\n".join(
            [
                f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{_HEIGHT}" '
                'font-family="sans-serif" font-size="11">',
                f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>',
                *areas,
                f'<line x1="{x(at):.1f}" y1="{_TOP}" x2="{x(at):.1f}" y2="{y(0):.1f}" '
                'stroke="black" stroke-dasharray="3"/>',
                f'<text x="{_LEFT}" y="{_TOP - 12}">peak {escape(where)}</text>',
                f'<text x="{_LEFT - 6}" y="{y(most) + 4:.1f}" text-anchor="end">'
                f"{format_bytes(most)}</text>",
                f'<text x="{_LEFT - 6}" y="{y(0) + 4:.1f}" text-anchor="end">0</text>',
                f'<text x="{_LEFT}" y="{y(0) + 14:.1f}">{count} operations</text>',
                legend,
                "</svg>",
            ]
        )

    def save(self, path: str | os.PathLike) -> None:
        """Writes the picture; the name ends in .svg."""
        path = Path(path)
        if path.suffix != ".svg":
            raise ValueError(f"timeline: '{path}' does not end in .svg, the only kind there is")
        path.write_text(self.svg() + "\n", encoding="utf-8")

    def __str__(self) -> str:
        return self.table()
