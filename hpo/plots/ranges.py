"""Axes: from where to where, and what stands at them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from hpo.plots.frame import Layout, short


def log_axis(low: float, high: float, *, pad: float = 0.03) -> Layout:
    """A logarithmic axis from `low` to `high`, whose ticks say 0.001 and 0.01, where plotly's say 2, 5, 10m.

    `pad` is the share of it that is added to either side.

    >>> log_axis(0.001, 0.1)["ticktext"], log_axis(2, 30)["ticktext"]
    (['0.001', '0.01', '0.1'], ['2', '5', '10', '20'])
    """
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    steps = (1,) if math.log10(high / low) > 1.7 else (1, 2, 5)
    step = max(1, (last - first) // 6)
    values = [digit * 10.0**power for power in range(first, last + 1, step) for digit in steps]
    near = 1 + 1e-9
    shown = [value for value in values if low / near <= value <= high * near]
    if len(shown) < 2:
        shown = sorted({short(low), short(high)})
    beside = pad * math.log10(high / low) if high > low else 0.1
    return {
        "type": "log",
        "range": [math.log10(low) - beside, math.log10(high) + beside],
        "tickvals": shown,
        "ticktext": [decimal(value) for value in shown],
    }


def decimal(value: float) -> str:
    """A number without an exponent, as far as a person can count its zeros.

    >>> decimal(0.00001), decimal(20.0), decimal(1e-9)
    ('0.00001', '20', '1e-09')
    """
    if value and not 1e-6 <= abs(value) < 1e6:
        return f"{value:.3g}"
    return np.format_float_positional(value, precision=4, fractional=False, trim="-")


@dataclass(frozen=True)
class Cut:
    """An axis that ends at `end`, before the worst values do, which are low ones or high ones."""

    end: float
    is_low: bool

    def holds(self, value: float) -> bool:
        """Whether a value is on the axis."""
        return value >= self.end if self.is_low else value <= self.end

    def range(self, values: Iterable[float]) -> list[float]:
        """The axis for these values, those beyond it left out."""
        shown = [*filter(self.holds, values), self.end]
        pad = 0.04 * (max(shown) - min(shown))
        return [min(shown) - pad, max(shown) + pad]


def cut(values: Sequence[float], *, good: Sequence[float], is_low: bool) -> Cut | None:
    """Where the axis of `values` ends, if the `good` ones would have less than a sixth of it; else None.

    They then have a quarter. `is_low` says whether the bad ones are the low ones.

    >>> cut([1.0, 2.0, 3.0, 40.0], good=[1.0, 3.0], is_low=False)
    Cut(end=9.0, is_low=False)
    >>> cut([1.0, 2.0, 3.0, 12.0], good=[1.0, 3.0], is_low=False)
    """
    if not values or not good:
        return None
    span, whole = max(good) - min(good), max(values) - min(values)
    if not span or whole <= 6 * span:
        return None
    found = Cut(min(good) - 3 * span if is_low else max(good) + 3 * span, is_low)
    return None if all(map(found.holds, values)) else found
