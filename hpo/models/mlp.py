"""Hyperparameters to a compiled Keras MLP whose strengths are variables.

What changes the network's shape is its key. Learning rate, momentum, schedule, dropout
rate, L2 strength and seed are values of variables: one model serves every trial of a key, and one program of
it every trial with batches of one size.
"""

from __future__ import annotations

import math
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from hpo.models.families import Family, Fit, Network, Signature, take
from hpo.models.layers import (
    GRADIENT_PIECES,
    L2,
    WIDE_INPUT,
    Dropout,
    MomentumSGD,
    Schedule,
    TargetUnits,
    WideDense,
)
from hpo.models.named import loss_of, metrics_of
from hpo.models.preparation import Form, Preparation
from hpo.models.stock import stock_model
from hpo.spec import Compile, Hyperparameters, MlpHyperparameters
from hpo.tasks import Task
from hpo.training.runs import Trainer, variables_of
from hpo.training.samples import Array


@dataclass(frozen=True, eq=False)
class MlpNetwork(Network):
    """A trainer of an MLP with the variables that trials set."""

    trainer: Trainer
    dropouts: tuple[Dropout | None, ...]
    penalties: tuple[L2 | None, ...]
    preparation: Preparation | None
    units: TargetUnits | None
    task: Task
    named: Compile | None
    blank: list[Array]

    @property
    def state_bytes(self) -> int:
        return sum(array.nbytes for array in self.blank)

    def initial_state(
        self, hyperparameters: Hyperparameters, *, seed: int, steps: int, fit: Fit | None = None
    ) -> list[Array]:
        """See `Network`."""
        self.trainer.vacate()
        self.trainer.state = self.blank
        self._set_strengths(_of_mlp(hyperparameters), steps)
        model = self.trainer.model
        kernels = [layer.kernel for layer in model.layers if isinstance(layer, keras.layers.Dense)]
        counters = [layer.counter for layer in self.dropouts if layer is not None]
        # Keras initializers and the counters take signed 32-bit integers. More of them begin with the same.
        drawn = np.random.SeedSequence(seed).generate_state(len(kernels) + len(counters) + 1) >> 1
        *seeds, embedding_seed = (int(number) for number in drawn)
        for kernel, kernel_seed in zip(kernels, seeds, strict=False):
            kernel.assign(keras.initializers.GlorotUniform(kernel_seed)(kernel.shape))
        for counter, counter_seed in zip(counters, seeds[len(kernels) :], strict=True):
            counter.assign([counter_seed, 0])
        take(fit, self.preparation, self.units, seed=embedding_seed)
        return self.trainer.state

    def exported(self, hyperparameters: Hyperparameters, *, by_column: bool = False) -> keras.Model:
        """See `Network`."""
        return stock_model(
            self.trainer.model,
            _of_mlp(hyperparameters),
            self.task,
            self.preparation,
            named=self.named,
            by_column=by_column,
        )

    def _set_strengths(self, h: MlpHyperparameters, steps: int) -> None:
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


class Mlp(Family):
    """Multi-layer perceptrons. What changes their shape is `Hyperparameters.network_key`."""

    def key(self, hyperparameters: Hyperparameters) -> Hashable:
        """See `Family`."""
        return hyperparameters.network_key

    def build(self, hyperparameters: Hyperparameters, loop: str) -> MlpNetwork:
        """See `Family`."""
        return build(_of_mlp(hyperparameters), self.signature, loop=loop)


def _of_mlp(hyperparameters: Hyperparameters) -> MlpHyperparameters:
    assert isinstance(hyperparameters, MlpHyperparameters)
    return hyperparameters


def build(hyperparameters: MlpHyperparameters, signature: Signature, *, loop: str = "xla") -> MlpNetwork:
    """Build and compile the MLP.

    The first layers flatten and multiply by the scale, or prepare the columns of a table, so the model
    carries its preprocessing. Then for each of `hidden_units`: dense, batch normalization (Ioffe and Szegedy
    2015), activation, batch normalization (where it follows the activation), dropout. Loss and metrics are
    the task's, of samples that count differently if they are weighted.
    """
    task, sample_shape = signature.task, signature.sample_shape
    h, preparation, target_units = hyperparameters, None, None
    # Named by place, not by a counter of Keras's: programs are kept by the names in them.
    dropouts = tuple(
        Dropout(name=f"dropout_{index}") if rate > 0 else None
        for index, rate in enumerate(h.per_layer("dropout"), start=1)
    )
    penalties = tuple(L2() if strength > 0 else None for strength in h.per_layer("l2"))
    layers: list[keras.layers.Layer] = [
        keras.layers.Input(sample_shape, name="samples"),
        keras.layers.Flatten(name="flatten"),
        keras.layers.Rescaling(signature.scale, name="scale"),
    ]
    width = math.prod(sample_shape)
    if signature.columns:
        preparation = Preparation(Form.of(signature.columns, h), name="preparation")
        layers, width = [layers[0], preparation], preparation.form.width
    hidden = zip(h.hidden_units, dropouts, penalties, strict=True)
    for index, (units, dropout, penalty) in enumerate(hidden, start=1):
        normalization = keras.layers.BatchNormalization(name=f"normalization_{index}")
        layers.append(_dense(width, units, name=f"hidden_{index}", kernel_regularizer=penalty))
        if h.normalization == "before":
            layers.append(normalization)
        layers.append(keras.layers.Activation(h.activation, name=f"activation_{index}"))
        if h.normalization == "after":
            layers.append(normalization)
        if dropout is not None:
            layers.append(dropout)
        width = units
    layers.append(_dense(width, task.units(signature.classes), name="outputs"))
    if task.scales_targets:
        target_units = TargetUnits(name="units")
        layers.append(target_units)
    else:
        layers.append(keras.layers.Activation(task.activation, name="probabilities"))
    model = keras.Sequential(layers, name="mlp")
    loss = loss_of(signature.named) or task.loss
    model.compile(
        optimizer=_optimizer(h),
        loss=loss if target_units is None else target_units.scaled(loss),
        jit_compile=False,
        **metrics_of(task, signature.named, weighted=signature.weighted),
    )
    model.optimizer.build(model.trainable_variables)
    blank = [np.array(variable.numpy()) for variable in variables_of(model)]
    trainer, named = Trainer(model, loop), signature.named
    return MlpNetwork(trainer, dropouts, penalties, preparation, target_units, task, named, blank)


def _dense(width: int, units: int, **options: Any) -> keras.layers.Dense:
    wide = width >= WIDE_INPUT and width % GRADIENT_PIECES == 0
    return (WideDense if wide else keras.layers.Dense)(units, **options)


def _optimizer(h: MlpHyperparameters) -> keras.optimizers.Optimizer:
    rate = h.learning_rate if h.schedule == "constant" else Schedule(h.schedule)
    if h.optimizer == "sgd" and h.momentum > 0:
        return MomentumSGD(learning_rate=rate, nesterov=h.nesterov, name=h.optimizer)
    if h.optimizer == "rmsprop":
        return keras.optimizers.RMSprop(rate, momentum=h.momentum, name=h.optimizer)
    kinds = {
        "sgd": keras.optimizers.SGD,
        "adam": keras.optimizers.Adam,
        "adamax": keras.optimizers.Adamax,
        "nadam": keras.optimizers.Nadam,
        "adagrad": keras.optimizers.Adagrad,
    }
    return kinds[h.optimizer](rate, name=h.optimizer)
