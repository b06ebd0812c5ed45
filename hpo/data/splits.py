"""Splits and folds of a training set: stratified, each part with every class, at random, or by columns."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from hpo.errors import DataError

if TYPE_CHECKING:
    from hpo.data.dataset import Dataset
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


def splits_of(dataset: Dataset, data: Data) -> list[Split]:
    """(training indices, validation indices) of each fold that a study declares, or of its one split.

    Raises:
        DataError: it cannot be split so.
    """
    if data.folds is None:
        assert data.validation is not None
        return [held_out(dataset, data, fraction=data.validation)]
    found: list[Split] = []
    for seed in range(data.seed, data.seed + data.repeats):
        found += _folds(dataset, data, folds=data.folds, seed=seed)
    return found


def held_out(dataset: Dataset, data: Data, *, fraction: float) -> Split:
    """One split, of which `fraction` of the samples, rounded up, or of the groups, is held out."""
    from sklearn.model_selection import GroupShuffleSplit

    y, count = _strata(dataset, data), len(dataset)
    if data.split_by_column == "time":
        order = _by_time(dataset, data)
        later = order[count - _held_out(order, fraction) :]
        # Rows of the same moment validate too.
        times = dataset.times
        assert times is not None
        return _in_time(order, np.flatnonzero(times >= times[later].min()), dataset)
    if data.split_by_column == "group":
        groups = _groups(dataset, data, least=2)
        splitter = GroupShuffleSplit(n_splits=1, test_size=fraction, random_state=data.seed)
        train, validation = next(splitter.split(groups, groups=groups))
        return _whole(train, validation, dataset)
    if y is None:
        order = np.random.default_rng(data.seed).permutation(count)
        end = count - _held_out(order, fraction)
        return _whole(np.sort(order[:end]), np.sort(order[end:]), dataset)
    return stratified_split(y, fraction=fraction, seed=data.seed)


def _folds(dataset: Dataset, data: Data, *, folds: int, seed: int) -> list[Split]:
    from sklearn.model_selection import GroupKFold, KFold, StratifiedGroupKFold, TimeSeriesSplit

    y, rows = _strata(dataset, data), np.arange(len(dataset))
    if data.split_by_column == "group":
        groups = _groups(dataset, data, least=folds)
        kind = GroupKFold if y is None else StratifiedGroupKFold
        splitter = kind(n_splits=folds, shuffle=True, random_state=seed)
        return [_whole(a, b, dataset) for a, b in splitter.split(rows, y, groups)]
    if y is not None and data.split_by_column is None:
        return stratified_folds(y, folds=folds, seed=seed)
    if len(rows) < folds + (data.split_by_column == "time"):
        raise DataError("folds", "must be fewer than there are rows", got=folds, remedy="Use fewer folds.")
    if data.split_by_column == "time":
        order = _by_time(dataset, data)
        parts = TimeSeriesSplit(n_splits=folds).split(rows)
        return [_in_time(order[train], order[later], dataset) for train, later in parts]
    splitter = KFold(n_splits=folds, shuffle=True, random_state=seed)
    return [_whole(a, b, dataset) for a, b in splitter.split(rows)]


def _strata(dataset: Dataset, data: Data) -> np.ndarray | None:
    strata = dataset.task.strata(dataset.y)
    if data.split == "stratified" and strata is None:
        rule = f"must be random, group or time for task {dataset.task_name!r}, which has not one class a row"
        raise DataError("data.split", rule, got=data.split)
    return None if data.split == "random" else strata


def _groups(dataset: Dataset, data: Data, *, least: int) -> np.ndarray:
    if dataset.groups is None:
        raise DataError("data.group", "needs a table with such a column", got=data.group)
    if (count := len(np.unique(dataset.groups))) < least:
        rule = f"must have at least {least} groups to be split by them"
        raise DataError(f"data.group: column {data.group!r}", rule, got=count)
    return dataset.groups


def _by_time(dataset: Dataset, data: Data) -> np.ndarray:
    if dataset.times is None:
        raise DataError("data.time", "needs a table with such a column", got=data.time)
    return np.argsort(dataset.times, kind="stable")


def _in_time(train: np.ndarray, later: np.ndarray, dataset: Dataset) -> Split:
    """Rows that train, of these those before any of the `later` ones: not one of the same moment."""
    assert dataset.times is not None
    times = dataset.times
    return _whole(np.sort(train[times[train] < times[later].min()]), np.sort(later), dataset)


def _whole(train: np.ndarray, validation: np.ndarray, dataset: Dataset) -> Split:
    """The split, if both parts have samples, and the training part every class."""
    for part, rows in (("training", train), ("validation", validation)):
        if not len(rows):
            raise DataError("data", f"the {part} part must have samples", got=0, remedy="Split it otherwise.")
    strata = dataset.task.strata(dataset.y)
    if strata is not None and (absent := np.setdiff1d(strata, strata[train])).size:
        rule = "the training part must have every class"
        remedy = "Split it otherwise, or leave the class out."
        raise DataError("data.split", rule, got=f"none of {dataset.names[absent[0]]}", remedy=remedy)
    return train.astype(np.int32), validation.astype(np.int32)


def check_splits(dataset: Dataset, data: Data) -> None:
    """Raises DataError if a data set cannot be split as a study declares, or a part counts nothing."""
    y = _strata(dataset, data)
    if y is None or data.split_by_column is not None or dataset.weight is not None:
        _check_weights(splits_of(dataset, data), dataset, data)
    elif data.folds is not None:
        check_folds(y, folds=data.folds, names=dataset.names)
    elif data.validation is not None:
        check_split(y, fraction=data.validation, names=dataset.names)


def _check_weights(splits: list[Split], dataset: Dataset, data: Data) -> None:
    if (weight := dataset.weight) is None:
        return
    for fold, parts in enumerate(splits):
        for part, rows in zip(("training", "validation"), parts, strict=True):
            of_fold = f" of fold {fold}" if data.splits else ""
            check_weighs(weight[rows], f"the {part} part{of_fold}", data)


def check_weighs(weight: np.ndarray, part: str, data: Data) -> None:
    """Raises DataError if the weights of a part's rows are all 0: nothing could be measured."""
    if not weight.any():
        rule = f"must be greater than 0 somewhere in {part}"
        remedy = "Split it otherwise, or leave such rows out."
        place = f"{data.name}: weights" if data.weight is None else f"data.weight: column {data.weight!r}"
        raise DataError(place, rule, got="0 in all its rows", remedy=remedy)


