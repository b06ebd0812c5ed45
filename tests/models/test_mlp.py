"""The MLP that hyperparameters build: the same as stock Keras, repeatable by seed, compiled once a key."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any, get_args

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from hpo.models.families import Signature
from hpo.models.layers import L2, Dropout, MomentumSGD, Schedule, WideDense
from hpo.models.mlp import MlpNetwork, build
from hpo.spec import MlpHyperparameters
from hpo.spec.networks import Activation
from hpo.training.runs import Run, Trainer
from hpo.training.samples import Samples
from tests.marks import often

SAMPLES, FEATURES, CLASSES, BATCH, SCALE = 46, 6, 3, 23, 0.5
generator = np.random.default_rng(0)
X = generator.integers(0, 5, (SAMPLES, FEATURES)).astype(np.uint8)
Y = generator.integers(0, CLASSES, SAMPLES)


def hyperparameters(**values: Any) -> MlpHyperparameters:
    return MlpHyperparameters(
        **({"hidden_units": [5, 4], "learning_rate": 0.1, "batch_size": BATCH} | values)
    )


def network_of(h: MlpHyperparameters, samples: Samples, *, scale: float = SCALE) -> MlpNetwork:
    network = build(h, Signature(tuple(samples.x.shape[1:]), CLASSES, scale))
    network.trainer.build(samples)
    return network


def trained(
    network: MlpNetwork, h: MlpHyperparameters, samples: Samples, *, seed: int = 0, epochs: int = 2
) -> tuple[list[np.ndarray], dict[str, list[float]]]:
    """The state and the curve after a run."""
    steps = epochs * h.steps_per_epoch(len(samples))
    state = network.initial_state(h, seed=seed, steps=steps)
    run = Run(
        network.trainer, samples, validation=samples, batch_size=h.batch_size, epochs=epochs, seed=seed,
        initial_state=state,
    )  # fmt: skip
    while not run.finished:
        run.advance()
    return network.trainer.state, run.history.history


@pytest.fixture(scope="module")
def samples() -> Samples:
    return Samples.of(X, Y)


# Against stock Keras

OPTIMIZERS, SCHEDULES = keras.optimizers, keras.optimizers.schedules
STOCK: dict[str, tuple[dict[str, Any], Callable[[], keras.optimizers.Optimizer]]] = {
    "sgd": ({}, lambda: OPTIMIZERS.SGD(0.1)),
    "momentum": ({"momentum": 0.7}, lambda: OPTIMIZERS.SGD(0.1, momentum=0.7)),
    "nesterov": (
        {"momentum": 0.7, "nesterov": True},
        lambda: OPTIMIZERS.SGD(0.1, momentum=0.7, nesterov=True),
    ),
    "adam": ({"optimizer": "adam"}, lambda: OPTIMIZERS.Adam(0.1)),
    "adamax": ({"optimizer": "adamax"}, lambda: OPTIMIZERS.Adamax(0.1)),
    "nadam": ({"optimizer": "nadam"}, lambda: OPTIMIZERS.Nadam(0.1)),
    "adagrad": ({"optimizer": "adagrad"}, lambda: OPTIMIZERS.Adagrad(0.1)),
    "rmsprop": (
        {"optimizer": "rmsprop", "momentum": 0.3},
        lambda: OPTIMIZERS.RMSprop(0.1, momentum=0.3),
    ),
    "inverse time": (
        {"schedule": "inverse_time", "decay_rate": 0.5, "decay_steps": 2},
        lambda: OPTIMIZERS.SGD(SCHEDULES.InverseTimeDecay(0.1, 2, 0.5)),
    ),
    "exponential with momentum": (
        {"schedule": "exponential", "decay_rate": 0.5, "decay_steps": 3, "momentum": 0.7},
        lambda: OPTIMIZERS.SGD(SCHEDULES.ExponentialDecay(0.1, 3, 0.5), momentum=0.7),
    ),
    "cosine that ends early, with adam": (
        {"schedule": "cosine", "decay_steps": 3, "optimizer": "adam"},
        lambda: OPTIMIZERS.Adam(SCHEDULES.CosineDecay(0.1, 3)),
    ),
    "cosine over the whole run": (
        {"schedule": "cosine"},
        lambda: OPTIMIZERS.SGD(SCHEDULES.CosineDecay(0.1, 4)),
    ),
    "l2 of one layer": ({"l2": [0.0, 0.2]}, lambda: OPTIMIZERS.SGD(0.1)),
    "l2 of all layers, batch norm": ({"l2": 0.2, "batch_norm": True}, lambda: OPTIMIZERS.SGD(0.1)),
    "batch norm after": ({"batch_norm": "after"}, lambda: OPTIMIZERS.SGD(0.1)),
    "no hidden layer": ({"hidden_units": []}, lambda: OPTIMIZERS.SGD(0.1)),
}  # fmt: skip


def stock_model(
    h: MlpHyperparameters, optimizer: keras.optimizers.Optimizer, shape: tuple[int, ...], scale: float = SCALE
) -> keras.Model:
    """The same network from Keras's own layers, with the scaling done beforehand by the caller."""
    layers: list[Any] = [keras.layers.Input(shape), keras.layers.Flatten(), keras.layers.Rescaling(scale)]
    for units, dropout, l2 in zip(h.hidden_units, h.per_layer("dropout"), h.per_layer("l2"), strict=True):
        layers.append(keras.layers.Dense(units, kernel_regularizer=keras.regularizers.L2(l2)))
        layers += [keras.layers.BatchNormalization()] if h.batch_norm is True else []
        layers += [keras.layers.Activation(h.activation)]
        layers += [keras.layers.BatchNormalization()] if h.batch_norm == "after" else []
        layers += [keras.layers.Dropout(dropout)]
    model = keras.Sequential([*layers, keras.layers.Dense(CLASSES, activation="softmax")])
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def copy_weights(source: keras.Model, target: keras.Model) -> None:
    pairs = zip(source.trainable_variables, target.trainable_variables, strict=True)
    for variable, copy in pairs:
        copy.assign(variable.numpy())


