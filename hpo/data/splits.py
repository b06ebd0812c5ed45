"""Stratified splits and folds of a training set, each part of which has every class."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from hpo.errors import DataError

if TYPE_CHECKING:
    from hpo.spec.parts import Data

Split = tuple[np.ndarray, np.ndarray]


def stratified_split(y: np.ndarray, *, fraction: float, seed: int) -> Split:
    """(training indices, validation indices): sorted int32 that keep the classes' shares.

    Each part has at least one sample of each class. `y`: (n,) class indices; `fraction` of the samples,
    rounded up, validate. Raises DataError if a class has fewer than 2 samples, or a part would have fewer
    samples than there are classes.

    >>> y = np.array([0, 0, 0, 0, 1, 1, 1, 1])
    >>> train, validation = stratified_split(y, fraction=0.25, seed=0)
    >>> y[train].tolist(), y[validation].tolist()
    ([0, 0, 0, 1, 1, 1], [0, 1])
    """
    check_split(y, fraction=fraction)
    train, validation = drawn = _by_shares(y, fraction=fraction, seed=seed)
    if _lacks_a_class(y, train) or _lacks_a_class(y, validation):
        return _with_every_class(y, len(validation), seed=seed)
    return drawn


def is_corrected(y: np.ndarray, *, fraction: float, seed: int) -> bool:
    """Whether the classes' shares alone would leave a class out of a part, as they did up to version 0.1."""
    return any(_lacks_a_class(y, part) for part in _by_shares(y, fraction=fraction, seed=seed))


def stratified_folds(y: np.ndarray, *, folds: int, seed: int) -> list[Split]:
    """For each of `folds` folds (training indices, validation indices), as `stratified_split` gives them.

    Every sample validates in exactly one fold. Raises DataError if `folds` < 2 or a class has fewer samples.
    """
    from sklearn.model_selection import StratifiedKFold

    check_folds(y, folds=folds)
    # It deals each class's samples out to the folds in turn: with as many as folds, every fold gets one.
    splitter = StratifiedKFold(n_splits=folds, shuffle=True, random_state=seed)
    return [(train.astype(np.int32), test.astype(np.int32)) for train, test in splitter.split(y, y)]


def check_splits(y: np.ndarray, data: Data) -> None:
    """Raises DataError if the labels cannot be split as a study declares; splits nothing."""
    if data.folds is not None:
        check_folds(y, folds=data.folds)
    elif data.validation is not None:
        check_split(y, fraction=data.validation)


def check_split(y: np.ndarray, *, fraction: float) -> None:
    """Raises the DataError of `stratified_split`, without splitting."""
    if not 0 < fraction < 1:
        raise DataError("validation", "must be a fraction between 0 and 1", got=fraction)
    classes = _check_members(y, needed=2, purpose="a split", remedy="Add samples, or remove the class.")
    held_out = _held_out(y, fraction)
    for part, size in (("validation", held_out), ("training", len(y) - held_out)):
        if size < classes:
            rule = f"the {part} part of {len(y)} samples must hold at least one for each of {classes} classes"
            raise DataError("validation", rule, got=size, remedy=_possible(len(y), classes))


def check_folds(y: np.ndarray, *, folds: int) -> None:
    """Raises the DataError of `stratified_folds`, without splitting."""
    if folds < 2:
        raise DataError("folds", "must be at least 2", got=folds)
    _check_members(y, needed=folds, purpose=f"{folds} folds", remedy="Use fewer folds, or add samples.")


def _by_shares(y: np.ndarray, *, fraction: float, seed: int) -> Split:
    from sklearn.model_selection import train_test_split

    train, validation = train_test_split(
        np.arange(len(y), dtype=np.int32), test_size=_held_out(y, fraction), stratify=y, random_state=seed
    )
    return np.sort(train), np.sort(validation)


def _possible(samples: int, classes: int) -> str:
    # In thousandths. One half always is possible, as each class has two samples.
    fractions = np.arange(1, 1000) / 1000
    held_out = np.ceil(fractions * samples)
    possible = fractions[(held_out >= classes) & (samples - held_out >= classes)]
    return f"Use a fraction from {possible[0]:g} to {possible[-1]:g}."


def _held_out(y: np.ndarray, fraction: float) -> int:
    return math.ceil(fraction * len(y))


def _lacks_a_class(y: np.ndarray, part: np.ndarray) -> bool:
    return len(np.unique(y[part])) < len(np.unique(y))


def _with_every_class(y: np.ndarray, held_out: int, *, seed: int) -> Split:
    """A split that is as near to the classes' shares as it can be with each class in each part."""
    labels, members = np.unique(y, return_counts=True)
    shares = members * held_out / len(y)
    counts = np.clip(np.floor(shares), 1, members - 1)
    while excess := int(counts.sum()) - held_out:
        step = 1 if excess > 0 else -1
        may_give = counts > 1 if excess > 0 else counts < members - 1
        counts[np.argmax(np.where(may_give, step * (counts - shares), -np.inf))] -= step
    generator = np.random.default_rng(seed)
    drawn = [
        generator.permutation(np.flatnonzero(y == label))[: int(count)]
        for label, count in zip(labels, counts, strict=True)
    ]
    validation = np.sort(np.concatenate(drawn)).astype(np.int32)
    return np.setdiff1d(np.arange(len(y), dtype=np.int32), validation), validation


def _check_members(y: np.ndarray, *, needed: int, purpose: str, remedy: str) -> int:
    labels, members = np.unique(y, return_counts=True)
    if not len(labels):
        raise DataError("data set", f"{purpose} needs samples", got=0)
    if members.min() < needed:
        rule = f"every class must have at least {needed} samples for {purpose}"
        got = f"{members.min()} of class {labels[members.argmin()]}"
        raise DataError("data set", rule, got=got, remedy=remedy)
    return len(labels)
