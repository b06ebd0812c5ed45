"""Figures of arms: learning curves, differences, time against a metric."""

from __future__ import annotations

import math
import statistics
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
    NODE,
    Layout,
    Style,
    axes,
    axis,
    brief,
    escaped,
    faint,
    framed,
    label,
    panels,
    short,
    shorts,
    single,
    titled,
)
from hpo.plots.ranges import cut, decimal, log_axis
from hpo.spec import metric_of

OF_RUNS = ("arm", "run", "epoch", "seed", "fold", "trial", "seconds")
CURVES = {
    "loss": "training loss",
    "val_loss": "validation loss",
    "accuracy": "training accuracy",
    "val_accuracy": "validation accuracy",
    "rmse": "training RMSE",
    "val_rmse": "validation RMSE",
}
MOST_POINTS = 200  # of a line: more cannot be told apart
WARM_UP = 10  # the part of the epochs, a tenth, that axes of learning curves need not hold
MOST_NAMED = 3  # arms that a note on an axis names
Floats = npt.NDArray[np.float64]
NAMED = "<extra>%{fullData.name}</extra>"


@dataclass(frozen=True)
class Result:
    """One training run: its arm, the seconds it trained and the metric it reached."""

    arm: str
    seconds: float
    value: float


def learning_curves(curves: pd.DataFrame, looks: Mapping[str, Style]) -> go.Figure:
    """Loss and accuracy or RMSE, training and validation: the mean over an arm's runs, and one sd around it.

    `curves` has a row an epoch of a run: arm, run, epoch (from 1) and the metrics. Where some of an
    arm's runs have stopped, the mean of those left is dotted and has no band. Axes are as the better half
    of the arms needs them; a note says which arms go beyond.
    """
    # And what a model of a person's own reports, of which the column's name is all that is known.
    own = [str(name) for name in curves if name not in (*CURVES, *OF_RUNS)]
    titles = CURVES | {name: name for name in own}
    drawn = [metric for metric in titles if metric in curves]
    figure = framed(panels(len(drawn), columns=2), panels(len(drawn), columns=1))
    by_arm = dict(iter(curves.groupby("arm")))
    for panel, metric in enumerate(drawn):
        means = dict[str, Floats]()
        for arm, look in looks.items():
            if arm in by_arm:
                table = by_arm[arm].pivot(index="run", columns="epoch", values=metric)
                means[arm] = _add_curve(figure, table, arm, look, panel)
        figure.update_layout({axis("x", panel): titled("epoch"), axis("y", panel): titled(titles[metric])})
        _cut_curves(figure, panel, means, is_low=metric.endswith("accuracy"))
    return figure


def differences(comparison: Comparison, looks: Mapping[str, Style], *, most: int | None = None) -> go.Figure:
    """Every arm's difference to the baseline with its interval, a panel a metric, at most so many.

    Grey is what is too small to matter. A marker is hollow while the verdict is undecided.
    """
    arms = {arm.arm: arm.verdicts for arm in comparison.arms if arm.verdicts}
    rows = [name for name in looks if name in arms][::-1]
    metrics = [m for m in comparison.metrics if any(m in v and v[m].low is not None for v in arms.values())]
    metrics = sorted(metrics, key=lambda metric: metric != comparison.metric)[:most]
    height = 130 + 28 * (len(rows) + 1)
    wide, narrow = (panels(len(metrics), columns=columns, row=height) for columns in (2, 1))
    for panel in range(1, len(metrics), 2):
        # The right panel of a row has the left one's arms.
        wide[axis("y", panel)] |= {"showticklabels": False, "title": {"text": ""}}
        narrow[axis("y", panel)] |= {"showticklabels": True, **titled("arm")}
    figure = framed(wide, narrow)
    ticks = {"tickvals": list(range(len(rows))), "ticktext": [label(name) for name in rows]}
    # The row above the arms is the name of the line.
    ground = {"range": [-0.7, len(rows) + 0.2], "showgrid": False, "zeroline": False}
    for panel, metric in enumerate(metrics):
        drawn = [(row, name, arms[name][metric]) for row, name in enumerate(rows) if metric in arms[name]]
        title = {} if panel % 2 else titled("arm")
        figure.update_layout({axis("y", panel): {**ticks, **ground, **title}})
        figure.update_layout({axis("x", panel): _difference_axis(metric, comparison, [v for *_, v in drawn])})
        _shade(figure, panel, metric, comparison)
        for row, name, verdict in drawn:
            _add_difference(figure, verdict, name, looks[name], row, panel)
    return figure


def times(results: Sequence[Result], metric: str, looks: Mapping[str, Style]) -> go.Figure:
    """Seconds of training against a metric: a point a run, a diamond the means of an arm."""
    figure = framed(single(400), single(380))
    for arm, look in looks.items():
        own = [result for result in results if result.arm == arm]
        if not own:
            continue
        x, y = [result.seconds for result in own], [result.value for result in own]
        point = {"color": look.colour, "size": 8, "opacity": 0.85}
        _add_points(figure, arm, x, y, point, showlegend=len(own) == 1)
        if len(own) > 1:
            mean = {"color": look.colour, "size": 12, "symbol": "diamond", "line": {"width": 1, "color": INK}}
            _add_points(figure, arm, [sum(x) / len(x)], [sum(y) / len(y)], mean, showlegend=True)
    seconds = [result.seconds for result in results if result.seconds > 0]
    if seconds and max(seconds) > 10 * min(seconds):
        figure.update_xaxes(**log_axis(min(seconds), max(seconds)))
    figure.update_xaxes(**titled("seconds of training"))
    figure.update_yaxes(**titled(metric))
    return figure


