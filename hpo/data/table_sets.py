"""A table as a data set: its columns chosen, its targets told, its test part set aside."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from hpo.data.columns import (
    TEXT,
    Array,
    Column,
    as_text,
    columns_of,
    days,
    encoded,
    in_row,
    is_number,
    listed,
)
from hpo.data.csv_form import CsvForm
from hpo.data.dataset import Dataset, make_dataset
from hpo.data.doubts import lost_digits
from hpo.data.splits import check_weighs, held_out
from hpo.data.tables import TableFile
from hpo.data.targets import Targets, like, targets_of
from hpo.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

    from hpo.spec.parts import Data

Part = Literal["train", "test"]


@dataclass(frozen=True)
class TableSet:
    """A table that a study names: `read()` gives its rows, `read_test(text)` those of a test part in
    a file, some of whose columns are text.

    `place` names it to people. One of several of a kind is the table of a file, others come with packages.
    """

    place: str
    read: Callable[[], TableFile]
    read_test: Callable[[Sequence[str]], TableFile] | None = None

    def load(self, data: Data, parts: Sequence[Part], *, task: str | None) -> list[Dataset]:
        """Parts of the table as a study declares them, for which it is read once.

        Raises:
            DataError: a column that is named is not there, or holds what it must not.
        """
        read = self.read()
        frame = read.frame
        targets = _chosen(frame, data.target or (), self.place, "target")
        if not data.target:
            rule = "needs the name of the column to predict"
            remedy = f"Its columns are {listed(list(map(str, frame.columns)))}."
            raise DataError(f"{self.place}: data.target", rule, remedy=remedy)
        learned = targets_of(targets, task=task, place=self.place)
        features = _features(frame, data, self.place)
        columns = columns_of(features, categories=data.categories or (), place=self.place)
        found = dict[Part, Dataset]()
        if "test" in parts and self.read_test is not None:
            are_text = [column.name for column in columns if column.written == TEXT]
            are_text += [name for name in data.target if not is_number(frame[name])]
            found["test"] = self._in_a_file(self.read_test(are_text).frame, data, learned, columns)
        if not found.keys() >= {*parts}:
            x = encoded(features, columns, place=self.place)
            doubts = _lost_digits(features, columns)
            whole = self._made(x, learned, data, frame, columns, doubts=doubts, form=read.form)
            found = {**_set_aside(whole, data, parts), **found}
        return [found[part] for part in parts]

    def _in_a_file(
        self, rows: pd.DataFrame, data: Data, learned: Targets, columns: tuple[Column, ...]
    ) -> Dataset:
        """The test part in a file of its own, of the training part's columns and classes."""
        place = f"{self.place}: test part"
        target = _chosen(rows, data.target or (), place, "target")
        x, y = encoded(rows, columns, place=place), like(target, learned, place=place)
        # It is not split: it needs neither groups nor times.
        data = data.model_copy(update={"group": None, "time": None})
        return replace(self, place=place)._made(x, learned, data, rows, columns, y=y)

    def without_target(self, data: Data) -> tuple[Dataset, list[str]]:
        """All columns as features, and why some of them are none, for somebody who is yet to choose a target.

        Raises:
            DataError: a column that is named is not there, or none can be learned from.
        """
        features = _features(self.read().frame, data, self.place)
        columns, refused = list[Column](), list[str]()
        for name in features.columns:
            try:
                columns += columns_of(features[[name]], categories=data.categories or (), place=self.place)
            except DataError as error:
                refused.append(str(error))
        if not columns:
            raise DataError(self.place, "must have a column of numbers, dates or categories")
        x = encoded(features, columns, place=self.place)
        y = np.zeros((len(x), 1), np.float32)
        doubts = _lost_digits(features, columns)
        made = make_dataset(
            data.name,
            x,
            y,
            classes=1,
            scale=1.0,
            task="regression",
            columns=tuple(columns),
            doubts=doubts,
        )
        return made, refused

    def _made(
        self,
        x: Array,
        learned: Targets,
        data: Data,
        rows: pd.DataFrame,
        columns: tuple[Column, ...],
        *,
        y: Array | None = None,
        doubts: tuple[str, ...] = (),
        form: CsvForm | None = None,
    ) -> Dataset:
        return make_dataset(
            data.name,
            x,
            learned.y if y is None else y,
            classes=len(learned.names),
            scale=1.0,
            class_names=learned.names,
            task=learned.task,
            columns=columns,
            weight=weight_of(rows, data.weight, self.place),
            groups=_groups(rows, data.group, self.place),
            times=_times(rows, data.time, self.place),
            said=learned.said,
            target=tuple(data.target or ()),
            doubts=doubts,
            form=form,
        )


