"""Seconds an epoch of one model of `models`, measured in this process: by `hpo` or by `fit`."""

from __future__ import annotations

import statistics
import sys
import time

import keras
import numpy as np

from tests.benchmarks.training.models import BATCH, SAMPLES
from tests.benchmarks.training.processes import begin, say

CLASSES = 10
WORDS = 20_000
# Epochs after the first: this many, then more until so many seconds are full; fewer if they are very slow.
EPOCHS = 3
SECONDS = 2.0
SECONDS_AT_MOST = 20.0
EPOCHS_AT_MOST = 50

Layers = list[keras.layers.Layer]


def main() -> None:
    """Measure what the arguments name: `hpo NAME [LOOP]` or `fit NAME`."""
    kind, name, *loop = sys.argv[1:]
    keras.utils.set_random_seed(0)
    x, layers = MODELS[name]()
    y = np.random.default_rng(1).integers(0, CLASSES, SAMPLES)
    model = keras.Sequential([*layers, keras.layers.Dense(CLASSES, activation="softmax")])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    clock = Clock()
    if kind == "fit":
        model.fit(x, y, batch_size=BATCH, epochs=EPOCHS_AT_MOST, callbacks=[clock], verbose=0)
    else:
        import hpo

        options = {"loop": loop[0]} if loop else {}
        hpo.fit(model, x, y, batch_size=BATCH, epochs=EPOCHS_AT_MOST, callbacks=[clock], seed=0, **options)
    say(first=clock.first, epoch=statistics.median(clock.seconds))


class Clock(keras.callbacks.Callback):
    """Times each epoch from the end of the one before, and ends the training when there are enough."""

    def __init__(self) -> None:
        super().__init__()
        self.first = 0.0
        self.seconds: list[float] = []

    def on_train_begin(self, logs: object = None) -> None:
        self._before = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: object = None) -> None:
        seconds = time.perf_counter() - self._before
        if epoch == 0:
            self.first = seconds
            begin()
        else:
            self.seconds.append(seconds)
            total = sum(self.seconds)
            enough = len(self.seconds) >= EPOCHS and total >= SECONDS
            self.model.stop_training = enough or total >= SECONDS_AT_MOST
        self._before = time.perf_counter()


def _images(*, flat: bool = False) -> np.ndarray:
    shape = (SAMPLES, 784) if flat else (SAMPLES, 28, 28, 1)
    return np.random.default_rng(0).random(shape, dtype=np.float32)


def _convolutions() -> Layers:
    return [
        keras.layers.Input((28, 28, 1)),
        keras.layers.Conv2D(32, 3, activation="relu"),
        keras.layers.MaxPooling2D(),
        keras.layers.Conv2D(64, 3, activation="relu"),
        keras.layers.MaxPooling2D(),
        keras.layers.Flatten(),
    ]


def _cnn() -> tuple[np.ndarray, Layers]:
    return _images(), _convolutions()


def _cnn_with_dropout() -> tuple[np.ndarray, Layers]:
    dense = keras.layers.Dense(64, activation="relu")
    return _images(), [*_convolutions(), keras.layers.Dropout(0.25), dense, keras.layers.Dropout(0.5)]


def _lstm() -> tuple[np.ndarray, Layers]:
    return _images().reshape(SAMPLES, 28, 28), [keras.layers.Input((28, 28)), keras.layers.LSTM(32)]


def _embedding() -> tuple[np.ndarray, Layers]:
    x = np.random.default_rng(0).integers(0, WORDS, (SAMPLES, 100), dtype=np.int32)
    return x, [
        keras.layers.Input((100,), dtype="int32"),
        keras.layers.Embedding(WORDS, 16),
        keras.layers.GlobalAveragePooling1D(),
        keras.layers.Dense(16, activation="relu"),
    ]


def _mlp_with_batch_norm() -> tuple[np.ndarray, Layers]:
    hidden = [
        layer
        for units in (128, 64)
        for layer in (
            keras.layers.Dense(units),
            keras.layers.BatchNormalization(),
            keras.layers.Activation("relu"),
        )
    ]
    return _images(flat=True), [keras.layers.Input((784,)), *hidden]


def _gru() -> tuple[np.ndarray, Layers]:
    return _images().reshape(SAMPLES, 28, 28), [keras.layers.Input((28, 28)), keras.layers.GRU(32)]


class SelfAttention(keras.layers.Layer):
    """Four heads of 8, with a residual connection."""

    def __init__(self) -> None:
        super().__init__()
        self.heads, self.normalization = (
            keras.layers.MultiHeadAttention(4, 8),
            keras.layers.LayerNormalization(),
        )

    def build(self, shape: tuple[int | None, ...]) -> None:
        """Make the weights."""
        self.heads.build(shape, shape)
        self.normalization.build(shape)

    def call(self, inputs: object) -> object:
        """Attend."""
        return self.normalization(inputs + self.heads(inputs, inputs))


def _attention() -> tuple[np.ndarray, Layers]:
    x = _images().reshape(SAMPLES, 28, 28)
    pooled = keras.layers.GlobalAveragePooling1D()
    return x, [
        keras.layers.Input((28, 28)),
        SelfAttention(),
        keras.layers.Dense(64, activation="relu"),
        pooled,
    ]


def _mlp(width: int) -> tuple[np.ndarray, Layers]:
    hidden = [keras.layers.Dense(units, activation="relu") for units in (128, 64)]
    return _images(flat=True)[:, :width], [keras.layers.Input((width,)), *hidden]


MODELS = {
    "cnn": _cnn,
    "cnn with dropout": _cnn_with_dropout,
    "lstm": _lstm,
    "gru": _gru,
    "attention": _attention,
    "embedding": _embedding,
    "mlp with batch_norm": _mlp_with_batch_norm,
    "mlp": lambda: _mlp(784),
    "mlp, small": lambda: _mlp(64),
}


if __name__ == "__main__":
    main()
