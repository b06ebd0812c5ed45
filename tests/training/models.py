"""Small models and what plain Keras makes of them, for the tests of training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import keras
import numpy as np
import pytest

from hpo.training.runs import Trainer
from hpo.training.samples import Samples

SAMPLES, FEATURES, CLASSES, HELD_OUT = 46, 6, 3, 20
BATCH = 23
OPTIMIZERS = keras.optimizers
generator = np.random.default_rng(0)
X = generator.normal(size=(SAMPLES + HELD_OUT, FEATURES)).astype(np.float32)
Y = generator.integers(0, CLASSES, SAMPLES + HELD_OUT)
TRAIN, HELD = np.arange(SAMPLES, dtype=np.int32), np.arange(SAMPLES, SAMPLES + HELD_OUT, dtype=np.int32)
X_TRAIN, Y_TRAIN, X_HELD, Y_HELD = X[TRAIN], Y[TRAIN], X[HELD], Y[HELD]

# XLA compiles the programs of the graph loop, which takes a second each; its contract is tested always.
OFTEN = ["graph", pytest.param("fit", marks=pytest.mark.slow), pytest.param("xla", marks=pytest.mark.long)]


def mlp(
    optimizer: Any = "sgd", *extra: keras.layers.Layer, loss: Any = "sparse_categorical_crossentropy",
    metrics: Any = ("accuracy",), seed: int = 0, dense: dict[str, Any] | None = None, **compiling: Any,
) -> keras.Model:  # fmt: skip
    keras.utils.set_random_seed(seed)
    layers = [keras.layers.Dense(5, **(dense or {})), *extra, keras.layers.Activation("tanh")]
    model = keras.Sequential(
        [keras.layers.Input((FEATURES,)), *layers, keras.layers.Dense(CLASSES, activation="softmax")]
    )
    model.compile(optimizer, loss, metrics=list(metrics), **compiling)
    return model


def noisy() -> keras.Model:
    """With all kinds of state: weights, moving averages, random counters, slots, Nadam's running product."""
    return mlp(OPTIMIZERS.Nadam(0.01), keras.layers.Dropout(0.4), keras.layers.BatchNormalization())


def order_of(epoch: int, *, seed: int = 0, rows: np.ndarray = TRAIN) -> np.ndarray:
    return np.random.default_rng([seed, epoch]).permutation(rows)


def fit_by_hand(
    model: keras.Model, orders: Sequence[np.ndarray], *, batch: int = BATCH, held: np.ndarray | None = None
) -> list[dict[str, float]]:
    """Plain Keras, without a line of hpo: an epoch is one `fit` over samples already in order.

    Batch by batch, since a model that is fitted once takes longer to compile than to train.
    """
    model.run_eagerly = True
    logs = []
    for order in orders:
        validation = None if held is None else (X[held], Y[held])
        history = model.fit(
            X[order], Y[order], batch_size=batch, shuffle=False, validation_data=validation, verbose=0
        )
        logs.append({name: values[0] for name, values in history.history.items()})
    return logs


@cache
def fitted_by_hand(
    case: str,
    *,
    epochs: int = 2,
    count: int = SAMPLES,
    batch: int = BATCH,
    seed: int = 0,
    measured: bool = False,
) -> tuple[keras.Model, list[dict[str, float]]]:
    """A case's model trained by plain Keras, and its logs."""
    model = CASES[case]()
    orders = [order_of(epoch, seed=seed, rows=TRAIN[:count]) for epoch in range(epochs)]
    return model, fit_by_hand(model, orders, batch=batch, held=HELD if measured else None)


def assert_same_weights(model: keras.Model, expected: keras.Model, tolerance: float = 1e-5) -> None:
    pairs = zip(model.get_weights(), expected.get_weights(), strict=True)
    for index, (weights, wanted) in enumerate(pairs):
        np.testing.assert_allclose(weights, wanted, atol=tolerance, rtol=0, err_msg=f"weights {index}")


def assert_same_logs(logs: list[dict[str, float]], expected: list[dict[str, float]]) -> None:
    assert [sorted(row) for row in logs] == [sorted(row) for row in expected]
    for row, wanted in zip(logs, expected, strict=True):
        assert row == pytest.approx(wanted, abs=1e-5)