def _cut_curves(figure: go.Figure, panel: int, means: Mapping[str, Floats], *, is_low: bool) -> None:
    """End a panel's axis where the better half of the arms need it to, and say who goes beyond."""
    # Most fall or rise at first by more than they ever differ later.
    later = {arm: own[len(own) // WARM_UP :] for arm, own in means.items()}
    worst = {
        arm: float(np.nanmin(own) if is_low else np.nanmax(own))
        for arm, own in later.items()
        if np.isfinite(own).any()
    }
    if not worst:
        return
    # Of the middle arm: that of the better half reaches no further.
    usual = statistics.median_high(worst.values()) if is_low else statistics.median_low(worst.values())
    points = np.concatenate(list(means.values()))
    points = points[np.isfinite(points)]
    best, furthest = (points.max(), points.min()) if is_low else (points.min(), points.max())
    ends = cut(points.tolist(), good=[usual, float(best)], is_low=is_low)
    if ends is None:
        return
    beyond = sorted((arm for arm in worst if not ends.holds(worst[arm])), key=lambda arm: worst[arm])
    named = ", ".join(brief(arm) for arm in beyond[:MOST_NAMED]) or "the first epochs"
    more = f" and {len(beyond) - MOST_NAMED} more" if len(beyond) > MOST_NAMED else ""
    said = f"beyond: {named}{more}, {'down' if is_low else 'up'} to {decimal(float(f'{furthest:.3g}'))}"
    of = axes(panel)
    place = {"xref": f"{of['xaxis']} domain", "yref": f"{of['yaxis']} domain", "x": 1, "xanchor": "right"}
    edge = {"y": 0, "yanchor": "bottom"} if is_low else {"y": 1, "yanchor": "top"}
    figure.update_layout({axis("y", panel): {"range": ends.range(points.tolist())}})
    figure.add_annotation(text=said, showarrow=False, font={"size": 11}, name=NODE, **place, **edge)


def _add_curve(figure: go.Figure, runs: pd.DataFrame, arm: str, look: Style, panel: int) -> Floats:
    """Draw an arm's curve, (runs, epochs); returns its mean over the runs, by epoch."""
    values = runs.to_numpy(dtype=float)  # (runs, epochs); NaN where a run had stopped
    epochs = runs.columns.to_numpy()
    shown = np.unique(np.linspace(0, len(epochs) - 1, min(MOST_POINTS, len(epochs))).round().astype(int))
    whole = int(np.isfinite(values).all(axis=0).sum())
    full, rest = shown[shown < whole], shown[shown >= whole]
    mean: Floats = np.nanmean(values, axis=0)
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
    return mean


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


def _difference_axis(metric: str, comparison: Comparison, verdicts: Sequence[Verdict]) -> Layout:
    """The axis of differences in a metric: all intervals, and what is too small to matter."""
    known = metric_of(metric, comparison)
    ratio, better = known.is_ratio, known.direction == "maximize"
    what = "ratio" if ratio else "difference"
    title = f"{what} of {escaped(metric)} to {brief(comparison.baseline or '')}"
    side = f"({'higher' if better else 'lower'} is better)"
    named = {"title": {"text": f"{title}<br>{side}"}, "zeroline": False}
    low, _, high = _middle(metric, comparison)
    found = [end for v in verdicts for end in (v.low, v.high, v.difference) if end is not None]
    low, high = min([*found, low]), max([*found, high])
    if ratio and 0 < low < high < math.inf:
        return log_axis(low, high) | named
    pad = 0.05 * (high - low)
    return {"range": [low - pad, high + pad], **named}


def _middle(metric: str, comparison: Comparison) -> tuple[float, float, float]:
    """From where to where a difference is too small to matter, and between them, where there is none."""
    margin, is_ratio = comparison.min_effect[metric], metric_of(metric, comparison).is_ratio
    return (1 / (1 + margin), 1.0, 1 + margin) if is_ratio else (-margin, 0.0, margin)


def _shade(figure: go.Figure, panel: int, metric: str, comparison: Comparison) -> None:
    """Grey where a difference is too small to matter, and a line, with its name, where there is none."""
    low, none, high = _middle(metric, comparison)
    of = axes(panel)
    place = {"xref": of["xaxis"], "yref": f"{of['yaxis']} domain", "layer": "below", "y0": 0, "y1": 1}
    figure.add_shape(type="rect", x0=low, x1=high, fillcolor=FAINT, line={"width": 0}, **place)
    figure.add_shape(type="line", x0=none, x1=none, line={"color": INK, "width": 1.5}, **place)
    own = figure.layout[axis("x", panel)]
    # Of a logarithmic axis, plotly's place and range are logarithms.
    x = math.log10(none) if own.type == "log" else none
    start, end = own.range
    share = (x - start) / (end - start)
    anchor = "left" if share < 0.25 else "right" if share > 0.75 else "center"
    figure.add_annotation(
        text="no difference",
        x=x,
        y=1,
        xref=of["xaxis"],
        yref=place["yref"],
        xanchor=anchor,
        yanchor="top",
        xshift={"left": 2, "right": -2, "center": 0}[anchor],
        showarrow=False,
        font={"size": 11},
    )
