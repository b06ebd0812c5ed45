"""How much one column alone says of a target: from 0, nothing, to 1, all of it."""

from __future__ import annotations

import numpy as np

from hpo.data.columns import Array

# Rows below which what a column explains may be an accident.
FEWEST_ROWS = 50


def classes_explained(values: Array, y: Array) -> float:
    """How far intervals of a column tell classes: of the errors of the commonest class the share avoided.

    As many intervals as there are classes, of values in their order: a column that needs more is no copy.
    """
    classes, codes = np.unique(y, return_inverse=True)
    filled = np.where(np.isfinite(values), values, np.float32(-np.inf))
    order = np.argsort(filled, kind="stable")
    sorted_values, sorted_codes = filled[order], codes[order]
    # What each distinct value is taken for: its commonest class, as a category's levels are.
    starts = np.flatnonzero(np.r_[True, sorted_values[1:] != sorted_values[:-1]])
    if len(starts) <= 2 * len(classes) + 2:
        counts = np.stack([np.add.reduceat(sorted_codes == c, starts) for c in range(len(classes))])
        wrong = len(y) - int(counts.max(axis=0).sum())
    else:
        # Classes as blocks: in the order of their medians, each up to the middle of its border.
        medians = np.array([np.median(np.flatnonzero(sorted_codes == c)) for c in range(len(classes))])
        block = np.argsort(medians)
        ends = np.cumsum(np.bincount(codes)[block])[:-1]
        borders = np.array([np.searchsorted(sorted_values, sorted_values[end], "left") for end in ends])
        taken = block[np.searchsorted(borders, np.arange(len(y)), "right")]
        wrong = int((taken != sorted_codes).sum())
    commonest = np.bincount(codes).max()
    return float(1.0 - wrong / max(1, len(y) - commonest))


def quantity_explained(values: Array, y: Array) -> float:
    """R2 of a straight line, or of ranks."""
    known = np.isfinite(values)
    if known.sum() < FEWEST_ROWS or known.mean() < 0.5:
        return 0.0
    x, target = values[known].astype(np.float64), y[known]
    if not x.std() or not target.std():
        return 0.0
    ranks = np.argsort(np.argsort(x)), np.argsort(np.argsort(target))
    straight = np.corrcoef(x, target)[0, 1] ** 2
    return max(float(straight), float(np.corrcoef(*ranks)[0, 1] ** 2))
