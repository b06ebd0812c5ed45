"""Trials as dots of a figure: their values, the axis that these need, and what is drawn of very many."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from hpo.pictures.scales import evenly
from hpo.plots.frame import INK, POINT, Layout, axes, escaped, shorts
from hpo.plots.ranges import Cut, cut, log_axis
from hpo.spec import Dimension, Range
from hpo.spec.base import plain
from hpo.trials.record import Trial

COMPLETE = {"color": POINT, "size": 9, "opacity": 0.85, "line": {"width": 1, "color": INK}}
PRUNED = {"color": INK, "size": 7, "opacity": 0.7, "symbol": "x-thin", "line": {"width": 1.5, "color": INK}}
# Fewer complete trials than this are all shown on the axis.
FEWEST_CUT = 5
LEGEND_RANK = 1  # of plotly's 1000
# A browser takes 0.2 ms for each, and 5000 hide each other. Panels share them, since each takes 80 ms too.
MOST_DOTS = 1000
MOST_IN_PANELS, FEWEST_IN_PANEL = 1200, 100
MOST_TICKS = 10  # of an axis that has one at each whole number


@dataclass(frozen=True)
class Dots:
    """Trials that are drawn alike, with the value of each."""

    name: str
    trials: Sequence[Trial]
    values: Sequence[float]
    marker: dict[str, Any]

    def where(self, kept: Sequence[bool]) -> Dots:
        """Those that are to be kept."""
        at = [index for index, is_kept in enumerate(kept) if is_kept]
        return Dots(self.name, [self.trials[i] for i in at], [self.values[i] for i in at], self.marker)

    def some(self, most: int, *, is_low: bool) -> Dots:
        """At most so many of them: the better fifth of these by value, and of the others some, evenly.

        `is_low` says whether the bad ones are the low ones.
        """
        if len(self.values) <= most:
            return self
        order = sorted(range(len(self.values)), key=self.values.__getitem__, reverse=is_low)
        best, others = order[: most // 5], sorted(order[most // 5 :])
        at = sorted([*best, *(others[index] for index in evenly(len(others), most - len(best)))])
        return Dots(self.name, [self.trials[i] for i in at], [self.values[i] for i in at], self.marker)


NO_DOTS = Dots("", [], [], {})


def most_dots(panels: int) -> int:
    """How many trials of a kind are drawn in each of so many panels.

    >>> most_dots(1), most_dots(5)
    (1000, 240)
    """
    return min(MOST_DOTS, max(FEWEST_IN_PANEL, MOST_IN_PANELS // max(1, panels)))


def dots_of(trials: Iterable[Trial]) -> tuple[Dots, Dots]:
    """The complete trials with their values, and the pruned with what they had reached when they stopped."""
    complete = [t for t in trials if t.value is not None and math.isfinite(t.value)]
    pruned = [t for t in trials if t.state == "pruned" and t.reported and math.isfinite(t.reported[-1])]
    return (
        Dots("complete", complete, [t.value or 0.0 for t in complete], COMPLETE),
        Dots("pruned", pruned, [t.reported[-1] for t in pruned], PRUNED),
    )


def cut_of(complete: Dots, pruned: Dots, direction: str) -> Cut | None:
    """Where the axis of the values ends, if some trial is far worse than the better half."""
    if len(complete.values) < FEWEST_CUT:
        return None
    is_low = direction == "maximize"
    ranked = sorted(complete.values, reverse=is_low)
    return cut([*complete.values, *pruned.values], good=ranked[: math.ceil(len(ranked) / 2)], is_low=is_low)


def range_of(complete: Dots, pruned: Dots, ends: Cut | None) -> Layout:
    """The axis of the values, if it is to end before the worst."""
    return {} if ends is None else {"range": ends.range([*complete.values, *pruned.values])}


def add_dots(
    figure: go.Figure, dots: Dots, x: Sequence[Any], ends: Cut | None, *, is_first: bool, panel: int = 0
) -> None:
    """The trials of a panel; those beyond the end of the axis as triangles at it."""
    beyond = [ends is not None and not ends.holds(value) for value in dots.values]
    arrow = {"symbol": "triangle-down" if ends is None or ends.is_low else "triangle-up", "size": 9}
    groups = [(dots.name, False, dots.marker), (f"{dots.name}, beyond the axis", True, dots.marker | arrow)]
    for name, is_beyond, marker in groups:
        own = [at for at, out in enumerate(beyond) if out == is_beyond]
        if not own and (is_beyond or dots.name != "complete"):
            continue
        figure.add_scatter(
            x=[x[at] for at in own],
            y=shorts(ends.end if ends is not None and is_beyond else dots.values[at] for at in own),
            text=[f"#{dots.trials[at].number}" for at in own],
            customdata=shorts(dots.values[at] for at in own),
            name=name,
            legendgroup=name,
            mode="markers",
            marker=marker,
            hovertemplate="%{text}: %{x}, %{customdata}<extra>%{fullData.name}</extra>",
            showlegend=is_first,
            # The complete ones come first, and are drawn last.
            legendrank=LEGEND_RANK if dots.name == "complete" else LEGEND_RANK + 1,
            **axes(panel),
        )


def axis_of(dimension: Dimension, *, pad: float = 0.03) -> Layout:
    """An axis with all values of a dimension, and a share of it to either side of a range."""
    if isinstance(dimension, Range):
        low, high = dimension.low, dimension.high
        if dimension.log:
            return log_axis(low, high, pad=pad)
        beside = pad * (high - low)
        whole = {"dtick": 1} if isinstance(low, int) and high - low <= MOST_TICKS else {}
        return {"type": "linear", "range": [low - beside, high + beside], **whole}
    choices = [choice_of(plain(choice)) for choice in dimension]
    around = {"range": [-0.5, len(choices) - 0.5]}
    return {"type": "category", "categoryorder": "array", "categoryarray": choices, **around}


def choice_of(value: object) -> str:
    """A choice as a category of an axis."""
    return escaped(str(value))