def assert_trains_like(
    network: MlpNetwork, h: MlpHyperparameters, stock: keras.Model, samples: Samples
) -> None:
    network.trainer.state = network.initial_state(h, seed=3, steps=4)
    model = network.trainer.model
    copy_weights(model, stock)
    x, y = samples.x.numpy(), samples.y.numpy()
    stock.run_eagerly = True  # which takes half as long as to compile it
    for epoch in range(2):
        order = np.random.default_rng(epoch).permutation(len(x)).astype(np.int32)
        logs = network.trainer.train(samples, order, BATCH)
        expected = stock.fit(x[order], y[order], batch_size=BATCH, shuffle=False, verbose=0).history
        assert logs == pytest.approx({name: values[0] for name, values in expected.items()}, abs=1e-5)
    np.testing.assert_allclose(model(x, training=False), stock(x, training=False), atol=1e-5)


@pytest.mark.parametrize(
    "case", often({"nadam", "l2 of all layers, batch norm", "cosine over the whole run"}, STOCK)
)
def test_training_equals_the_same_model_of_stock_keras(case: str, samples: Samples) -> None:
    values, optimizer = STOCK[case]
    h = hyperparameters(**values)
    assert_trains_like(network_of(h, samples), h, stock_model(h, optimizer(), (FEATURES,)), samples)


@pytest.mark.slow
def test_training_on_wide_inputs_equals_stock_keras() -> None:
    x = np.random.default_rng(1).integers(0, 256, (SAMPLES, 32, 32), dtype=np.uint8)
    samples = Samples.of(x, Y)
    h = hyperparameters(momentum=0.5)
    network = network_of(h, samples, scale=1 / 255)
    assert any(isinstance(layer, WideDense) for layer in network.trainer.model.layers)
    stock = stock_model(h, OPTIMIZERS.SGD(0.1, momentum=0.5), (32, 32), 1 / 255)
    assert_trains_like(network, h, stock, samples)


