"""Figures of a search: history, slices, importance, parallel coordinates."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import plotly.graph_objects as go

from hpo.analysis.importance import Importance, in_space
from hpo.plots.frame import (
    COLOURS,
    INK,
    NODE,
    POINT,
    Layout,
    axes,
    axis,
    escaped,
    framed,
    panels,
    short,
    shorts,
    single,
    titled,
)
from hpo.plots.ranges import Cut, cut, decimal, log_axis
from hpo.spec import Dimension, Range, SearchSpec
from hpo.spec.base import plain
from hpo.trials.record import Trial

COMPLETE = {"color": POINT, "size": 9, "opacity": 0.85, "line": {"width": 1, "color": INK}}
PRUNED = {"color": INK, "size": 7, "opacity": 0.7, "symbol": "x-thin", "line": {"width": 1.5, "color": INK}}
# Fewer complete trials than this are all shown on the axis.
FEWEST_CUT = 5
LEGEND_RANK = 1  # of plotly's 1000


@dataclass(frozen=True)
class _Dots:
    """Trials that are drawn alike, with the value of each."""

    name: str
    trials: Sequence[Trial]
    values: Sequence[float]
    marker: dict[str, Any]

    def where(self, kept: Sequence[bool]) -> _Dots:
        """Of these those that are to be kept."""
        trials, values = itertools.compress(self.trials, kept), itertools.compress(self.values, kept)
        return replace(self, trials=list(trials), values=list(values))


_NONE = _Dots("", [], [], {})


def history(trials: Sequence[Trial], metric: str, direction: str) -> go.Figure:
    """Every complete trial's value by its number, and the highest, or lowest, so far; dimmed, the pruned.

    A trial that is far worse than most is a triangle at the edge.
    """
    complete, pruned = _dots(trials)
    word, further = ("highest", max) if direction == "maximize" else ("lowest", min)
    figure = framed(single(390), single(380))
    ends = _cut(complete, pruned, direction)
    for dots in (pruned, complete):
        _add_dots(figure, dots, [trial.number for trial in dots.trials], ends, is_first=True)
    figure.add_scatter(
        x=[trial.number for trial in complete.trials],
        y=shorts(itertools.accumulate(complete.values, further)),
        name=f"{word} so far",
        mode="lines",
        line={"color": COLOURS[1], "shape": "hv", "width": 2},
        hoverinfo="skip",
    )
    figure.update_xaxes(**titled("trial"), zeroline=False)
    figure.update_yaxes(**titled(metric), **_range(complete, pruned, ends), zeroline=False)
    return figure


def slices(spec: SearchSpec, trials: Sequence[Trial]) -> go.Figure:
    """Every complete trial's value against each hyperparameter, a panel each; dimmed, the pruned."""
    objective, count = spec.objective, len(spec.drawn)
    figure = framed(panels(count, columns=2), panels(count, columns=1))
    complete, pruned = _dots(in_space(spec, trials))
    ends = _cut(complete, pruned, objective.direction)
    value = {**titled(objective.metric), **_range(complete, pruned, ends), "zeroline": False}
    drawn = {trial.number: spec.apart(trial.params) for trial in trials}
    for panel, (name, dimension) in enumerate(spec.drawn.items()):
        for every in (pruned, complete):
            dots = every.where([name in drawn[trial.number] for trial in every.trials])
            own = [drawn[trial.number][name] for trial in dots.trials]
            x = own if isinstance(dimension, Range) else [_choice(choice) for choice in own]
            _add_dots(figure, dots, x, ends, is_first=not panel, panel=panel)
        own_axis = {**titled(name), **_axis_of(dimension), "zeroline": False}
        figure.update_layout({axis("x", panel): own_axis, axis("y", panel): value})
    return figure


def importances(found: Sequence[Importance]) -> go.Figure:
    """How far each hyperparameter decides the value, with its interval, in the order given from the top."""
    drawn = list(found)[::-1]
    height = 120 + 32 * len(drawn)
    figure = framed(single(height), single(height))
    figure.add_bar(
        x=shorts(one.share for one in drawn),
        y=[escaped(one.name) for one in drawn],
        error_x={
            "type": "data",
            "symmetric": False,
            "array": [short(max(0.0, one.high - one.share)) for one in drawn],
            "arrayminus": [short(max(0.0, one.share - one.low)) for one in drawn],
            "color": INK,
        },
        orientation="h",
        marker={"color": POINT},
        text=[f"{one.low:.2f} to {one.high:.2f}" for one in drawn],
        textposition="none",
        hovertemplate="%{y}: %{x:.2f} (%{text})<extra></extra>",
    )
    figure.update_xaxes(**titled("share of what is explained"), range=[0, 1.02])
    figure.update_yaxes(**titled("hyperparameter"), type="category")
    return figure


