"""A network that looks at an image and reads a row of a table."""

from __future__ import annotations

from collections.abc import Mapping

import keras
from keras import layers


def build(
    filters: int, units: int, *, input_shape: Mapping[str, tuple[int, ...]], outputs: int
) -> keras.Model:
    """Not compiled: optimizer and learning rate are the study's. Each of the data goes in by its name."""
    inputs = {name: keras.Input(shape, name=name) for name, shape in input_shape.items()}
    seen = layers.Conv2D(filters, 3, activation="relu")(inputs["zone"])
    seen = layers.Dense(units, activation="relu")(layers.Flatten()(seen))
    read = layers.Dense(units, activation="relu")(inputs["size"])
    both = layers.Concatenate()([seen, read])
    both = layers.Dense(units, activation="relu")(both)
    return keras.Model(inputs, layers.Dense(outputs)(both))
