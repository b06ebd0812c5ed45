"""Predictions to precision, recall and F1."""

from __future__ import annotations

from typing import Any

import numpy as np


def classification_metrics(
    targets: np.ndarray[Any, Any], probabilities: np.ndarray[Any, Any]
) -> dict[str, float]:
    """Macro averages of precision, recall and F1 over the classes that occur, as scikit-learn has them.

    `targets` are class indices of shape (samples,), `probabilities` of shape (samples, classes). A class
    occurs if it is a target or is predicted: one that does neither says nothing of the model, and as a 0 in
    the mean it would make a perfect one look poor. One that is never predicted has precision 0.

    >>> classification_metrics(np.array([0, 1]), np.array([[0.9, 0.1, 0.0], [0.2, 0.8, 0.0]]))
    {'precision': 1.0, 'recall': 1.0, 'f1': 1.0}
    """
    from sklearn.metrics import precision_recall_fscore_support

    precision, recall, f1, _ = precision_recall_fscore_support(
        targets, probabilities.argmax(axis=1), average="macro", zero_division=0.0
    )
    return {"precision": float(precision), "recall": float(recall), "f1": float(f1)}


def confusion_counts(
    targets: np.ndarray[Any, Any], probabilities: np.ndarray[Any, Any]
) -> np.ndarray[Any, Any]:
    """Samples by true (row) and predicted (column) class: (classes, classes) counts."""
    from sklearn.metrics import confusion_matrix

    classes = range(probabilities.shape[1])
    counts: np.ndarray[Any, Any] = confusion_matrix(targets, probabilities.argmax(axis=1), labels=classes)
    return counts
