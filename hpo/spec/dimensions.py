"""What a hyperparameter of a search may be: choices, a range or a list of layers, maybe on conditions."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache
from typing import Any, Self, Union

Condition = Union[tuple[Any, ...], "Range"]
# What the hyperparameters must be that a dimension depends on: any of some values, or within a range.
When = Mapping[str, Condition]


@dataclass(frozen=True)
class Range:
    """From `low` to `high`, both included; by `step`, or uniform in the logarithm with `log`.

    `when`: it is active where all of these conditions hold.
    """

    low: float
    high: float
    log: bool = False
    step: float | None = None
    when: When = field(default_factory=dict, hash=False)


class Choices(tuple[Any, ...]):
    """Checked choices, as a specification in memory holds them; active where all conditions `when` hold."""

    when: When

    def __new__(cls, values: Iterable[Any] = (), when: When | None = None) -> Self:
        made = super().__new__(cls, values)
        made.when = dict(when or {})
        return made

    def __eq__(self, other: object) -> bool:
        return super().__eq__(other) and self.when == getattr(other, "when", {})

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return super().__hash__()


@dataclass(frozen=True)
class Layers:
    """A list of `low` to `high` values, each drawn from `units`; active where all conditions `when` hold."""

    low: int
    high: int
    units: Choices | Range
    when: When = field(default_factory=dict, hash=False)


Dimension = Choices | Range


def size(dimension: Dimension) -> int | None:
    """How many values `dimension` has; None for a range without a step."""
    if not isinstance(dimension, Range):
        return len(dimension)
    return None if dimension.step is None else _steps(dimension.low, dimension.high, dimension.step) + 1


def value(dimension: Dimension, index: int) -> Any:
    """The value number `index` of a dimension that has a size."""
    if not isinstance(dimension, Range):
        return dimension[index]
    assert dimension.step is not None
    return _stepped(dimension.low, dimension.step, index)


def ends(dimension: Dimension) -> tuple[Any, ...]:
    """Values that between them meet every rule which any value of `dimension` meets."""
    return (dimension.low, dimension.high) if isinstance(dimension, Range) else tuple(dimension)


def quantile(dimension: Dimension, share: float) -> Any:
    """The value below which `share` of a dimension is, 0 <= share < 1: uniform shares give uniform draws.

    >>> quantile(Range(0.0, 0.5), 0.5), quantile(Choices(["sgd", "adam"]), 0.5), quantile(Range(1, 3), 0.5)
    (0.25, 'adam', 2)
    """
    count = size(dimension)
    if count is not None:
        return value(dimension, min(count - 1, int(share * count)))
    assert isinstance(dimension, Range)
    low, high = dimension.low, dimension.high
    whole = isinstance(low, int)
    if dimension.log:
        drawn = math.exp(math.log(low) + share * (math.log(high + whole) - math.log(low)))
    else:
        drawn = low + share * (high + whole - low)
    return min(max(math.floor(drawn) if whole else drawn, low), high)


def exact(number: float) -> Fraction:
    """The decimal number that the file shows: 0.3 is three steps of 0.1."""
    return Fraction(str(number))


# Both are asked for as often as a point is drawn, and fractions take a hundred times as long as all else.
@lru_cache(1024)
def _steps(low: float, high: float, step: float) -> int:
    return int((exact(high) - exact(low)) / exact(step))


@lru_cache(16384, typed=True)  # 1 and 1.0 are one key, else
def _stepped(low: float, step: float, index: int) -> float:
    return type(low)(exact(low) + index * exact(step))
