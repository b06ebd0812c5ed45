"""Numbers as they are drawn, whatever draws them: on a scale, by shares of a row, some of very many."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

TICKS = 5
# Beyond so many classes nobody can read the cells of a matrix, and there would be a thousand of them.
MOST_CLASSES = 25

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Scale:
    """Values from `low` to `high` on `length` pixels, with ticks at round values."""

    low: float
    high: float
    length: float
    ticks: tuple[float, ...]

    @classmethod
    def around(cls, low: float, high: float, length: float, *, whole: bool = False) -> Scale:
        """The scale from round value to round value that holds these."""
        if high <= low:
            low, high = low - 0.5, high + 0.5
        step = _round_step((high - low) / TICKS)
        if whole:
            step = max(1.0, step)
        first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
        ticks = tuple(step * index for index in range(first, last + 1))
        return cls(ticks[0], ticks[-1], length, ticks)

    def at(self, value: float) -> float:
        """Pixels from the lower end."""
        return (value - self.low) / (self.high - self.low) * self.length


def shares_of_rows(counts: Array) -> Array:
    """Counts by true (row) and other class as shares of their row; 0 in a row of none.

    >>> shares_of_rows(np.array([[3, 1], [0, 0]])).tolist()
    [[0.75, 0.25], [0.0, 0.0]]
    """
    shares: Array = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    return shares


def evenly(samples: int, most: int) -> Array:
    """Which of many samples are drawn: at most so many, evenly, the first and the last among them.

    >>> evenly(3, 10).tolist(), evenly(101, 3).tolist()
    ([0, 1, 2], [0, 50, 100])
    """
    places: Array = np.linspace(0, samples - 1, min(samples, most)).round().astype(int)
    return places


def _round_step(least: float) -> float:
    """The smallest of 1, 2, 5 times a power of ten that is not below."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= least * (1 - 1e-9))