def check_split(y: np.ndarray, *, fraction: float, names: Sequence[str] = ()) -> None:
    """Raises the DataError of `stratified_split`, without splitting; `names` are those of the classes."""
    if not 0 < fraction < 1:
        raise DataError("validation", "must be a fraction between 0 and 1", got=fraction)
    remedy = "Add samples, or remove the class."
    classes = _check_members(y, names, needed=2, purpose="a split", remedy=remedy)
    held_out = _held_out(y, fraction)
    for part, size in (("validation", held_out), ("training", len(y) - held_out)):
        if size < classes:
            rule = f"the {part} part of {len(y)} samples must hold at least one for each of {classes} classes"
            raise DataError("validation", rule, got=size, remedy=_possible(len(y), classes))


def check_folds(y: np.ndarray, *, folds: int, names: Sequence[str] = ()) -> None:
    """Raises the DataError of `stratified_folds`, without splitting."""
    if folds < 2:
        raise DataError("folds", "must be at least 2", got=folds)
    remedy = "Use fewer folds, or add samples."
    _check_members(y, names, needed=folds, purpose=f"{folds} folds", remedy=remedy)


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


def _check_members(y: np.ndarray, names: Sequence[str], *, needed: int, purpose: str, remedy: str) -> int:
    labels, members = np.unique(y, return_counts=True)
    if not len(labels):
        raise DataError("data set", f"{purpose} needs samples", got=0)
    if members.min() < needed:
        rule = f"every class must have at least {needed} samples for {purpose}"
        label = labels[members.argmin()]
        got = f"{members.min()} of class {names[label] if names else label}"
        raise DataError("data set", rule, got=got, remedy=remedy)
    return len(labels)
