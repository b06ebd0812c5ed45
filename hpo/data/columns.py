"""The columns of a table as numbers: what kinds there are, and how a frame becomes one array of float32.

A number is itself, NaN where there is none; a category is the index of its level, -1 for one that is not
known; a date is parted. So a table is an array as any other, and what is fitted to training rows is left to
`preparation`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from hpo.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

Kind = Literal["number", "category", "date"]
Array = np.ndarray[Any, Any]

# The level of a category where there is none.
GAP = ""
# How a category is written that is text in its file.
TEXT = "text"
UNKNOWN = -1
# A text column with more levels than this, and than half as many as it has rows, is no category.
MOST_LEVELS = 50
# Of a column that is mostly numbers, what is none is an error, and not a level.
MOSTLY = 0.9
DATE_FORMATS = (
    "ISO8601",
    "%d.%m.%Y",
    "%d.%m.%Y %H:%M",
    "%d.%m.%Y %H:%M:%S",
    "%m/%d/%Y",
    "%d/%m/%Y",
    "%m/%d/%Y %H:%M",
    "%d/%m/%Y %H:%M",
    "%m/%d/%Y %H:%M:%S",
    "%d/%m/%Y %H:%M:%S",
)
SECONDS_A_DAY = 86_400
# What pandas makes of no date in whole seconds.
NO_DATE = np.iinfo(np.int64).min
# Parts of a date: days since 1970, then where it stands in its year, its week and, with hours, its day.
YEAR, WEEK, DAY = 365.2425, 7.0, 1.0
GREATEST_WHOLE = 2**53
# Of sines: their last digits are another in TensorFlow, and steps of `quantile` may be as narrow.
DATE_DECIMALS = 6
# Of fewer different values it is not told that they are meant to be dates.
FEWEST_DATES = 10
# What only a decimal comma makes a number: of three digits it might be one of thousands.
DECIMAL_COMMA = r"[+-]?\d+,(?:\d{1,2}|\d{4,})"
SHOWN = 12  # names of columns in a message


@dataclass(frozen=True)
class Column:
    """One column of a table, as the model takes it.

    `levels` of a category, in the order of their indices, "" for none; `has_gaps`: some training rows have no
    value; `has_hours`: dates have times of day. `written`: of dates that are text their format, of categories
    that are text "text", else empty: another file's must be read alike, though it might look otherwise.
    """

    name: str
    kind: Kind
    levels: tuple[str, ...] = ()
    has_gaps: bool = False
    has_hours: bool = False
    written: str = ""

    @property
    def periods(self) -> tuple[float, ...]:
        """The periods, in days, of a date's parts."""
        return (YEAR, WEEK, DAY) if self.has_hours else (YEAR, WEEK)

    @property
    def width(self) -> int:
        """How many numbers it takes."""
        return 1 + 2 * len(self.periods) if self.kind == "date" else 1


@dataclass(frozen=True)
class Layout:
    """Where the numbers and the categories of some columns stand in their array.

    `numbers`: positions of numbers and of parts of dates; `gaps`: which of these have gaps, by their place
    among them; `categories`: positions; `levels`: of each category.
    """

    numbers: tuple[int, ...]
    gaps: tuple[int, ...]
    categories: tuple[int, ...]
    levels: tuple[int, ...]

    @classmethod
    def of(cls, columns: Sequence[Column]) -> Layout:
        """The layout of these columns, in their order."""
        numbers, gaps, categories, levels = (list[int]() for _ in range(4))
        position = 0
        for column in columns:
            places = range(position, position + column.width)
            position += column.width
            if column.kind == "category":
                categories.append(places[0])
                levels.append(len(column.levels))
                continue
            if column.has_gaps:
                # All parts of a date are there or none is.
                gaps.append(len(numbers))
            numbers += places
        return cls(tuple(numbers), tuple(gaps), tuple(categories), tuple(levels))

    @cached_property
    def starts(self) -> tuple[int, ...]:
        """Where each category's levels begin if all stand in one list, each after one that is not known."""
        return tuple(int(start) for start in np.cumsum([0, *(count + 1 for count in self.levels)])[:-1])


