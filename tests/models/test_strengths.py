"""Strengths in variables: the same training as with the numbers themselves in plain Keras."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from hpo.models.fresh import seeded
from hpo.models.strengths import lifted, strengths_of
from hpo.training.runs import Trainer
from hpo.training.samples import Samples
from tests.training.models import BATCH, CLASSES, FEATURES, X_TRAIN, Y_TRAIN, assert_same_logs, order_of

layers, optimizers, regularizers = keras.layers, keras.optimizers, keras.regularizers
schedules = optimizers.schedules


def network(optimizer: Any, *parts: keras.Layer, **compiling: Any) -> keras.Model:
    model = keras.Sequential(
        [keras.Input((FEATURES,)), *parts, layers.Dense(CLASSES, activation="softmax", name="last")]
    )
    model.compile(optimizer, "sparse_categorical_crossentropy", **{"metrics": ["accuracy"], **compiling})
    return model


def dense(penalty: Any) -> keras.Layer:
    return layers.Dense(5, "tanh", kernel_regularizer=penalty)


def twice(strength: float) -> keras.Model:
    penalty = regularizers.L2(strength)
    return network("sgd", dense(penalty), dense(penalty))


def nested(strength: float) -> keras.Model:
    inner = keras.Sequential([layers.Dense(FEATURES, kernel_regularizer=regularizers.L2(strength))])
    inputs = keras.Input((FEATURES,))
    hidden = layers.BatchNormalization(gamma_regularizer=regularizers.L1(strength))(inner(inner(inputs)))
    model = keras.Model(inputs, layers.Dense(CLASSES, "softmax")(hidden))
    model.compile(
        "sgd",
        "sparse_categorical_crossentropy",
        metrics=["accuracy", keras.metrics.SparseCategoricalCrossentropy(name="again")],
    )
    return model


def half_precise(rate: float) -> keras.Model:
    hidden = layers.Dense(5, dtype="mixed_float16")
    last = layers.Dense(CLASSES, activation="softmax", dtype="float32")
    model = keras.Sequential([keras.Input((FEATURES,)), hidden, last])
    model.compile(
        optimizers.LossScaleOptimizer(optimizers.SGD(rate)), "sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )  # fmt: skip
    return model


CASES: dict[str, tuple[Callable[[float], keras.Model], float, float]] = {
    "L1": (lambda s: network("sgd", dense(regularizers.L1(s))), 0.01, 0.2),
    "L2": (lambda s: network("sgd", dense(regularizers.L2(s))), 0.01, 0.2),
    "L1 and L2": (lambda s: network("sgd", dense(regularizers.L1L2(s, s / 3))), 0.01, 0.2),
    "one penalty for two weights": (twice, 0.01, 0.2),
    "nested and shared": (nested, 0.01, 0.2),
    "AdamW": (lambda decay: network(optimizers.AdamW(0.05, weight_decay=decay)), 0.1, 0.9),
    "SGD that decays": (lambda decay: network(optimizers.SGD(0.05, weight_decay=decay)), 0.1, 0.9),
    "learning rate": (lambda rate: network(optimizers.Nadam(rate)), 0.01, 0.2),
    "learning rate at half precision": (half_precise, 0.01, 0.2),
    "exponential": (
        lambda rate: network(optimizers.SGD(schedules.ExponentialDecay(rate, 10 * rate, rate))),
        0.1,
        0.3,
    ),
    "inverse time": (
        lambda rate: network(optimizers.SGD(schedules.InverseTimeDecay(rate, 10 * rate, rate))),
        0.1,
        0.3,
    ),
    "polynomial": (
        lambda rate: network(optimizers.SGD(schedules.PolynomialDecay(rate, 3, rate / 2, power=2.0))),
        0.1,
        0.3,
    ),
    "cosine": (lambda rate: network(optimizers.SGD(schedules.CosineDecay(rate, 10 * rate))), 0.2, 0.4),
    "cosine after a rise": (
        lambda rate: network(
            optimizers.SGD(schedules.CosineDecay(rate, 10 * rate, warmup_target=0.5, warmup_steps=2))
        ),
        0.2,
        0.4,
    ),
    "cosine that starts again": (
        lambda rate: network(optimizers.SGD(schedules.CosineDecayRestarts(rate, 2))),
        0.2,
        0.4,
    ),
    "accumulated gradients that decay": (
        lambda decay: network(optimizers.AdamW(0.05, weight_decay=decay, gradient_accumulation_steps=2)),
        0.1,
        0.9,
    ),
}  # fmt: skip


def trained_lifted(build: Callable[[float], keras.Model], program: float, value: float, loop: str) -> Any:
    """Logs and weights of a model that was made with one number and is given another one's strengths."""
    with seeded(0):
        model = build(program)
        model.optimizer.build(model.trainable_variables)
    with seeded(0):
        other = build(value)
        other.optimizer.build(other.trainable_variables)
    strengths = strengths_of(other)
    samples = Samples.of(X_TRAIN, Y_TRAIN)
    variables, trainer = lifted(model), Trainer(model, loop)
    trainer.build(samples)
    trainer.state = [np.array(v.numpy()) for v in (*other.variables, *other.optimizer.variables)]
    for variable, strength in zip(variables, strengths, strict=True):
        variable.assign(strength.value)
    logs = [trainer.train(samples, order_of(epoch), BATCH) for epoch in range(3)]
    assert trainer.loop_name == loop
    return logs, model.get_weights()


