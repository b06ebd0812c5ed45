"""Every callback that Keras ships does in every loop what it does in `model.fit`."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import hpo
from tests.training.models import (
    BATCH,
    CASES,
    OPTIMIZERS,
    X_HELD,
    X_TRAIN,
    Y_HELD,
    Y_TRAIN,
    assert_same_weights,
    fit_by_hand,
    mlp,
    order_of,
)

# Callbacks


def fit(
    model: keras.Model, *callbacks: keras.callbacks.Callback, epochs: int, validation: bool = False
) -> Any:
    return hpo.fit(
        model, X_TRAIN, Y_TRAIN, validation_data=(X_HELD, Y_HELD) if validation else None,
        batch_size=BATCH, epochs=epochs, callbacks=callbacks,
    )  # fmt: skip


def test_callbacks_are_called_as_keras_calls_them_but_for_batches() -> None:
    class Recorder(keras.callbacks.Callback):
        def __init__(self) -> None:
            super().__init__()
            self.calls: list[Any] = []

        def on_train_begin(self, logs: Any = None) -> None:
            self.calls.append(("train begin", dict(self.params)))

        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            self.calls.append(("begin", epoch))

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            self.calls.append(("end", epoch, list(logs)))

        def on_train_end(self, logs: Any = None) -> None:
            self.calls.append(("train end", list(logs)))

    ours, kerass = Recorder(), Recorder()
    fit(mlp(), ours, epochs=2, validation=True)
    mlp().fit(
        X_TRAIN, Y_TRAIN, validation_data=(X_HELD, Y_HELD), batch_size=BATCH, epochs=2, verbose=0,
        callbacks=[kerass],
    )  # fmt: skip
    assert [call for call in ours.calls if call[0] != "train end"] == [
        call for call in kerass.calls if call[0] != "train end"
    ]
    assert ours.calls[-1][0] == "train end"
    assert set(ours.calls[-1][1]) == set(kerass.calls[-1][1])


def test_early_stopping_stops_and_restores_the_best_weights() -> None:
    model = mlp(OPTIMIZERS.SGD(5.0))
    stopping = keras.callbacks.EarlyStopping("val_loss", patience=2, restore_best_weights=True)
    losses = fit(model, stopping, epochs=30, validation=True).history["val_loss"]
    best = int(np.argmin(losses))
    assert len(losses) == best + 3 < 30
    measured = model.evaluate(X_HELD, Y_HELD, verbose=0, return_dict=True)
    assert measured["loss"] == pytest.approx(losses[best], abs=1e-5)
    assert min(losses) < losses[-1]


def test_a_learning_rate_scheduler_sets_the_rate_of_each_epoch() -> None:
    def rate(epoch: int) -> float:
        return (0.5, 0.0, 0.1)[epoch]

    model, expected = CASES["sgd"](), CASES["sgd"]()
    history = fit(model, keras.callbacks.LearningRateScheduler(rate), epochs=3)
    for epoch in range(3):
        expected.optimizer.learning_rate = rate(epoch)
        fit_by_hand(expected, [order_of(epoch)])
    assert_same_weights(model, expected)
    assert history.history["learning_rate"] == pytest.approx([0.5, 0.0, 0.1])


def test_the_learning_rate_falls_on_a_plateau() -> None:
    model = mlp(OPTIMIZERS.SGD(1.0))
    plateau = keras.callbacks.ReduceLROnPlateau("loss", factor=0.1, patience=1, min_delta=1e9)
    history = fit(model, plateau, epochs=4)
    assert history.history["learning_rate"] == pytest.approx([1.0, 1.0, 0.1, 0.01])


def test_the_csv_log_and_checkpoints_hold_each_epoch(tmp_path: Path) -> None:
    model = mlp(OPTIMIZERS.SGD(0.5))
    history = fit(
        model,
        keras.callbacks.CSVLogger(str(tmp_path / "log.csv")),
        keras.callbacks.ModelCheckpoint(str(tmp_path / "{epoch}.keras")),
        keras.callbacks.ModelCheckpoint(
            str(tmp_path / "best.weights.h5"), save_weights_only=True, save_best_only=True
        ),
        epochs=3,
        validation=True,
    )
    with (tmp_path / "log.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["epoch"]) for row in rows] == [0, 1, 2]
    for name, values in history.history.items():
        assert [float(row[name]) for row in rows] == values
    losses = history.history["val_loss"]
    for epoch in range(3):
        saved = keras.models.load_model(tmp_path / f"{epoch + 1}.keras")
        assert saved.evaluate(X_HELD, Y_HELD, verbose=0)[0] == pytest.approx(losses[epoch], abs=1e-5)
    model.load_weights(tmp_path / "best.weights.h5")
    assert model.evaluate(X_HELD, Y_HELD, verbose=0)[0] == pytest.approx(min(losses), abs=1e-5)


def test_a_callback_that_stops_training_ends_the_run_after_its_epoch() -> None:
    class Stop(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            self.model.stop_training = epoch == 1

    assert len(fit(mlp(), Stop(), epochs=9).history["loss"]) == 2


def test_an_error_in_a_callback_comes_through_and_leaves_the_model_usable() -> None:
    layer = keras.layers.Dropout(0.5)
    model = mlp("sgd", layer)

    def fail(epoch: int, logs: Any) -> None:
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        fit(model, keras.callbacks.LambdaCallback(on_epoch_end=fail), epochs=1)
    assert layer.call == type(layer).call.__get__(layer)
    model.fit(X_TRAIN, Y_TRAIN, verbose=0)
    assert len(fit(model, epochs=2).history["loss"]) == 2
