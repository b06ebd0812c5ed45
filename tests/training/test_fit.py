"""`hpo.fit` trains as `model.fit` does, whatever the model."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import hpo
from tests.training.models import (
    BATCH,
    CASES,
    CLASSES,
    FEATURES,
    HELD,
    HELD_OUT,
    OPTIMIZERS,
    SAMPLES,
    TRAIN,
    X_HELD,
    X_TRAIN,
    Y_HELD,
    Y_TRAIN,
    X,
    Y,
    assert_same_logs,
    assert_same_weights,
    fit_by_hand,
    fitted_by_hand,
    mlp,
    order_of,
    rows_of,
)

# fit


def test_fit_trains_a_model_as_keras_does_epoch_by_epoch() -> None:
    expected, expected_logs = fitted_by_hand("adam", epochs=3, seed=5, measured=True)
    model = CASES["adam"]()
    history = hpo.fit(
        model, X_TRAIN, Y_TRAIN, validation_data=(X_HELD, Y_HELD), batch_size=BATCH, epochs=3, seed=5
    )
    assert_same_logs(rows_of(history), expected_logs)
    assert_same_weights(model, expected)
    assert type(history) is keras.callbacks.History
    assert history.epoch == [0, 1, 2]
    assert model.history is history


def test_fitting_again_goes_on_from_the_weights_and_slots_there_are() -> None:
    model, expected = CASES["momentum"](), CASES["momentum"]()
    for seed in (1, 2):
        hpo.fit(model, X_TRAIN, Y_TRAIN, batch_size=BATCH, seed=seed)
    fit_by_hand(expected, [order_of(0, seed=1), order_of(0, seed=2)])
    assert_same_weights(model, expected)


@pytest.mark.parametrize("batch_size", ["full", np.int64(1000)])
def test_a_batch_of_all_samples(batch_size: Any) -> None:
    model = CASES["momentum"]()
    hpo.fit(model, X_TRAIN, Y_TRAIN, batch_size=batch_size, epochs=2)
    assert_same_weights(model, fitted_by_hand("momentum", batch=SAMPLES)[0])


def test_one_sample_and_a_validation_set_of_one() -> None:
    history = hpo.fit(mlp(), X[:1], Y[:1], validation_data=(X[1:2], Y[1:2]), epochs=2)
    assert len(history.history["val_loss"]) == 2
    assert history.history["loss"][1] < history.history["loss"][0]


@pytest.mark.parametrize(
    ("x", "y"),
    [
        (X_TRAIN.astype(np.float64), Y_TRAIN.astype(np.uint8)),
        (X_TRAIN, Y_TRAIN.astype(np.int8)[:, None]),
        (tf.constant(X_TRAIN), tf.constant(Y_TRAIN)),
    ],
    ids=["float64 and uint8", "a column of labels", "tensors"],
)
def test_the_type_of_the_arrays_does_not_matter(x: Any, y: Any) -> None:
    model = CASES["momentum"]()
    hpo.fit(model, x, y, batch_size="full", epochs=2)
    assert_same_weights(model, fitted_by_hand("momentum", batch=SAMPLES)[0])


def two_inputs() -> keras.Model:
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
    )
    return model


@pytest.mark.slow
def test_a_functional_model_with_named_inputs_and_outputs() -> None:
    def arrays(rows: np.ndarray) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        x, y = X[rows], Y[rows]
        return {"left": x[:, :2], "right": x[:, 2:]}, {"label": y, "sum": x.sum(axis=1, keepdims=True)}

    model, expected = two_inputs(), two_inputs()
    history = hpo.fit(model, *arrays(TRAIN), validation_data=arrays(HELD), batch_size=BATCH, epochs=2)
    for epoch in range(2):
        # Keras averages the losses of single outputs over batches, however many samples they have.
        reference = expected.fit(
            *arrays(order_of(epoch)), batch_size=BATCH, shuffle=False, verbose=0,
            validation_data=arrays(HELD), validation_batch_size=HELD_OUT,
        )  # fmt: skip
        assert rows_of(history)[epoch] == pytest.approx(rows_of(reference)[0], abs=1e-5)
    assert_same_weights(model, expected)


@pytest.mark.long
def test_a_convolutional_network() -> None:
    def make() -> keras.Model:
        keras.utils.set_random_seed(0)
        layers = [
            keras.layers.Input((4, 4, 1)),
            keras.layers.Conv2D(3, 2, activation="relu"),
            keras.layers.MaxPooling2D(),
            keras.layers.Flatten(),
            keras.layers.Dense(2, activation="softmax"),
        ]
        model = keras.Sequential(layers)
        model.compile(keras.optimizers.Adam(0.05), "sparse_categorical_crossentropy", metrics=["accuracy"])
        return model

    labels = np.arange(40) % 2
    images = np.random.default_rng(0).random((40, 4, 4, 1)).astype(np.float32)
    images[labels == 1, 1:3, 1:3] += 1
    model, expected = make(), make()
    history = hpo.fit(model, images, labels, batch_size=8, epochs=10)
    for epoch in range(10):
        order = order_of(epoch, rows=np.arange(40, dtype=np.int32))
        expected.fit(images[order], labels[order], batch_size=8, shuffle=False, verbose=0)
    assert_same_weights(model, expected, tolerance=1e-4)
    assert history.history["accuracy"][-1] > 0.8


def test_a_subclassed_model_that_is_not_built_yet() -> None:
    class Subclassed(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.hidden, self.out = keras.layers.Dense(4, "tanh"), keras.layers.Dense(CLASSES, "softmax")

        def call(self, inputs: Any) -> Any:
            return self.out(self.hidden(inputs))

    model = Subclassed()
    model.compile("sgd", "sparse_categorical_crossentropy")
    assert hpo.fit(model, X_TRAIN, Y_TRAIN, epochs=2).history["loss"][1] > 0
    assert model.predict(X_HELD, verbose=0).shape == (HELD_OUT, CLASSES)


def test_a_model_that_is_not_built_yet_takes_any_batch_afterwards() -> None:
    model = keras.Sequential([keras.layers.Dense(4), keras.layers.Dense(CLASSES, activation="softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy")
    hpo.fit(model, X_TRAIN, Y_TRAIN)
    assert model.input_shape == (None, FEATURES)


def test_a_metric_of_several_values() -> None:
    model = mlp(loss="categorical_crossentropy", metrics=[keras.metrics.F1Score(name="f1")])
    one_hot = keras.utils.to_categorical(Y, CLASSES)
    history = hpo.fit(model, X_TRAIN, one_hot[TRAIN], validation_data=(X_HELD, one_hot[HELD]), epochs=2)
    expected = model.evaluate(X_HELD, one_hot[HELD], verbose=0, return_dict=True)
    np.testing.assert_allclose(history.history["val_f1"][-1], expected["f1"], atol=1e-6)
    assert history.history["val_f1"][-1].shape == (CLASSES,)


@pytest.mark.long
@pytest.mark.parametrize("compiled", [False, True], ids=["plain", "compiled"])
def test_an_optimizer_that_averages_weights_ends_with_the_average(compiled: bool) -> None:
    def make() -> keras.Model:
        return mlp(OPTIMIZERS.SGD(0.5, use_ema=True, ema_momentum=0.9), run_eagerly=not compiled)

    model, expected = make(), make()
    hpo.fit(model, X_TRAIN, Y_TRAIN, batch_size="full", epochs=5)
    expected.fit(X_TRAIN, Y_TRAIN, batch_size=SAMPLES, epochs=5, verbose=0)
    assert_same_weights(model, expected)
