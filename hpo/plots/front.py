"""The front of a search with several objectives, and the hypervolume that it dominates as trials end."""

from __future__ import annotations

import math
from collections.abc import Sequence

import plotly.graph_objects as go

from hpo.pictures.scales import evenly
from hpo.plots.dots import COMPLETE, MOST_DOTS
from hpo.plots.frame import COLOURS, INK, POINT, Layout, axes, framed, panels, shorts, titled
from hpo.plots.ranges import log_axis
from hpo.spec import Objective
from hpo.trials.record import Trial

# An axis of positive values that reach over so large a factor is logarithmic.
LOG_FROM = 30
BEHIND = {**COMPLETE, "color": INK, "size": 6, "opacity": 0.5}


def front(
    objectives: Sequence[Objective],
    trials: Sequence[Trial],
    on_front: Sequence[Trial],
    volumes: Sequence[tuple[int, float]],
) -> go.Figure:
    """Complete trials by the first two objectives, with a line of what those `on_front` reach of them.

    `volumes`: number of each complete trial, and the hypervolume of those up to it. With three objectives and
    more the front is no line, and its trials stand out alone.
    """
    figure = framed(panels(2, columns=2), panels(2, columns=1))
    of_front = {trial.number for trial in on_front}
    behind = [trial for trial in trials if trial.number not in of_front and _is_shown(objectives, trial)]
    behind = [behind[at] for at in evenly(len(behind), MOST_DOTS)]
    y, x = objectives[:2]
    shown = sorted(
        (trial for trial in on_front if _is_shown(objectives, trial)),
        key=lambda trial: (trial.values[x.metric], trial.values[y.metric]),
    )
    groups = [("complete", behind, BEHIND), ("on the front", shown, COMPLETE)]
    for name, some, marker in groups:
        figure.add_scatter(
            x=shorts(trial.values[x.metric] for trial in some),
            y=shorts(trial.values[y.metric] for trial in some),
            text=[_said(objectives, trial) for trial in some],
            name=name,
            mode="markers",
            marker=marker,
            hovertemplate="%{text}<extra>%{fullData.name}</extra>",
            **axes(0),
        )
    if len(objectives) == 2:
        figure.add_scatter(
            x=shorts(trial.values[x.metric] for trial in shown),
            y=shorts(trial.values[y.metric] for trial in shown),
            name="front",
            mode="lines",
            # What is reached at least by who goes no further than to this value of the other.
            line={"color": COLOURS[1], "width": 2, "shape": "hv" if x.direction == "minimize" else "vh"},
            hoverinfo="skip",
            showlegend=False,
            **axes(0),
        )
    kept = _corners(volumes)
    figure.add_scatter(
        x=[number for number, _ in kept],
        y=shorts(volume for _, volume in kept),
        name="hypervolume",
        mode="lines",
        line={"color": POINT, "width": 2, "shape": "hv"},
        showlegend=False,
        **axes(1),
    )
    drawn = [*behind, *shown]
    return figure.update_layout(
        xaxis=titled(x.metric) | _axis([trial.values[x.metric] for trial in drawn]),
        yaxis=titled(y.metric) | _axis([trial.values[y.metric] for trial in drawn]),
        xaxis2=titled("trial") | {"zeroline": False},
        yaxis2=titled("hypervolume") | {"rangemode": "tozero"},
    )


def _is_shown(objectives: Sequence[Objective], trial: Trial) -> bool:
    return all(math.isfinite(trial.values.get(one.metric, math.nan)) for one in objectives)


def _said(objectives: Sequence[Objective], trial: Trial) -> str:
    return "<br>".join(
        [f"#{trial.number}", *(f"{o.metric} {trial.values[o.metric]:.5g}" for o in objectives)]
    )


def _corners(volumes: Sequence[tuple[int, float]]) -> list[tuple[int, float]]:
    """The first, each that is more than the one before, and the last."""
    last = len(volumes) - 1
    return [one for at, one in enumerate(volumes) if at in (0, last) or one[1] != volumes[at - 1][1]]


def _axis(values: Sequence[float]) -> Layout:
    if values and min(values) > 0 and max(values) >= LOG_FROM * min(values):
        return {**log_axis(min(values), max(values), pad=0.05), "zeroline": False}
    return {"zeroline": False}