def columns_of(frame: pd.DataFrame, *, categories: Sequence[str] = (), place: str) -> tuple[Column, ...]:
    """What the columns of a frame are. Raises DataError for text that is no category."""
    return tuple(_column(frame[name], str(name) in categories, place) for name in frame.columns)


def encoded(frame: pd.DataFrame, columns: Sequence[Column], *, place: str) -> Array:
    """The columns of a frame as one array, (rows, widths together), float32.

    Raises:
        DataError: a column is not there, or a value is not of its kind.
    """
    _check_names(frame, columns, place)
    x = np.empty((len(frame), sum(column.width for column in columns)), np.float32)
    position = 0
    for column in columns:
        x[:, position : position + column.width] = _numbers(frame[column.name], column, place)
        position += column.width
    return x


def raw(frame: pd.DataFrame, columns: Sequence[Column], *, place: str) -> list[Array]:
    """The columns of a frame as an exported model takes them, each of shape (rows, 1).

    Numbers as float32, dates as int64 seconds since 1970, categories as text. Raises DataError, as `encoded`.
    """
    _check_names(frame, columns, place)
    return [_raw(frame[column.name], column, place) for column in columns]


def as_text(series: pd.Series[Any]) -> pd.Series[Any]:
    """Values as the names of levels and classes: whole numbers without a point, None where there is none."""
    import pandas as pd

    if pd.api.types.is_float_dtype(series) and are_whole(series.dropna()):
        series = series.astype("Int64")
    if isinstance(series.dtype, pd.CategoricalDtype):
        series = series.astype(series.dtype.categories.dtype)
    return series.astype("str").where(series.notna(), None)


def are_whole(series: pd.Series[Any]) -> bool:
    """Whether numbers are whole, and such that floats tell them apart."""
    import pandas as pd

    if not pd.api.types.is_float_dtype(series):
        return True
    return bool((series.eq(series.round()) & (series.abs() <= GREATEST_WHOLE)).all())


def listed(names: Sequence[str]) -> str:
    """Some names of columns, as a message has them."""
    shown = ", ".join(names[:SHOWN])
    return f"{shown} and {len(names) - SHOWN} more" if len(names) > SHOWN else shown


def is_number(series: pd.Series[Any]) -> bool:
    """Whether a column is of numbers, true and false among them."""
    import pandas as pd

    return bool(pd.api.types.is_numeric_dtype(series) or pd.api.types.is_bool_dtype(series))


def date_format(series: pd.Series[Any]) -> str | None:
    """The format in which all values of a text column are dates; None if there is none."""
    import pandas as pd

    known = series.dropna()
    if not len(known) or not known.iloc[0][:1].isdigit() or not set("-/.:") & set(known.iloc[0]):
        return None
    for form in DATE_FORMATS:
        # Of a column that is none, the first values say so.
        if all(
            pd.to_datetime(part, format=form, errors="coerce").notna().all() for part in (known[:50], known)
        ):
            return form
    return None


def in_row(series: pd.Series[Any], wrong: Array) -> str:
    """The first of the values that are wrong, and its row, counted from 1 without the header."""
    rows = np.flatnonzero(wrong)
    more = f" and {len(rows) - 1} more" if len(rows) > 1 else ""
    return f"{series.iloc[rows[0]]} in row {rows[0] + 1}{more}"


def _check_names(frame: pd.DataFrame, columns: Sequence[Column], place: str) -> None:
    missing = [column.name for column in columns if column.name not in frame.columns]
    if missing:
        one = f"must have the column {missing[0]!r}"
        rule = one if len(missing) == 1 else f"must have the columns {listed(missing)}"
        raise DataError(place, rule, got=f"the columns {listed(list(map(str, frame.columns)))}")


def _column(series: pd.Series[Any], is_category: bool, place: str) -> Column:
    import pandas as pd

    name, has_gaps = str(series.name), bool(series.isna().any())
    if is_category or isinstance(series.dtype, pd.CategoricalDtype):
        return _category(series, name)
    if pd.api.types.is_datetime64_any_dtype(series):
        return _date(series, name, has_gaps)
    if is_number(series) or not len(series.dropna()):
        return Column(name, "number", has_gaps=has_gaps)
    return _of_text(as_text(series), name, place)


