"""Figures of a search: history, slices, importance, parallel coordinates."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from hpo.plots.frame import COLOURS, POINT, Layout, axes, axis, escaped, framed, panels, shorts, single
from hpo.spec import Dimension, Range, SearchSpec
from hpo.spec.base import plain
from hpo.trials.record import Trial


def history(trials: Sequence[Trial], metric: str, direction: str) -> go.Figure:
    """Every complete trial's value by its number, and the highest, or lowest, so far."""
    complete = _complete(trials)
    numbers, values = [t.number for t in complete], [t.value or 0.0 for t in complete]
    word, further = ("highest", max) if direction == "maximize" else ("lowest", min)
    figure = framed(single(360), single(340))
    figure.add_scatter(
        x=numbers,
        y=shorts(values),
        name="trial",
        mode="markers",
        marker={"color": POINT, "size": 6, "opacity": 0.7},
        hovertemplate="#%{x}: %{y}<extra></extra>",
    )
    figure.add_scatter(
        x=numbers,
        y=shorts(itertools.accumulate(values, further)),
        name=f"{word} so far",
        mode="lines",
        line={"color": COLOURS[1], "shape": "hv"},
        hoverinfo="skip",
    )
    figure.update_xaxes(title={"text": "trial"})
    figure.update_yaxes(title={"text": metric})
    return figure


def slices(spec: SearchSpec, trials: Sequence[Trial]) -> go.Figure:
    """Every complete trial's value against each hyperparameter that varied, a panel each."""
    complete, names = _with_all(spec, trials), list(spec.space)
    figure = framed(panels(names, columns=2), panels(names, columns=1))
    for panel, (name, dimension) in enumerate(spec.space.items()):
        is_range = isinstance(dimension, Range)
        figure.add_scatter(
            x=[t.params[name] if is_range else _choice(t.params[name]) for t in complete],
            y=shorts(t.value or 0.0 for t in complete),
            text=[f"#{t.number}" for t in complete],
            mode="markers",
            marker={"color": POINT, "size": 6, "opacity": 0.6},
            hovertemplate="%{text}: %{x}, %{y}<extra></extra>",
            showlegend=False,
            **axes(panel),
        )
        figure.update_layout({axis("x", panel): _axis_of(dimension)})
    return figure


def importances(found: Mapping[str, float]) -> go.Figure:
    """How far each hyperparameter decides the value, in the order given, the first on top."""
    names = list(found)[::-1]
    height = 110 + 28 * len(names)
    figure = framed(single(height), single(height))
    figure.add_bar(
        x=shorts(found[name] for name in names),
        y=[escaped(name) for name in names],
        orientation="h",
        marker={"color": POINT},
        hovertemplate="%{y}: %{x}<extra></extra>",
    )
    figure.update_xaxes(title={"text": "importance"})
    return figure


def parallel_coordinates(spec: SearchSpec, trials: Sequence[Trial]) -> go.Figure:
    """A line through value and hyperparameters of every complete trial; the first fifth stands out."""
    objective, complete = spec.objective, _with_all(spec, trials)
    complete.sort(key=lambda trial: trial.value or 0.0, reverse=objective.direction == "maximize")
    first = math.ceil(len(complete) / 5)
    ends = [trial.value or 0.0 for trial in complete] or [0.0]
    value = Range(min(ends), max(ends))
    names = [objective.metric, *spec.space]
    figure = framed(single(420), single(380))
    groups = [
        ("the others", complete[first:], POINT, 0.45),
        ("first fifth", complete[:first], COLOURS[1], 0.9),
    ]
    for name, group, colour, opacity in groups:
        x, y, text = list[int | None](), list[float | None](), list[str]()
        for trial in group:
            own = [trial.value, *(trial.params[key] for key in spec.space)]
            heights = [
                _height(dimension, one)
                for dimension, one in zip([value, *spec.space.values()], own, strict=True)
            ]
            x += [*range(len(names)), None]
            y += [*shorts(heights), None]
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
    labels = [note for at, d in enumerate([value, *spec.space.values()]) for note in _marks(at, d)]
    figure.update_layout(annotations=labels)
    words = [name.replace("_", "_<br>", 1) for name in names]
    ticks = {"tickvals": list(range(len(names))), "ticktext": words}
    figure.update_xaxes(**ticks, range=[-0.15, len(names) - 0.55], side="top", zeroline=False)
    figure.update_yaxes(visible=False, range=[-0.06, 1.06])
    return figure


def _with_all(spec: SearchSpec, trials: Sequence[Trial]) -> list[Trial]:
    """The complete trials that have a value of every dimension."""
    return [
        trial
        for trial in _complete(trials)
        if all(name in trial.params and _fits(d, trial.params[name]) for name, d in spec.space.items())
    ]


def _fits(dimension: Dimension, value: Any) -> bool:
    return isinstance(dimension, Range) or value in map(plain, dimension)


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
    """What stands beside an axis: its ends, or its choices."""
    if isinstance(dimension, Range):
        values: list[Any] = sorted({dimension.low, dimension.high})
    else:
        values = list(map(plain, dimension))
    return [
        {
            "x": at,
            "y": _height(dimension, value),
            "text": escaped(f"{value:.4g}" if isinstance(value, float) else str(value)),
            "showarrow": False,
            "xanchor": "left",
            "xshift": 4,
        }
        for value in values
    ]


def _complete(trials: Sequence[Trial]) -> list[Trial]:
    return [trial for trial in trials if trial.value is not None and math.isfinite(trial.value)]


def _axis_of(dimension: Dimension) -> Layout:
    if isinstance(dimension, Range):
        return {"type": "log" if dimension.log else "linear"}
    choices = [_choice(plain(choice)) for choice in dimension]
    return {"type": "category", "categoryorder": "array", "categoryarray": choices}


def _choice(value: object) -> str:
    return escaped(str(value))
