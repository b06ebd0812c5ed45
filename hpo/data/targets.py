"""Columns to predict as targets: which task they are, and what their classes are called."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hpo.data.columns import Array, are_whole, as_text, in_row, is_number, listed
from hpo.errors import DataError
from hpo.tasks import TASKS

if TYPE_CHECKING:
    import pandas as pd

MULTI_CLASS, BINARY, MULTI_LABEL, REGRESSION, SEVERAL = TASKS
# Whole numbers with more different values than this are quantities.
MOST_CLASSES = 20
# What a label that is there or not may be written as.
YES, NO = {"1", "true", "yes", "y", "t"}, {"0", "false", "no", "n", "f"}


@dataclass(frozen=True)
class Targets:
    """What is to be predicted: `y` as the task takes it, with the names of classes, labels or quantities.

    `said`: why it was taken for this task; empty if it was asked for.
    """

    task: str
    y: Array
    names: tuple[str, ...]
    said: str = ""


def targets_of(frame: pd.DataFrame, *, task: str | None, place: str) -> Targets:
    """The targets in the columns of a frame, by the task that is asked for or told from them.

    Raises:
        DataError: a row has none, or they are none of this task.
    """
    columns = [frame[name] for name in frame.columns]
    names = tuple(map(str, frame.columns))
    for series in columns:
        _check_known(series, place)
    told, why = (task, "") if task else _told(columns, place)
    shown = f"target {names[0]!r}" if len(names) == 1 else f"targets {listed(names)}"
    said = "" if task else f"task: {told}, since {shown} {why}.{_otherwise(told, columns)}"
    if told == REGRESSION:
        y = _quantities(columns, place)
        _check_varying(columns, y, place)
        return Targets(told, y, names, said)
    if told == MULTI_LABEL:
        return Targets(told, np.stack([_label(series, place) for series in columns], axis=1), names, said)
    if len(columns) > 1:
        rule = f"must be one column for task {told!r}"
        raise DataError(
            f"{place}: target", rule, got=names, remedy='Several labels are task = "multi-label".'
        )
    classes = class_names(columns[0])
    _check_classes(columns[0], classes, told, place)
    return Targets(told, indices(columns[0], classes, place=_place(place, columns[0])), classes, said)


def like(frame: pd.DataFrame, targets: Targets, *, place: str) -> Array:
    """The targets of other rows, by the names of those that are known. Raises DataError for a new class."""
    columns = [frame[name] for name in frame.columns]
    for series in columns:
        _check_known(series, place)
    if targets.task == REGRESSION:
        return _quantities(columns, place)
    if targets.task == MULTI_LABEL:
        return np.stack([_label(series, place) for series in columns], axis=1)
    (series,) = columns
    return indices(series, targets.names, place=_place(place, series))


def class_names(series: pd.Series) -> tuple[str, ...]:
    """The names of the classes in a column, in the order of numbers if they are such, else of letters."""
    values = as_text(series).unique()
    if is_number(series) and series.dtype != bool:
        return tuple(sorted(values, key=float))
    return tuple(sorted(values))


def indices(series: pd.Series, names: Sequence[str], *, place: str) -> Array:
    """Class names as indices, int64. Raises DataError for one that is none of the names."""
    import pandas as pd

    text = as_text(series)
    known: Any = pd.Index(list(names), dtype=object)
    codes: Array = known.get_indexer(text.astype(object)).astype(np.int64)
    if (unknown := codes < 0).any():
        rule = f"must be among the training part's classes, {listed(list(names))}"
        remedy = "Add training rows of that class, or leave out its test rows."
        raise DataError(place, rule, got=in_row(text, unknown), remedy=remedy)
    return codes


def _told(columns: Sequence[pd.Series], place: str) -> tuple[str, str]:
    """The task of some columns, and what says so."""
    if len(columns) > 1:
        if all(_is_label(series) for series in columns):
            return MULTI_LABEL, "say yes or no each"
        if all(is_number(series) for series in columns):
            return REGRESSION, "are numbers"
        odd = next(series for series in columns if not is_number(series) and not _is_label(series))
        rule = "several targets must all be numbers, or all say yes or no"
        raise DataError(_place(place, odd), rule, got=str(odd.iloc[0]), remedy="Choose one target.")
    (series,) = columns
    count = series.nunique()
    if not is_number(series):
        return (BINARY if count == 2 else MULTI_CLASS), _counted(series, count)
    is_whole = are_whole(series)
    if is_whole and count <= MOST_CLASSES and (count <= 2 or count <= len(series) / 5):
        return (BINARY if count == 2 else MULTI_CLASS), _counted(series, count)
    return REGRESSION, f"has {count} different numbers"


def _otherwise(told: str, columns: Sequence[pd.Series]) -> str:
    """What else numbers may be."""
    if not all(is_number(series) and series.dtype != bool for series in columns):
        return ""
    other = MULTI_CLASS if told == REGRESSION and len(columns) == 1 else REGRESSION
    return "" if other == told else f' If not, set task = "{other}".'


def _counted(series: pd.Series, count: int) -> str:
    names = class_names(series)
    return f"has {count} values: {', '.join(names[:5])}{', ...' if count > 5 else ''}"


def _check_classes(series: pd.Series, names: Sequence[str], task: str, place: str) -> None:
    place = _place(place, series)
    if len(names) < 2:
        raise DataError(place, "must have at least two classes", got=f"only {names[0]}")
    if task == BINARY and len(names) != 2:
        raise DataError(place, "must have two classes for task 'binary'", got=len(names))
    if len(names) > max(MOST_CLASSES, len(series) / 2):
        remedy = 'A quantity is task = "regression".' if is_number(series) else "Choose another column."
        rule = "must have fewer classes than rows, by far"
        raise DataError(place, rule, got=f"{len(names)} in {len(series)} rows", remedy=remedy)


def _quantities(columns: Sequence[pd.Series], place: str) -> Array:
    y = np.empty((len(columns[0]), len(columns)), np.float32)
    for index, series in enumerate(columns):
        if not is_number(series):
            remedy = "Choose a column of numbers, or leave task out."
            got = str(series.iloc[0])
            raise DataError(
                _place(place, series), "must be numbers for task 'regression'", got=got, remedy=remedy
            )
        with np.errstate(over="ignore"):
            y[:, index] = series.to_numpy(np.float64)
        if (wrong := ~np.isfinite(y[:, index])).any():
            raise DataError(_place(place, series), "must be finite in float32", got=in_row(series, wrong))
    return y


def _check_known(series: pd.Series, place: str) -> None:
    if (missing := series.isna().to_numpy()).any():
        first, count = int(np.flatnonzero(missing)[0]) + 1, int(missing.sum())
        more = f" and {count - 1} more" if count > 1 else ""
        rule, got = "must have a value in every row", f"none in row {first}{more}"
        raise DataError(_place(place, series), rule, got=got, remedy="Leave those rows out.")


def _check_varying(columns: Sequence[pd.Series], y: Array, place: str) -> None:
    if (constant := y.min(axis=0) == y.max(axis=0)).any():
        series = columns[int(np.flatnonzero(constant)[0])]
        raise DataError(_place(place, series), "must vary", got=f"{series.iloc[0]} in every row")


def _is_label(series: pd.Series) -> bool:
    return set(as_text(series).str.lower()) <= YES | NO


def _label(series: pd.Series, place: str) -> Array:
    text = as_text(series).str.lower()
    if (wrong := ~text.isin(YES | NO).to_numpy()).any():
        rule = "must say yes or no (1 or 0, true or false) for task 'multi-label'"
        raise DataError(_place(place, series), rule, got=in_row(series, wrong))
    return text.isin(YES).to_numpy(np.float32)


def _place(place: str, series: pd.Series) -> str:
    return f"{place}: target {str(series.name)!r}"
