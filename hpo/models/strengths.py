"""Numbers of any Keras model that become variables of its program, so that one program serves all of them.

Dropout rates, L1 and L2 penalties, weight decay and the numbers of a learning rate's schedule. A learning
rate itself is a variable of Keras's optimizers. Whether a strength is there at all is part of the program:
without dropout nothing is drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import keras
import tensorflow as tf

from hpo.training.randomness import uniform

layers = keras.layers
DROPOUTS = (layers.Dropout, layers.SpatialDropout1D, layers.SpatialDropout2D, layers.SpatialDropout3D)
PENALTIES = (keras.regularizers.L1, keras.regularizers.L2, keras.regularizers.L1L2)
schedules = keras.optimizers.schedules
# What a schedule reads as tensors; its other numbers shape its program.
SCHEDULES: dict[type, tuple[str, ...]] = {
    schedules.ExponentialDecay: ("initial_learning_rate", "decay_steps", "decay_rate"),
    schedules.InverseTimeDecay: ("initial_learning_rate", "decay_steps", "decay_rate"),
    schedules.PolynomialDecay: ("initial_learning_rate", "end_learning_rate"),
    schedules.CosineDecay: ("initial_learning_rate", "decay_steps"),
    schedules.CosineDecayRestarts: ("initial_learning_rate",),
}


@dataclass(frozen=True, eq=False)
class Strength:
    """A number of a model: its value, and how a variable takes its place."""

    value: float
    lift: Callable[[tf.Variable], None]


def strengths_of(model: keras.Model) -> list[Strength]:
    """The strengths of a compiled and built model, in an order that is the same for models of one program."""
    return [*_dropouts(model), *_penalties(model), *_of_optimizer(model.optimizer)]


def lifted(model: keras.Model) -> list[tf.Variable]:
    """Put variables in place of a model's strengths; they hold these, in their order."""
    found = []
    for strength in strengths_of(model):
        variable = tf.Variable(strength.value, trainable=False, dtype=tf.float32)
        strength.lift(variable)
        found.append(variable)
    return found


def planned_steps(model: keras.Model) -> int | None:
    """The length of a cosine, of a model whose strengths have been lifted; None without one."""
    schedule = model.optimizer._learning_rate
    return round(float(schedule.decay_steps)) if isinstance(schedule, schedules.CosineDecay) else None


def is_rate(layer: keras.Layer) -> bool:
    """Whether a layer is one of Keras's dropouts, with something to drop."""
    return type(layer) in DROPOUTS and 0 < layer.rate < 1


def _dropouts(model: keras.Model) -> Iterator[Strength]:
    for layer in model._flatten_layers():
        if is_rate(layer):
            yield Strength(layer.rate, partial(_draw_with, layer))


def _draw_with(layer: keras.Layer, rate: tf.Variable) -> None:
    """Let a dropout layer do what it does with its rate in a variable."""

    def call(inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        if not training:
            return inputs
        shape = tf.shape(inputs)
        given = layer.noise_shape
        if hasattr(layer, "_get_noise_shape"):  # of the spatial ones, which drop whole maps
            given = layer._get_noise_shape(inputs)
        if given is not None:
            shape = tf.stack([shape[axis] if size is None else size for axis, size in enumerate(given)])
        seed = tf.cast(tf.math.floormod(layer.seed_generator.next(), tf.int32.max - 1), tf.int32)
        draws, share = uniform(shape, seed, inputs.dtype), tf.cast(rate, inputs.dtype)
        return tf.where(draws >= share, inputs / (1 - share), tf.zeros_like(inputs))

    layer.call = call


class Penalty(keras.regularizers.Regularizer):
    """Keras's L1 and L2 penalties, with the strengths in variables; None for one that is not there."""

    def __init__(self, l1: tf.Variable | None, l2: tf.Variable | None) -> None:
        self.l1, self.l2 = l1, l2

    def __call__(self, weight: Any) -> Any:
        loss = 0.0
        if self.l1 is not None:
            loss += self.l1 * keras.ops.sum(keras.ops.absolute(weight))
        if self.l2 is not None:
            loss += self.l2 * keras.ops.sum(keras.ops.square(weight))
        return loss


def _penalties(model: keras.Model) -> Iterator[Strength]:
    for weight in model.trainable_variables:
        if type(weight.regularizer) not in PENALTIES:
            continue
        given = {name: float(getattr(weight.regularizer, name, 0.0)) for name in ("l1", "l2")}
        for name, value in given.items():
            if value > 0:
                yield Strength(value, partial(_penalize, weight, name))


def _penalize(weight: keras.Variable, name: str, strength: tf.Variable) -> None:
    now = weight.regularizer
    others = {"l1": now.l1, "l2": now.l2} if isinstance(now, Penalty) else {"l1": None, "l2": None}
    weight.regularizer = Penalty(**(others | {name: strength}))


def _of_optimizer(optimizer: keras.optimizers.Optimizer) -> Iterator[Strength]:
    if isinstance(decay := optimizer.weight_decay, int | float) and decay > 0:
        # Past Keras's __setattr__, which would take it for a slot of the optimizer.
        yield Strength(float(decay), lambda variable: vars(optimizer).update(weight_decay=variable))
    schedule = optimizer._learning_rate
    for name in SCHEDULES.get(type(schedule), ()):
        value = float(getattr(schedule, name))
        yield Strength(value, partial(setattr, schedule, name))
