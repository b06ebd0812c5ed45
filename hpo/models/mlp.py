"""Hyperparameters to a compiled Keras MLP whose strengths are variables.

What changes the network's shape is its key (`keys.network_key`). Learning rate, momentum, schedule, dropout
rate, L2 strength and seed are values of variables: one model serves every trial of a key, and one program of
it every trial with batches of one size.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from hpo.data import Column, Statistics
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
from hpo.models.preparation import Form, Preparation
from hpo.spec import Hyperparameters
from hpo.tasks import TASKS, Task
from hpo.training.runs import Trainer, variables_of
from hpo.training.samples import Array

# Of the weights that a level is embedded in, as they begin.
EMBEDDING_SPREAD = 0.5


@dataclass(frozen=True, eq=False)
class Fit:
    """What the training samples of a run say: of a table's columns, and of the targets of a regression.

    `centre` and `spread`: mean and standard deviation of each target, (targets,), float32.
    """

    statistics: Statistics | None
    centre: Array
    spread: Array


@dataclass(frozen=True, eq=False)
class Network:
    """A trainer of an MLP with the variables that trials set."""

    trainer: Trainer
    dropouts: tuple[Dropout | None, ...]
    penalties: tuple[L2 | None, ...]
    preparation: Preparation | None
    units: TargetUnits | None
    blank: list[Array]

    @property
    def state_bytes(self) -> int:
        """Bytes of the state of one run."""
        return sum(array.nbytes for array in self.blank)

    def initial_state(
        self, hyperparameters: Hyperparameters, *, seed: int, steps: int, fit: Fit | None = None
    ) -> list[Array]:
        """The trainer's state that a fresh build with these hyperparameters and this seed would have.

        Sets the strengths too, which all runs of a trial share, so ask for the states of every run before
        the first one starts. `steps` is the number of steps of the whole run: the default length of a
        cosine. `fit` is what the training samples say, which goes with the state. The hyperparameters must be
        of the network's key.
        """
        self.trainer.vacate()
        self.trainer.state = self.blank
        self._set_strengths(hyperparameters, steps)
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
        self._take(fit, embedding_seed)
        return self.trainer.state

    def _take(self, fit: Fit | None, seed: int) -> None:
        if self.preparation is not None:
            assert fit is not None
            assert fit.statistics is not None
            self.preparation.fit(fit.statistics)
            if (embeddings := self.preparation.embeddings) is not None:
                embeddings.assign(
                    keras.initializers.RandomNormal(stddev=EMBEDDING_SPREAD, seed=seed)(embeddings.shape)
                )
        if self.units is not None:
            assert fit is not None
            self.units.centre.assign(fit.centre)
            self.units.spread.assign(fit.spread)

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


def build(
    hyperparameters: Hyperparameters,
    *,
    sample_shape: tuple[int, ...],
    classes: int,
    scale: float,
    loop: str = "xla",
    task: Task = TASKS["multi-class"],
    columns: Sequence[Column] = (),
    weighted: bool = False,
) -> Network:
    """Build and compile the MLP: raw samples of `sample_shape` in, what the task predicts of `classes` out.

    The first layers flatten and multiply by `scale`, or prepare the `columns` of a table, so the model
    carries its preprocessing. Then for each of `hidden_units`: dense, batch normalization (Ioffe and Szegedy
    2015), activation, batch normalization (where it follows the activation), dropout. Loss and metrics are
    the task's, of samples that count differently if they are `weighted`.
    """
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
        keras.layers.Rescaling(scale, name="scale"),
    ]
    width = math.prod(sample_shape)
    if columns:
        preparation = Preparation(Form.of(columns, h), name="preparation")
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
    layers.append(_dense(width, task.units(classes), name="outputs"))
    if task.scales_targets:
        target_units = TargetUnits(name="units")
        layers.append(target_units)
    else:
        layers.append(keras.layers.Activation(task.activation, name="probabilities"))
    model = keras.Sequential(layers, name="mlp")
    model.compile(
        optimizer=_optimizer(h),
        loss=task.loss if target_units is None else target_units.scaled_error,
        jit_compile=False,
        **metrics_of(task, weighted=weighted),
    )
    model.optimizer.build(model.trainable_variables)
    blank = [np.array(variable.numpy()) for variable in variables_of(model)]
    return Network(Trainer(model, loop), dropouts, penalties, preparation, target_units, blank)


def metrics_of(task: Task, *, weighted: bool = False) -> dict[str, Any]:
    """The metrics that a model of this task is compiled with."""
    metrics = [getattr(keras.metrics, kind)(name=name) for name, kind in task.epoch.items()]
    return {"weighted_metrics" if weighted else "metrics": metrics}


def _dense(width: int, units: int, **options: Any) -> keras.layers.Dense:
    wide = width >= WIDE_INPUT and width % GRADIENT_PIECES == 0
    return (WideDense if wide else keras.layers.Dense)(units, **options)


def _optimizer(h: Hyperparameters) -> keras.optimizers.Optimizer:
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
