"""KerasTuner's side of `cnn`: the same grid, given as JSON, in the working folder."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import keras
import keras_tuner
import numpy as np


class Network(keras_tuner.HyperModel):
    """Blocks of convolution, pooling and dropout, and a hidden layer."""

    def __init__(self, grid: dict[str, Any], shape: tuple[int, ...]) -> None:
        super().__init__()
        self.grid, self.shape = grid, shape

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        grid, layers = self.grid, keras.layers
        filters = grid["filters"][hp.Choice("filters", list(range(len(grid["filters"]))))]
        rate = hp.Choice("block_dropout", grid["block_dropout"])
        parts = [layers.Input(self.shape)]
        for width in filters:
            parts += [
                layers.Conv2D(width, 3, padding="same", activation="relu"),
                layers.MaxPooling2D(2),
                layers.Dropout(rate),
            ]
        hidden = layers.Dense(grid["hidden_units"], activation="relu")
        model = keras.Sequential([*parts, layers.Flatten(), hidden, layers.Dense(10, activation="softmax")])
        optimizer = keras.optimizers.Adam(hp.Choice("learning_rate", grid["learning_rate"]))
        model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
        return model


def main() -> None:
    """Search, and say the best accuracy."""
    grid = json.loads(sys.argv[1])
    x, y = _images(grid["data"])
    training = round(len(x) * (1 - grid["validation"]))
    tuner = keras_tuner.GridSearch(
        Network(grid, x.shape[1:]), objective="val_accuracy", max_trials=None, directory="tuner"
    )
    tuner.search(
        x[:training],
        y[:training],
        validation_data=(x[training:], y[training:]),
        epochs=grid["epochs"],
        batch_size=grid["batch_size"],
        verbose=0,
    )
    wanted = len(grid["filters"]) * len(grid["block_dropout"]) * len(grid["learning_rate"])
    if (trained := len(tuner.oracle.trials)) != wanted:
        raise SystemExit(f"KerasTuner trained {trained} configurations of {wanted}")
    print(tuner.oracle.get_best_trials()[0].score)


def _images(data: str) -> tuple[np.ndarray, np.ndarray]:
    if data == "digits":
        from sklearn.datasets import load_digits

        digits = load_digits()
        return (digits.images[..., None] / 16).astype(np.float32), digits.target
    with np.load(Path(os.environ["HPO_DATA_DIR"]) / f"{data}.npz") as arrays:
        return arrays["x_train"][..., None].astype(np.float32) / 255, arrays["y_train"]


if __name__ == "__main__":
    main()