def _of_text(text: pd.Series[Any], name: str, place: str) -> Column:
    """What a column of text is: numbers, dates or categories. Raises DataError if it is none, or nearly."""
    import pandas as pd

    has_gaps = bool(text.isna().any())
    # Of each level once: a million rows of text would take two seconds.
    distinct = pd.Series(text.dropna().unique())
    not_numbers = text.isin(distinct[pd.to_numeric(distinct, errors="coerce").isna()]).to_numpy()
    if not not_numbers.any():
        return Column(name, "number", has_gaps=has_gaps)
    where = f"{place}: column {name!r}"
    if not_numbers.sum() <= (1 - MOSTLY) * text.notna().sum():
        remedy = "Correct it, leave it empty, or name the column in data.categories or data.drop."
        if _has_marks(text[not_numbers]):
            remedy = _marks_remedy(text[not_numbers])
        got = in_row(text, not_numbers)
        raise DataError(where, "must be numbers, as most of it is", got=got, remedy=remedy)
    if (form := date_format(text)) is not None:
        return replace(_date(pd.to_datetime(text, format=form), name, has_gaps), written=form)
    if len(odd := _no_dates(distinct)):
        remedy = "Correct it, leave it empty, or name the column in data.categories or data.drop."
        got = in_row(text, text.isin(odd).to_numpy())
        raise DataError(where, "must be dates, as most of it is", got=got, remedy=remedy)
    if _has_marks(distinct):
        rule, got = "must be numbers in one form, and these have marks", str(distinct.iloc[0])
        raise DataError(where, rule, got=got, remedy=_marks_remedy(distinct))
    if (levels := len(distinct)) > max(MOST_LEVELS, len(text) / 2):
        rule = "must be numbers, dates or categories, and this is free text or an identifier"
        remedy = f'Leave it out: drop = ["{name}"].'
        raise DataError(where, rule, got=f"{levels} values in {len(text)} rows", remedy=remedy)
    return replace(_category(text, name), written=TEXT)


def _has_marks(distinct: pd.Series[Any]) -> bool:
    """Whether texts are mostly numbers but for decimal commas, thousands separators and signs of units."""
    import pandas as pd

    plain = distinct.str.replace(r"[%$€£\s]", "", regex=True)
    by_point = plain.str.replace(r"[,'](?=\d{3})", "", regex=True)
    by_comma = plain.str.replace(r"[.'](?=\d{3})", "", regex=True).str.replace(",", ".", regex=False)
    are_numbers = [pd.to_numeric(texts, errors="coerce").notna() for texts in (by_point, by_comma)]
    return bool((are_numbers[0] | are_numbers[1]).mean() >= MOSTLY)


def _marks_remedy(texts: pd.Series[Any]) -> str:
    decimal = 'Say data.decimal = ",", or w' if texts.str.fullmatch(DECIMAL_COMMA).any() else "W"
    plain = "rite them without separators of thousands, % and signs of money"
    return f"{decimal}{plain}; or name the column in data.categories."


def _no_dates(distinct: pd.Series[Any]) -> pd.Series[Any]:
    """Those of different texts that are no dates, where nearly all are."""
    import pandas as pd

    for form in DATE_FORMATS if len(distinct) >= FEWEST_DATES else ():
        # The first ones say whether to look at all of them.
        if pd.to_datetime(distinct[:100], format=form, errors="coerce").isna().mean() > 0.2:
            continue
        wrong = pd.to_datetime(distinct, format=form, errors="coerce").isna()
        if wrong.mean() <= 1 - MOSTLY:
            return distinct[wrong]
    return distinct[:0]


def _category(series: pd.Series[Any], name: str) -> Column:
    text = as_text(series)
    levels = sorted(set(text.dropna()) - {GAP})
    has_gaps = bool((text.fillna(GAP) == GAP).any())
    return Column(name, "category", tuple(levels) + ((GAP,) if has_gaps else ()), has_gaps)


