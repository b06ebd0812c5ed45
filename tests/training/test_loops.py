"""Every loop against Keras's own fit: the same weights and logs, for any compiled model."""

from __future__ import annotations

import itertools
import logging
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import hpo
from hpo.training.kept import trainer_for
from hpo.training.loops import LOOPS, GraphLoop, XlaLoop
from hpo.training.runs import LoopError, Run, Trainer
from hpo.training.samples import Samples
from tests.marks import often
from tests.training.models import (
    BATCH,
    CASES,
    CLASSES,
    FEATURES,
    HELD,
    OPTIMIZERS,
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
    noisy,
    order_of,
    rows_of,
    trainer_of,
)


@pytest.mark.parametrize("loop", LOOPS)
class TestContract:
    """What every loop promises; `fit_by_hand` is none of them."""

    @pytest.mark.parametrize("case", often({"sgd", "adam", "batch norm", "penalties"}, CASES))
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

    @pytest.mark.slow
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


@pytest.mark.slow
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
    assert type(trainer.loop) is XlaLoop


# What XLA cannot compile


class Doubled(keras.layers.Layer):
    """Calls back into Python, which no compiler can."""

    def call(self, inputs: Any) -> Any:
        doubled = tf.numpy_function(lambda x: np.float32(2) * x, [inputs], tf.float32)
        return tf.ensure_shape(doubled, inputs.shape)


class OwnLogs(keras.Sequential):
    def train_step(self, data: Any) -> dict[str, Any]:
        return {"mine": super().train_step(data)["loss"] * 2}


@pytest.mark.long
def test_a_model_that_xla_cannot_compile_is_trained_by_a_graph_with_a_warning(
    caplog: pytest.LogCaptureFixture, train: Samples, held: Samples
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
        run = Run(trainer_of(model, train), train, validation=held, batch_size=BATCH, epochs=3)
        logs = [run.advance() for _ in range(3)]
    assert_same_logs(logs, fit_by_hand(expected, [order_of(epoch) for epoch in range(3)], held=HELD))
    assert_same_weights(model, expected)
    (record,) = (record for record in caplog.records if record.name.startswith("hpo"))
    assert record.levelno == logging.WARNING
    assert "loop 'xla' cannot train this model, so 'graph' does" in record.getMessage()
    assert "PyFunc" in record.getMessage()
    assert "\n" not in record.getMessage()
    # The seconds of a compilation in vain are not training.
    assert type(run.trainer.loop) is GraphLoop
    assert run.trainer.compile_seconds > 0
    assert run.train_seconds > 0


@pytest.mark.long
def test_a_loop_that_was_asked_for_and_cannot_train_the_model_says_so_in_a_line() -> None:
    model = mlp("sgd", Doubled())
    before = model.get_weights()
    with pytest.raises(LoopError, match=r"^loop: must be one that can .* got 'xla': .*PyFunc.* Use 'auto'.$"):
        hpo.fit(model, X_TRAIN, Y_TRAIN, loop="xla")
    for weights, kept in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weights, kept)
    assert hpo.fit(model, X_TRAIN, Y_TRAIN, loop="graph").history["loss"]


@pytest.mark.long
def test_a_loop_that_gave_way_once_is_refused_when_it_is_asked_for(train: Samples) -> None:
    model = mlp("sgd", Doubled())
    trainer = trainer_for(model, train, "xla", fixed=False)
    trainer.train(train, order_of(0), BATCH)
    assert trainer.loop_name == "graph"
    with pytest.raises(LoopError, match="'xla'"):
        hpo.fit(model, X_TRAIN, Y_TRAIN, loop="xla")


def test_a_model_that_cannot_be_traced_is_trained_by_keras(caplog: pytest.LogCaptureFixture) -> None:
    class Untraceable(keras.layers.Layer):
        def call(self, inputs: Any, training: bool = False) -> Any:
            if training and not isinstance(inputs, keras.KerasTensor):
                inputs.numpy()
            return inputs * 2

    model, expected = (mlp("sgd", Untraceable(), run_eagerly=True) for _ in range(2))
    history = hpo.fit(model, X_TRAIN, Y_TRAIN, batch_size=BATCH, epochs=2, validation_data=(X_HELD, Y_HELD))
    assert_same_logs(rows_of(history), fit_by_hand(expected, [order_of(0), order_of(1)], held=HELD))
    model = mlp("sgd", Untraceable())
    with caplog.at_level(logging.WARNING, logger="hpo"), pytest.raises(AttributeError, match="numpy"):
        hpo.fit(model, X_TRAIN, Y_TRAIN)
    assert [
        record.getMessage().split(":")[0] for record in caplog.records if record.name.startswith("hpo")
    ] == ["loop 'graph' cannot train this model, so 'fit' does"]


@pytest.mark.slow
def test_a_model_that_runs_eagerly_is_trained_by_keras_without_a_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    model = mlp(OPTIMIZERS.Adam(0.01), run_eagerly=True)
    with caplog.at_level(logging.WARNING, logger="hpo"):
        history = hpo.fit(model, X_TRAIN, Y_TRAIN, batch_size=BATCH, epochs=2)
    assert_same_logs(rows_of(history), fitted_by_hand("adam")[1])
    assert not [record for record in caplog.records if record.name.startswith("hpo")]


def test_strings_are_trained_on() -> None:
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
    history = hpo.fit(model, X_TRAIN, Y_TRAIN, epochs=2, validation_data=(X_HELD, Y_HELD)).history
    loss = model.evaluate(X_TRAIN, Y_TRAIN, verbose=0)
    assert set(history) == {"mine", "val_loss"}
    assert history["mine"] == pytest.approx([2 * loss] * 2, abs=1e-5)


def test_an_error_of_the_models_own_code_is_raised_as_keras_raises_it() -> None:
    with pytest.raises(ValueError, match="No loss to compute"):
        hpo.fit(mlp(loss=None, metrics=()), X_TRAIN, Y_TRAIN)
