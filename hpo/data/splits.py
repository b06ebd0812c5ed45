"""Stratified splits and folds of a training set."""

from __future__ import annotations

import math

import numpy as np

from hpo.errors import DataError

Split = tuple[np.ndarray, np.ndarray]


def stratified_split(y: np.ndarray, *, fraction: float, seed: int) -> Split:
    """(training indices, validation indices): sorted int32 that keep the classes' shares.

    `y`: (n,) class indices; `fraction` of the samples, rounded up, validate. Raises DataError if a class
    has fewer than 2 samples, or a part would have fewer samples than there are classes.
    """
    from sklearn.model_selection import train_test_split

    if not 0 < fraction < 1:
        raise DataError("validation", "must be a fraction between 0 and 1", got=fraction)
    classes = _check_members(y, needed=2, purpose="a split", remedy="Add samples, or remove the class.")
    held_out = math.ceil(fraction * len(y))
    for part, size in (("validation", held_out), ("training", len(y) - held_out)):
        if size < classes:
            rule = f"the {part} part of {len(y)} samples must hold at least one for each of {classes} classes"
            raise DataError("validation", rule, got=size, remedy="Change the fraction, or add samples.")
    train, validation = train_test_split(
        np.arange(len(y), dtype=np.int32), test_size=held_out, stratify=y, random_state=seed
    )
    return np.sort(train), np.sort(validation)


def stratified_folds(y: np.ndarray, *, folds: int, seed: int) -> list[Split]:
    """For each of `folds` folds (training indices, validation indices), as `stratified_split` gives them.

    Every sample validates in exactly one fold. Raises DataError if `folds` < 2 or a class has fewer samples.
    """
    from sklearn.model_selection import StratifiedKFold

    if folds < 2:
        raise DataError("folds", "must be at least 2", got=folds)
    _check_members(y, needed=folds, purpose=f"{folds} folds", remedy="Use fewer folds, or add samples.")
    splitter = StratifiedKFold(n_splits=folds, shuffle=True, random_state=seed)
    return [(train.astype(np.int32), test.astype(np.int32)) for train, test in splitter.split(y, y)]


def _check_members(y: np.ndarray, *, needed: int, purpose: str, remedy: str) -> int:
    labels, members = np.unique(y, return_counts=True)
    if not len(labels):
        raise DataError("data set", f"{purpose} needs samples", got=0)
    if members.min() < needed:
        rule = f"every class must have at least {needed} samples for {purpose}"
        got = f"{members.min()} of class {labels[members.argmin()]}"
        raise DataError("data set", rule, got=got, remedy=remedy)
    return len(labels)