def _set_aside(whole: Dataset, data: Data, parts: Sequence[Part]) -> dict[Part, Dataset]:
    """The rows that train, all unless a share of them is the test part."""
    if not isinstance(data.test, float):
        return {"train": whole}
    rows = dict(zip(("train", "test"), held_out(whole, data, fraction=data.test), strict=True))
    if whole.weight is not None:
        check_weighs(whole.weight[rows["test"]], "the test part", data)
    return {part: whole.part(rows[part]) for part in parts}


def _lost_digits(frame: pd.DataFrame, columns: Sequence[Column]) -> tuple[str, ...]:
    """What columns of numbers lose as float32, which only their own numbers tell."""
    told = (
        lost_digits(column.name, frame[column.name].to_numpy(np.float64, na_value=np.nan))
        for column in columns
        if column.kind == "number" and is_number(frame[column.name])
    )
    return tuple(filter(None, told))


def _features(frame: pd.DataFrame, data: Data, place: str) -> pd.DataFrame:
    """The columns to learn from, in the order of the table."""
    apart = {*(data.target or ()), data.weight, data.group}
    for key in ("features", "drop", "categories"):
        _chosen(frame, getattr(data, key) or (), place, key)
    if both := [name for name in data.drop or () if name in (data.target or ())]:
        rule, remedy = "must not name the target", "Leave it out: the target is no feature."
        raise DataError(f"{place}: data.drop", rule, got=both[0], remedy=remedy)
    if data.features is not None:
        if both := [name for name in data.features if name in apart]:
            rule = "must be no target, weight or group"
            raise DataError(f"{place}: data.features", rule, got=both[0])
        chosen = [name for name in frame.columns if name in data.features]
    else:
        chosen = [name for name in frame.columns if name not in {*apart, *(data.drop or ())}]
    if not chosen:
        raise DataError(place, "must have columns besides its target", got=listed(list(frame.columns)))
    return frame[chosen]


def _chosen(frame: pd.DataFrame, names: Sequence[str], place: str, key: str) -> pd.DataFrame:
    """These columns. Raises DataError for one that is not there."""
    import difflib

    for index, name in enumerate(names):
        if name in names[:index]:
            raise DataError(f"{place}: data.{key}", "must name a column once", got=name)
        if name not in frame.columns:
            # Case is what people miss most, and what costs a short name all its likeness.
            by_case = {str(column).lower(): str(column) for column in frame.columns}
            close = [by_case[key] for key in difflib.get_close_matches(name.lower(), by_case, n=1)]
            others = f"Its columns are {listed(list(map(str, frame.columns)))}."
            remedy = f"Did you mean {close[0]!r}?" if close else others
            raise DataError(f"{place}: data.{key}", "must be a column", got=name, remedy=remedy)
    return frame[list(names)]


def weight_of(frame: pd.DataFrame, name: str | None, place: str) -> Array | None:
    """How much each row counts by a column, (rows,), float32; None without one.

    Raises:
        DataError: it is not there, or its values are no weights.
    """
    if name is None:
        return None
    series = _chosen(frame, [name], place, "weight")[name]
    if not is_number(series):
        raise DataError(f"{place}: weight {name!r}", "must be numbers", got=str(series.iloc[0]))
    weight = series.to_numpy(np.float32, na_value=np.nan)
    if (wrong := ~(np.isfinite(weight) & (weight >= 0))).any():
        got = in_row(series, wrong)
        raise DataError(f"{place}: weight {name!r}", "must be finite and at least 0", got=got)
    if not weight.any():
        raise DataError(f"{place}: weight {name!r}", "must be greater than 0 somewhere", got=0)
    return weight


def _groups(frame: pd.DataFrame, name: str | None, place: str) -> Array | None:
    """A number for each group, of a row without one a group of its own."""
    if name is None:
        return None
    import pandas as pd

    text = as_text(_chosen(frame, [name], place, "group")[name])
    codes = pd.factorize(text, sort=True)[0].astype(np.int64)
    alone = codes < 0
    codes[alone] = codes.max(initial=-1) + 1 + np.arange(alone.sum())
    return codes


def _times(frame: pd.DataFrame, name: str | None, place: str) -> Array | None:
    if name is None:
        return None
    series = _chosen(frame, [name], place, "time")[name]
    place = f"{place}: time {name!r}"
    times = series.to_numpy(np.float64, na_value=np.nan) if is_number(series) else days(series, place)
    if (missing := ~np.isfinite(times)).any():
        raise DataError(place, "must have a value in every row", got=in_row(series, missing))
    return times