def rows_of(history: keras.callbacks.History) -> list[dict[str, float]]:
    columns = history.history
    epochs = len(next(iter(columns.values())))
    return [{name: values[epoch] for name, values in columns.items()} for epoch in range(epochs)]


def trainer_of(model: keras.Model, samples: Samples, loop: str = "xla") -> Trainer:
    trainer = Trainer(model, loop)
    trainer.build(samples)
    return trainer


CASES: dict[str, Callable[[], keras.Model]] = {
    "sgd": lambda: mlp(OPTIMIZERS.SGD(0.1)),
    "momentum": lambda: mlp(OPTIMIZERS.SGD(0.1, momentum=0.9)),
    "nesterov": lambda: mlp(OPTIMIZERS.SGD(0.1, momentum=0.9, nesterov=True)),
    "adam": lambda: mlp(OPTIMIZERS.Adam(0.01)),
    "rmsprop": lambda: mlp(OPTIMIZERS.RMSprop(0.01, momentum=0.5)),
    "nadam": lambda: mlp(OPTIMIZERS.Nadam(0.01)),
    "accumulated gradients of a schedule": lambda: mlp(
        OPTIMIZERS.SGD(OPTIMIZERS.schedules.ExponentialDecay(0.1, 2, 0.5), gradient_accumulation_steps=2)
    ),
    "batch norm": lambda: mlp(OPTIMIZERS.SGD(0.1), keras.layers.BatchNormalization()),
    "penalties": lambda: mlp(
        OPTIMIZERS.SGD(0.1),
        dense={"kernel_regularizer": keras.regularizers.L2(0.1), "activity_regularizer": "l2"},
    ),
}


def two_outputs() -> keras.Model:
    keras.utils.set_random_seed(0)
    left, right = keras.layers.Input((2,), name="left"), keras.layers.Input((FEATURES - 2,), name="right")
    joined = keras.layers.Concatenate()([keras.layers.Dense(3)(left), right])
    labels = keras.layers.Dense(CLASSES, activation="softmax", name="label")(joined)
    model = keras.Model(
        {"left": left, "right": right}, {"label": labels, "sum": keras.layers.Dense(1, name="sum")(joined)}
    )
    model.compile(
        "adam",
        {"label": "sparse_categorical_crossentropy", "sum": "mse"},
        metrics={"label": ["accuracy"], "sum": ["mae"]},
        weighted_metrics={"label": ["accuracy"], "sum": ["mse"]},
    )
    return model


def embedded() -> keras.Model:
    """Takes whole numbers below 5."""
    keras.utils.set_random_seed(0)
    layers = keras.layers
    model = keras.Sequential(
        [layers.Input((3,), dtype="int32"), layers.Embedding(5, 2), layers.Flatten(), layers.Dense(1)]
    )
    model.compile("sgd", "mse")
    return model


MAKERS: dict[str, Callable[[], keras.Model]] = {
    "plain": lambda: mlp(OPTIMIZERS.SGD(0.5, momentum=0.5)),
    # To a target of another rank Keras's own function would be traced for any.
    "column": lambda: mlp(OPTIMIZERS.SGD(0.5), weighted_metrics=["accuracy"]),
    "averaging": lambda: mlp(OPTIMIZERS.SGD(0.5, momentum=0.5, use_ema=True, ema_momentum=0.7)),
    "weighted": lambda: mlp("adam", weighted_metrics=["accuracy", "sparse_categorical_crossentropy"]),
    "one-hot": lambda: mlp(OPTIMIZERS.SGD(0.5), loss="categorical_crossentropy"),
    "two outputs": two_outputs,
    "embedded": embedded,
}


@cache
def _made(name: str, user: str) -> tuple[keras.Model, list[np.ndarray]]:
    model = MAKERS[name]()
    model.optimizer.build(model.trainable_variables)
    return model, [np.array(variable) for variable in (*model.variables, *model.optimizer.variables)]


def from_start(name: str, user: str) -> keras.Model:
    """A model as it was made, of which each user (a loop, or plain Keras) has one that is compiled once."""
    model, start = _made(name, user)
    for variable, value in zip((*model.variables, *model.optimizer.variables), start, strict=True):
        variable.assign(value)
    # Of a backup that was gone on from Keras keeps this, and begins the next fit there.
    model._initial_epoch = None
    return model
