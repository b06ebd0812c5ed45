"""Compiled epochs against Keras's own fit: the same weights, losses and callbacks, for any compiled model."""

from __future__ import annotations

import csv
import gc
import itertools
import logging
import pickle
import weakref
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import hpo
from hpo.training.kept import MOST_PROGRAMS
from hpo.training.loops import LOOPS, FitLoop, GraphLoop, XlaLoop
from hpo.training.loops.programs import ProgramLoop
from hpo.training.runs import Run, Trainer
from hpo.training.samples import Samples

SAMPLES, FEATURES, CLASSES, HELD_OUT = 46, 6, 3, 20
BATCH = 23
OPTIMIZERS = keras.optimizers
generator = np.random.default_rng(0)
X = generator.normal(size=(SAMPLES + HELD_OUT, FEATURES)).astype(np.float32)
Y = generator.integers(0, CLASSES, SAMPLES + HELD_OUT)
TRAIN, HELD = np.arange(SAMPLES, dtype=np.int32), np.arange(SAMPLES, SAMPLES + HELD_OUT, dtype=np.int32)
X_TRAIN, Y_TRAIN, X_HELD, Y_HELD = X[TRAIN], Y[TRAIN], X[HELD], Y[HELD]


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
    """Plain Keras, without a line of hpo: an epoch is one `fit` over samples already in order."""
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


@pytest.fixture(scope="module")
def everything() -> Samples:
    return Samples.of(X, Y)


@pytest.fixture(scope="module")
def train(everything: Samples) -> Samples:
    return Samples(everything.x, everything.y, TRAIN)


@pytest.fixture(scope="module")
def held(everything: Samples) -> Samples:
    return Samples(everything.x, everything.y, HELD)


# The contract of an epoch

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


@pytest.mark.parametrize("loop", LOOPS)
class TestContract:
    """What every loop promises; `fit_by_hand` is none of them."""

    @pytest.mark.parametrize("case", CASES)
    def test_two_epochs_give_the_weights_and_logs_of_keras(
        self, case: str, loop: str, train: Samples, held: Samples
    ) -> None:
        expected, expected_logs = fitted_by_hand(case, measured=case in ("batch norm", "penalties"))
        model = CASES[case]()
        epochs = trainer_of(model, train, loop).loop
        logs = []
        for epoch in range(2):
            logs.append(epochs.train(train, order_of(epoch), BATCH))
            if "val_loss" in expected_logs[0]:
                logs[-1] |= {f"val_{name}": value for name, value in epochs.evaluate(held).items()}
        assert_same_logs(logs, expected_logs)
        assert_same_weights(model, expected)

    @pytest.mark.parametrize(
        ("count", "batch"),
        [(46, 16), (46, 46), (17, 16), (3, 1), (1, 1)],
        ids=["short last batch", "full batch", "last batch of one", "batches of one", "one sample"],
    )
    def test_any_number_of_samples_and_batch_size(
        self, count: int, batch: int, loop: str, everything: Samples
    ) -> None:
        expected, expected_logs = fitted_by_hand("momentum", count=count, batch=batch)
        model = CASES["momentum"]()
        samples = Samples(everything.x, everything.y, TRAIN[:count])
        epochs = trainer_of(model, samples, loop).loop
        orders = [order_of(epoch, rows=samples.rows) for epoch in range(2)]
        assert_same_logs([epochs.train(samples, order, batch) for order in orders], expected_logs)
        assert_same_weights(model, expected)

    def test_measuring_and_predicting_change_nothing(self, loop: str, train: Samples) -> None:
        model = noisy()
        trainer = trainer_of(model, train, loop)
        trainer.train(train, order_of(0), BATCH)
        before = trainer.state
        measured, predicted = trainer.evaluate(train), trainer.predict(train)
        for variable, kept in zip(trainer.state, before, strict=True):
            np.testing.assert_array_equal(variable, kept)
        assert measured == pytest.approx(
            model.evaluate(X_TRAIN, Y_TRAIN, verbose=0, return_dict=True), abs=1e-6
        )
        np.testing.assert_allclose(predicted, model.predict(X_TRAIN, verbose=0), atol=1e-6)


# Evaluation


@pytest.fixture(scope="module")
def many() -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(1)
    return draw.normal(size=(4200, FEATURES)).astype(np.float32), draw.integers(0, CLASSES, 4200)


