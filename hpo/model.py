"""Hyperparameters to a compiled Keras MLP whose strengths are variables.

What changes the program's shape is the compile key. Learning rate, momentum, schedule, dropout rate, L2
strength and seed are values of variables: one model, and so one compilation, serves every trial of a key.
"""

from __future__ import annotations

import math
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from hpo.epochs import Array
from hpo.spec import Hyperparameters
from hpo.training import Trainer, variables_of

# Below this width XLA computes a layer's weight gradient as fast whole as in pieces; from here on, pieces
# take three fifths of the time (measured at 3072 x 128, batch 32 and 128; no difference at 784 x 128).
WIDE_INPUT = 1024
GRADIENT_PIECES = 16


class Dropout(keras.layers.Layer):
    """Dropout whose rate is a variable, drawn by threefry from a counter (fast inside an XLA loop)."""

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
        draws = _uniform(tf.shape(inputs), seed)
        return tf.where(draws >= rate, inputs / (1 - rate), tf.zeros_like(inputs))


# Threefry is XLA's alone: without this the layer could not train outside a compiled epoch.
@tf.function(jit_compile=True)  # type: ignore[untyped-decorator]
def _uniform(shape: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    return tf.random.stateless_uniform(shape, seed, alg="threefry")


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

    def __init__(self, *, learning_rate: Any, nesterov: bool) -> None:
        super().__init__(learning_rate=learning_rate, momentum=0.9, nesterov=nesterov)
        self.strength = keras.Variable(0.9, trainable=False, name="momentum")

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        velocity = self.momentums[self._get_variable_index(variable)]
        step = keras.ops.multiply(gradient, keras.ops.cast(learning_rate, variable.dtype))
        self.assign(velocity, velocity * self.strength - step)
        self.assign_add(variable, velocity * self.strength - step if self.nesterov else velocity)


@dataclass(frozen=True, eq=False)
class Network:
    """A trainer of an MLP with the variables that trials set."""

    trainer: Trainer
    dropouts: tuple[Dropout | None, ...]
    penalties: tuple[L2 | None, ...]
    blank: list[Array]

    @property
    def state_bytes(self) -> int:
        """Bytes of the state of one run."""
        return sum(array.nbytes for array in self.blank)

    def initial_state(self, hyperparameters: Hyperparameters, *, seed: int, steps: int) -> list[Array]:
        """The trainer's state that a fresh build with these hyperparameters and this seed would have.

        Sets the strengths too, which all runs of a trial share, so ask for the states of every run before
        the first one starts. `steps` is the number of steps of the whole run: the default length of a
        cosine. The hyperparameters must be of the network's compile key.
        """
        self.trainer.vacate()
        self.trainer.state = self.blank
        self._set_strengths(hyperparameters, steps)
        model = self.trainer.model
        kernels = [layer.kernel for layer in model.layers if isinstance(layer, keras.layers.Dense)]
        counters = [layer.counter for layer in self.dropouts if layer is not None]
        # Keras initializers and the counters take signed 32-bit integers.
        seeds = [
            int(s) for s in np.random.SeedSequence(seed).generate_state(len(kernels) + len(counters)) >> 1
        ]
        for kernel, kernel_seed in zip(kernels, seeds, strict=False):
            kernel.assign(keras.initializers.GlorotUniform(kernel_seed)(kernel.shape))
        for counter, counter_seed in zip(counters, seeds[len(kernels) :], strict=True):
            counter.assign([counter_seed, 0])
        return self.trainer.state

    def _set_strengths(self, h: Hyperparameters, steps: int) -> None:
        for dropout, rate in zip(self.dropouts, h.per_layer("dropout"), strict=True):
            if dropout is not None:
                dropout.rate.assign(rate)
        for penalty, strength in zip(self.penalties, h.per_layer("l2"), strict=True):
            if penalty is not None:
                penalty.strength.assign(strength)
        optimizer = self.trainer.model.optimizer
        if isinstance(optimizer, MomentumSGD):
            optimizer.strength.assign(h.momentum)
        schedule = optimizer._learning_rate
        if isinstance(schedule, Schedule):
            schedule.learning_rate.assign(h.learning_rate)
            schedule.decay_rate.assign(h.decay_rate or 1.0)
            schedule.decay_steps.assign(float(h.decay_steps or steps))
        else:
            optimizer.learning_rate = h.learning_rate


def compile_key(hyperparameters: Hyperparameters) -> Hashable:
    """What of the hyperparameters changes the shape of the compiled program."""
    h = hyperparameters
    return (
        h.hidden_units,
        h.activation,
        h.batch_norm,
        h.optimizer,
        h.schedule,
        h.nesterov,
        h.momentum if h.optimizer == "rmsprop" else h.momentum > 0,
        tuple(rate > 0 for rate in h.per_layer("dropout")),
        tuple(strength > 0 for strength in h.per_layer("l2")),
        h.batch_size,
    )


def build(
    hyperparameters: Hyperparameters, *, sample_shape: tuple[int, ...], classes: int, scale: float
) -> Network:
    """Build and compile the MLP: raw samples of `sample_shape` in, probabilities of `classes` out.

    The first layers flatten and multiply by `scale`, so the model carries its preprocessing. Then for each
    of `hidden_units`: dense, batch normalization (before the activation, Ioffe and Szegedy 2015),
    activation, dropout. Loss: sparse categorical cross-entropy; metric: accuracy.
    """
    h = hyperparameters
    dropouts = tuple(Dropout() if rate > 0 else None for rate in h.per_layer("dropout"))
    penalties = tuple(L2() if strength > 0 else None for strength in h.per_layer("l2"))
    layers: list[keras.layers.Layer] = [
        keras.layers.Input(sample_shape),
        keras.layers.Flatten(),
        keras.layers.Rescaling(scale),
    ]
    width = math.prod(sample_shape)
    for units, dropout, penalty in zip(h.hidden_units, dropouts, penalties, strict=True):
        layers.append(_dense(width, units, kernel_regularizer=penalty))
        if h.batch_norm:
            layers.append(keras.layers.BatchNormalization())
        layers.append(keras.layers.Activation(h.activation))
        if dropout is not None:
            layers.append(dropout)
        width = units
    layers.append(_dense(width, classes))
    layers.append(keras.layers.Activation("softmax"))
    model = keras.Sequential(layers)
    model.compile(
        optimizer=_optimizer(h),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
        jit_compile=False,
    )
    model.optimizer.build(model.trainable_variables)
    return Network(Trainer(model), dropouts, penalties, [np.array(v.numpy()) for v in variables_of(model)])


def _dense(width: int, units: int, **options: Any) -> keras.layers.Dense:
    wide = width >= WIDE_INPUT and width % GRADIENT_PIECES == 0
    return (WideDense if wide else keras.layers.Dense)(units, **options)


def _optimizer(h: Hyperparameters) -> keras.optimizers.Optimizer:
    rate = h.learning_rate if h.schedule == "constant" else Schedule(h.schedule)
    if h.optimizer == "sgd":
        return (
            MomentumSGD(learning_rate=rate, nesterov=h.nesterov)
            if h.momentum > 0
            else keras.optimizers.SGD(rate)
        )
    if h.optimizer == "rmsprop":
        return keras.optimizers.RMSprop(rate, momentum=h.momentum)
    kinds = {
        "adam": keras.optimizers.Adam,
        "adamax": keras.optimizers.Adamax,
        "nadam": keras.optimizers.Nadam,
        "adagrad": keras.optimizers.Adagrad,
    }
    return kinds[h.optimizer](rate)
