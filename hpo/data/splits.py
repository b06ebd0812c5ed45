"""Stratified splits and folds of a training set."""

from __future__ import annotations

import math

import numpy as np

from hpo.errors import DataError

Split = tuple[np.ndarray, np.ndarray]
# Of these some are advised where another one does not do.
SHARES = [round(0.05 * index, 2) for index in range(1, 20)]


def stratified_split(y: np.ndarray, *, fraction: float, seed: int) -> Split:
    """(training indices, validation indices): sorted int32 that keep the classes' shares.

    `y`: (n,) class indices; `fraction` of the samples, rounded up, validate. Every class is in both parts.

    Raises:
        DataError: a class has fewer than 2 samples, or would be missing in a part.

    >>> stratified_split(np.array([0, 0, 0, 1, 1, 1]), fraction=0.3, seed=0)
    (array([1, 2, 3, 5], dtype=int32), array([0, 4], dtype=int32))
    """
    if not 0 < fraction < 1:
        raise DataError("validation", "must be a fraction between 0 and 1", got=fraction)
    classes = _check_members(y, needed=2, purpose="a split", remedy="Add samples, or remove the class.")
    held_out = math.ceil(fraction * len(y))
    for part, size in (("validation", held_out), ("training", len(y) - held_out)):
        if size < classes:
            rule = f"the {part} part of {len(y)} samples must hold at least one for each of {classes} classes"
            raise DataError("validation", rule, got=size, remedy=_enough(y, seed))
    train, validation = _drawn(y, held_out, seed)
    for part, rows in (("validation", validation), ("training", train)):
        if len(missing := np.setdiff1d(y, y[rows])):
            rule = f"the {part} part of {len(y)} samples must hold every class"
            got = f"none of class {missing[0]}, which has {np.sum(y == missing[0])}"
            raise DataError("validation", rule, got=got, remedy=_enough(y, seed))
    return train, validation


def stratified_folds(y: np.ndarray, *, folds: int, seed: int) -> list[Split]:
    """For each of `folds` folds (training indices, validation indices), as `stratified_split` gives them.

    Every sample validates in exactly one fold, and every class is in both parts of each. Raises DataError if
    `folds` < 2 or a class has fewer samples.
    """
    from sklearn.model_selection import StratifiedKFold

    if folds < 2:
        raise DataError("folds", "must be at least 2", got=folds)
    _check_members(y, needed=folds, purpose=f"{folds} folds", remedy="Use fewer folds, or add samples.")
    splitter = StratifiedKFold(n_splits=folds, shuffle=True, random_state=seed)
    return [(train.astype(np.int32), test.astype(np.int32)) for train, test in splitter.split(y, y)]


def check_split(y: np.ndarray, *, fraction: float | None, folds: int | None, seed: int) -> None:
    """Raises DataError if labels cannot be split into these folds, or by this share."""
    if folds is not None:
        stratified_folds(y, folds=folds, seed=seed)
    elif fraction is not None:
        stratified_split(y, fraction=fraction, seed=seed)


def _check_members(y: np.ndarray, *, needed: int, purpose: str, remedy: str) -> int:
    labels, members = np.unique(y, return_counts=True)
    if not len(labels):
        raise DataError("data set", f"{purpose} needs samples", got=0)
    if members.min() < needed:
        rule = f"every class must have at least {needed} samples for {purpose}"
        got = f"{members.min()} of class {labels[members.argmin()]}"
        raise DataError("data set", rule, got=got, remedy=remedy)
    return len(labels)


def _drawn(y: np.ndarray, held_out: int, seed: int) -> Split:
    from sklearn.model_selection import train_test_split

    rows = np.arange(len(y), dtype=np.int32)
    train, validation = train_test_split(rows, test_size=held_out, stratify=y, random_state=seed)
    return np.sort(train), np.sort(validation)


def _enough(y: np.ndarray, seed: int) -> str:
    """Between which shares every class is in both parts, by trying a few."""
    classes, count = len(np.unique(y)), len(y)
    fit = []
    for share in SHARES:
        held_out = math.ceil(share * count)
        if classes <= held_out <= count - classes:
            parts = _drawn(y, held_out, seed)
            if all(len(np.unique(y[rows])) == classes for rows in parts):
                fit.append(share)
    if not fit:
        return "Add samples, or remove the class."
    return f"Take a share from {fit[0]:g} to {fit[-1]:g}, or add samples."
