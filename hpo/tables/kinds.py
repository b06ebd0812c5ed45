"""Kinds of columns: how their values are read, and whether they are numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from hpo.tables.numbers import duration, estimate, number, p_value, with_spread

Real = float | None


@dataclass(frozen=True)
class Kind:
    """How a column's values are read.

    `text` makes one text of the values that belong into a cell, empty if there are none. `is_number` is
    whether it is one, None if that depends on the value; `wraps`, whether it may take several lines.
    """

    text: Callable[..., str]
    is_number: bool | None = False
    wraps: bool = False

    def holds_number(self, value: Any) -> bool:
        """Whether a cell whose first value is this one is a number."""
        if self.is_number is not None:
            return self.is_number
        return isinstance(value, int | float) and not isinstance(value, bool)


def _tally(count: int | None) -> str:
    return str(count) if count else ""


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _difference(difference: Real, low: Real, high: Real, is_ratio: bool = False) -> str:
    return estimate(difference, low, high, is_ratio=is_ratio)[0]


def _interval(difference: Real, low: Real, high: Real, is_ratio: bool = False) -> str:
    return estimate(difference, low, high, is_ratio=is_ratio)[1]


def _limits(low: Real, high: Real) -> str:
    return "" if low is None or high is None else f"{number(low)} to {number(high)}"


def _duration(seconds: float | None) -> str:
    return "" if seconds is None else duration(seconds)


def _moment(iso: str | None) -> str:
    return datetime.fromisoformat(iso).astimezone().strftime("%Y-%m-%d %H:%M") if iso else ""


def _verdict(decision: str, because: str) -> str:
    return f"{decision}: {because}" if because else decision


def _trial(number_: int | None) -> str:
    return "" if number_ is None else f"#{number_}"


def _setting(value: Any) -> str:
    return "none" if value is None else number(value)


def _state(state: str, lost: bool) -> str:
    return "lost" if lost else state


def counts(found: Mapping[str, int]) -> str:
    """`3 complete, 1 waiting`."""
    return ", ".join(f"{count} {state}" for state, count in found.items() if count) or "no trials"


def _with_lost(found: Mapping[str, int], lost: int) -> Mapping[str, int]:
    if not lost:
        return found
    return {**found, "running": found["running"] - lost, "lost": lost}


TEXT = Kind(number)
PROSE = NAME = Kind(number, wraps=True)
# A value that may be anything, and a hyperparameter, of which None is a value too.
VALUE = Kind(number, is_number=None)
SETTING = Kind(_setting, is_number=None)
NUMBER = Kind(number, is_number=True)
# How many there are in a list.
LENGTH = Kind(lambda values: str(len(values)), is_number=True)
# A count of which none is nothing to speak of.
TALLY = Kind(_tally, is_number=True)
SHARE = Kind(_share, is_number=True)
TRIAL = Kind(_trial, is_number=True)
# Of a mean and its standard deviation.
MEAN = Kind(with_spread, is_number=True)
# Both of difference, low, high, is_ratio: the interval says to how many digits the difference is known.
DIFFERENCE = Kind(_difference, is_number=True)
INTERVAL = Kind(_interval, is_number=True)
# Of the two ends of an interval of something that is no difference.
LIMITS = Kind(_limits, is_number=True)
P_VALUE = Kind(p_value, is_number=True)
DURATION = Kind(_duration, is_number=True)
MOMENT = Kind(_moment)
# Of counts by state, and how many of those that run are lost.
COUNTS = Kind(lambda found, lost=0: counts(_with_lost(found, lost)))
STATE = Kind(_state)
# Of a decision and what it is not decided by.
VERDICT = Kind(_verdict, wraps=True)
