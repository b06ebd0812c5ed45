"""Predictions to precision, recall, F1 and a confusion matrix."""

from __future__ import annotations

from typing import Any

import numpy as np


def classification_metrics(
    targets: np.ndarray[Any, Any], probabilities: np.ndarray[Any, Any]
) -> dict[str, float]:
    """Macro averages of precision, recall and F1.

    `targets` are class indices of shape (samples,), `probabilities` of shape (samples, classes). A class that
    is never predicted has precision 0.
    """
    from sklearn.metrics import precision_recall_fscore_support

    predicted = probabilities.argmax(axis=1)
    precision, recall, f1, _ = precision_recall_fscore_support(
        targets, predicted, labels=range(probabilities.shape[1]), average="macro", zero_division=0.0
    )
    return {"precision": float(precision), "recall": float(recall), "f1": float(f1)}


def confusion_matrix(
    targets: np.ndarray[Any, Any], probabilities: np.ndarray[Any, Any]
) -> np.ndarray[Any, Any]:
    """Samples by true (row) and predicted (column) class: (classes, classes) counts."""
    classes = probabilities.shape[1]
    flat = targets.astype(np.int64) * classes + probabilities.argmax(axis=1)
    counts: np.ndarray[Any, Any] = np.bincount(flat, minlength=classes * classes)
    return counts.reshape(classes, classes)
