"""Configurations as points of the unit cube, and as columns that a model learns from.

A share is the part of a dimension that lies below a value: what `hpo.spec.dimensions.quantile` takes. All
that is drawn has one, active or not, so that points can be drawn and moved a thousand at a time.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from hpo.spec import Dimension, Range, SearchSpec, dimensions
from hpo.spec.base import plain
from hpo.spec.conditions import holds

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
# Of so many values at the most each is looked at by itself.
MOST_LEVELS = 200


class Cube:
    """The unit cube of a search's space, (points, dimensions)."""

    def __init__(self, spec: SearchSpec) -> None:
        self._spec = spec
        self._axes = [_Axis(name, dimension, spec.drawn) for name, dimension in spec.drawn.items()]
        self._at = {axis.name: at for at, axis in enumerate(self._axes)}

    @property
    def width(self) -> int:
        """How many dimensions there are."""
        return len(self._axes)

    def points(self, drawn: Sequence[Mapping[str, Any]]) -> Floats:
        """The points of drawn values; what has none lies in the middle."""
        found = np.full((len(drawn), self.width), 0.5)
        for at, axis in enumerate(self._axes):
            known = [(row, values[axis.name]) for row, values in enumerate(drawn) if axis.name in values]
            for row, value in known:
                found[row, at] = axis.share(value)
        return found

    def drawn(self, point: Floats) -> dict[str, Any]:
        """The drawn values of one point, those that are active."""
        every = {axis.name: axis.value(float(share)) for axis, share in zip(self._axes, point, strict=True)}
        return self._spec.active(every)

    def active(self, points: Floats) -> Flags:
        """Which dimensions of which points are active."""
        found = np.ones(points.shape, np.bool_)
        for at, axis in enumerate(self._axes):
            for parent, condition in axis.dimension.when.items():
                up = self._at[parent]
                found[:, at] &= found[:, up] & self._axes[up].holds(condition, points[:, up])
        return found

    def columns(self, points: Floats) -> Floats:
        """What a model learns from: what is not active is the same for all, and says that it is not."""
        active, found = self.active(points), list[Floats]()
        for at, axis in enumerate(self._axes):
            on = active[:, at, None]
            found.append(np.where(on, axis.columns(points[:, at]), axis.middle))
            if axis.dimension.when:
                found.append(on.astype(np.float64))
        return np.hstack(found)

    def moved(self, points: Floats, generator: np.random.Generator) -> Floats:
        """Points near to these: one to three dimensions of each are moved."""
        found, (count, width) = points.copy(), points.shape
        moves = generator.random((count, width)) < np.minimum(
            1.0, generator.integers(1, 4, (count, 1)) / width
        )
        moves[np.arange(count), generator.integers(0, width, count)] = True
        for at, axis in enumerate(self._axes):
            rows = np.flatnonzero(moves[:, at])
            found[rows, at] = axis.moved(found[rows, at], generator)
        return found


class _Axis:
    """One dimension: its values as shares, and shares as columns."""

    def __init__(self, name: str, dimension: Dimension, drawn: Mapping[str, Dimension]) -> None:
        self.name, self.dimension = name, dimension
        self.count = dimensions.size(dimension)
        self._places = {}
        if not isinstance(dimension, Range):
            self._places = {_key(choice): at for at, choice in enumerate(dimension)}
        is_number = isinstance(dimension, Range) or all(
            isinstance(choice, int | float) and not isinstance(choice, bool) for choice in dimension
        )
        self.is_ordered = is_number or len(dimension) == 2  # type: ignore[arg-type]
        self._ranks = np.zeros(0)
        if not isinstance(dimension, Range) and self.is_ordered:
            order = np.argsort(np.argsort(dimension)) if is_number else np.arange(len(dimension))
            self._ranks = (order + 0.5) / len(dimension)

    @property
    def middle(self) -> float:
        """What stands in its columns where it is not active."""
        return 0.5 if self.is_ordered else 0.0

    def share(self, value: Any) -> float:
        """The middle of the share of a value; of one outside, the nearest end."""
        dimension = self.dimension
        if not isinstance(dimension, Range):
            at = self._places.get(_key(value))
            return 0.5 if at is None else (at + 0.5) / len(dimension)
        low, high = float(dimension.low), float(dimension.high)
        if dimension.step is not None:
            assert self.count is not None
            found = ((value - low) / dimension.step + 0.5) / self.count
        else:
            whole = isinstance(dimension.low, int)
            inside = value + 0.5 if whole else value
            if dimension.log:
                found = math.log(max(inside, low) / low) / math.log((high + whole) / low)
            else:
                found = (inside - low) / (high + whole - low)
        return min(max(float(found), 0.0), math.nextafter(1.0, 0.0))

    def value(self, share: float) -> Any:
        """The value that has a share.

        Rounded: a share of a value that is not moved gives that value and not its neighbour in the last bit,
        which would be another configuration.
        """
        found = dimensions.quantile(self.dimension, share)
        if self.count is not None or isinstance(found, int) or not isinstance(self.dimension, Range):
            return found
        return min(max(float(f"{found:.12g}"), self.dimension.low), self.dimension.high)

    def columns(self, shares: Floats) -> Floats:
        """(points, columns): the share, or of choices that have no order a column each."""
        if not len(self._places):
            return shares[:, None]
        levels = np.minimum(len(self._places) - 1, (shares * len(self._places)).astype(np.int64))
        if self.is_ordered:
            return np.asarray(self._ranks[levels][:, None])
        return np.asarray(levels[:, None] == np.arange(len(self._places)), np.float64)

    def holds(self, condition: Any, shares: Floats) -> Flags:
        """Of which shares the value meets a condition."""
        if self.count is not None and self.count <= MOST_LEVELS:
            met = np.array(
                [holds(condition, dimensions.value(self.dimension, at)) for at in range(self.count)]
            )
            return np.asarray(met[np.minimum(self.count - 1, (shares * self.count).astype(np.int64))])
        return np.array(
            [holds(condition, dimensions.quantile(self.dimension, float(s))) for s in shares], bool
        )

    def moved(self, shares: Floats, generator: np.random.Generator) -> Floats:
        if not self.is_ordered:
            return generator.random(len(shares))
        # A tenth of the dimension, or where steps are coarser about one of them.
        width = max(0.1, 1 / self.count if self.count else 0.0)
        found = shares + generator.normal(0.0, width, len(shares))
        anew = generator.random(len(shares)) < 0.1
        found[anew] = generator.random(int(anew.sum()))
        return np.clip(found, 0.0, math.nextafter(1.0, 0.0))


def _key(choice: Any) -> str:
    return repr(plain(choice))
