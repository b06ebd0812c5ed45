"""Figures of what a model made of samples: curves and points are the numbers that scikit-learn has."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sklearn import metrics

from hpo.plots import FIGURES, Answers
from hpo.tasks import TASKS

RANDOM = np.random.default_rng(0)
NAMES = ["<b>first</b>", "second & $x$", "third"]


def answers(task: str, samples: int = 60, units: int = 3) -> Answers:
    """Targets, and outputs that have something to do with them."""
    names = [f"name {index}" for index in range(units)] if units > 3 else NAMES[:units]
    noise = RANDOM.random((samples, units))
    if task == "regression":
        y = 178_000 + 50_000 * noise
        return Answers(TASKS[task], y.astype(np.float32), (y + 900 * RANDOM.normal(size=y.shape)), names)
    if task == "multi-label":
        y = (RANDOM.random((samples, units)) > 0.6).astype(np.float32)
        return Answers(TASKS[task], y, 0.4 * y + 0.6 * noise, names)
    if task == "binary":
        y = RANDOM.integers(0, 2, samples)
        return Answers(TASKS[task], y, (0.3 * y + 0.7 * noise[:, 0])[:, np.newaxis], names[:2])
    y = np.arange(samples) % units
    shares = noise + 0.5 * np.eye(units)[y]
    return Answers(TASKS[task], y, shares / shares.sum(axis=1, keepdims=True), names)


def areas(figure: Any) -> list[float]:
    """What stands behind the names of curves."""
    return [float(trace.name.rsplit(": ", 1)[1]) for trace in figure.data if ": " in trace.name]


@pytest.mark.parametrize("task", TASKS)
def test_every_figure_of_a_task_can_be_drawn_with_any_names(task: str) -> None:
    assert set(TASKS[task].figures) <= set(FIGURES)
    for name in TASKS[task].figures:
        figure = FIGURES[name](answers(task))
        assert figure is not None
        assert {"wide", "narrow"} <= set(figure.layout.meta)
        assert "<b>first" not in json.dumps(figure.to_plotly_json(), default=lambda array: array.tolist())


def test_a_binary_task_has_one_curve_and_others_one_for_each_name() -> None:
    for task, curves in (("binary", 1), ("multi-class", 3), ("multi-label", 3)):
        own = answers(task)
        measured = own.task.measured(own.y, own.outputs)
        for name, metric in (("roc", "roc_auc"), ("precision_recall", "average_precision")):
            figure = FIGURES[name](own)
            assert len(areas(figure)) == curves
            assert np.mean(areas(figure)) == pytest.approx(measured[metric], abs=1e-3)


def test_a_curve_is_scikit_learn_s_and_a_long_one_keeps_its_shape() -> None:
    own = answers("binary")
    (false, true, _), figure = metrics.roc_curve(own.y, own.outputs[:, 0]), FIGURES["roc"](own)
    assert figure is not None
    assert figure.data[0].x == pytest.approx(false, abs=1e-4)
    assert figure.data[0].y == pytest.approx(true, abs=1e-4)
    long = FIGURES["roc"](answers("binary", samples=50_000))
    assert long is not None
    assert len(long.data[0].x) <= 200
    assert (long.data[0].x[0], long.data[0].x[-1]) == (0, 1)
    assert metrics.auc(long.data[0].x, long.data[0].y) == pytest.approx(areas(long)[0], abs=5e-3)


@pytest.mark.parametrize("task", ["binary", "multi-label"])
def test_samples_that_count_more_count_more_in_curves(task: str) -> None:
    own = answers(task)
    weight = RANDOM.integers(0, 4, len(own.y))
    at = np.repeat(np.arange(len(own.y)), weight)
    repeated = replace(own, y=own.y[at], outputs=own.outputs[at])
    weighted = replace(own, weight=weight.astype(np.float32))
    for name in ("roc", "precision_recall"):
        expected, found, alike = (areas(FIGURES[name](of)) for of in (repeated, weighted, own))
        assert found == pytest.approx(expected, abs=1e-3)
        assert found != alike


def test_of_101_points_a_curve_is_still_one_of_steps() -> None:
    y = np.arange(202) % 2
    figure = FIGURES["roc"](Answers(TASKS["binary"], y, np.arange(202)[::-1, np.newaxis] / 202, NAMES[:2]))
    assert figure is not None
    assert figure.data[0].line.shape == "vh"


def test_of_many_classes_there_is_the_mean_and_the_lowest() -> None:
    figure = FIGURES["roc"](answers("multi-class", samples=400, units=20))
    mean, *lowest = areas(figure)
    assert figure is not None
    assert figure.data[0].name.startswith("mean of 20 curves")
    assert lowest == sorted(lowest)
    assert len(lowest) == 3
    assert lowest[0] <= mean


def test_what_no_sample_or_every_sample_has_is_no_curve() -> None:
    y = np.array([[1.0, 0.0], [1.0, 1.0]], np.float32)
    some = Answers(TASKS["multi-label"], y, y, ["always", "sometimes"])
    figure = FIGURES["roc"](some)
    assert figure is not None
    assert [trace.name for trace in figure.data] == ["sometimes: 1.000", "by chance"]
    none = Answers(TASKS["multi-label"], y[:1], y[:1], ["always", "never"])
    assert FIGURES["roc"](none) is None
    assert FIGURES["precision_recall"](none) is None


def test_quantities_have_a_panel_each_in_their_own_units() -> None:
    own = answers("regression")
    predicted, residuals = FIGURES["predicted"](own), FIGURES["residuals"](own)
    assert predicted is not None
    assert residuals is not None
    for figure, x, y in (
        (predicted, own.y, own.outputs),
        (residuals, own.outputs, own.outputs - own.y),
    ):
        points = [trace for trace in figure.data if trace.mode == "markers"]
        assert [trace.xaxis for trace in points] == ["x", "x2", "x3"]
        for index, trace in enumerate(points):
            assert trace.x == pytest.approx(x[:, index], rel=1e-4)
            assert trace.y == pytest.approx(y[:, index], rel=1e-4)
    assert predicted.layout.xaxis.title.text == "true &lt;b&gt;first&lt;/b&gt;"


def test_of_many_samples_some_are_drawn() -> None:
    figure = FIGURES["predicted"](answers("regression", samples=20_000, units=1))
    assert figure is not None
    assert len(next(trace for trace in figure.data if trace.mode == "markers").x) == 1000
