"""What `model.fit` takes as data, as samples: arrays or data sets, weights, a part to validate with."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from hpo.training.arrays import tensors
from hpo.training.datasets import is_batched, read
from hpo.training.samples import Samples
from hpo.training.weights import class_weights, sample_weights


@dataclass(frozen=True, eq=False)
class Inputs:
    """The samples to train on and, if there are any, those to validate with; `batch` if the data say it."""

    samples: Samples
    validation: Samples | None = None
    batch: int | None = None


def inputs_of(
    x: Any,
    y: Any,
    *,
    sample_weight: Any = None,
    class_weight: Mapping[int, float] | None = None,
    validation_data: Any = None,
    validation_split: float = 0.0,
) -> Inputs:
    """Put what `model.fit` takes on the device.

    Raises:
        TypeError: something is not of a kind that can be trained on.
        ValueError: arrays do not go together, or weights, or the split leaves nothing.
    """
    validation = None if validation_data is None else _validation(validation_data)
    batch = None
    if is_batched(x):
        for name, value in (
            ("y", y),
            ("sample_weight", sample_weight),
            ("validation_split", validation_split),
        ):
            if value is not None and not (name == "validation_split" and not value):
                raise ValueError(f"{name}: must be left out where x is a data set, but got one.")
        x, y, sample_weight, batch = read("x", x)
    if class_weight is not None and sample_weight is not None:
        raise ValueError("class_weight: must be None where there are sample weights, but got both.")
    samples = _samples("", x, y, sample_weight)
    if validation is None and validation_split:
        samples, validation = _split(samples, validation_split)
    if class_weight is not None:
        weight = tf.convert_to_tensor(class_weights(class_weight, samples.y))
        samples = Samples(samples.x, samples.y, samples.rows, weight)
    return Inputs(samples, validation, batch)


def _validation(data: Any) -> Samples:
    place = "validation_data"
    if is_batched(data):
        *parts, _ = read(place, data)
        return _samples(f"{place}'s ", *parts)
    if isinstance(data, list | tuple) and len(data) > 3:
        raise ValueError(f"{place}: must be (x, y) or (x, y, sample_weight), but got {len(data)} parts.")
    return _samples(f"{place}'s ", *keras.utils.unpack_x_y_sample_weight(data))


def _samples(place: str, x: Any, y: Any, weight: Any) -> Samples:
    x, y = tensors(f"{place}x", x, text=True), tensors(f"{place}y", y)
    weight = sample_weights(f"{place}sample_weight", weight, y)
    lengths = {name: _lengths(nest) for name, nest in (("x", x), ("y", y), ("sample_weight", weight))}
    if not lengths["x"]:
        raise ValueError(f"{place}x: must be arrays or a data set, but got {x!r}.")
    if len(set().union(*lengths.values())) != 1 or 0 in lengths["x"]:
        got = ", ".join(
            f"{name} {'/'.join(map(str, sorted(some)))}" for name, some in lengths.items() if some
        )
        rule = f"{place}x: must have as many rows as y and sample_weight, and at least 1"
        raise ValueError(f"{rule}, but got {got}.")
    return Samples(x, y, np.arange(lengths["x"].pop(), dtype=np.int32), weight)


def _lengths(nest: Any) -> set[int]:
    return {
        int(array.shape[0]) if array.shape.rank else 0 for array in tf.nest.flatten(nest) if array is not None
    }


def _split(samples: Samples, share: float) -> tuple[Samples, Samples]:
    """The last part of the samples as they came, to validate with, and what is before it."""
    if isinstance(share, bool) or not isinstance(share, int | float | np.floating) or not 0 < share < 1:
        raise ValueError(f"validation_split: must be a number between 0 and 1, but got {share!r}.")
    # Keras's own arithmetic.
    at = math.floor(len(samples) * (1.0 - share))
    if at in (0, len(samples)):
        rule = "must leave a sample to train on and one to validate with"
        raise ValueError(f"validation_split: {rule}, but got {share!r} of {len(samples)} samples.")
    first, last = (Samples(samples.x, samples.y, rows, samples.weight) for rows in
                   (samples.rows[:at], samples.rows[at:]))  # fmt: skip
    return first, last