def _date(series: pd.Series[Any], name: str, has_gaps: bool) -> Column:
    known = series.dropna()
    return Column(name, "date", has_gaps=has_gaps, has_hours=bool((known != known.dt.normalize()).any()))


def _numbers(series: pd.Series[Any], column: Column, place: str) -> Array:
    """A column as (rows, its width) numbers."""
    import pandas as pd

    place = f"{place}: column {column.name!r}"
    if column.kind == "category":
        levels: Any = pd.Index(column.levels, dtype=object)
        codes = levels.get_indexer(as_text(series).fillna(GAP).astype(object))
        coded: Array = codes.astype(np.float32)[:, np.newaxis]
        return coded
    if column.kind == "date":
        return date_parts(days(series, place, column.written), column.periods)
    if is_number(series):
        values = series.to_numpy(np.float64, na_value=np.nan)
    else:
        text = as_text(series)
        numbers = pd.to_numeric(text, errors="coerce")
        if (wrong := (numbers.isna() & text.notna()).to_numpy()).any():
            remedy = "Correct it, or leave it empty."
            raise DataError(place, "must be numbers", got=in_row(text, wrong), remedy=remedy)
        values = numbers.to_numpy(np.float64, na_value=np.nan)
    with np.errstate(over="ignore"):
        values = values.astype(np.float32)
    if (wrong := np.isinf(values)).any():
        raise DataError(place, "values must be finite in float32", got=in_row(series, wrong))
    return values[:, np.newaxis]


def _raw(series: pd.Series[Any], column: Column, place: str) -> Array:
    if column.kind == "number":
        return _numbers(series, column, place)
    if column.kind == "category":
        text: Array = as_text(series).fillna(GAP).to_numpy(object)
        return text[:, np.newaxis]
    known = days(series, f"{place}: column {column.name!r}", column.written)
    there = np.isfinite(known)
    seconds = np.full(len(known), NO_DATE)
    seconds[there] = np.rint(known[there] * SECONDS_A_DAY)
    return seconds[:, np.newaxis]


def days(series: pd.Series[Any], place: str, form: str = "") -> Array:
    """Dates as days since 1970, float64, NaN where there is none. Raises DataError for what is no date.

    `form` is the format of those that are text, by default the one in which all of them are dates.
    """
    import pandas as pd

    if not pd.api.types.is_datetime64_any_dtype(series):
        text = as_text(series)
        form = form or date_format(text) or DATE_FORMATS[0]
        dates = pd.to_datetime(text, format=form, errors="coerce")
        if (wrong := dates.isna() & text.notna()).any():
            rule, got = "must be dates, all written alike", in_row(text, wrong.to_numpy())
            shown = "2026-11-28" if form == DATE_FORMATS[0] else date(2026, 11, 28).strftime(form)
            raise DataError(place, rule, got=got, remedy=f"Write them as {shown}.")
        series = dates
    if series.dt.tz is not None:
        series = series.dt.tz_convert("UTC").dt.tz_localize(None)
    # Whole ones, which an exported model takes.
    seconds = np.floor((series - pd.Timestamp(0)).dt.total_seconds().to_numpy(np.float64, na_value=np.nan))
    result: Array = seconds / SECONDS_A_DAY
    return result


def date_parts(days: Array, periods: Sequence[float]) -> Array:
    """Days since 1970 as numbers: themselves, and sine and cosine of where they stand in each period.

    >>> date_parts(np.array([0.0, 3.5]), [7.0]).round(3).tolist()
    [[0.0, 0.0, 1.0], [3.5, 0.0, -1.0]]
    """
    parts = [days]
    for period in periods:
        # A date without its hour stands in its week by its day.
        angle = 2 * np.pi * np.mod(days, period) / period
        parts += [np.sin(angle).round(DATE_DECIMALS), np.cos(angle).round(DATE_DECIMALS)]
    return np.stack(parts, axis=1).astype(np.float32) + np.float32(0)
