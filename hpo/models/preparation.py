"""What stands before a network that learns from a table: its numbers scaled, its categories spread out.

What the training rows say (`hpo.data.Statistics`) are values of variables in training and constants in the
model for others; the same operations use both.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops

from hpo.data import Column, Layout, Statistics
from hpo.data.columns import DATE_DECIMALS
from hpo.data.preparation import QUANTILES
from hpo.spec import Hyperparameters

# Where numbers are drawn in: x / sqrt(1 + (x / 3)^2) stays below 3.
SMOOTH_CLIP = 3.0
# Of what is no date, the seconds, as pandas has them, are the least integer.
SECONDS_A_DAY, LEAST_DAYS = 86_400.0, -1e12
# 2 pi as two numbers. Keras makes float32 of each number that a model is written with, which must not change
# it: as do the seconds of a year, a week and a day.
TURN = (float(np.float32(2 * np.pi)), 2 * np.pi - float(np.float32(2 * np.pi)))
# What a category's level of no name is called in Keras.
UNKNOWN_NAME = "[UNK]"
INPUT_TYPES = {"number": "float32", "date": "int64", "category": "string"}
# Of a table by which several categories are looked up at once, which a model is written with as text.
MOST_CELLS = 20_000


@dataclass(frozen=True)
class Form:
    """How a table's columns become numbers: what shapes the program, and not what is fitted."""

    columns: tuple[Column, ...]
    scaling: str
    one_hot_levels: int
    embedding_width: int

    @classmethod
    def of(cls, columns: Sequence[Column], h: Hyperparameters) -> Form:
        """The form of columns that these hyperparameters ask for."""
        return cls(tuple(columns), h.scaling or "standard", h.one_hot_levels, h.embedding_width)

    @property
    def layout(self) -> Layout:
        """Where numbers and categories stand."""
        return Layout.of(self.columns)

    @property
    def one_hot(self) -> tuple[int, ...]:
        """The categories, by their place among them, that become a column for each level."""
        return tuple(i for i, levels in enumerate(self.layout.levels) if levels <= self.one_hot_levels)

    @property
    def embedded(self) -> tuple[int, ...]:
        """The other ones."""
        return tuple(i for i, levels in enumerate(self.layout.levels) if levels > self.one_hot_levels)

    @property
    def embedding_rows(self) -> int:
        """Rows of the one array that all embedded levels share, each category's unknown level among them."""
        return sum(self.layout.levels[i] + 1 for i in self.embedded)

    @property
    def width(self) -> int:
        """How many numbers a row becomes."""
        layout = self.layout
        hot = sum(layout.levels[i] for i in self.one_hot)
        return len(layout.numbers) + len(layout.gaps) + hot + len(self.embedded) * self.embedding_width


class Preparation(keras.layers.Layer):
    """A table's rows, (rows, widths of the columns), to the numbers that a network learns from.

    The statistics of the training rows are variables that training leaves alone; the embeddings are weights.
    """

    def __init__(self, form: Form, **options: Any) -> None:
        super().__init__(**options)
        self.form = form

    def build(self, input_shape: Any) -> None:
        """Create the variables, with statistics of no rows at all."""
        form, layout = self.form, self.form.layout
        count = len(layout.numbers)
        slots = sum(levels + 1 for levels in layout.levels)
        shapes: dict[str, tuple[int, ...]] = dict.fromkeys(("fill", "centre", "scale"), (count,))
        shapes |= dict.fromkeys(("knots", "heights"), (count, QUANTILES))
        self.statistics = [
            self.add_weight(shape=shape, initializer="zeros", trainable=False, name=name)
            for name, shape in shapes.items()
        ]
        self.statistics.append(
            self.add_weight(shape=(slots,), initializer="zeros", trainable=False, dtype="int32", name="slots")
        )
        self.embeddings = None
        if form.embedded:
            self.embeddings = self.add_weight(
                shape=(form.embedding_rows, form.embedding_width), initializer="zeros", name="embeddings"
            )

    def call(self, inputs: Any) -> Any:
        """See the class."""
        layout = self.form.layout
        numbers = _columns(inputs, layout.numbers)
        codes = _columns(inputs, layout.categories)
        # Each category's levels come after the one that is not known, which is -1.
        places = None
        if codes is not None:
            places = ops.cast(codes, "int32") + np.array(layout.starts, np.int32) + 1
        return prepared(numbers, places, self.form, Statistics(*self.statistics), self.embeddings)

    def fit(self, statistics: Statistics) -> None:
        """Take these statistics."""
        for variable, value in zip(self.statistics, statistics.arrays, strict=True):
            variable.assign(value)

    @property
    def fitted(self) -> Statistics:
        """The statistics as they are now, as arrays."""
        return Statistics(*(np.array(variable.numpy()) for variable in self.statistics))

    @property
    def embedding_values(self) -> Any:
        """The embeddings as they are now; None without."""
        return None if self.embeddings is None else np.array(self.embeddings.numpy())


