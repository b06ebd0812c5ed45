"""Figures of what a model made of samples whose targets are known: curves of what it finds, its errors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go

from hpo.pictures.scales import evenly
from hpo.plots.confusion import confusion
from hpo.plots.frame import (
    COLOURS,
    INK,
    POINT,
    axes,
    axis,
    brief,
    escaped,
    framed,
    panels,
    short,
    shorts,
    single,
    titled,
)
from hpo.tables.numbers import counted
from hpo.tasks import Task
from hpo.tasks.task import that_count

# More curves than colours cannot be told apart: then there is their mean, and the lowest of them.
MOST_CURVES, SHOWN_LOWEST = len(COLOURS), 3
MOST_PANELS = 6
MOST_POINTS = 1000  # of a panel
MOST_CORNERS = 200  # of a curve
RECALLS = np.linspace(0, 1, 101)  # at which curves are averaged
PLACES = 3

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class Answers:
    """Targets of samples, and a model's outputs for them, both as the task has them.

    `names` are those of classes, labels or quantities; `weight`, (samples,), how much each sample counts in
    the curves, None for all alike.
    """

    task: Task
    y: Array
    outputs: Array
    names: Sequence[str]
    weight: Array | None = None


def confusions(answers: Answers) -> go.Figure | None:
    """Which classes are taken for which; None if a sample has not one class."""
    counts = answers.task.confusion(answers.y, answers.outputs)
    return None if counts is None else confusion(counts, answers.names)


def roc(answers: Answers) -> go.Figure | None:
    """True against false positive rate, for every threshold, and the area; None if all samples are alike."""
    from sklearn import metrics

    found, weight = _both(answers)
    curves = []
    for name, (truth, shares) in found.items():
        false, true, _ = metrics.roc_curve(truth, shares, sample_weight=weight)
        curves.append(_Curve(name, false, true, float(metrics.auc(false, true))))
    figure = _drawn(curves)
    if figure is None:
        return None
    _add_line(figure, [0, 1], [0, 1], "by chance")
    figure.update_xaxes(**titled("false positive rate"), range=[-0.02, 1.02])
    figure.update_yaxes(**titled("true positive rate"), range=[-0.02, 1.02])
    return figure


def precision_recall(answers: Answers) -> go.Figure | None:
    """Precision against recall, for every threshold, and the average precision; None if all are alike."""
    from sklearn import metrics

    found, weight = _both(answers)
    curves, rates = [], []
    for name, (truth, shares) in found.items():
        precision, recall, _ = metrics.precision_recall_curve(truth, shares, sample_weight=weight)
        score = float(metrics.average_precision_score(truth, shares, sample_weight=weight))
        curves.append(_Curve(name, recall[::-1], precision[::-1], score))
        rates.append(float(np.average(truth, weights=weight)))
    figure = _drawn(curves)
    if figure is None:
        return None
    if len(rates) == 1:
        _add_line(figure, [0, 1], [rates[0], rates[0]], "by chance")
    figure.update_xaxes(**titled("recall"), range=[-0.02, 1.02])
    figure.update_yaxes(**titled("precision"), range=[-0.02, 1.02])
    return figure


def predicted(answers: Answers) -> go.Figure:
    """What each quantity is thought to be against what it is, a panel each; on the line they are equal."""
    figure = _quantities(answers)
    for panel, (name, true, said) in enumerate(_each(answers)):
        ends = [float(min(true.min(), said.min())), float(max(true.max(), said.max()))]
        _add_line(figure, ends, ends, "equal", panel)
        _add_points(figure, panel, name, true, said, "true %{x}, predicted %{y}")
        figure.update_layout(
            {
                axis("x", panel): titled(f"true {name}") | {"zeroline": False},
                axis("y", panel): titled(f"predicted {name}") | {"zeroline": False},
            }
        )
    return figure


def residuals(answers: Answers) -> go.Figure:
    """By how much each quantity is missed, predicted minus true, against what it is thought to be."""
    figure = _quantities(answers)
    for panel, (name, true, said) in enumerate(_each(answers)):
        _add_line(figure, [float(said.min()), float(said.max())], [0, 0], "no error", panel)
        _add_points(figure, panel, name, said, said - true, "predicted %{x}, error %{y}")
        figure.update_layout(
            {
                axis("x", panel): titled(f"predicted {name}") | {"zeroline": False},
                axis("y", panel): titled("predicted minus true") | {"zeroline": False},
            }
        )
    return figure


# By the names that tasks have for them.
FIGURES: dict[str, Callable[[Answers], go.Figure | None]] = {
    "confusion": confusions,
    "roc": roc,
    "precision_recall": precision_recall,
    "predicted": predicted,
    "residuals": residuals,
}


@dataclass(frozen=True, eq=False)
class _Curve:
    """Points of a curve from left to right, what is told of it, and how plotly goes from one to the next.

    A curve of samples is one of steps, "vh"; the mean of several is "linear".
    """

    name: str
    x: Array
    y: Array
    score: float
    shape: Literal["vh", "linear"] = "vh"


def _both(answers: Answers) -> tuple[dict[str, tuple[Array, Array]], Array | None]:
    """What some of the samples that count have and others have not, and the weights of these samples."""
    y, outputs, weight = that_count(answers.y, answers.outputs, answers.weight)
    found = answers.task.detections(y, outputs, answers.names)
    both = {name: pair for name, pair in found.items() if 0 < np.count_nonzero(pair[0]) < len(pair[0])}
    return both, weight


def _drawn(curves: list[_Curve]) -> go.Figure | None:
    """Curves with what is told of them, their mean if they are many; None if there are none."""
    if not curves:
        return None
    figure = framed(single(430), single(400))
    shown = [replace(curve, name=brief(curve.name)) for curve in curves]
    if len(curves) > MOST_CURVES:
        shown = [_mean(curves), *sorted(shown, key=lambda curve: curve.score)[:SHOWN_LOWEST]]
    for curve, colour in zip(shown, COLOURS, strict=False):
        at = _corners(curve.x, curve.y)
        figure.add_scatter(
            x=shorts(curve.x[at]),
            y=shorts(curve.y[at]),
            name=f"{curve.name}: {curve.score:.{PLACES}f}",
            mode="lines",
            line={"color": colour, "width": 2, "shape": curve.shape},
            hovertemplate="%{x:.3f}, %{y:.3f}<extra>%{fullData.name}</extra>",
        )
    return figure


def _mean(curves: list[_Curve]) -> _Curve:
    height = np.mean([np.interp(RECALLS, curve.x, curve.y) for curve in curves], axis=0)
    score = float(np.mean([curve.score for curve in curves]))
    return _Curve(f"mean of {counted(len(curves), 'curve')}", RECALLS, height, score, shape="linear")


def _corners(x: Array, y: Array) -> Array:
    """Some of a curve's points, evenly along it, its ends among them."""
    if len(x) <= MOST_CORNERS:
        return np.arange(len(x))
    way = np.concatenate([[0.0], np.cumsum(np.abs(np.diff(x)) + np.abs(np.diff(y)))])
    return np.unique(np.searchsorted(way, np.linspace(0, way[-1], MOST_CORNERS)).clip(0, len(x) - 1))


