"""Keras layers, a penalty, schedules and an optimizer whose strengths are variables of a program."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from hpo.models.named import unreduced
from hpo.training.randomness import uniform

# Below this width XLA computes a layer's weight gradient as fast whole as in pieces; from here on, pieces
# take three fifths of the time (measured at 3072 x 128, batch 32 and 128; no difference at 784 x 128).
WIDE_INPUT = 1024
GRADIENT_PIECES = 16


class Dropout(keras.layers.Layer):
    """Dropout whose rate is a variable, drawn from a counter."""

    def build(self, input_shape: Any) -> None:
        self.rate = self.add_weight(shape=(), initializer="zeros", trainable=False, name="rate")
        self.counter = self.add_weight(
            shape=(2,), initializer="zeros", trainable=False, dtype="int32", name="counter"
        )

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        if not training:
            return inputs
        seed = tf.identity(self.counter)
        self.counter.assign(seed + tf.constant([0, 1]))
        rate = tf.convert_to_tensor(self.rate)
        draws = uniform(tf.shape(inputs), seed, inputs.dtype)
        return tf.where(draws >= rate, inputs / (1 - rate), tf.zeros_like(inputs))


class WideDense(keras.layers.Dense):
    """Dense for wide inputs: the same sums, with the weight gradient computed in pieces."""

    def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        outputs = _matmul_pieced(inputs, tf.convert_to_tensor(self.kernel)) + self.bias
        return outputs if self.activation is None else self.activation(outputs)


@tf.custom_gradient  # type: ignore[untyped-decorator]
def _matmul_pieced(x: tf.Tensor, kernel: tf.Tensor) -> Any:
    def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        pieces = tf.split(x, GRADIENT_PIECES, axis=1)
        by_kernel = tf.concat([tf.matmul(piece, upstream, transpose_a=True) for piece in pieces], axis=0)
        return tf.matmul(upstream, kernel, transpose_b=True), by_kernel

    return tf.matmul(x, kernel), gradient


class L2(keras.regularizers.Regularizer):
    """Keras's L2 penalty, `strength * sum(weight ** 2)`, with the strength in a variable."""

    def __init__(self) -> None:
        self.strength = keras.Variable(0.0, trainable=False, name="l2")

    def __call__(self, weight: Any) -> Any:
        return self.strength * keras.ops.sum(keras.ops.square(weight))

    def get_config(self) -> dict[str, Any]:
        """Nothing: its strength is a value, not a part of it."""
        return {}


class Schedule(keras.optimizers.schedules.LearningRateSchedule):
    """A learning rate that falls with the step, its three numbers in variables.

    inverse_time: `rate / (1 + decay_rate * step / decay_steps)`; exponential: `rate * decay_rate **
    (step / decay_steps)`; cosine: half a cosine from `rate` to 0 over `decay_steps`.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.learning_rate = keras.Variable(0.01, trainable=False, name="learning_rate")
        self.decay_rate = keras.Variable(1.0, trainable=False, name="decay_rate")
        self.decay_steps = keras.Variable(1.0, trainable=False, name="decay_steps")

    def __call__(self, step: Any) -> Any:
        progress = keras.ops.cast(step, "float32") / self.decay_steps
        if self.kind == "inverse_time":
            return self.learning_rate / (1.0 + self.decay_rate * progress)
        if self.kind == "exponential":
            return self.learning_rate * keras.ops.power(self.decay_rate, progress)
        angle = math.pi * keras.ops.minimum(progress, 1.0)
        return self.learning_rate * 0.5 * (1.0 + keras.ops.cos(angle))


class MomentumSGD(keras.optimizers.SGD):
    """Keras's SGD with momentum, the momentum in a variable."""

    def __init__(self, *, learning_rate: Any, nesterov: bool, name: str = "sgd") -> None:
        super().__init__(learning_rate=learning_rate, momentum=0.9, nesterov=nesterov, name=name)
        self.strength = keras.Variable(0.9, trainable=False, name="momentum")

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        velocity = self.momentums[self._get_variable_index(variable)]
        step = keras.ops.multiply(gradient, keras.ops.cast(learning_rate, variable.dtype))
        self.assign(velocity, velocity * self.strength - step)
        self.assign_add(variable, velocity * self.strength - step if self.nesterov else velocity)


class TargetUnits(keras.layers.Layer):
    """Outputs in the targets' own units: times their spread, plus their centre, of the training samples."""

    def build(self, input_shape: Any) -> None:
        shape = (input_shape[-1],)
        self.centre = self.add_weight(shape=shape, initializer="zeros", trainable=False, name="centre")
        self.spread = self.add_weight(shape=shape, initializer="ones", trainable=False, name="spread")

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return inputs * self.spread + self.centre

    def scaled(self, loss: Any) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
        """A loss, of Keras or its name, of targets and outputs with a mean of 0 and a spread of 1."""
        if loss == "mean_squared_error":
            return self.scaled_error
        of = unreduced(loss)

        def scaled_loss(targets: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor:
            return of((targets - self.centre) / self.spread, (outputs - self.centre) / self.spread)

        return scaled_loss

    def scaled_error(self, targets: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor:
        """The mean squared error over the targets, each in its spread: (samples,)."""
        return tf.reduce_mean(tf.square((targets - outputs) / self.spread), axis=-1)
