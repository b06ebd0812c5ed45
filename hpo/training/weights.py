"""How much each sample counts: Keras's `sample_weight` and `class_weight`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from hpo.training.arrays import tensors
from hpo.training.samples import Array


def sample_weights(place: str, weight: Any, y: Any) -> Any:
    """Weights for each output: for targets that are nested, one array is each output's.

    Raises:
        TypeError: the weights are no arrays of numbers.
        ValueError: they are not nested as the targets are, or there are no targets.
    """
    if weight is None:
        return None
    if y is None:
        raise ValueError(f"{place}: must be None where y is, but got weights.")
    weight = tensors(place, weight)
    if not tf.nest.is_nested(y):
        if tf.nest.is_nested(weight):
            raise ValueError(f"{place}: must be one array, as y is, but got {type(weight).__name__}.")
        return weight
    if not tf.nest.is_nested(weight):
        if weight.shape.rank > 1 and tuple(weight.shape[1:]) != (1,):
            rule = "must have one value for each sample, or be nested as y is"
            raise ValueError(f"{place}: {rule}, but got shape {tuple(weight.shape)}.")
        return tf.nest.map_structure(lambda _: weight, y)
    try:
        tf.nest.assert_same_structure(y, weight)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{place}: must be nested as y is, but got {_form(weight)} for {_form(y)}."
        ) from error
    return weight


def class_weights(weights: Mapping[int, float], y: Any) -> Array:
    """The weight of each sample's class, shape (samples,); 1 for a class that is not named.

    The class is the label itself or, of several columns, the greatest one's place.

    Raises:
        TypeError: it is no mapping of integers to numbers.
        ValueError: it names a class that is not there, or y has not one class for each sample.
    """
    place = "class_weight"
    if not isinstance(weights, Mapping) or not all(map(_is_class_and_weight, weights.items())):
        rule = "must be a dict of classes, which are integers, and finite weights"
        raise TypeError(f"{place}: {rule}, but got {weights!r}.")
    if y is None or tf.nest.is_nested(y) or y.shape.rank > 2:
        got = (
            "none" if y is None else "several outputs" if tf.nest.is_nested(y) else f"shape {tuple(y.shape)}"
        )
        rule = "must go with targets of one class a sample"
        raise ValueError(f"{place}: {rule}, but got {got}. Use sample_weight.")
    values = y.numpy()
    if values.ndim == 2 and values.shape[1] > 1:
        there, labels = np.arange(values.shape[1]), np.argmax(values, axis=1)
    else:
        labels = np.round(values.reshape(len(values))).astype(np.int64)
        there = np.unique(labels)
    strange = sorted(set(map(int, weights)) - set(there.tolist()))
    if strange:
        known = ", ".join(map(str, there[:10])) + (", ..." if len(there) > 10 else "")
        raise ValueError(f"{place}: must name classes that y has ({known}), but got {strange[0]}.")
    classes, places = np.unique(labels, return_inverse=True)
    chosen = [weights.get(label, 1.0) for label in classes.tolist()]
    return np.array(chosen, keras.config.floatx())[places]


def _is_class_and_weight(item: tuple[Any, Any]) -> bool:
    label, weight = item
    numbers = int | float | np.integer | np.floating
    return isinstance(label, int | np.integer) and isinstance(weight, numbers) and bool(np.isfinite(weight))


def _form(nest: Any) -> str:
    return f"{type(nest).__name__} of {sorted(nest) if isinstance(nest, Mapping) else len(nest)}"
