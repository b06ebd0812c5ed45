"""What every task promises, and its metrics against scikit-learn and their definitions."""

from __future__ import annotations

import math

import keras
import numpy as np
import pytest
from sklearn import metrics

from hpo.spec import METRICS
from hpo.tasks import TASKS, Task

Array = np.ndarray
RANDOM = np.random.default_rng(0)
NAMES = ("one", "two", "three")


def example(task: Task, samples: int = 40) -> tuple[Array, Array, tuple[str, ...]]:
    """Targets, outputs and names of a task that learns something, and not all."""
    truth = RANDOM.integers(0, 3, samples)
    shares = RANDOM.random((samples, 3)) + 1.5 * np.eye(3)[truth]
    if task.name == "multi-class":
        return truth, shares / shares.sum(axis=1, keepdims=True), NAMES
    if task.name == "binary":
        return (truth > 0).astype(np.int64), shares[:, 1:2] / 2.5, NAMES[:2]
    if task.name == "multi-label":
        return np.eye(3, dtype=np.float32)[truth], shares / 2.5, NAMES
    return shares.astype(np.float32), shares + RANDOM.normal(0, 0.1, shares.shape), NAMES


@pytest.fixture(params=[task for task in TASKS.values() if task.has_one_output], ids=lambda task: task.name)
def task(request: pytest.FixtureRequest) -> Task:
    chosen: Task = request.param
    return chosen


def test_a_task_measures_what_it_says_and_can_be_ranked_by_it(task: Task) -> None:
    y, outputs, names = example(task)
    measured = task.measured(y, outputs)
    assert set(measured) == set(task.final)
    assert {type(value) for value in measured.values()} == {float}
    assert all(map(math.isfinite, measured.values()))
    assert set(task.metrics) <= set(METRICS)
    assert task.objective in task.metrics
    assert METRICS[task.objective].is_epoch
    assert set(task.shown) <= {*task.metrics, "train_seconds"}
    assert outputs.shape[1] == task.units(len(names))
    # What stands for a metric while a trial trains is of the same task.
    assert {METRICS[name].reported for name in task.final} <= set(task.epoch_metrics)
    for name in (*task.final, *task.epoch):
        assert METRICS[f"test_{name}"].is_test


def test_keras_has_its_loss_its_activation_and_its_metrics(task: Task) -> None:
    y, outputs, _ = example(task)
    assert np.isfinite(
        np.array(keras.losses.get(task.loss)(y.reshape(len(y), -1), outputs.astype(np.float32)))
    ).all()
    assert keras.activations.get(task.activation)
    for kind in task.epoch.values():
        assert hasattr(keras.metrics, kind)


def test_weights_count_as_so_many_samples_would(task: Task) -> None:
    y, outputs, _ = example(task)
    weight = RANDOM.integers(0, 4, len(y))
    if (strata := task.strata(y)) is not None:
        # A class that does not count is none: its samples are as those that are not there.
        weight[strata == 0] = 0
    repeated = np.repeat(np.arange(len(y)), weight)
    for of in (task.measured, task.compared):
        assert of(y, outputs, weight.astype(np.float32)) == pytest.approx(
            of(y[repeated], outputs[repeated]), rel=1e-6
        )
        assert of(y, outputs, np.zeros(len(y), np.float32)) == {}


def test_samples_are_weighted_as_keras_weights_them(task: Task) -> None:
    y, outputs, _ = example(task)
    weight = RANDOM.random(len(y)).astype(np.float32)
    for name, value in task.compared(y, outputs, weight).items():
        metric = keras.metrics.get(task.epoch[name])
        metric.update_state(y.reshape(len(y), -1), outputs, weight)
        assert float(metric.result()) == pytest.approx(value, rel=1e-5)


def test_a_prediction_has_a_row_a_sample(task: Task) -> None:
    _, outputs, names = example(task)
    described = task.described(outputs, names)
    assert {len(column) for column in described.values()} == {len(outputs)}
    if (shares := task.probabilities(outputs)) is not None:
        assert shares.shape == (len(outputs), len(names))
        assert shares.sum(axis=1) == pytest.approx(1.0)
        assert described["class"].tolist() == [names[best] for best in shares.argmax(axis=1)]


def test_what_is_undefined_is_left_out() -> None:
    task = TASKS["multi-class"]
    y, outputs, _ = example(task)
    without = task.measured(np.where(y == 2, 1, y), outputs)
    assert set(task.final) - set(without) == {"roc_auc", "average_precision"}
    labels = TASKS["multi-label"]
    assert "roc_auc" not in labels.measured(np.zeros((4, 2), np.float32), np.full((4, 2), 0.5))
    assert TASKS["regression"].measured(np.ones((1, 1), np.float32), np.ones((1, 1))) == {}
    assert TASKS["regression"].measured(np.ones((9, 1), np.float32), np.arange(9.0)[:, None]) == {}


def test_what_is_undefined_is_told_by_the_targets_alone(task: Task) -> None:
    y, outputs, names = example(task)
    assert task.undefined(y, len(names)) == {}
    for rows, weight in ((np.arange(1), None), (np.arange(40), np.eye(40)[7]), (np.arange(0), None)):
        told = task.undefined(y[rows], len(names), weight)
        assert told.keys() == {*task.final} & {"roc_auc", "average_precision", "r2"}
        if len(rows):
            assert {*task.final} - told.keys() == task.measured(y[rows], outputs[rows], weight).keys()


def test_r2_is_the_mean_over_the_targets_that_vary() -> None:
    y, outputs, _ = example(TASKS["regression"])
    one = TASKS["regression"].measured(y[:, :1], outputs[:, :1])
    y[:, 1:] = 5.0
    assert TASKS["regression"].measured(y, outputs) == pytest.approx(one)


def test_a_binary_task_is_one_of_two_classes_but_for_its_output() -> None:
    y, outputs, _ = example(TASKS["binary"])
    both = np.hstack([1 - outputs, outputs])
    of_two, of_one = TASKS["multi-class"].measured(y, both), TASKS["binary"].measured(y, outputs)
    del of_two["average_precision"]
    assert of_one["average_precision"] == pytest.approx(metrics.average_precision_score(y, outputs[:, 0]))
    assert {name: of_one[name] for name in of_two} == pytest.approx(of_two)
    assert (
        TASKS["binary"].confusion(y, outputs).tolist()
        == metrics.confusion_matrix(y, outputs[:, 0] > 0.5).tolist()
    )


def test_labels_are_averaged_over_the_labels() -> None:
    y, outputs, _ = example(TASKS["multi-label"])
    measured = TASKS["multi-label"].measured(y, outputs)
    assert measured["log_loss"] == pytest.approx(
        np.mean([metrics.log_loss(y[:, label], np.clip(outputs[:, label], 0, 1)) for label in range(3)]),
        rel=1e-3,
    )
    assert measured["roc_auc"] == pytest.approx(
        np.mean([metrics.roc_auc_score(y[:, label], outputs[:, label]) for label in range(3)])
    )
