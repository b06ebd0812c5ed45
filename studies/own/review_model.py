"""A network that reads a text word by word."""

from __future__ import annotations

import keras
from keras import layers


def build(width: int, words: int, *, input_shape: tuple[int, ...], outputs: int) -> keras.Model:
    """Not compiled. `words`: how many the embedding knows."""
    tokens = keras.Input(input_shape, dtype="int32")
    embedded = layers.Embedding(words, width)(tokens)
    read = layers.GRU(2 * width)(embedded)
    return keras.Model(tokens, layers.Dense(outputs)(read))