@pytest.mark.parametrize("activation", get_args(get_args(Activation)[0]))
def test_every_activation_with_dropout_predicts_like_stock_keras(activation: str) -> None:
    h = hyperparameters(activation=activation, dropout=[0.5, 0.0])
    model = build(h, Signature((2, 3), CLASSES, SCALE)).trainer.model
    stock = stock_model(h, OPTIMIZERS.SGD(), (2, 3))
    copy_weights(model, stock)
    x = X.reshape(-1, 2, 3)
    np.testing.assert_allclose(model(x), stock(x), atol=1e-6)


def test_the_model_carries_its_preprocessing() -> None:
    h = hyperparameters()
    scaled = build(h, Signature((FEATURES,), CLASSES, SCALE)).trainer.model
    raw = build(h, Signature((FEATURES,), CLASSES, 1.0)).trainer.model
    copy_weights(scaled, raw)
    np.testing.assert_allclose(scaled(X), raw(X * SCALE), atol=1e-6)


RATES = st.floats(1e-4, 10.0)


@settings(max_examples=50, deadline=None)
@given(rate=RATES, decay=st.floats(0.01, 1.0), steps=st.integers(1, 1000), step=st.integers(0, 2000))
@pytest.mark.parametrize("kind", ["inverse_time", "exponential", "cosine"])
def test_schedules_equal_kerass(kind: str, rate: float, decay: float, steps: int, step: int) -> None:
    schedule = SCHEDULE_OBJECTS[kind]
    schedule.learning_rate.assign(rate)
    schedule.decay_rate.assign(decay)
    schedule.decay_steps.assign(steps)
    expected = {
        "inverse_time": lambda: SCHEDULES.InverseTimeDecay(rate, steps, decay),
        "exponential": lambda: SCHEDULES.ExponentialDecay(rate, steps, decay),
        "cosine": lambda: SCHEDULES.CosineDecay(rate, steps),
    }[kind]()
    assert float(schedule(step)) == pytest.approx(float(expected(step)), rel=1e-5, abs=1e-6 * rate)


SCHEDULE_OBJECTS = {kind: Schedule(kind) for kind in ("inverse_time", "exponential", "cosine")}


@settings(max_examples=25, deadline=None)
@given(strength=st.floats(0, 10), seed=st.integers(0, 1000))
def test_the_l2_penalty_equals_kerass(strength: float, seed: int) -> None:
    weights = tf.constant(np.random.default_rng(seed).normal(size=(7, 3)).astype(np.float32))
    penalty = L2()
    penalty.strength.assign(strength)
    assert float(penalty(weights)) == pytest.approx(float(keras.regularizers.L2(strength)(weights)), rel=1e-5)


@pytest.mark.parametrize("nesterov", [False, True])
def test_momentum_keeps_its_slots_and_numbers_in_variables(nesterov: bool) -> None:
    ours, stock = (
        MomentumSGD(learning_rate=0.1, nesterov=nesterov),
        OPTIMIZERS.SGD(0.1, momentum=0.3, nesterov=nesterov),
    )
    ours.strength.assign(0.3)
    pair = [keras.Variable([1.0, -2.0]) for _ in range(2)]
    for gradient in ([0.5, 1.0], [-1.0, 2.0], [0.0, 0.0]):
        for optimizer, variable in zip((ours, stock), pair, strict=True):
            optimizer.apply([keras.ops.array(gradient)], [variable])
    np.testing.assert_allclose(pair[0], pair[1], rtol=1e-6)


