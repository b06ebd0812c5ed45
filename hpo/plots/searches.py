"""Figures of the hyperparameters of a search: slices, importance, parallel coordinates."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from hpo.analysis.features import in_space
from hpo.analysis.importance import Importance
from hpo.pictures.scales import evenly
from hpo.plots.dots import NO_DOTS, add_dots, axis_of, choice_of, cut_of, dots_of, most_dots, range_of
from hpo.plots.frame import (
    COLOURS,
    INK,
    NODE,
    POINT,
    Layout,
    axis,
    escaped,
    framed,
    panels,
    short,
    shorts,
    single,
    titled,
)
from hpo.plots.ranges import decimal
from hpo.spec import Dimension, Range, SearchSpec
from hpo.spec.base import plain
from hpo.trials.record import Trial

# Of so many lines a browser draws, and a person tells apart, none more.
MOST_LINES = 500
# Beyond so many values of an axis only its ends are written at it.
MOST_MARKS = 20
INACTIVE = -0.2  # the height of what a trial does not have, below the axes


def slices(spec: SearchSpec, trials: Sequence[Trial]) -> go.Figure:
    """Every complete trial's value against each hyperparameter, a panel each; dimmed, the pruned.

    A panel has the trials in which its hyperparameter is active; of very many, the better and some others.
    """
    objective, dimensions = spec.objective, spec.drawn
    count = len(dimensions)
    figure = framed(panels(count, columns=2), panels(count, columns=1))
    complete, pruned = dots_of(in_space(spec, trials))
    ends = cut_of(complete, pruned, objective.direction)
    value = {**titled(objective.metric), **range_of(complete, pruned, ends), "zeroline": False}
    drawn = {trial.number: spec.apart(trial.params) for trial in trials}
    for panel, (name, dimension) in enumerate(dimensions.items()):
        for every in (pruned, complete):
            active = every.where([name in drawn[trial.number] for trial in every.trials])
            dots = active.some(most_dots(count), is_low=objective.direction == "maximize")
            own = [drawn[trial.number][name] for trial in dots.trials]
            x = own if isinstance(dimension, Range) else [choice_of(choice) for choice in own]
            add_dots(figure, dots, x, ends, is_first=not panel, panel=panel)
        own_axis = {**titled(name), **axis_of(dimension), "zeroline": False}
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
    objective, (dots, _) = spec.objective, dots_of(in_space(spec, trials))
    complete = sorted(dots.trials, key=lambda t: t.value or 0.0, reverse=objective.direction == "maximize")
    first = math.ceil(len(complete) / 5)
    ends = cut_of(dots, NO_DOTS, objective.direction)
    shown = [value for value in dots.values if ends is None or ends.holds(value)] or [0.0]
    axes_of: dict[str, Dimension] = {objective.metric: Range(min(shown), max(shown))}
    axes_of |= spec.drawn
    drawn = {trial.number: spec.apart(trial.params) for trial in complete}
    words = [escaped(name).replace("_", "_<br>") for name in axes_of]
    above = 40 + 16 * max(word.count("<br>") + 1 for word in words)
    figure = framed(
        {**single(430), "margin": {"l": 20, "r": 20, "t": above}},
        {**single(430), "margin": {"l": 20, "r": 20, "t": above - 30}},
    )
    groups = [
        ("the others", _some(complete[first:], MOST_LINES - MOST_LINES // 5), POINT, 0.55),
        ("first fifth", _some(complete[:first], MOST_LINES // 5), COLOURS[1], 0.9),
    ]
    for name, group, colour, opacity in groups:
        x, y, text = list[int | None](), list[float | None](), list[str]()
        for trial in group:
            own = {objective.metric: trial.value} | {key: drawn[trial.number].get(key) for key in spec.drawn}
            heights = [_height(axes_of[key], value) for key, value in own.items()]
            x += [*range(len(own)), None]
            y += [short(min(1.0, max(0.0, heights[0]))), *shorts(heights[1:]), None]
            said = [f"{key}: {'not active' if value is None else value}" for key, value in own.items()]
            text += [*(f"#{trial.number}, {escaped(one)}" for one in said), ""]
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
    labels = [note for at, d in enumerate(axes_of.values()) for note in _marks(at, d)]
    missing = [at for at, name in enumerate(axes_of) if at and any(name not in d for d in drawn.values())]
    labels += [_node(at, INACTIVE, "not active") for at in missing]
    if ends is not None:
        edge, sign = (labels[0], "\u2264") if ends.is_low else (labels[1], "\u2265")
        edge["text"] = f"{sign} {edge['text']}"
    figure.update_layout(annotations=labels)
    ticks = {"tickvals": list(range(len(words))), "ticktext": words}
    figure.update_xaxes(**ticks, range=[-0.35, len(words) - 0.65], side="top", zeroline=False)
    figure.update_yaxes(visible=False, range=[INACTIVE - 0.08 if missing else -0.1, 1.1])
    return figure


def _some(trials: Sequence[Trial], most: int) -> list[Trial]:
    return [trials[at] for at in evenly(len(trials), most)] if trials else []


def _height(dimension: Dimension, value: Any) -> float:
    """Where a value is on its axis, from 0 to 1; below it, what a trial does not have."""
    if value is None:
        return INACTIVE
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
    choices = list(map(plain, dimension))
    marked = choices if len(choices) <= MOST_MARKS else [choices[0], choices[-1]]
    return [_node(at, _height(dimension, value), str(value)) for value in marked]


def _node(at: int, height: float, text: str) -> Layout:
    """A text on its own ground, over lines."""
    return {**_mark(at, height, text), "name": NODE, "bgcolor": "#ffffff", "bordercolor": INK, "borderpad": 2}


def _mark(at: int, height: float, text: str) -> Layout:
    return {"x": at, "y": height, "text": escaped(text), "showarrow": False}
