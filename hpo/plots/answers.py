"""Figures of what a model made of samples whose targets are known: curves of what it finds, its errors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go

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

# More curves than colours cannot be told apart: then there is their mean, and the lowest of them.
MOST_CURVES, SHOWN_LOWEST = len(COLOURS), 3
MOST_PANELS = 6
MOST_POINTS = 1000  # of a panel
MOST_CORNERS = 200  # of a curve
RECALLS = np.linspace(0, 1, 101)  # at which curves are averaged
PLACES = 3

Array = npt.NDArray[Any]
Curve = tuple[Array, Array]


@dataclass(frozen=True, eq=False)
class Answers:
    """Targets of samples, and a model's outputs for them, both as the task has them.

    `names` are those of classes, labels or quantities.
    """

    task: Task
    y: Array
    outputs: Array
    names: Sequence[str]


def confusions(answers: Answers) -> go.Figure | None:
    """Which classes are taken for which; None if a sample has not one class."""
    counts = answers.task.confusion(answers.y, answers.outputs)
    return None if counts is None else confusion(counts, answers.names)


def roc(answers: Answers) -> go.Figure | None:
    """True against false positive rate, for every threshold, and the area; None if all samples are alike."""
    from sklearn import metrics

    found = {}
    for name, (truth, shares) in _both(answers).items():
        false, true, _ = metrics.roc_curve(truth, shares)
        found[name] = (false, true), float(metrics.auc(false, true))
    figure = _curves(found, "vh", lambda x, y: np.interp(RECALLS, x, y))
    if figure is None:
        return None
    _add_line(figure, [0, 1], [0, 1], "by chance")
    figure.update_xaxes(**titled("false positive rate"), range=[-0.02, 1.02])
    figure.update_yaxes(**titled("true positive rate"), range=[-0.02, 1.02])
    return figure


def precision_recall(answers: Answers) -> go.Figure | None:
    """Precision against recall, for every threshold, and the average precision; None if all are alike."""
    from sklearn import metrics

    found, rates = {}, []
    for name, (truth, shares) in _both(answers).items():
        precision, recall, _ = metrics.precision_recall_curve(truth, shares)
        score = float(metrics.average_precision_score(truth, shares))
        found[name] = (recall[::-1], precision[::-1]), score
        rates.append(float(np.mean(truth)))
    figure = _curves(found, "vh", lambda x, y: np.interp(RECALLS, x, y))
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


def _both(answers: Answers) -> dict[str, tuple[Array, Array]]:
    """What some samples have and others have not."""
    found = answers.task.detections(answers.y, answers.outputs, answers.names)
    return {name: pair for name, pair in found.items() if 0 < np.count_nonzero(pair[0]) < len(pair[0])}


def _curves(
    found: dict[str, tuple[Curve, float]], shape: str, sampled: Callable[[Array, Array], Array]
) -> go.Figure | None:
    """Curves with their areas, the mean of them if they are many."""
    if not found:
        return None
    figure = framed(single(430), single(400))
    lines = [(brief(name), curve, area) for name, (curve, area) in found.items()]
    if len(lines) > MOST_CURVES:
        height = np.mean([sampled(*curve) for _, curve, _ in lines], axis=0)
        mean = float(np.mean([area for *_, area in lines]))
        lowest = sorted(lines, key=lambda line: line[2])[:SHOWN_LOWEST]
        lines = [(f"mean of {counted(len(lines), 'curve')}", (RECALLS, height), mean), *lowest]
    for index, (name, (x, y), area) in enumerate(lines):
        at = _corners(x, y)
        figure.add_scatter(
            x=shorts(x[at]),
            y=shorts(y[at]),
            name=f"{name}: {area:.{PLACES}f}",
            mode="lines",
            line={
                "color": COLOURS[index],
                "width": 2,
                "shape": "linear" if len(x) == len(RECALLS) else shape,
            },
            hovertemplate="%{x:.3f}, %{y:.3f}<extra>%{fullData.name}</extra>",
        )
    return figure


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
    samples = len(answers.y)
    at = np.linspace(0, samples - 1, min(samples, MOST_POINTS)).round().astype(int)
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
