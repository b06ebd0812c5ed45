"""Labels as class indices; what to do with those that are not, in code that works as it is written."""

from __future__ import annotations

import numpy as np

from hpo.errors import DataError

RULE = "must be an array of integer class indices"
ONLY_CLASSES = (
    "Only one class for each sample can be learned in this version: no quantities, no sets of labels."
)
# Whole numbers beyond this are not told apart by floats.
GREATEST_WHOLE = 2**53


def check_kind(place: str, dtype: np.dtype, *, numbering: str) -> None:
    """Raises DataError for an array that cannot be read (one of objects, which is pickled) or has no numbers.

    `numbering` is the remedy for names of classes.
    """
    if dtype.kind == "O":
        rule = f"{RULE}, and objects are pickled, which is not read"
        raise DataError(place, rule, got=str(dtype), remedy=numbering.replace("(y,", "(y.astype(str),"))
    if dtype.kind in "USMm":
        raise DataError(place, RULE, got=str(dtype), remedy=numbering)
    if dtype.kind not in "biuf":
        raise DataError(place, RULE, got=str(dtype), remedy=ONLY_CLASSES)


def class_indices(place: str, y: np.ndarray) -> np.ndarray:
    """Labels of shape (n,) or (n, 1) as integers of shape (n,). Raises DataError, with what makes them so."""
    if y.ndim != 1 and y.shape[1:] != (1,):
        one_hot = y.ndim == 2 and np.isin(y, (0, 1)).all() and (y.sum(axis=1) == 1).all()
        remedy = "One-hot rows become indices with `y = y.argmax(axis=1)`." if one_hot else ONLY_CLASSES
        rule = "must have shape (samples,)" if one_hot else "must have shape (samples,), one class for each"
        raise DataError(place, rule, got=y.shape, remedy=remedy)
    y = y.reshape(-1)
    if y.dtype.kind == "f":
        _refuse_floats(place, y)
    if y.dtype.kind == "b":
        raise DataError(place, RULE, got=str(y.dtype), remedy="Convert it with `y = y.astype('int64')`.")
    return y


def check_classes(place: str, y: np.ndarray, *, numbering: str) -> int:
    """How many classes there are. Raises DataError unless they are 0, 1, 2, ..., each of them present."""
    labels = [int(label) for label in np.unique(y)]
    if len(labels) < 2:
        raise DataError(place, "must have at least two classes", got=len(labels))
    if labels[0] < 0:
        raise DataError(place, "labels must not be negative", got=labels[0], remedy=numbering)
    if (missing := labels[-1] + 1 - len(labels)) > 0:
        candidates = range(min(labels[-1] + 1, len(labels) + 5))
        first = ", ".join(map(str, sorted(set(candidates) - set(labels))[:5]))
        rule = f"labels must be 0..{labels[-1]} with every class present"
        got = f"no {first}{', ...' if missing > 5 else ''} ({missing} missing)"
        raise DataError(place, rule, got=got, remedy=numbering)
    return len(labels)


def numbering(*, with_test: bool) -> str:
    """The remedy for labels that are not 0, 1, 2, ...: both parts are numbered alike."""
    number = "classes, y = numpy.unique(y, return_inverse=True)"
    if not with_test:
        return f"Number the classes with `{number}`."
    both, parted = "y = numpy.concatenate([y_train, y_test])", "numpy.split(y, [len(y_train)])"
    return f"Number the classes with `{both}; {number}; y_train, y_test = {parted}`."


def _refuse_floats(place: str, y: np.ndarray) -> None:
    unknown = ~np.isfinite(y)
    if unknown.any():
        remedy = "Leave those samples out with `known = numpy.isfinite(y); x, y = x[known], y[known]`."
        got = f"{np.count_nonzero(unknown)} that are not finite"
        raise DataError(place, RULE, got=got, remedy=remedy)
    parted = y[(y != np.rint(y)) | (np.abs(y) > GREATEST_WHOLE)]
    if parted.size:
        raise DataError(place, RULE, got=float(parted[0]), remedy=ONLY_CLASSES)
    raise DataError(place, RULE, got=str(y.dtype), remedy="Convert it with `y = y.astype('int64')`.")
