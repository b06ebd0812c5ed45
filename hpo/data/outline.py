"""What a table looks like, column by column: for people to read, before anything is trained on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from hpo.data.columns import GAP, SECONDS_A_DAY, Array, Column
from hpo.data.doubts import features_of

if TYPE_CHECKING:
    from hpo.data.dataset import Dataset

# Levels that are shown, and bars of a histogram.
SHOWN_LEVELS, BARS = 12, 24


@dataclass(frozen=True)
class Outline:
    """One column: what it is and what is in it.

    `gaps` are rows without a value; `distinct`: how many different values; `low`, `median`, `high` of
    numbers, dates as text; `levels`: the most frequent ones and their rows; `further`: rows of the others.
    `bars`: rows by equal intervals between `low` and `high`.
    """

    name: str
    kind: str
    gaps: int
    distinct: int
    low: float | str | None = None
    median: float | str | None = None
    high: float | str | None = None
    levels: tuple[tuple[str, int], ...] = ()
    further: int = 0
    bars: tuple[int, ...] = field(default=(), repr=False)


def outlined(dataset: Dataset) -> list[Outline]:
    """Every feature of a table."""
    return [_outlined(feature.column, feature.values) for feature in features_of(dataset)]


def outlined_targets(dataset: Dataset) -> list[Outline]:
    """What is to be predicted: its classes, its labels, or its quantities."""
    if counts := dataset.class_counts:
        return [_of_levels("", "classes", dataset.names, np.array(counts), 0)]
    named = zip(dataset.names, dataset.y.T, strict=True)
    return [_of_numbers(name, "number", values) for name, values in named]


def _outlined(column: Column, values: Array) -> Outline:
    if column.kind != "category":
        return _of_numbers(column.name, column.kind, values)
    codes = values.astype(np.int64)
    counts = np.bincount(codes[codes >= 0], minlength=len(column.levels))
    gaps = int(counts[column.levels.index(GAP)]) if GAP in column.levels else 0
    named = [(level, count) for level, count in zip(column.levels, counts, strict=True) if level != GAP]
    names, numbers = [level for level, _ in named], np.array([count for _, count in named])
    return _of_levels(column.name, column.kind, names, numbers, gaps)


def _of_levels(name: str, kind: str, names: Sequence[str], counts: Array, gaps: int) -> Outline:
    order = np.argsort(-counts, kind="stable")
    levels = tuple((names[index], int(counts[index])) for index in order[:SHOWN_LEVELS])
    return Outline(
        name, kind, gaps, len(names), levels=levels, further=int(counts[order[SHOWN_LEVELS:]].sum())
    )


def _of_numbers(name: str, kind: str, values: Array) -> Outline:
    known = values[np.isfinite(values)].astype(np.float64)
    gaps = len(values) - len(known)
    if not len(known):
        return Outline(name, kind, gaps, 0)
    low, median, high = (float(value) for value in np.quantile(known, (0, 0.5, 1)))
    bars = np.histogram(known, BARS, (low, high) if high > low else (low - 0.5, low + 0.5))[0]
    shown: list[Any] = [low, median, high]
    if kind == "date":
        shown = [str(np.datetime64(round(day * SECONDS_A_DAY), "s").astype("datetime64[D]")) for day in shown]
    low, median, high = shown
    return Outline(
        name,
        kind,
        gaps,
        len(np.unique(known)),
        low=low,
        median=median,
        high=high,
        bars=tuple(int(bar) for bar in bars),
    )
