"""What is fitted to the training rows of a split: centres and spreads of numbers, slots of levels.

Only numbers: the layers that use them, and the exported model, take these as values of variables, so that
another fold compiles nothing new.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hpo.data.columns import Array, Column, Layout

# Reference points of `quantile`, from the least value to the greatest.
QUANTILES = 65
# Where a normal distribution is cut off: at the quantile 1e-7, as scikit-learn does.
MOST_DEVIATIONS = 5.199337582605575
# Slots of a category: what is not known, or rare, comes first.
UNKNOWN_SLOT = 0


@dataclass(frozen=True)
class Statistics:
    """What training rows say of their columns; `Layout` says which these are.

    Of k numbers: `fill` stands where there is none, less `centre` and times `scale` they are scaled, all of
    shape (k,);
    `knots` and `heights`, (k, `QUANTILES`), are the values at the quantiles and where they go, of `quantile`
    alone. `slots`: for each category an unknown level and then its levels, all categories in one list, the
    index of a level among those that are common enough, 0 for the others; int32.
    """

    fill: Array
    centre: Array
    scale: Array
    knots: Array
    heights: Array
    slots: Array

    @property
    def arrays(self) -> tuple[Array, ...]:
        """All of them, in the order of the fields."""
        return self.fill, self.centre, self.scale, self.knots, self.heights, self.slots


def fitted(x: Array, columns: Sequence[Column], *, scaling: str, min_level_count: int) -> Statistics:
    """The statistics of training rows.

    `standard`: mean and standard deviation. `robust`: median and the range of the middle half, of a number
    that hardly varies half of its whole range (Holzmueller et al. 2024, arXiv 2407.04491). `quantile`: the
    values at equally many ranks go where a normal distribution has them. Gaps count for nothing and are
    filled with the mean, or else the median. A number that never varies becomes 0.
    """
    layout = Layout.of(columns)
    numbers = x[:, list(layout.numbers)].astype(np.float64)
    # A column may have no value at all in these rows.
    known = np.isfinite(numbers)
    numbers[:, ~known.any(axis=0)] = 0.0
    count = numbers.shape[1]
    centre, spread, fill = np.zeros(count), np.ones(count), np.zeros(count)
    knots, heights = np.zeros((count, QUANTILES)), np.zeros((count, QUANTILES))
    if count and scaling == "standard":
        centre, spread = np.nanmean(numbers, axis=0), np.nanstd(numbers, axis=0)
        fill = centre
    elif count and scaling == "robust":
        low, centre, high = np.nanquantile(numbers, (0.25, 0.5, 0.75), axis=0)
        whole = (np.nanmax(numbers, axis=0) - np.nanmin(numbers, axis=0)) / 2
        spread, fill = np.where(high > low, high - low, whole), centre
    elif count and scaling == "quantile":
        fill = np.nanmedian(numbers, axis=0)
        ranks = np.linspace(0, 1, QUANTILES)
        # As the model has them: what is one value there must have one height.
        knots = np.nanquantile(numbers, ranks, axis=0).T.astype(np.float32)
        heights = np.stack([_normal(ranks, row) for row in knots])
    elif count:
        fill = np.nanmean(numbers, axis=0)
    # Whatever is not known to vary is 0, and stays 0 if it does later.
    varies = spread > np.maximum(1e-7 * np.abs(centre), np.finfo(np.float32).tiny)
    scale = np.divide(1.0, spread, out=np.zeros(count), where=varies)
    floats = [array.astype(np.float32) for array in (fill, centre, scale, knots, heights)]
    return Statistics(*floats, *[_slots(x, layout, min_level_count)])


def _normal(ranks: Array, values: Array) -> Array:
    """Where values at these ranks go; equal values go to the middle of their ranks."""
    from scipy.special import ndtri

    left = np.searchsorted(values, values, side="left")
    right = np.searchsorted(values, values, side="right") - 1
    middle = (ranks[left] + ranks[right]) / 2
    heights: Array = np.clip(ndtri(middle), -MOST_DEVIATIONS, MOST_DEVIATIONS)
    return heights if values[0] < values[-1] else np.zeros_like(heights)


def _slots(x: Array, layout: Layout, least: int) -> Array:
    slots: list[Array] = [np.zeros(0, np.int32)]
    for position, levels in zip(layout.categories, layout.levels, strict=True):
        codes = x[:, position].astype(np.int64)
        counts = np.bincount(codes[codes >= 0], minlength=levels)
        known = np.where(counts >= least, np.arange(1, levels + 1), UNKNOWN_SLOT)
        slots.append(np.concatenate([[UNKNOWN_SLOT], known]).astype(np.int32))
    return np.concatenate(slots)
