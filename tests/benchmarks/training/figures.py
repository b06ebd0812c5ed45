"""A row of the benchmark: what was measured of one piece of work, and what is compared with what."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

WIDTH = 100
Measured = TypeVar("Measured")


@dataclass(frozen=True)
class Row:
    """The figures of one piece of work, by what was measured; of each one value a turn.

    `pairs` names what the table shows: a figure of hpo, and the one that it is compared with, if any.
    """

    group: str
    name: str
    unit: str
    figures: Mapping[str, Sequence[float]]
    pairs: Sequence[tuple[str, str | None]]
    details: Mapping[str, object] = field(default_factory=dict)

    @property
    def turns(self) -> int:
        """How often each figure was measured."""
        return min(len(values) for values in self.figures.values())

    def times(self, ours: str, other: str) -> float:
        """How many times the other takes of our time: the ratio of medians."""
        return statistics.median(self.figures[other]) / statistics.median(self.figures[ours])

    def as_json(self) -> dict[str, object]:
        """All of it, of each figure the median and the spread, least and most."""
        return {
            "group": self.group,
            "row": self.name,
            "unit": self.unit,
            "n": self.turns,
            "median": {label: _rounded(statistics.median(v)) for label, v in self.figures.items()},
            "spread": {label: [_rounded(min(v)), _rounded(max(v))] for label, v in self.figures.items()},
            "times": {
                f"{other} / {ours}": _rounded(self.times(ours, other)) for ours, other in self.pairs if other
            },
            **self.details,
        }

    def shown(self, label: str) -> str:
        """`fit, 2 threads 4.2 (4.1-4.4)`."""
        values = self.figures[label]
        middle, least, most = (
            _text(value) for value in (statistics.median(values), min(values), max(values))
        )
        return f"{label} {middle} ({least}-{most})"


def in_turns(repeats: int, measures: Mapping[str, Callable[[int], Measured]]) -> dict[str, list[Measured]]:
    """What each returns for every turn, 0 to `repeats` - 1: all of them once, then all of them again."""
    found: dict[str, list[Measured]] = {label: [] for label in measures}
    for turn in range(repeats):
        for label, measure in measures.items():
            print(f"  turn {turn + 1} of {repeats}: {label}", file=sys.stderr, flush=True)
            found[label].append(measure(turn))
    return found


def print_table(rows: Sequence[Row]) -> None:
    """The one table, on stderr; a group has its own section."""
    title = "medians (least-most), and how many times the other takes of hpo's time"
    table = Table(title=title, box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for column in ("", "n", "hpo", "other", "times"):
        table.add_column(column, justify="right" if column in ("n", "times") else "left")
    for index, row in enumerate(rows):
        if not index or rows[index - 1].group != row.group:
            table.add_section()
            table.add_row(f"{row.group}, {row.unit}", style="bold")
        named = [f" {row.name}", str(row.turns)]
        for ours, other in row.pairs:
            compared = [row.shown(other), _text(row.times(ours, other))] if other else ["", ""]
            table.add_row(*named, row.shown(ours), *compared)
            named = ["", ""]
    Console(stderr=True, width=WIDTH).print(table)


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")


def _text(value: float) -> str:
    """Three digits: 1,234 as it is, 12.3, 0.0123."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:#.3g}".rstrip(".")