@pytest.mark.parametrize(("batch", "width", "units"), [(1, 16, 1), (7, 1024, 5), (3, 1040, 2)])
def test_wide_dense_has_the_values_and_gradients_of_dense(batch: int, width: int, units: int) -> None:
    draw = np.random.default_rng(0)
    x = tf.constant(draw.normal(size=(batch, width)).astype(np.float32))
    upstream = tf.constant(draw.normal(size=(batch, units)).astype(np.float32))
    wide, dense = WideDense(units, activation="tanh"), keras.layers.Dense(units, activation="tanh")
    results = []
    for layer in (wide, dense):
        layer.build((None, width))
        layer.set_weights(wide.get_weights())
        with tf.GradientTape() as tape:
            tape.watch(x)
            outputs = layer(x)
        gradients = tape.gradient(outputs, [x, *(v.value for v in layer.trainable_variables)], upstream)
        results.append([outputs, *gradients])
    for ours, stock in zip(*results, strict=True):
        np.testing.assert_allclose(ours, stock, atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize(("width", "wide"), [(1024, True), (3072, True), (1008, False), (1025, False)])
def test_inputs_that_pieces_divide_and_that_are_wide_are_computed_in_pieces(width: int, wide: bool) -> None:
    model = build(hyperparameters(), Signature((width,), CLASSES, 1.0)).trainer.model
    kinds = [type(layer) for layer in model.layers if isinstance(layer, keras.layers.Dense)]
    assert kinds == [WideDense if wide else keras.layers.Dense, keras.layers.Dense, keras.layers.Dense]


# Seeds

NOISY: dict[str, Any] = {"dropout": 0.3, "batch_norm": True, "momentum": 0.5, "l2": 0.01}


@pytest.fixture(scope="module")
def noisy(samples: Samples) -> MlpNetwork:
    return network_of(hyperparameters(**NOISY), samples)


def assert_same(one: Any, other: Any) -> None:
    assert one[1] == other[1]
    for first, second in zip(one[0], other[0], strict=True):
        np.testing.assert_array_equal(first, second)


@pytest.mark.slow
def test_the_same_seed_gives_the_same_bits_whatever_was_trained_between(
    noisy: MlpNetwork, samples: Samples
) -> None:
    h = hyperparameters(**NOISY)
    first = trained(noisy, h, samples, seed=4)
    assert_same(trained(noisy, h, samples, seed=4), first)
    other = hyperparameters(**NOISY | {"dropout": 0.9, "learning_rate": 3.0, "momentum": 0.1, "l2": 1.0})
    trained(noisy, other, samples, seed=5, epochs=3)
    assert_same(trained(noisy, h, samples, seed=4), first)
    fresh = network_of(h, samples)
    assert_same(trained(fresh, h, samples, seed=4), first)


def test_another_seed_gives_other_weights_curves_and_masks(noisy: MlpNetwork, samples: Samples) -> None:
    h = hyperparameters(**NOISY)
    curves = [trained(noisy, h, samples, seed=seed)[1]["loss"] for seed in range(4)]
    for one, other in itertools.combinations(curves, 2):
        assert one != other
    states = [noisy.initial_state(h, seed=seed, steps=1) for seed in (0, 1)]
    kernels = [[array for array in state if array.ndim == 2] for state in states]
    assert all((one != other).any() for one, other in zip(*kernels, strict=True) if one.any())


def test_replicates_in_lockstep_equal_the_same_seeds_alone_bit_for_bit(
    noisy: MlpNetwork, samples: Samples
) -> None:
    h = hyperparameters(**NOISY)
    seeds = (0, 1, 2)
    alone = [trained(noisy, h, samples, seed=seed) for seed in seeds]
    states = [noisy.initial_state(h, seed=seed, steps=6) for seed in seeds]
    runs = [
        Run(
            noisy.trainer,
            samples,
            validation=samples,
            batch_size=BATCH,
            epochs=2,
            seed=seed,
            initial_state=state,
        )
        for seed, state in zip(seeds, states, strict=True)
    ]
    for _ in range(2):
        for run in runs:
            run.advance()
    for run, reference in zip(runs, alone, strict=True):
        run.evaluate(samples)
        assert_same((noisy.trainer.state, run.history.history), reference)


def test_a_run_keeps_its_weights_when_the_network_is_reset_for_another_trial(
    noisy: MlpNetwork, samples: Samples
) -> None:
    h = hyperparameters(**NOISY)
    state = noisy.initial_state(h, seed=0, steps=1)
    run = Run(noisy.trainer, samples, batch_size=BATCH, epochs=1, initial_state=state)
    run.advance()
    before = run.predict(samples)
    noisy.initial_state(h, seed=1, steps=1)
    np.testing.assert_array_equal(run.predict(samples), before)


def test_initial_weights_are_glorot_uniform_and_differ_between_layers(samples: Samples) -> None:
    h = hyperparameters(hidden_units=[300, 300])
    network = build(h, Signature((300,), 300, 1.0))
    network.trainer.state = network.initial_state(h, seed=0, steps=1)
    dense = [layer for layer in network.trainer.model.layers if isinstance(layer, keras.layers.Dense)]
    limit = np.sqrt(6 / 600)
    for layer in dense:
        kernel = layer.kernel.numpy()
        assert np.abs(kernel).max() <= limit
        assert kernel.std() == pytest.approx(limit / np.sqrt(3), rel=0.02)
        assert not layer.bias.numpy().any()
    for one, other in itertools.combinations(dense, 2):
        assert abs(np.corrcoef(one.kernel.numpy().ravel(), other.kernel.numpy().ravel())[0, 1]) < 0.02


# One compilation a key


@pytest.mark.slow
@pytest.mark.parametrize(
    ("first", "others"),
    [
        (
            {"dropout": 0.1, "l2": 0.1, "momentum": 0.1},
            [
                {"dropout": 0.9, "l2": 1e-9, "momentum": 0.99, "learning_rate": 1e-6},
                {"dropout": [0.2, 0.3], "l2": [1.0, 2.0], "momentum": 0.5, "learning_rate": 100.0},
            ],
        ),
        (
            {"schedule": "inverse_time", "optimizer": "adam"},
            [{"schedule": "inverse_time", "optimizer": "adam", "decay_rate": 3.0, "decay_steps": 7}],
        ),
        ({"schedule": "cosine"}, [{"schedule": "cosine", "decay_steps": 5, "learning_rate": 0.5}]),
    ],
    ids=["strengths", "schedule", "length of a cosine"],
)
def test_one_compilation_serves_every_value_of_a_strength(
    first: dict[str, Any], others: list[dict[str, Any]], samples: Samples
) -> None:
    h = hyperparameters(**first)
    network = network_of(h, samples)
    curve = trained(network, h, samples)[1]["loss"]
    compilations, seconds = network.trainer.loop.compilations, network.trainer.compile_seconds
    assert compilations == 3  # a step traced, a program of it, and evaluation
    for values in others:
        other = hyperparameters(**values)
        assert other.compile_key == h.compile_key
        assert trained(network, other, samples)[1]["loss"] != curve
    assert network.trainer.loop.compilations == compilations
    assert network.trainer.compile_seconds == seconds


@pytest.mark.parametrize(
    "change",
    [
        {"hidden_units": [5]}, {"hidden_units": [4, 5]}, {"activation": "tanh"}, {"batch_norm": True},
        {"batch_norm": "after"}, {"optimizer": "adam"}, {"momentum": 0.5}, {"schedule": "cosine"},
        {"dropout": 0.5},
        {"dropout": [0.5, 0.0]}, {"l2": 0.1}, {"l2": [0.0, 0.1]}, {"batch_size": 7}, {"batch_size": "full"},
    ],
    ids=str,
)  # fmt: skip
def test_what_changes_the_program_changes_the_key(change: dict[str, Any]) -> None:
    assert hyperparameters(**change).compile_key != hyperparameters().compile_key


@pytest.mark.parametrize(
    "change",
    [{"learning_rate": 0.2}, {"epochs": 3}, {"early_stopping_patience": 2}, {"nesterov": True}],
    ids=str,
)
def test_what_does_not_change_the_program_does_not_change_the_key(change: dict[str, Any]) -> None:
    assert hyperparameters(**change).compile_key == hyperparameters().compile_key


# Dropout


def dropout_layer(rate: float, seed: int = 1) -> Dropout:
    layer = Dropout()
    layer.build((None, 1000))
    layer.rate.assign(rate)
    layer.counter.assign([seed, 0])
    return layer


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_dropout_drops_its_rate_and_scales_the_rest_to_keep_the_mean(rate: float) -> None:
    outputs = dropout_layer(rate)(tf.ones((100, 1000)), training=True).numpy()
    assert (outputs == 0).mean() == pytest.approx(rate, abs=0.01)
    assert outputs.mean() == pytest.approx(1, abs=0.04)
    np.testing.assert_allclose(outputs[outputs > 0], 1 / (1 - rate), rtol=1e-5)


def test_masks_differ_between_steps_samples_seeds_and_layers() -> None:
    layer, other = dropout_layer(0.5), dropout_layer(0.5, seed=2)
    ones = tf.ones((3, 1000))
    masks = [layer(ones, training=True).numpy() > 0 for _ in range(3)] + [
        other(ones, training=True).numpy() > 0
    ]
    rows = np.concatenate(masks)
    for one, another in itertools.combinations(rows, 2):
        assert (one != another).mean() == pytest.approx(0.5, abs=0.1)
    again = dropout_layer(0.5)
    np.testing.assert_array_equal(again(ones, training=True).numpy() > 0, masks[0])


def test_two_dropouts_of_one_network_draw_from_different_counters() -> None:
    h = hyperparameters(dropout=0.5)
    network = build(h, Signature((FEATURES,), CLASSES, 1.0))
    network.trainer.state = network.initial_state(h, seed=0, steps=1)
    first, second = (layer.counter.numpy() for layer in network.dropouts if layer is not None)
    assert first[0] != second[0]
    assert first[1] == second[1] == 0


def test_without_training_dropout_changes_nothing() -> None:
    layer = dropout_layer(0.9)
    ones = tf.ones((2, 1000))
    np.testing.assert_array_equal(layer(ones), ones)
    np.testing.assert_array_equal(layer(ones, training=False), ones)
    assert layer.counter.numpy().tolist() == [1, 0]


@pytest.mark.long
def test_a_network_with_dropout_trains_the_same_by_the_graph_and_by_plain_fit(
    noisy: MlpNetwork, samples: Samples
) -> None:
    h = hyperparameters(**NOISY)
    graph, plain = (replace(noisy, trainer=Trainer(noisy.trainer.model, loop)) for loop in ("graph", "fit"))
    state, curve = trained(graph, h, samples)
    plain_state, plain_curve = trained(plain, h, samples)
    for array, expected in zip(plain_state, state, strict=True):
        np.testing.assert_allclose(array, expected, atol=1e-5)
    assert plain_curve["loss"] == pytest.approx(curve["loss"], abs=1e-5)


class Offset(keras.layers.Layer):
    def build(self, _shape: Any) -> None:
        self.offset = self.add_weight(shape=(1000,), initializer="zeros", name="offset")

    def call(self, inputs: Any) -> Any:
        return inputs + self.offset


def test_in_a_compiled_epoch_every_step_has_a_mask_of_its_own() -> None:
    offset, layer = Offset(), Dropout()
    model = keras.Sequential([keras.layers.Input((1000,)), offset, layer])
    model.compile(OPTIMIZERS.SGD(1.0), loss=lambda y, predicted: tf.reduce_sum(predicted))
    layer.rate.assign(0.5)
    samples = Samples.of(np.ones((4, 1000), np.float32), np.ones((4, 1)))
    trainer = Trainer(model)
    trainer.build(samples)
    trainer.train(samples, samples.rows, 1)
    kept = np.rint(-offset.get_weights()[0] / 2)  # of 4 steps, how many kept each input
    assert np.bincount(kept.astype(int), minlength=5) / 1000 == pytest.approx(
        np.array([1, 4, 6, 4, 1]) / 16, abs=0.06
    )
    assert layer.counter.numpy().tolist() == [0, 4]
