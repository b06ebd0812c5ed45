"""Rows of arrays on the device: what runs train on, validate with and predict from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import tensorflow as tf

Array = np.ndarray[Any, Any]
Logs = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Samples:
    """Rows of arrays that are on the device: `x[rows]` are the inputs, `y[rows]` the targets.

    `x` and `y` may be nested (dicts, lists) as Keras models take them; `rows` is int32, one index a sample.
    `y` is None for a model that has its loss inside, `weight` where all samples weigh the same.
    """

    x: Any
    y: Any
    rows: Array
    weight: Any = None

    @classmethod
    def of(cls, x: Any, y: Any = None, weight: Any = None) -> Samples:
        """Put arrays on the device, all their rows.

        Raises:
            ValueError: they are not arrays of one length, or hold no sample.
        """
        x, y, weight = over_arrays(tf.convert_to_tensor, (x, y, weight))
        arrays = [array for array in tf.nest.flatten((x, y, weight)) if array is not None]
        lengths = {int(array.shape[0]) if array.shape.rank else 0 for array in arrays}
        if len(lengths) != 1 or 0 in lengths:
            raise ValueError(f"x and y must be arrays of equal length, at least 1, but got {sorted(lengths)}")
        return cls(x, y, np.arange(lengths.pop(), dtype=np.int32), weight)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def data(self) -> tuple[Any, ...]:
        """All arrays as Keras's steps take them: (x,), (x, y) or (x, y, weight)."""
        if self.weight is not None:
            return self.x, self.y, self.weight
        return (self.x,) if self.y is None else (self.x, self.y)

    @cached_property
    def stored(self) -> int:
        """How many rows the arrays have, these and others."""
        arrays = [array for array in tf.nest.flatten(self.data) if array is not None]
        return int(arrays[0].shape[0])

    @cached_property
    def specs(self) -> tuple[Any, ...]:
        """Shapes and types of `data`, for any number of rows."""
        specs: tuple[Any, ...] = over_arrays(
            lambda array: tf.TensorSpec((None, *array.shape[1:]), array.dtype), self.data
        )
        return specs

    @cached_property
    def kind(self) -> str:
        """Equal for samples of the same shapes, types and nesting, however many there are."""
        # (x, y) and ((x,), (y,)) are flat the same, but not to a program.
        return str(self.specs)


def over_arrays(function: Callable[[Any], Any], nested: Any) -> Any:
    """What a function makes of each array of a nest; where there is none, there is none."""
    return tf.nest.map_structure(lambda array: None if array is None else function(array), nested)


def gather(nested: Any, rows: Any) -> Any:
    """These rows of each array."""
    return over_arrays(lambda array: tf.gather(array, rows), nested)
