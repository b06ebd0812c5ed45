"""Arrays of targets: what they may hold, and what is to be learned of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from hpo.data.columns import Array
from hpo.data.targets import BINARY, MULTI_CLASS, MULTI_LABEL, REGRESSION, Targets, indices, like, targets_of
from hpo.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

RULE = "must be numbers, text or truth values"
FORMS = {
    "O": "objects, which are pickled, and that is not read",
    "c": "complex numbers",
    "V": "a structured array",
    "m": "spans of time",
}
REMEDIES = {
    "O": "Save text with `y = y.astype(str)`, numbers with `y = y.astype('float64')`.",
    "c": "Make columns of them: `y = numpy.stack([y.real, y.imag], axis=-1)`.",
    "V": "Save one of its fields.",
    "m": "Save their number: `y = y / numpy.timedelta64(1, 's')`.",
}
CLASSES = (None, MULTI_CLASS, BINARY)


@dataclass(frozen=True)
class Learned:
    """What the targets of a training part say: `targets` of its samples, and how other samples' are read.

    `is_numbered`: classes 0, 1, 2, ..., all there, which have no other names; `is_one_hot`: rows with one 1
    each; `width`: columns of the array, 0 without.
    """

    targets: Targets
    width: int
    is_numbered: bool = False
    is_one_hot: bool = False

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names of classes, labels or quantities, if they have other ones than their numbers."""
        return () if self.is_numbered else self.targets.names


def check_form(place: str, shape: tuple[int, ...], dtype: np.dtype) -> None:
    """Raises DataError for an array that holds no targets, by what its header says."""
    if dtype.kind in FORMS:
        raise DataError(place, RULE, got=FORMS[dtype.kind], remedy=REMEDIES[dtype.kind])
    if len(shape) not in (1, 2) or 0 in shape[1:]:
        rule = "must have shape (samples,) or (samples, targets)"
        raise DataError(place, rule, got=shape)
    if not shape[0]:
        raise DataError(place, "must have samples", got=0)


def learn(y: Array, *, task: str | None, place: str, key: str) -> Learned:
    """What is to be learned of an array of targets, of a form that is right.

    `key` names the array. Whole numbers that are classes 0, 1, 2, ... are taken as they are.

    >>> cats = learn(np.array(["cat", "dog", "cat"]), task=None, place="pets.npz", key="y")
    >>> cats.targets.task, cats.targets.y.tolist(), cats.class_names
    ('binary', [0, 1, 0], ('cat', 'dog'))

    Raises:
        DataError: a sample has no target, or they are none of the task that is asked for.
    """
    y = _values(y, place=place, key=key)
    width = y.shape[1] if y.ndim == 2 else 0
    if task in CLASSES and _is_numbered(y):
        names = tuple(map(str, range(int(y.max()) + 1)))
        if task == BINARY and len(names) != 2:
            raise DataError(f"{place} {key}", "must have two classes for task 'binary'", got=len(names))
        return Learned(Targets(task or MULTI_CLASS, y.astype(np.int64), names), width, is_numbered=True)
    is_one_hot = task in CLASSES and _is_one_hot(y)
    told, said = (task, "") if task else _told(y, key, is_one_hot=is_one_hot)
    frame = _frame(y.argmax(axis=1) if is_one_hot else y, key)
    targets = targets_of(frame, task=told, place=place)
    if targets.task in (REGRESSION, MULTI_LABEL):
        names = tuple(f"y{index}" for index in range(width)) if width else ("y",)
        targets = replace(targets, names=names)
    return Learned(replace(targets, said=said or targets.said), width, is_one_hot=is_one_hot)


def learn_like(y: Array, learned: Learned, *, place: str, key: str) -> Array:
    """The targets of other samples, as those of the training part are. Raises DataError for a new class."""
    y = _values(y, place=place, key=key)
    if (y.shape[1] if y.ndim == 2 else 0) != learned.width:
        expected = f"(samples, {learned.width})" if learned.width else "(samples,)"
        rule = f"must have the training part's shape {expected}"
        raise DataError(f"{place} {key}", rule, got=y.shape)
    if learned.is_one_hot:
        if not _is_one_hot(y):
            rule = "every row must have one 1, as in the training part"
            raise DataError(f"{place} {key}", rule, got=y[~_has_one(y)][0].tolist())
        y = y.argmax(axis=1)
    frame = _frame(y, key)
    if learned.is_numbered:
        return indices(frame[key], learned.targets.names, place=f"{place} {key}")
    return like(frame, learned.targets, place=place)


def _values(y: Array, *, place: str, key: str) -> Array:
    """Targets of shape (n,), or (n, several): text as such, numbers as pandas takes them."""
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.dtype.kind == "S":
        y = np.char.decode(y, "utf-8", "replace")
    if y.dtype.kind == "f":
        y = y.astype(np.float64)
        if (unknown := ~np.isfinite(y)).any():
            every, rows = ("", unknown) if y.ndim == 1 else (".all(axis=1)", unknown.any(axis=1))
            rule = "must have a finite value for every sample"
            remedy = f"Leave those out: `known = numpy.isfinite(y){every}; x, y = x[known], y[known]`."
            got = f"{np.count_nonzero(rows)} without, the first in row {int(np.flatnonzero(rows)[0]) + 1}"
            raise DataError(f"{place} {key}", rule, got=got, remedy=remedy)
    return y if y.dtype.isnative else y.astype(y.dtype.newbyteorder("="))


def _frame(y: Array, key: str) -> pd.DataFrame:
    """Columns as a table has them; text that is empty is none."""
    import pandas as pd

    columns = {key: y} if y.ndim == 1 else {f"{key}[{index}]": y[:, index] for index in range(y.shape[1])}
    frame = pd.DataFrame(columns)
    return frame.mask(frame == "") if y.dtype.kind == "U" else frame


def _is_numbered(y: Array) -> bool:
    """Whether they are class indices: whole numbers 0, 1, 2, ..., at least two and each of them there."""
    if y.ndim != 1 or y.dtype.kind not in "iu" or y.min() != 0:
        return False
    # A class has a sample at least, so that greater numbers are none of them; and no space is made for those.
    return 1 <= int(y.max()) < len(y) and len(np.unique(y)) == int(y.max()) + 1


def _is_one_hot(y: Array) -> bool:
    return y.ndim == 2 and y.dtype.kind in "biuf" and bool(_has_one(y).all())


def _has_one(y: Array) -> Array:
    """Rows that have one 1, and else 0."""
    found: Array = np.isin(y, (0, 1)).all(axis=1) & (y.sum(axis=1) == 1)
    return found


def _told(y: Array, key: str, *, is_one_hot: bool) -> tuple[str | None, str]:
    """The task, and the line that says why, of arrays that say more than the columns of a table do."""
    if is_one_hot:
        present = np.flatnonzero(y.any(axis=0))
        told = BINARY if len(present) == 2 else MULTI_CLASS
        why = f'rows of {key!r} have one 1 each. If not, set task = "{MULTI_LABEL}"'
        return told, f"task: {told}, since {why}."
    if y.ndim == 1 and y.dtype.kind in "iu" and len(y):
        low, high, count = int(y.min()), int(y.max()), len(np.unique(y))
        if count == high - low + 1 and 2 < count <= len(y) / 2:
            why = f"target {key!r} has all whole numbers from {low} to {high}"
            return MULTI_CLASS, f'task: {MULTI_CLASS}, since {why}. If not, set task = "{REGRESSION}".'
    return None, ""
