"""Keras's own optimizers by the names of the vocabulary."""

from __future__ import annotations

from typing import Any

import keras

from hpo.spec import Hyperparameters

OPTIMIZERS = {
    "sgd": keras.optimizers.SGD,
    "adam": keras.optimizers.Adam,
    "adamax": keras.optimizers.Adamax,
    "nadam": keras.optimizers.Nadam,
    "adagrad": keras.optimizers.Adagrad,
    "rmsprop": keras.optimizers.RMSprop,
}


def optimizer_of(h: Hyperparameters, *, steps: int) -> keras.optimizers.Optimizer:
    """The optimizer that hyperparameters name; `steps` is the default length of a cosine."""
    options: dict[str, Any] = {"learning_rate": _learning_rate(h, h.decay_steps or steps)}
    if h.momentum > 0:
        options["momentum"] = h.momentum
        if h.optimizer == "sgd":
            options["nesterov"] = h.nesterov
    return OPTIMIZERS[h.optimizer](**options)


def _learning_rate(h: Hyperparameters, steps: int) -> Any:
    schedules = keras.optimizers.schedules
    if h.schedule == "constant":
        return h.learning_rate
    if h.schedule == "cosine":
        return schedules.CosineDecay(h.learning_rate, steps)
    kind = schedules.ExponentialDecay if h.schedule == "exponential" else schedules.InverseTimeDecay
    return kind(h.learning_rate, steps, h.decay_rate)
