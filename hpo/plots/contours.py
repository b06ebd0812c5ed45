"""A search's value over two hyperparameters."""

from __future__ import annotations

from typing import Any

import plotly.graph_objects as go

from hpo.analysis.surface import Surface
from hpo.pictures.scales import evenly
from hpo.plots.dots import MOST_DOTS, axis_of, choice_of
from hpo.plots.frame import INK, framed, short, shorts, single, titled
from hpo.spec import Dimension, Range, SearchSpec, directions

# Viridis, from worse to better: read in grey and by the colour-blind.
SCALE = "Viridis"


def contours(spec: SearchSpec, found: Surface) -> go.Figure:
    """What is expected over two hyperparameters, brighter if better, and the trials; a star is the best."""
    objective = spec.objective
    first, second = (spec.drawn[name] for name in found.names)
    figure = framed(single(430), single(380))
    drawn: dict[str, Any] = {
        "x": [_place(first, value) for value in found.first],
        "y": [_place(second, value) for value in found.second],
        "z": [shorts(row) for row in found.values.tolist()],
        "colorscale": SCALE,
        "reversescale": objective.direction != "maximize",
        "colorbar": {
            "title": {"text": objective.metric, "side": "right"},
            "thickness": 12,
            "outlinewidth": 0,
        },
        "hovertemplate": "%{x}, %{y}: expected %{z}<extra></extra>",
    }
    if isinstance(first, Range) and isinstance(second, Range):
        figure.add_contour(**drawn, line={"width": 0.5}, ncontours=15)
    else:
        figure.add_heatmap(**drawn)
    best, *others = found.trials
    for name, trials, marker in (
        ("trials", [others[at] for at in evenly(len(others), MOST_DOTS)], {"size": 6, "color": "#ffffff"}),
        (
            f"#{best.number}, the {directions.extreme(objective.direction)}",
            [best],
            {"size": 14, "color": "#D55E00", "symbol": "star"},
        ),
    ):
        figure.add_scatter(
            x=[_place(first, trial.params[found.names[0]]) for trial in trials],
            y=[_place(second, trial.params[found.names[1]]) for trial in trials],
            text=[f"#{trial.number}" for trial in trials],
            customdata=shorts(trial.value or 0.0 for trial in trials),
            name=name,
            mode="markers",
            marker=marker | {"opacity": 0.9, "line": {"width": 1, "color": INK}},
            hovertemplate="%{text}: %{customdata}<extra></extra>",
        )
    for update, name, dimension in zip(
        (figure.update_xaxes, figure.update_yaxes), found.names, (first, second), strict=True
    ):
        update(**titled(name), **_tight(dimension), zeroline=False)
    return figure


def _place(dimension: Dimension, value: Any) -> Any:
    return short(float(value)) if isinstance(dimension, Range) else choice_of(value)


def _tight(dimension: Dimension) -> dict[str, Any]:
    """The axis of a dimension, which the colours fill."""
    return axis_of(dimension, pad=0.0)
