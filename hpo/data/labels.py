"""What labels a person's file may have: class indices from 0; and what makes such of other labels."""

from __future__ import annotations

import numpy as np

from hpo.errors import DataError

RULE = "must be an array of integer class indices"
ONLY_CLASSES = "Only classes can be learned in this version, one label a sample: no numbers (regression)."


def check_label_header(place: str, shape: tuple[int, ...], dtype: np.dtype) -> None:
    """Raises DataError for what cannot be labels, or need no look at their values to tell what they are."""
    if dtype.kind == "b":
        raise DataError(place, RULE, got=str(dtype), remedy="Convert it with y.astype('int64').")
    if dtype.kind == "O":
        raise DataError(
            place, RULE, got=str(dtype), remedy=f"Make it text, y.astype(str). {_numbering(place)}"
        )
    if dtype.kind not in "iuf":
        raise DataError(place, RULE, got=str(dtype), remedy=_numbering(place))
    if len(shape) not in (1, 2) or 0 in shape[1:]:
        raise DataError(place, "must have shape (samples,)", got=shape)


def class_indices(place: str, y: np.ndarray) -> np.ndarray:
    """Labels as an array of shape (samples,), int64. Raises DataError if they are no class indices."""
    if y.ndim == 2 and y.shape[1] > 1:
        is_one_hot = bool(np.isin(y, (0, 1)).all() and (y.sum(axis=1) == 1).all())
        remedy = "These are one-hot rows: y.argmax(axis=1) makes indices of them."
        raise DataError(
            place, "must have shape (samples,)", got=y.shape, remedy=remedy if is_one_hot else ONLY_CLASSES
        )
    y = y.reshape(-1)
    if y.dtype.kind == "f":
        odd = y[y != np.round(y)]  # NaN is among them
        if odd.size:
            raise DataError(place, RULE, got=f"numbers as {float(odd[0]):g}", remedy=ONLY_CLASSES)
        raise DataError(place, RULE, got=str(y.dtype), remedy="Convert it with y.astype('int64').")
    return y


def count_classes(place: str, y: np.ndarray) -> int:
    """How many classes the labels of a training part have. Raises DataError unless they are 0, 1, 2 ..."""
    labels = [int(label) for label in np.unique(y)]
    if len(labels) < 2:
        raise DataError(place, "must have at least two classes", got=len(labels))
    remedy = "Renumber them: names, y = numpy.unique(y, return_inverse=True)."
    if labels[0] < 0:
        raise DataError(place, "labels must not be negative", got=labels[0], remedy=remedy)
    if (missing := labels[-1] + 1 - len(labels)) > 0:
        candidates = range(min(labels[-1] + 1, len(labels) + 5))
        first = ", ".join(map(str, sorted(set(candidates) - set(labels))[:5]))
        rule = f"labels must be 0..{labels[-1]} with every class present"
        got = f"no {first}{', ...' if missing > 5 else ''} ({missing} missing)"
        raise DataError(place, rule, got=got, remedy=remedy)
    return len(labels)


def check_known(place: str, y: np.ndarray, classes: int) -> None:
    """Raises DataError if a label of a part is none of the training part's."""
    if y.size and not 0 <= y.min() <= y.max() < classes:
        wrong = y[(y < 0) | (y >= classes)][0]
        rule = f"labels must be among the training part's, 0..{classes - 1}"
        raise DataError(place, rule, got=int(wrong))


def _numbering(place: str) -> str:
    if place.endswith("y_test"):
        return "Number them as the training part's: y_test = numpy.searchsorted(names, y_test)."
    return "Number them: names, y = numpy.unique(y, return_inverse=True)."