def _columns(inputs: Any, positions: Sequence[int]) -> Any:
    if not positions:
        return None
    if list(positions) == list(range(inputs.shape[-1])):
        return inputs
    return ops.take(inputs, np.array(positions, np.int32), axis=1)


def prepared(numbers: Any, places: Any, form: Form, statistics: Statistics, embeddings: Any) -> Any:
    """Scaled numbers, marks of gaps, one-hot columns and embeddings, side by side.

    `numbers`: (rows, numbers), NaN where there is none; `places`: (rows, categories), where the level stands
    in `statistics.slots`; either is None if there are none. A level that is not known, or rare, is 0
    everywhere.
    """
    layout, parts = form.layout, []
    if numbers is not None:
        is_gap = ops.isnan(numbers)
        parts.append(_scaled(ops.where(is_gap, statistics.fill, numbers), form.scaling, statistics))
        if layout.gaps:
            parts.append(ops.cast(_columns(is_gap, layout.gaps), "float32"))
    if places is not None:
        slots = ops.take(statistics.slots, places, axis=0)
        if form.one_hot:
            # All at once: an operation a category takes as long to export as the model to train.
            levels = [np.arange(1, layout.levels[index] + 1, dtype=np.int32) for index in form.one_hot]
            repeated = np.repeat(np.array(form.one_hot, np.int32), list(map(len, levels)))
            hot = ops.equal(ops.take(slots, repeated, axis=1), np.concatenate(levels))
            parts.append(ops.cast(hot, "float32"))
        if form.embedded:
            parts.append(_embedded(_columns(slots, form.embedded), form, embeddings))
    return parts[0] if len(parts) == 1 else ops.concatenate(parts, axis=1)


def _scaled(numbers: Any, scaling: str, statistics: Statistics) -> Any:
    if scaling == "quantile":
        return _to_normal(numbers, statistics.knots, statistics.heights)
    scaled = (numbers - statistics.centre) * statistics.scale
    if scaling == "robust":
        return scaled / ops.sqrt(1.0 + ops.square(scaled / SMOOTH_CLIP))
    return scaled


def _to_normal(numbers: Any, knots: Any, heights: Any) -> Any:
    """Piece by piece linear from (knot, height) to the next; beyond the ends as the ends."""
    low, high = knots[:, :-1], knots[:, 1:]
    # Where two knots are one, so are their heights.
    widths = ops.where(ops.equal(high, low), 1.0, high - low)
    climbed = ops.clip((ops.expand_dims(numbers, -1) - low) / widths, 0.0, 1.0)
    # Keras's tensors first: beside an array, what numpy makes of them is an error.
    return ops.sum(climbed * (heights[:, 1:] - heights[:, :-1]), axis=-1) + heights[:, 0]


def _embedded(slots: Any, form: Form, embeddings: Any) -> Any:
    """Each embedded category's row of `embeddings`, side by side; zeros for a level that is not known."""
    counts = [form.layout.levels[index] + 1 for index in form.embedded]
    starts = np.cumsum([0, *counts])[:-1].astype(np.int32)
    rows = ops.take(embeddings, slots + starts, axis=0)
    # The first row of each is the unknown level's.
    known = ops.cast(ops.expand_dims(slots > 0, -1), "float32")
    return ops.reshape(rows * known, (-1, len(form.embedded) * form.embedding_width))


@dataclass(frozen=True, eq=False)
class RawInputs:
    """A table's columns as inputs of a model of Keras's own operations, and the numbers they become.

    `inputs` by the names that `input_names` gives the columns, each of shape (rows, 1): numbers as float32,
    dates as int64 seconds since 1970, categories as text. Keras makes float32 of other floats, in which
    seconds are minutes. Where there is nothing: NaN, the least integer, "".
    """

    inputs: dict[str, Any]
    outputs: Any


def raw_inputs(form: Form, statistics: Statistics, embeddings: Any) -> RawInputs:
    """Inputs for raw columns, prepared by what was fitted; nothing in it is of hpo.

    What follows the inputs is of all columns of a kind at once: an operation takes as long to export as
    hundreds of rows to train.
    """
    inputs, given = dict[str, Any](), {kind: list[Any]() for kind in INPUT_TYPES}
    for column, name in zip(form.columns, input_names(form.columns), strict=True):
        inputs[name] = keras.Input((1,), dtype=INPUT_TYPES[column.kind], name=name)
        given[column.kind].append(inputs[name])
    numbers = _numbers_of(given["number"], given["date"], form.columns)
    places = _places_of(given["category"], [c.levels for c in form.columns if c.kind == "category"])
    constants = Statistics(*(np.asarray(array) for array in statistics.arrays))
    return RawInputs(inputs, prepared(numbers, places, form, constants, embeddings))