def _quantities(answers: Answers) -> go.Figure:
    count = min(len(answers.names), MOST_PANELS)
    if count == 1:
        return framed(single(430), single(400))
    return framed(panels(count, columns=2, row=340), panels(count, columns=1, row=340))


def _each(answers: Answers) -> list[tuple[str, Array, Array]]:
    """Name, targets and outputs of each quantity that is drawn, of samples that are chosen evenly."""
    at = evenly(len(answers.y), MOST_POINTS)
    y, outputs = answers.y[at].astype(np.float64), answers.outputs[at].astype(np.float64)
    return [(name, y[:, index], outputs[:, index]) for index, name in enumerate(answers.names[:MOST_PANELS])]


def _add_points(figure: go.Figure, panel: int, name: str, x: Array, y: Array, said: str) -> None:
    figure.add_scatter(
        x=shorts(x),
        y=shorts(y),
        name=escaped(name),
        mode="markers",
        marker={"color": POINT, "size": 6, "opacity": 0.6},
        hovertemplate=f"{said}<extra></extra>",
        showlegend=False,
        **axes(panel),
    )


def _add_line(figure: go.Figure, x: Sequence[float], y: Sequence[float], name: str, panel: int = 0) -> None:
    """What points or curves are seen against."""
    figure.add_scatter(
        x=[short(value) for value in x],
        y=[short(value) for value in y],
        name=name,
        legendgroup=name,
        mode="lines",
        line={"color": INK, "width": 1.5, "dash": "dash"},
        hoverinfo="skip",
        showlegend=not panel,
        **axes(panel),
    )
