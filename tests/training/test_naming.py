"""Programs are found again by what they are: in the process, and by the next one."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.framework import ops

from hpo.training.loops import XlaLoop
from hpo.training.loops.naming import traced_as
from hpo.training.runs import Trainer
from hpo.training.samples import Samples

X = np.random.default_rng(0).normal(size=(40, 6)).astype(np.float32)
Y = np.random.default_rng(1).integers(0, 3, 40)


def trained(rate: float = 0.1, slope: float = 0.1, units: int = 5) -> tuple[Trainer, dict[str, float]]:
    """A model as a search builds it for each trial, and what its first epoch says."""
    keras.utils.clear_session()
    keras.utils.set_random_seed(0)
    layers = keras.layers
    model = keras.Sequential(
        [
            layers.Input((6,)),
            layers.Dense(units),
            layers.LeakyReLU(slope),
            layers.Dropout(0.2, seed=1),
            layers.Dense(3, activation="softmax"),
        ]
    )
    model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy", metrics=["accuracy"])
    trainer, samples = Trainer(model, "xla"), Samples.of(X, Y)
    trainer.build(samples)
    return trainer, trainer.train(samples, samples.rows, 10)


def names(trainer: Trainer) -> set[str]:
    assert isinstance(trainer.loop, XlaLoop)
    return {str(program.name) for program in trainer.loop._compiled.values()}  # type: ignore[attr-defined]


@pytest.mark.long
def test_the_same_model_built_again_is_named_the_same_and_trains_the_same() -> None:
    first, logs = trained()
    trained(units=7)
    second, again = trained()
    assert names(second) == names(first)
    assert again == logs
    # Not compiled again: what is left is tracing.
    assert second.compile_seconds < first.compile_seconds


def test_another_learning_rate_takes_the_same_program_and_is_the_one_that_is_used() -> None:
    first, _ = trained(rate=0.1)
    second, _ = trained(rate=0.0)
    assert names(second) == names(first)
    weights = first.weights, second.weights
    trained_again, _ = trained(rate=0.0)
    assert not np.array_equal(weights[0][0], weights[1][0])
    np.testing.assert_array_equal(trained_again.weights[0], weights[1][0])


def test_what_differs_inside_never_shares_a_name() -> None:
    def trace(constant: float) -> tf.types.experimental.ConcreteFunction:
        function = tf.function(lambda x: x * constant, autograph=False)
        return traced_as(
            "times a constant", lambda: function.get_concrete_function(tf.TensorSpec((), tf.float32))
        )

    twice, thrice, twice_again = trace(2.0), trace(3.0), trace(2.0)
    assert twice.name == twice_again.name != thrice.name
    assert [float(function(tf.constant(1.0))) for function in (twice, thrice, twice_again)] == [2, 3, 2]


def test_what_is_outside_is_numbered_as_ever_and_no_gradient_stays_registered() -> None:
    before = ops.uid, set(ops.gradient_registry._registry)
    trained(units=9)
    assert (ops.uid, set(ops.gradient_registry._registry)) == before


def test_a_model_that_says_nothing_of_itself_is_trained_too() -> None:
    class Silent(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.dense = keras.layers.Dense(3, activation="softmax")

        def call(self, inputs: tf.Tensor) -> tf.Tensor:
            return self.dense(inputs)

        def get_config(self) -> dict[str, object]:
            raise NotImplementedError

    model = Silent()
    model.compile("sgd", "sparse_categorical_crossentropy")
    samples = Samples.of(X, Y)
    trainer = Trainer(model, "xla")
    trainer.build(samples)
    assert trainer.train(samples, samples.rows, 10)["loss"] > 0
    assert trainer.loop_name == "xla"


def test_a_trace_that_fails_leaves_no_gradient_registered() -> None:
    @tf.custom_gradient
    def same(x: tf.Tensor) -> tuple[tf.Tensor, object]:
        return tf.identity(x), lambda upstream: upstream

    def failing(x: tf.Tensor) -> tf.Tensor:
        raise ValueError(f"not {same(x)}")

    traced, before = tf.function(failing, autograph=False), set(ops.gradient_registry._registry)
    with pytest.raises(ValueError, match="not"):
        traced_as("failing", lambda: traced.get_concrete_function(tf.TensorSpec((), tf.float32)))
    assert set(ops.gradient_registry._registry) == before