def _numbers_of(numbers: list[Any], dates: list[Any], columns: Sequence[Column]) -> Any:
    """Numbers and the parts of dates in the order of their columns; None if there are none."""
    if not dates:
        return _beside(numbers)
    are_dates = [column for column in columns if column.kind == "date"]
    days = ops.cast(_beside(dates), "float64") / SECONDS_A_DAY
    days = ops.where(days < LEAST_DAYS, math.nan, days)
    parts = _date_parts(days, max((column.periods for column in are_dates), key=len))
    # Side by side stand the numbers, the first part of each date, the second of each ...
    order, number, date = list[int](), 0, len(numbers)
    for column in columns:
        if column.kind == "number":
            order.append(number)
            number += 1
        elif column.kind == "date":
            order += range(date, date + column.width * len(dates), len(dates))
            date += 1
    return ops.take(_beside([*numbers, *parts]), np.array(order, np.int32), axis=1)


def _places_of(texts: list[Any], levels: Sequence[Sequence[str]]) -> Any:
    """Where each text stands in `Statistics.slots`, (rows, categories); None if there are none."""
    places, start = list[Any](), 0
    for group in _groups(levels):
        own = [levels[index] for index in group]
        places.append(_places_of_some([texts[index] for index in group], own, start))
        start += sum(len(each) + 1 for each in own)
    return _beside(places)


def _groups(levels: Sequence[Sequence[str]]) -> list[list[int]]:
    """Which categories are looked up at once: neighbours, as many as a table of all their levels may have."""
    groups, names = list[list[int]](), set[str]()
    for index, own in enumerate(levels):
        names = names.union(own)
        if not groups or (len(groups[-1]) + 1) * len(names) > MOST_CELLS:
            groups.append([])
            names = set(own)
        groups[-1].append(index)
    return groups


def _places_of_some(texts: list[Any], levels: Sequence[Sequence[str]], start: int) -> Any:
    """`_places_of` by one lookup of all levels and a table of where each category has them."""
    names = sorted(set().union(*levels)) if len(levels) > 1 else list(levels[0])
    # One for what is not known comes before the levels.
    lookup = keras.layers.StringLookup(
        vocabulary=names, num_oov_indices=1, mask_token=None, oov_token=_free(UNKNOWN_NAME, names)
    )
    found = ops.cast(lookup(_beside(texts)), "int32")
    if len(levels) == 1:
        return found + start
    starts = start + np.cumsum([0, *(len(own) + 1 for own in levels)])[:-1]
    table = np.repeat(starts[:, np.newaxis], len(names) + 1, axis=1).astype(np.int32)
    at = {name: index for index, name in enumerate(names, start=1)}
    for row, own in zip(table, levels, strict=True):
        row[[at[name] for name in own]] += np.arange(1, len(own) + 1, dtype=np.int32)
    rows = np.arange(len(levels), dtype=np.int32) * table.shape[1]
    return ops.take(table.reshape(-1), found + rows)


def array_input(form: Form, statistics: Statistics) -> RawInputs:
    """One input for rows of numbers, prepared by what was fitted."""
    given = keras.Input((len(form.columns),), name="samples")
    constants = Statistics(*(np.asarray(array) for array in statistics.arrays))
    return RawInputs({"samples": given}, prepared(given, None, form, constants, None))


def input_names(columns: Sequence[Column]) -> tuple[str, ...]:
    """The names of the columns' inputs: their own, but that Keras's have no slash, and must differ.

    >>> input_names([Column("km/h", "number"), Column("km_h", "number"), Column("", "number")])
    ('km_h_', 'km_h', '_')
    """
    names = [column.name.replace("/", "_") or "_" for column in columns]
    # What needs no other name keeps its own.
    taken = {name for name, column in zip(names, columns, strict=True) if name == column.name}
    for index, column in enumerate(columns):
        if names[index] != column.name:
            names[index] = _free(names[index], taken)
            taken.add(names[index])
    return tuple(names)


def _free(name: str, taken: Collection[str]) -> str:
    while name in taken:
        name += "_"
    return name


def _beside(parts: Sequence[Any]) -> Any:
    return None if not parts else parts[0] if len(parts) == 1 else ops.concatenate(parts, axis=1)


def _date_parts(days: Any, periods: Sequence[float]) -> list[Any]:
    """As `hpo.data.columns.date_parts`."""
    parts = [ops.cast(days, "float32")]
    for period in periods:
        turns = ops.mod(days * SECONDS_A_DAY, period * SECONDS_A_DAY) / (period * SECONDS_A_DAY)
        angle = turns * TURN[0] + turns * TURN[1]
        parts += [ops.cast(ops.round(of(angle), DATE_DECIMALS), "float32") for of in (ops.sin, ops.cos)]
    return parts
