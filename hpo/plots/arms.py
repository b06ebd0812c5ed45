"""Figures of arms: learning curves, differences, time against a metric, confusion matrices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import plotly.graph_objects as go

from hpo.analysis import Comparison, Verdict
from hpo.plots.frame import (
    FAINT,
    INK,
    Style,
    axes,
    axis,
    escaped,
    faint,
    framed,
    label,
    panels,
    short,
    shorts,
    single,
)
from hpo.spec import METRICS

CURVES = {
    "loss": "training loss",
    "val_loss": "validation loss",
    "accuracy": "training accuracy",
    "val_accuracy": "validation accuracy",
}
MOST_POINTS = 200  # of a line: more cannot be told apart
MOST_NUMBERED = 20  # classes of a confusion matrix, beyond which its cells show no numbers
NAMED = "<extra>%{fullData.name}</extra>"


@dataclass(frozen=True)
class Result:
    """One training run: its arm, the seconds it trained and the metric it reached."""

    arm: str
    seconds: float
    value: float


def learning_curves(curves: pd.DataFrame, looks: Mapping[str, Style]) -> go.Figure:
    """Loss and accuracy, training and validation: the mean over an arm's runs, and one sd to either side.

    `curves` has a row an epoch of a run: arm, run, epoch (from 1) and the four metrics. Where some of an
    arm's runs have stopped, the mean of those left is dotted and has no band.
    """
    titles = list(CURVES.values())
    figure = framed(panels(titles, columns=2), panels(titles, columns=1))
    by_arm = dict(iter(curves.groupby("arm")))
    for arm, look in looks.items():
        if arm not in by_arm:
            continue
        for panel, metric in enumerate(CURVES):
            table = by_arm[arm].pivot(index="run", columns="epoch", values=metric)
            _add_curve(figure, table, arm, look, panel)
    for panel in range(len(CURVES)):
        figure.update_layout({axis("x", panel): {"title": {"text": "epoch"}}})
    return figure


def differences(comparison: Comparison, looks: Mapping[str, Style], *, most: int | None = None) -> go.Figure:
    """Every arm's difference to the baseline with its interval, a panel a metric, at most so many.

    Grey is what is too small to matter. A marker is hollow while the verdict is undecided.
    """
    arms = {arm.arm: arm.verdicts for arm in comparison.arms if arm.verdicts}
    rows = [name for name in looks if name in arms][::-1]
    metrics = [m for m in comparison.metrics if any(m in v and v[m].low is not None for v in arms.values())]
    metrics = sorted(metrics, key=lambda metric: metric != comparison.metric)[:most]
    titles = [
        f"{m} ({'higher' if METRICS[m].direction == 'maximize' else 'lower'} is better)" for m in metrics
    ]
    height = 110 + 28 * len(rows)
    wide, narrow = (panels(titles, columns=columns, row=height) for columns in (2, 1))
    for panel in range(1, len(metrics), 2):
        # The right panel of a row has the left one's arms.
        wide[axis("y", panel)]["showticklabels"] = False
        narrow[axis("y", panel)]["showticklabels"] = True
    figure = framed(wide, narrow)
    ticks = {"tickvals": list(range(len(rows))), "ticktext": [label(name) for name in rows]}
    ground = {"range": [-0.7, len(rows) - 0.3], "showgrid": False, "zeroline": False}
    for panel, metric in enumerate(metrics):
        figure.update_layout({axis("y", panel): {**ticks, **ground}})
        if METRICS[metric].is_ratio:
            figure.update_layout({axis("x", panel): {"type": "log"}})
        _shade(figure, panel, metric, comparison.min_effect[metric])
        for row, name in enumerate(rows):
            if metric in arms[name]:
                _add_difference(figure, arms[name][metric], name, looks[name], row, panel)
    return figure


def times(results: Sequence[Result], metric: str, looks: Mapping[str, Style]) -> go.Figure:
    """Seconds of training against a metric: a point a run, a diamond the means of an arm."""
    figure = framed(single(400), single(380))
    for arm, look in looks.items():
        own = [result for result in results if result.arm == arm]
        if not own:
            continue
        x, y = [result.seconds for result in own], [result.value for result in own]
        point = {"color": look.colour, "size": 7, "opacity": 0.7}
        _add_points(figure, arm, x, y, point, showlegend=len(own) == 1)
        if len(own) > 1:
            mean = {"color": look.colour, "size": 12, "symbol": "diamond", "line": {"width": 1, "color": INK}}
            _add_points(figure, arm, [sum(x) / len(x)], [sum(y) / len(y)], mean, showlegend=True)
    seconds = [result.seconds for result in results if result.seconds > 0]
    kind = "log" if seconds and max(seconds) > 10 * min(seconds) else "linear"
    figure.update_xaxes(title={"text": "seconds of training"}, type=kind)
    figure.update_yaxes(title={"text": metric})
    return figure


def confusion(counts: npt.NDArray[Any], class_names: Sequence[str]) -> go.Figure:
    """Which classes are taken for which: `counts[true, predicted]`, as percentages of the true class.

    Colours grow with the square root, so that single mistakes are seen.
    """
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, totals, out=np.zeros(counts.shape), where=totals > 0)
    names = [escaped(name) for name in class_names]
    side, numbered = min(620, 140 + 44 * len(names)), len(names) <= MOST_NUMBERED
    figure = framed(single(side), single(min(side, 420)))
    figure.add_heatmap(
        z=[shorts(row) for row in np.sqrt(shares)],
        x=names,
        y=names,
        text=[[_percentage(share) for share in row] for row in shares.tolist()],
        customdata=counts.tolist(),
        texttemplate="%{text}" if numbered else None,
        hovertemplate="true %{y}, predicted %{x}: %{customdata}, %{text} %<extra></extra>",
        colorscale=[[0, "rgba(0,114,178,0.04)"], [1, "rgba(0,114,178,0.9)"]],
        showscale=False,
        xgap=1,
        ygap=1,
    )
    figure.update_xaxes(title={"text": "predicted"}, type="category", showgrid=False)
    figure.update_yaxes(title={"text": "true"}, type="category", autorange="reversed", showgrid=False)
    return figure


def _add_curve(figure: go.Figure, runs: pd.DataFrame, arm: str, look: Style, panel: int) -> None:
    values = runs.to_numpy(dtype=float)  # (runs, epochs); NaN where a run had stopped
    epochs = runs.columns.to_numpy()
    shown = np.unique(np.linspace(0, len(epochs) - 1, min(MOST_POINTS, len(epochs))).round().astype(int))
    whole = int(np.isfinite(values).all(axis=0).sum())
    full, rest = shown[shown < whole], shown[shown >= whole]
    mean = np.nanmean(values, axis=0)
    common: dict[str, Any] = {"legendgroup": escaped(arm), "name": escaped(arm), **axes(panel)}
    if len(values) > 1 and len(full):
        sd = values[:, full].std(axis=0, ddof=1)
        there = epochs[full].tolist()
        figure.add_scatter(
            x=there + there[::-1],
            y=shorts(mean[full] + sd) + shorts(mean[full] - sd)[::-1],
            fill="toself",
            fillcolor=faint(look.colour),
            line={"width": 0},
            mode="lines",
            hoverinfo="skip",
            showlegend=False,
            **common,
        )
    lines = [(full, look.dash)]
    if len(rest):
        lines.append((np.append(full[-1:], rest), "dot"))
    for index, (part, dash) in enumerate(lines):
        figure.add_scatter(
            x=epochs[part].tolist(),
            y=shorts(mean[part]),
            mode="lines" if len(part) > 1 else "markers",
            line={"color": look.colour, "dash": dash, "width": 2},
            hovertemplate=f"epoch %{{x}}: %{{y}}{NAMED}",
            showlegend=panel == index == 0,
            **common,
        )


def _add_difference(
    figure: go.Figure, verdict: Verdict, name: str, look: Style, row: int, panel: int
) -> None:
    mean, low, high = verdict.difference, verdict.low, verdict.high
    if mean is None or low is None or high is None:
        return
    undecided = verdict.decision == "undecided"
    figure.add_scatter(
        x=[short(mean)],
        y=[row],
        error_x={
            "type": "data",
            "symmetric": False,
            "array": [short(high - mean)],
            "arrayminus": [short(mean - low)],
        },
        text=[escaped(str(verdict))],
        name=escaped(name),
        mode="markers",
        marker={"color": look.colour, "size": 9, "symbol": "circle-open" if undecided else "circle"},
        hovertemplate=f"%{{x}}<br>%{{text}}{NAMED}",
        showlegend=False,
        **axes(panel),
    )


def _add_points(
    figure: go.Figure,
    arm: str,
    x: Sequence[float],
    y: Sequence[float],
    marker: dict[str, Any],
    *,
    showlegend: bool,
) -> None:
    figure.add_scatter(
        x=shorts(x),
        y=shorts(y),
        name=escaped(arm),
        legendgroup=escaped(arm),
        mode="markers",
        marker=marker,
        hovertemplate=f"%{{x}} s, %{{y}}{NAMED}",
        showlegend=showlegend,
    )


def _percentage(share: float) -> str:
    if not share:
        return ""
    return f"{100 * share:.1f}" if share >= 0.0005 else "< 0.1"


def _shade(figure: go.Figure, panel: int, metric: str, margin: float) -> None:
    """Grey where a difference is too small to matter, and a line where there is none."""
    ratio = METRICS[metric].is_ratio
    low, none, high = (1 / (1 + margin), 1.0, 1 + margin) if ratio else (-margin, 0.0, margin)
    of = axes(panel)
    place = {"xref": of["xaxis"], "yref": f"{of['yaxis']} domain", "y0": 0, "y1": 1, "layer": "below"}
    figure.add_shape(type="rect", x0=low, x1=high, fillcolor=FAINT, line={"width": 0}, **place)
    figure.add_shape(type="line", x0=none, x1=none, line={"color": INK, "width": 1}, **place)