def trained_plain(build: Callable[[float], keras.Model], value: float) -> Any:
    with seeded(0):
        model = build(value)
    logs = []
    for epoch in range(3):
        order = order_of(epoch)
        history = model.fit(X_TRAIN[order], Y_TRAIN[order], batch_size=BATCH, shuffle=False, verbose=0)
        logs.append({name: values[0] for name, values in history.history.items()})
    return logs, model.get_weights()


# Of each kind one; all of them by all loops trace for two minutes.
OFTEN = {"L1 and L2", "nested and shared", "learning rate"}
SELDOM = {"AdamW", "exponential", "cosine"}


def when(case: str, loop: str) -> Any:
    if loop != "graph" or case not in OFTEN | SELDOM:
        return pytest.mark.long
    return () if case in OFTEN else pytest.mark.slow


@pytest.mark.parametrize(
    ("case", "loop"),
    [pytest.param(case, loop, marks=when(case, loop)) for case in CASES for loop in ("graph", "xla", "fit")],
)
def test_training_is_that_of_plain_keras_with_the_number_itself(case: str, loop: str) -> None:
    build, program, value = CASES[case]
    logs, weights = trained_lifted(build, program, value, loop)
    expected, wanted = trained_plain(build, value)
    assert_same_logs(logs, expected)
    for array, like in zip(weights, wanted, strict=True):
        np.testing.assert_allclose(array, like, atol=1e-5)


def dropped(layer: keras.Layer, shape: tuple[int, ...], rate: float, dtype: str = "float32") -> np.ndarray:
    """What a dropout in a model makes of ones, once its rate is lifted and set to another."""
    model = keras.Sequential([keras.Input(shape[1:], dtype=dtype), layer])
    model.compile("sgd", "mse")
    model.optimizer.build([])
    (variable,) = lifted(model)
    variable.assign(rate)
    ones = tf.ones(shape, dtype)
    np.testing.assert_array_equal(model(ones), ones)
    step = tf.function(lambda inputs: model(inputs, training=True))
    first, second = step(ones).numpy(), step(ones).numpy()
    assert (first != second).any()
    return np.asarray(first, np.float32)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("rate", [0.5, 0.1])
def test_a_lifted_dropout_drops_its_rate_and_keeps_the_mean(rate: float, dtype: str) -> None:
    outputs = dropped(layers.Dropout(0.3, dtype=dtype), (100, 200), rate, dtype)
    assert (outputs == 0).mean() == pytest.approx(rate, abs=0.02)
    assert outputs[outputs > 0].min() == pytest.approx(1 / (1 - rate), rel=0.01)
    assert outputs.mean() == pytest.approx(1, abs=0.04)


@pytest.mark.parametrize(
    ("layer", "shape", "axes"),
    [
        (lambda: layers.SpatialDropout1D(0.3), (50, 6, 40), 1),
        (lambda: layers.SpatialDropout2D(0.3), (50, 4, 5, 40), (1, 2)),
        (lambda: layers.SpatialDropout2D(0.3, data_format="channels_first"), (50, 40, 4, 5), (2, 3)),
        (lambda: layers.SpatialDropout3D(0.3), (50, 2, 3, 4, 40), (1, 2, 3)),
        (lambda: layers.Dropout(0.3, noise_shape=(None, 1, 40)), (50, 6, 40), 1),
    ],
    ids=["1D", "2D", "channels first", "3D", "noise shape"],
)
def test_a_lifted_spatial_dropout_drops_whole_maps(
    layer: Callable[[], keras.Layer], shape: tuple[int, ...], axes: Any
) -> None:
    outputs = dropped(layer(), shape, 0.5)
    np.testing.assert_array_equal(outputs.max(axis=axes), outputs.min(axis=axes))
    assert (outputs.max(axis=axes) == 0).mean() == pytest.approx(0.5, abs=0.05)


def test_dropouts_of_one_model_draw_apart_and_by_the_seed() -> None:
    def masks(seed: int) -> list[np.ndarray]:
        with seeded(seed):
            parts = [layers.Dropout(0.5), layers.Dropout(0.5)]
            model = keras.Sequential([keras.Input((500,)), *parts])
            model.compile("sgd", "mse")
            model.optimizer.build([])
        lifted(model)
        return [part(tf.ones((1, 500)), training=True).numpy() for part in parts]

    one, again, other = masks(0), masks(0), masks(1)
    assert (one[0] != one[1]).mean() == pytest.approx(0.5, abs=0.1)
    for index in (0, 1):
        np.testing.assert_array_equal(one[index], again[index])
        assert (one[index] != other[index]).mean() == pytest.approx(0.5, abs=0.1)