@pytest.fixture(scope="module")
def evaluator(many: tuple[np.ndarray, np.ndarray]) -> tuple[Trainer, Samples]:
    model = mlp(
        dense={"kernel_regularizer": keras.regularizers.L2(0.1)},
        metrics=["accuracy", keras.metrics.SparseTopKCategoricalAccuracy(2, name="top2")],
    )
    samples = Samples.of(*many)
    return trainer_of(model, samples), samples


@pytest.mark.parametrize("count", [1, 257, 300, 4103])
def test_evaluation_and_prediction_of_any_number_of_samples_equal_keras(
    count: int, evaluator: tuple[Trainer, Samples], many: tuple[np.ndarray, np.ndarray]
) -> None:
    trainer, samples = evaluator
    x, y = many
    chosen = np.random.default_rng(count).permutation(len(x))[:count].astype(np.int32)
    some = Samples(samples.x, samples.y, chosen)
    expected = trainer.model.evaluate(x[chosen], y[chosen], verbose=0, return_dict=True)
    assert trainer.evaluate(some) == pytest.approx(expected, abs=1e-6)
    predicted = trainer.model.predict(x[chosen], verbose=0)
    np.testing.assert_allclose(trainer.predict(some), predicted, atol=1e-6)


def test_one_trainer_takes_data_of_other_shapes_and_types() -> None:
    model = mlp("adam")
    floats = Samples.of(X[:40], Y[:40])
    trainer = trainer_of(model, floats)
    stored = np.arange(30 * FEATURES, dtype=np.uint8).reshape(30, FEATURES)
    for x, y in ((X[:40], Y[:40]), (stored, Y[:30]), (stored.astype(np.float64), Y[:30].astype(np.int8))):
        samples = Samples.of(x, y)
        before = trainer.loop.compilations
        expected = model.evaluate(x, y, verbose=0, return_dict=True)
        assert trainer.evaluate(samples) == pytest.approx(expected, abs=1e-5)
        assert trainer.loop.compilations == before + 1
        trainer.evaluate(samples)
        assert trainer.loop.compilations == before + 1


# Runs


def finish(run: Run) -> Run:
    while not run.finished:
        run.advance()
    return run


def test_runs_in_lockstep_equal_runs_alone_bit_for_bit(train: Samples, held: Samples) -> None:
    trainer = trainer_of(noisy(), train)
    start = trainer.state
    options: Any = {"validation": held, "batch_size": BATCH, "epochs": 3, "initial_state": start}
    alone = [finish(Run(trainer, train, seed=seed, **options)) for seed in (0, 1)]
    together = [Run(trainer, train, seed=seed, **options) for seed in (0, 1)]
    for _ in range(3):
        for run in together:
            run.advance()
    for run, reference in zip(together, alone, strict=True):
        assert run.history.history == reference.history.history
        np.testing.assert_array_equal(run.predict(held), reference.predict(held))
    assert alone[0].history.history != alone[1].history.history


def test_an_epoch_visits_the_samples_in_the_order_drawn_from_seed_and_epoch(
    train: Samples,
) -> None:
    expected, expected_logs = fitted_by_hand("sgd", seed=7)
    model = CASES["sgd"]()
    run = Run(trainer_of(model, train), train, batch_size=BATCH, epochs=2, seed=7)
    assert_same_logs([run.advance(), run.advance()], expected_logs)
    assert_same_weights(model, expected)


def test_a_run_that_has_finished_says_so(train: Samples) -> None:
    run = finish(Run(trainer_of(mlp(), train), train, epochs=2))
    assert run.epoch == 2
    with pytest.raises(RuntimeError, match="finished after 2 epochs"):
        run.advance()


def test_stopping_ends_the_callbacks_once_and_keeps_the_run_usable(train: Samples, held: Samples) -> None:
    ends: list[Any] = []
    ending = keras.callbacks.LambdaCallback(on_train_end=ends.append)
    run = Run(trainer_of(mlp(), train), train, epochs=9, callbacks=[ending])
    logs = run.advance()
    run.stop()
    run.stop()
    assert run.finished
    assert ends == [logs]
    assert run.evaluate(held)["loss"] > 0


def test_compiling_is_timed_apart_from_training(train: Samples, held: Samples) -> None:
    trainer = trainer_of(mlp(), train)
    run = finish(Run(trainer, train, validation=held, batch_size=BATCH, epochs=3))
    assert trainer.loop.compilations == 2  # training and evaluation
    assert 0 < run.train_seconds < trainer.compile_seconds


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