def parallel_coordinates(spec: SearchSpec, trials: Sequence[Trial]) -> go.Figure:
    """A line through value and hyperparameters of every complete trial; the first fifth stands out.

    Trials that are far worse than most end at the same edge of the axis of values.
    """
    objective, (dots, _) = spec.objective, _dots(in_space(spec, trials))
    complete = sorted(dots.trials, key=lambda t: t.value or 0.0, reverse=objective.direction == "maximize")
    first = math.ceil(len(complete) / 5)
    ends = _cut(dots, _NONE, objective.direction)
    shown = [value for value in dots.values if ends is None or ends.holds(value)] or [0.0]
    value = Range(min(shown), max(shown))
    names = [objective.metric, *spec.drawn]
    words = [escaped(name).replace("_", "_<br>") for name in names]
    above = 40 + 16 * max(word.count("<br>") + 1 for word in words)
    figure = framed(
        {**single(430), "margin": {"l": 20, "r": 20, "t": above}},
        {**single(430), "margin": {"l": 20, "r": 20, "t": above - 30}},
    )
    groups = [
        ("the others", complete[first:], POINT, 0.55),
        ("first fifth", complete[:first], COLOURS[1], 0.9),
    ]
    for name, group, colour, opacity in groups:
        x, y, text = list[int | None](), list[float | None](), list[str]()
        for trial in group:
            drawn = spec.apart(trial.params)
            own = [trial.value, *(drawn.get(key) for key in spec.drawn)]
            heights = [min(1.0, max(0.0, _height(value, trial.value)))]
            # The line has a gap where something is not active.
            heights += [_height(d, drawn[key]) if key in drawn else math.nan for key, d in spec.drawn.items()]
            x += [*range(len(names)), None]
            y += [*(None if one != one else one for one in shorts(heights)), None]
            text += [f"#{trial.number}, {escaped(f'{k}: {v}')}" for k, v in zip(names, own, strict=True)] + [
                ""
            ]
        figure.add_scatter(
            x=x,
            y=y,
            text=text,
            name=name,
            mode="lines",
            line={"color": colour, "width": 1.5},
            opacity=opacity,
            hovertemplate="%{text}<extra></extra>",
        )
    labels = [note for at, d in enumerate([value, *spec.drawn.values()]) for note in _marks(at, d)]
    if ends is not None:
        edge, sign = (labels[0], "\u2264") if ends.is_low else (labels[1], "\u2265")
        edge["text"] = f"{sign} {edge['text']}"
    figure.update_layout(annotations=labels)
    ticks = {"tickvals": list(range(len(names))), "ticktext": words}
    figure.update_xaxes(**ticks, range=[-0.35, len(names) - 0.65], side="top", zeroline=False)
    figure.update_yaxes(visible=False, range=[-0.1, 1.1])
    return figure


def _height(dimension: Dimension, value: Any) -> float:
    """Where a value is on its axis, from 0 to 1."""
    if not isinstance(dimension, Range):
        choices = [plain(choice) for choice in dimension]
        return choices.index(value) / max(1, len(choices) - 1)
    low, high = dimension.low, dimension.high
    if dimension.log:
        low, high, value = math.log(low), math.log(high), math.log(value)
    return (value - low) / (high - low) if high > low else 0.5


def _marks(at: int, dimension: Dimension) -> list[Layout]:
    """What stands at an axis: its ends above and below it, its choices on it, each over the lines."""
    if isinstance(dimension, Range):
        ends = [(dimension.low, "top", -3), (dimension.high, "bottom", 3)]
        return [
            {
                **_mark(at, _height(dimension, value), decimal(float(value))),
                "yanchor": anchor,
                "yshift": shift,
            }
            for value, anchor, shift in (ends if dimension.high > dimension.low else ends[:1])
        ]
    node = {"name": NODE, "bgcolor": "#ffffff", "bordercolor": INK, "borderpad": 2}
    return [{**_mark(at, _height(dimension, value), str(value)), **node} for value in map(plain, dimension)]


def _mark(at: int, height: float, text: str) -> Layout:
    return {"x": at, "y": height, "text": escaped(text), "showarrow": False}


def _dots(trials: Iterable[Trial]) -> tuple[_Dots, _Dots]:
    """The complete trials with their values, and the pruned with what they had reached when they stopped."""
    complete = [t for t in trials if t.value is not None and math.isfinite(t.value)]
    pruned = [t for t in trials if t.state == "pruned" and t.reported and math.isfinite(t.reported[-1])]
    return (
        _Dots("complete", complete, [t.value or 0.0 for t in complete], COMPLETE),
        _Dots("pruned", pruned, [t.reported[-1] for t in pruned], PRUNED),
    )


def _cut(complete: _Dots, pruned: _Dots, direction: str) -> Cut | None:
    """Where the axis of the values ends, if some trial is far worse than the better half."""
    if len(complete.values) < FEWEST_CUT:
        return None
    is_low = direction == "maximize"
    ranked = sorted(complete.values, reverse=is_low)
    return cut([*complete.values, *pruned.values], good=ranked[: math.ceil(len(ranked) / 2)], is_low=is_low)


def _range(complete: _Dots, pruned: _Dots, ends: Cut | None) -> Layout:
    return {} if ends is None else {"range": ends.range([*complete.values, *pruned.values])}


def _add_dots(
    figure: go.Figure, dots: _Dots, x: Sequence[Any], ends: Cut | None, *, is_first: bool, panel: int = 0
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


def _axis_of(dimension: Dimension) -> Layout:
    if isinstance(dimension, Range):
        low, high = dimension.low, dimension.high
        if dimension.log:
            return log_axis(low, high)
        pad = 0.03 * (high - low)
        return {"type": "linear", "range": [low - pad, high + pad]}
    choices = [_choice(plain(choice)) for choice in dimension]
    around = {"range": [-0.5, len(choices) - 0.5]}
    return {"type": "category", "categoryorder": "array", "categoryarray": choices, **around}


def _choice(value: object) -> str:
    return escaped(str(value))
