"""Convolutional networks of Keras's own layers."""

from __future__ import annotations

import keras

from hpo.models.built import BuiltFamily
from hpo.models.families import Signature
from hpo.spec.networks import CnnNetwork, Normalization, image_axes, normalization

layers = keras.layers
POOLINGS = {"max": layers.MaxPooling2D, "average": layers.AveragePooling2D}


class Cnn(BuiltFamily):
    """Convolutional networks, for images."""

    def __init__(self, signature: Signature) -> None:
        super().__init__(signature, build, (*CnnNetwork.model_fields, "input_shape", "outputs"), place="cnn")


def build(
    filters: list[int],
    convolutions: int,
    kernel_size: int,
    pooling: str,
    activation: str,
    batch_norm: bool | str,
    block_dropout: float | list[float],
    head: str,
    hidden_units: list[int],
    dropout: float | list[float],
    l2: float,
    *,
    input_shape: tuple[int, ...],
    outputs: int,
) -> keras.Model:
    """A convolutional network that gives logits, of images of any order of axes.

    For each of `filters` a block: convolutions over the whole image, edges padded, each with its batch
    normalization and activation; then pooling, which halves height and width; then dropout. On top a head, a
    dense layer with dropout for each of `hidden_units`, and the outputs.
    """
    norm, penalty = normalization(batch_norm), keras.regularizers.L2(l2) if l2 > 0 else None
    parts = [layers.Input(input_shape, name="images"), *_channels_last(input_shape)]
    for block, (width, rate) in enumerate(zip(filters, _each(block_dropout, filters), strict=True), start=1):
        for index in range(1, convolutions + 1):
            name = f"{block}_{index}"
            convolution = layers.Conv2D(
                width, kernel_size, padding="same", kernel_regularizer=penalty, name=f"convolution_{name}"
            )
            parts += [convolution, *_activated(activation, norm, name)]
        if pooling != "none":
            parts.append(POOLINGS[pooling](2, name=f"pooling_{block}"))
        if rate > 0:
            parts.append(layers.Dropout(rate, name=f"block_dropout_{block}"))
    kind = layers.Flatten if head == "flatten" else layers.GlobalAveragePooling2D
    parts.append(kind(name=head))
    for index, (units, rate) in enumerate(zip(hidden_units, _each(dropout, hidden_units), strict=True), 1):
        parts.append(layers.Dense(units, kernel_regularizer=penalty, name=f"hidden_{index}"))
        parts.append(layers.Activation(activation, name=f"hidden_activation_{index}"))
        if rate > 0:
            parts.append(layers.Dropout(rate, name=f"dropout_{index}"))
    return keras.Sequential([*parts, layers.Dense(outputs, name="outputs")], name="cnn")


def _channels_last(shape: tuple[int, ...]) -> list[keras.Layer]:
    if len(shape) == 2:
        return [layers.Reshape((*shape, 1), name="one_channel")]
    _, is_first = image_axes(shape)
    return [layers.Permute((2, 3, 1), name="channels_last")] if is_first else []


def _activated(activation: str, norm: Normalization, name: str) -> list[keras.Layer]:
    activated = [layers.Activation(activation, name=f"activation_{name}")]
    if norm is None:
        return activated
    normalized = [layers.BatchNormalization(name=f"normalization_{name}")]
    return normalized + activated if norm == "before" else activated + normalized


def _each(value: float | list[float], parts: list[int]) -> list[float]:
    return value if isinstance(value, list) else [value] * len(parts)
