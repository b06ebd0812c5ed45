"""A trained network as a model of Keras's own layers, which any Keras reads."""

from __future__ import annotations

from typing import Any

import keras

from hpo.models.layers import Dropout, Schedule, TargetUnits
from hpo.models.mlp import Network, metrics_of
from hpo.models.preparation import Preparation, array_input, raw_inputs
from hpo.spec import Hyperparameters
from hpo.tasks import Task

OPTIMIZERS = {
    "sgd": keras.optimizers.SGD,
    "adam": keras.optimizers.Adam,
    "adamax": keras.optimizers.Adamax,
    "nadam": keras.optimizers.Nadam,
    "adagrad": keras.optimizers.Adagrad,
    "rmsprop": keras.optimizers.RMSprop,
}


def stock_model(
    network: Network, hyperparameters: Hyperparameters, task: Task, *, by_column: bool = False
) -> keras.Model:
    """A compiled model of Keras's own layers with the weights that a network has now.

    `by_column`: it takes a table's raw columns by name, and not an array of samples. The optimizer begins
    anew: its slots are not copied.
    """
    h, trained = hyperparameters, network.trainer.model
    rates = iter([rate for rate in h.per_layer("dropout") if rate > 0])
    strengths = iter([*h.per_layer("l2"), 0.0])  # the output layer has none
    layers: list[keras.layers.Layer] = []
    originals = []
    for layer in trained.layers:
        if isinstance(layer, Preparation):
            continue
        originals.append(layer)
        if isinstance(layer, Dropout):
            layers.append(keras.layers.Dropout(next(rates)))
        elif isinstance(layer, TargetUnits):
            layers.append(
                keras.layers.Rescaling(layer.spread.numpy().tolist(), layer.centre.numpy().tolist())
            )
        elif isinstance(layer, keras.layers.Dense):
            strength = next(strengths)
            penalty = keras.regularizers.L2(strength) if strength > 0 else None
            layers.append(keras.layers.Dense(layer.units, kernel_regularizer=penalty))
        else:
            layers.append(type(layer).from_config(layer.get_config()))
    model = _joined(network, layers, by_column=by_column)
    for ours, theirs in zip(layers, originals, strict=True):
        if not isinstance(theirs, Dropout | TargetUnits):
            ours.set_weights(theirs.get_weights())
    model.compile(optimizer=_optimizer(trained, h), loss=task.loss, **metrics_of(task))
    model.optimizer.build(model.trainable_variables)
    return model


def _joined(network: Network, layers: list[keras.layers.Layer], *, by_column: bool) -> keras.Model:
    """The layers as a model, after what prepares its inputs."""
    trained, preparation = network.trainer.model, network.preparation
    if preparation is None:
        return keras.Sequential([keras.layers.Input(trained.input_shape[1:]), *layers], name=trained.name)
    form, fitted = preparation.form, preparation.fitted
    raw = raw_inputs(form, fitted, preparation.embedding_values) if by_column else array_input(form, fitted)
    outputs = raw.outputs
    for layer in layers:
        outputs = layer(outputs)
    return keras.Model(raw.inputs if by_column else raw.inputs["samples"], outputs, name=trained.name)


def _optimizer(trained: keras.Model, h: Hyperparameters) -> keras.optimizers.Optimizer:
    options: dict[str, Any] = {"learning_rate": _learning_rate(trained, h)}
    if h.momentum > 0:
        options["momentum"] = h.momentum
        if h.optimizer == "sgd":
            options["nesterov"] = h.nesterov
    return OPTIMIZERS[h.optimizer](**options)


def _learning_rate(trained: keras.Model, h: Hyperparameters) -> Any:
    schedule = trained.optimizer._learning_rate
    if not isinstance(schedule, Schedule):
        return h.learning_rate
    # Of the trained one: a cosine's default is the length of the run.
    steps = round(float(schedule.decay_steps.numpy()))
    schedules = keras.optimizers.schedules
    if h.schedule == "cosine":
        return schedules.CosineDecay(h.learning_rate, steps)
    kind = schedules.ExponentialDecay if h.schedule == "exponential" else schedules.InverseTimeDecay
    return kind(h.learning_rate, steps, h.decay_rate)
