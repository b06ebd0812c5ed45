"""Precision, recall and F1 against scikit-learn and against their definitions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score, precision_score, recall_score

from hpo.tasks import TASKS

SHARES = ("precision", "recall", "f1")


def classification_metrics(targets: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    measured = TASKS["multi-class"].measured(targets.astype(np.int64), probabilities)
    return {name: measured[name] for name in SHARES}


def probabilities_of(predicted: np.ndarray, classes: int) -> np.ndarray:
    """Probabilities whose largest is the predicted class's, and never by much."""
    noise = np.random.default_rng(0).random((len(predicted), classes)) * 0.01
    return (np.eye(classes)[predicted] * 0.02 + noise).astype(np.float32)


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(st.data())
def test_they_equal_scikit_learns_macro_averages_over_the_classes_that_occur(data: st.DataObject) -> None:
    classes = data.draw(st.integers(2, 6))
    label = st.integers(0, classes - 1)
    pairs = np.array(data.draw(st.lists(st.tuples(label, label), min_size=1, max_size=40)))
    targets, predicted = pairs.T
    options = {"average": "macro", "zero_division": 0}
    assert classification_metrics(targets, probabilities_of(predicted, classes)) == pytest.approx(
        {
            "precision": precision_score(targets, predicted, **options),
            "recall": recall_score(targets, predicted, **options),
            "f1": f1_score(targets, predicted, **options),
        }
    )


def test_a_class_that_is_never_predicted_has_precision_and_f1_0_without_a_warning(
    recwarn: pytest.WarningsRecorder,
) -> None:
    targets, predicted = np.array([0, 0, 1, 1, 2, 2]), np.array([0, 0, 1, 1, 1, 1])
    metrics = classification_metrics(targets, probabilities_of(predicted, 3))
    assert metrics == pytest.approx(
        {"precision": (1 + 0.5 + 0) / 3, "recall": (1 + 1 + 0) / 3, "f1": (1 + 2 / 3 + 0) / 3}
    )
    assert not recwarn.list


def test_a_class_that_neither_occurs_nor_is_predicted_makes_no_model_worse() -> None:
    labels = np.array([0, 0, 2, 2])
    assert set(classification_metrics(labels, probabilities_of(labels, 4)).values()) == {1.0}
    # One that is predicted, and wrongly, does.
    assert classification_metrics(labels, probabilities_of(np.array([0, 0, 2, 1]), 4))["precision"] < 1


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float32])
def test_perfect_predictions_have_1_and_the_values_are_plain_floats(dtype: type) -> None:
    labels = np.arange(12) % 4
    metrics = classification_metrics(labels.astype(dtype), probabilities_of(labels, 4))
    assert metrics == {"precision": 1.0, "recall": 1.0, "f1": 1.0}
    assert {type(value) for value in metrics.values()} == {float}


def test_the_most_probable_class_is_predicted_however_small_its_lead() -> None:
    close = np.array([[0.2, 0.4000001, 0.3999999], [1.0, 0.0, 0.0]])
    assert classification_metrics(np.array([1, 0]), close)["recall"] == 1.0