@pytest.mark.parametrize("compiled", [False, True], ids=["plain", "compiled"])
def test_an_optimizer_that_averages_weights_ends_with_the_average(compiled: bool) -> None:
    def make() -> keras.Model:
        return mlp(OPTIMIZERS.SGD(0.5, use_ema=True, ema_momentum=0.9), run_eagerly=not compiled)

    model, expected = make(), make()
    hpo.fit(model, X_TRAIN, Y_TRAIN, batch_size="full", epochs=5)
    expected.fit(X_TRAIN, Y_TRAIN, batch_size=SAMPLES, epochs=5, verbose=0)
    assert_same_weights(model, expected)


# Fitting again


@pytest.fixture
def compilations(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The kind of each program that is compiled."""
    made: list[str] = []
    compiled = CompiledEpochs._compiled

    def noted(epochs: CompiledEpochs, kind: str, *arguments: Any) -> Any:
        made.append(kind)
        return compiled(epochs, kind, *arguments)

    monkeypatch.setattr(CompiledEpochs, "_compiled", noted)
    return made


def fit_once(model: keras.Model, **options: Any) -> keras.callbacks.History:
    return hpo.fit(
        model, X_TRAIN, Y_TRAIN, **{"validation_data": (X_HELD, Y_HELD), "batch_size": BATCH} | options
    )


def test_fitting_again_compiles_nothing_and_trains_as_keras_does(compilations: list[str]) -> None:
    model, expected = CASES["nadam"](), CASES["nadam"]()
    schedule = keras.callbacks.LearningRateScheduler(lambda epoch: 0.02)
    logs = [rows_of(fit_once(model, seed=seed, callbacks=[schedule]))[0] for seed in (1, 2, 3)]
    assert compilations == ["train", "test"]
    expected.optimizer.learning_rate = 0.02
    wanted = fit_by_hand(expected, [order_of(0, seed=seed) for seed in (1, 2, 3)], held=HELD)
    for row in logs:
        row.pop("learning_rate")
    assert_same_logs(logs, wanted)
    assert_same_weights(model, expected)
    assert int(model.optimizer.iterations) == int(expected.optimizer.iterations) == 6


def test_fitting_a_model_with_dropout_again_compiles_nothing(compilations: list[str]) -> None:
    model = noisy()
    for _ in range(3):
        fit_once(model)
    assert compilations == ["train", "test"]


def test_weights_that_are_set_between_two_fits_are_trained_from(compilations: list[str]) -> None:
    model = CASES["sgd"]()
    start = model.get_weights()
    first = rows_of(fit_once(model))
    model.set_weights(start)
    assert_same_logs(rows_of(fit_once(model)), first)
    assert compilations == ["train", "test"]


def test_another_shape_is_compiled_beside_the_ones_there_are(compilations: list[str]) -> None:
    model = CASES["sgd"]()
    for count in (SAMPLES, 30, SAMPLES, 30):
        hpo.fit(model, X[:count], Y[:count], batch_size=10)
    # 46 in tens are four batches and six, 30 are three batches.
    assert compilations == ["train"] * 3


def _set(path: str, value: Any) -> Callable[[keras.Model], None]:
    def change(model: keras.Model) -> None:
        *owners, name = path.split(".")
        target: Any = model
        for owner in owners:
            target = target.layers[int(owner)] if owner.isdigit() else getattr(target, owner)
        setattr(target, name, value)

    return change


CHANGES: dict[str, Callable[[keras.Model], None]] = {
    "compiled again": lambda model: model.compile(OPTIMIZERS.SGD(0.5), "sparse_categorical_crossentropy"),
    "compiled again with the same optimizer": lambda model: model.compile(
        model.optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    ),
    "another activation": _set("0.activation", keras.activations.relu),
    "a layer that is frozen": _set("0.trainable", False),
    "a number of a layer": _set("1.negative_slope", 0.9),
    "a number of a layer's regularizer": lambda model: model.layers[0].kernel_regularizer.__init__(9.0),
    "a number of the optimizer": _set("optimizer.momentum", 0.0),
    "a schedule for a learning rate": _set(
        "optimizer.learning_rate", OPTIMIZERS.schedules.ExponentialDecay(0.9, 1, 0.5)
    ),
    "a call of one's own": _set("2.call", lambda inputs: inputs * 0),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=list(CHANGES))
def test_a_changed_model_is_compiled_anew(change: Any, compilations: list[str]) -> None:
    def make() -> keras.Model:
        regularized = {"kernel_regularizer": keras.regularizers.L2(0.1), "activation": "tanh"}
        return mlp(OPTIMIZERS.SGD(0.1, momentum=0.9), keras.layers.LeakyReLU(0.1), dense=regularized)

    def run(model: keras.Model) -> list[dict[str, float]]:
        return rows_of(hpo.fit(model, X_TRAIN, Y_TRAIN, batch_size=BATCH, epochs=2))

    model = make()
    run(model)
    assert compilations == ["train"]
    change(model)
    trained, weights = run(model), model.get_weights()
    assert compilations == ["train", "train"]
    run(model)
    assert compilations == ["train", "train"]
    # What a model does that forgets its programs.
    expected = make()
    run(expected)
    change(expected)
    del vars(expected)["_hpo_trainer"]
    assert_same_logs(trained, run(expected))
    model.set_weights(weights)
    assert_same_weights(model, expected)


def test_a_model_with_another_layer_is_compiled_anew(compilations: list[str]) -> None:
    model = mlp()
    hpo.fit(model, X_TRAIN, Y_TRAIN, batch_size=BATCH)
    model.add(keras.layers.Dense(CLASSES, activation="softmax"))
    model.compile("sgd", "sparse_categorical_crossentropy")
    hpo.fit(model, X_TRAIN, Y_TRAIN, batch_size=BATCH)
    assert len(model.get_weights()) == 6
    assert compilations == ["train"] * 2


def test_an_attribute_of_a_person_s_own_model_counts(compilations: list[str]) -> None:
    class Scaled(keras.Sequential):
        _scale = 1.0

        def compute_loss(self, *args: Any, **kwargs: Any) -> Any:
            return self._scale * super().compute_loss(*args, **kwargs)

    keras.utils.set_random_seed(0)
    model = Scaled([keras.layers.Input((FEATURES,)), keras.layers.Dense(CLASSES, activation="softmax")])
    model.compile(OPTIMIZERS.SGD(0.0), "sparse_categorical_crossentropy")
    (once,) = rows_of(hpo.fit(model, X_TRAIN, Y_TRAIN))
    model._scale = 2.0
    (twice,) = rows_of(hpo.fit(model, X_TRAIN, Y_TRAIN))
    assert twice["loss"] == pytest.approx(2 * once["loss"], rel=1e-5)
    assert len(compilations) == 2 * 2  # 46 samples in batches of 32 take two programs


def test_a_model_keeps_neither_data_nor_too_many_programs(compilations: list[str]) -> None:
    model = mlp()
    for count in range(1, MOST_PROGRAMS + 4):
        hpo.fit(model, X[:count], Y[:count], batch_size="full")
    kept = vars(model)["_hpo_trainer"].trainer
    assert len(compilations) == MOST_PROGRAMS + 3
    assert kept.loop.compilations <= MOST_PROGRAMS
    assert kept._occupant is None


def test_a_model_that_was_fitted_is_garbage_like_any_other() -> None:
    model = noisy()
    fit_once(model)
    fit_once(model)
    trainer, gone = weakref.ref(vars(model)["_hpo_trainer"].trainer), weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None
    assert trainer() is None


def test_a_model_that_was_fitted_is_copied_and_saved_like_any_other(tmp_path: Path) -> None:
    model = noisy()
    fit_once(model)
    copied = pickle.loads(pickle.dumps(model))
    model.save(tmp_path / "model.keras")
    for other in (copied, keras.models.load_model(tmp_path / "model.keras"), keras.models.clone_model(model)):
        assert "_hpo_trainer" not in vars(other)
    assert_same_weights(copied, model)


def test_data_that_compile_are_compiled_after_data_that_did_not(compilations: list[str]) -> None:
    class Picky(keras.layers.Layer):
        def call(self, inputs: Any) -> Any:
            if inputs.shape[0] == 7:
                return Doubled.call(self, inputs)
            return inputs * 2

    model = mlp("sgd", Picky())
    hpo.fit(model, X[:7], Y[:7])
    before = len(compilations)
    hpo.fit(model, X_TRAIN, Y_TRAIN, batch_size=BATCH)
    assert len(compilations) == before + 1


# Keras's own Dropout


def gradients_of_steps(rate: float, **options: Any) -> tuple[np.ndarray, keras.layers.Dropout]:
    """For four steps the gradient of a sum of 500 inputs after Dropout, which tells what was dropped."""
    layer = keras.layers.Dropout(rate, **options)
    offset = Offset()
    model = keras.Sequential([keras.layers.Input((500,)), offset, layer])
    model.compile(OPTIMIZERS.SGD(1.0), loss=lambda y, predicted: tf.reduce_sum(predicted))
    offsets = [np.zeros(500)]
    keep = keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: offsets.append(offset.get_weights()[0]))
    hpo.fit(model, np.ones((1, 500), np.float32), np.ones((1, 1)), epochs=4, callbacks=[keep])
    return -np.diff(offsets, axis=0), layer


class Offset(keras.layers.Layer):
    def build(self, _shape: Any) -> None:
        self.offset = self.add_weight(shape=(500,), initializer="zeros", name="offset")

    def call(self, inputs: Any) -> Any:
        return inputs + self.offset


def test_kerass_dropout_drops_its_rate_scales_the_rest_and_draws_anew_each_step() -> None:
    gradients, layer = gradients_of_steps(0.3, seed=1)
    dropped = gradients == 0
    assert dropped.mean(axis=1) == pytest.approx([0.3] * 4, abs=0.1)
    np.testing.assert_allclose(gradients[~dropped], 1 / 0.7, rtol=1e-5)
    assert gradients.mean() == pytest.approx(1, abs=0.1)
    for one, other in itertools.combinations(dropped, 2):
        assert (one != other).mean() > 0.2
    assert layer.call == type(layer).call.__get__(layer)


def test_kerass_dropout_repeats_for_its_seed_and_differs_for_another() -> None:
    masks = [gradients_of_steps(0.5, seed=seed)[0] for seed in (1, 1, 2)]
    np.testing.assert_array_equal(masks[0], masks[1])
    assert (masks[0] != masks[2]).any()


def test_a_dropout_rate_of_one_drops_all_without_nan() -> None:
    model = mlp("sgd", keras.layers.Dropout(1.0))
    hpo.fit(model, X_TRAIN, Y_TRAIN, batch_size=BATCH)
    assert all(np.isfinite(weights).all() for weights in model.get_weights())


def test_kerass_dropout_keeps_its_noise_shape() -> None:
    model = mlp("sgd", keras.layers.Dropout(0.5, noise_shape=(None, 1)))
    trainer = trainer_of(model, Samples.of(X, Y))
    trainer.train(Samples.of(X, Y), np.arange(len(X), dtype=np.int32), 16)
    assert type(trainer.epochs) is CompiledEpochs


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


# What XLA cannot compile


class Doubled(keras.layers.Layer):
    """Calls back into Python, which no compiler can."""

    def call(self, inputs: Any) -> Any:
        doubled = tf.numpy_function(lambda x: np.float32(2) * x, [inputs], tf.float32)
        return tf.ensure_shape(doubled, inputs.shape)


class OwnLogs(keras.Sequential):
    def train_step(self, data: Any) -> dict[str, Any]:
        return {"mine": super().train_step(data)["loss"] * 2}


def test_a_model_that_xla_cannot_compile_is_trained_by_plain_fit_with_a_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def make() -> keras.Model:
        keras.utils.set_random_seed(0)
        layers = [
            keras.layers.Input((FEATURES,)),
            Doubled(),
            keras.layers.Dense(CLASSES, activation="softmax"),
        ]
        model = keras.Sequential(layers)
        model.compile(OPTIMIZERS.Adam(0.01), "sparse_categorical_crossentropy", metrics=["accuracy"])
        return model

    model, expected = make(), make()
    with caplog.at_level(logging.WARNING, logger="hpo"):
        history = fit(model, epochs=3, validation=True)
    expected_logs = fit_by_hand(expected, [order_of(epoch) for epoch in range(3)], held=HELD)
    assert_same_logs(rows_of(history), expected_logs)
    assert_same_weights(model, expected)
    (record,) = (record for record in caplog.records if record.name.startswith("hpo"))
    assert record.levelno == logging.WARNING
    assert "plain fit" in record.getMessage()
    assert "PyFunc" in record.getMessage()
    assert "\n" not in record.getMessage()


def test_the_seconds_of_a_compilation_in_vain_are_not_training(train: Samples) -> None:
    model = mlp("sgd", Doubled())
    trainer = trainer_of(model, train)
    run = finish(Run(trainer, train, epochs=1))
    assert type(trainer.epochs) is PlainEpochs
    assert trainer.compile_seconds > 0
    assert run.train_seconds > 0


def test_a_model_that_only_evaluation_cannot_compile_goes_on_by_plain_fit() -> None:
    class Evaluated(Doubled):
        def call(self, inputs: Any, training: bool = False) -> Any:
            return inputs * 2 if training else super().call(inputs)

    model, expected = mlp("sgd", Evaluated()), mlp("sgd", Evaluated())
    history = fit(model, epochs=2, validation=True)
    assert_same_logs(rows_of(history), fit_by_hand(expected, [order_of(0), order_of(1)], held=HELD))


def test_a_model_that_runs_eagerly_is_trained_by_plain_fit_without_a_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    model = mlp(OPTIMIZERS.Adam(0.01), run_eagerly=True)
    with caplog.at_level(logging.WARNING, logger="hpo"):
        history = fit(model, epochs=2)
    assert_same_logs(rows_of(history), fitted_by_hand("adam")[1])
    assert not [record for record in caplog.records if record.name.startswith("hpo")]


def test_strings_are_trained_on_by_plain_fit() -> None:
    words = np.array(["a b", "b c", "c d", "d"] * 5)
    layer = keras.layers.TextVectorization(output_mode="multi_hot")
    layer.adapt(words)
    model = keras.Sequential(
        [keras.layers.Input((), dtype="string"), layer, keras.layers.Dense(2, activation="softmax")]
    )
    model.compile(keras.optimizers.Adam(0.1), "sparse_categorical_crossentropy", metrics=["accuracy"])
    assert hpo.fit(model, words, np.array([0, 1, 1, 0] * 5), epochs=20).history["accuracy"][-1] == 1


def test_logs_of_a_train_step_of_the_users_own_are_kept() -> None:
    keras.utils.set_random_seed(0)
    model = OwnLogs([keras.layers.Input((FEATURES,)), keras.layers.Dense(CLASSES, activation="softmax")])
    model.compile(OPTIMIZERS.SGD(0.0), "sparse_categorical_crossentropy")
    history = fit(model, epochs=2, validation=True).history
    loss = model.evaluate(X_TRAIN, Y_TRAIN, verbose=0)
    assert set(history) == {"mine", "val_loss"}
    assert history["mine"] == pytest.approx([2 * loss] * 2, abs=1e-5)


def test_an_error_of_the_models_own_code_is_raised_as_keras_raises_it() -> None:
    with pytest.raises(ValueError, match="No loss to compute"):
        hpo.fit(mlp(loss=None, metrics=()), X_TRAIN, Y_TRAIN)


# Bad arguments


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch_size": 0}, "batch_size must be"),
        ({"batch_size": -1}, "batch_size must be"),
        ({"batch_size": 2.5}, "batch_size must be"),
        ({"batch_size": "half"}, "batch_size must be"),
        ({"batch_size": None}, "batch_size must be"),
        ({"batch_size": True}, "batch_size must be"),
        ({"epochs": 0}, "epochs must be"),
        ({"epochs": 1.5}, "epochs must be"),
        ({"epochs": None}, "epochs must be"),
        ({"seed": -1}, "seed must be"),
        ({"seed": None}, "seed must be"),
        ({"x": X_TRAIN[:0], "y": Y_TRAIN[:0]}, "equal length"),
        ({"y": Y_TRAIN[:-1]}, "equal length"),
        ({"y": 1}, "equal length"),
        ({"y": None}, "None"),
        ({"x": X_TRAIN.tolist()}, "equal length"),
        ({"validation_data": (X_HELD[:0], Y_HELD[:0])}, "equal length"),
        ({"validation_data": (X_HELD, Y_HELD[:-1])}, "equal length"),
        ({"validation_data": (X_HELD, Y_HELD, np.ones(HELD_OUT))}, "validation_data must be"),
        ({"model": keras.Sequential([keras.layers.Dense(2)])}, "must be compiled"),
    ],
)
def test_bad_arguments_are_refused_and_the_model_is_left_alone(
    arguments: dict[str, Any], message: str
) -> None:
    model = mlp()
    before = model.get_weights()
    given = {"model": model, "x": X_TRAIN, "y": Y_TRAIN} | arguments
    with pytest.raises(ValueError, match=message):
        hpo.fit(**given)
    for weights, kept in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weights, kept)
