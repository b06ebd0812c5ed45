"""A trained network as a model of Keras's own layers, which any Keras reads."""

from __future__ import annotations

import keras

from hpo.models.layers import Dropout, Schedule, TargetUnits
from hpo.models.named import loss_of, metrics_of, of_keras_alone
from hpo.models.optimizers import optimizer_of
from hpo.models.preparation import Preparation, array_input, raw_inputs
from hpo.spec import Compile, MlpHyperparameters
from hpo.tasks import Task


def stock_model(
    trained: keras.Model,
    h: MlpHyperparameters,
    task: Task,
    preparation: Preparation | None = None,
    *,
    named: Compile | None = None,
    by_column: bool = False,
) -> keras.Model:
    """A compiled model of Keras's own layers with the weights that an MLP has now.

    `by_column`: it takes a table's raw columns by name, and not an array of samples. The optimizer begins
    anew: its slots are not copied. Of the losses and metrics that are `named` it has Keras's own alone.
    """
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
    model = _joined(trained, preparation, layers, by_column=by_column)
    for ours, theirs in zip(layers, originals, strict=True):
        if not isinstance(theirs, Dropout | TargetUnits):
            ours.set_weights(theirs.get_weights())
    named = of_keras_alone(named)
    model.compile(
        optimizer=optimizer_of(h, steps=_planned_steps(trained)),
        loss=loss_of(named) or task.loss,
        **metrics_of(task, named),
    )
    model.optimizer.build(model.trainable_variables)
    return model


def _joined(
    trained: keras.Model,
    preparation: Preparation | None,
    layers: list[keras.layers.Layer],
    *,
    by_column: bool,
) -> keras.Model:
    """The layers as a model, after what prepares its inputs."""
    if preparation is None:
        return keras.Sequential([keras.layers.Input(trained.input_shape[1:]), *layers], name=trained.name)
    form, fitted = preparation.form, preparation.fitted
    raw = raw_inputs(form, fitted, preparation.embedding_values) if by_column else array_input(form, fitted)
    outputs = raw.outputs
    for layer in layers:
        outputs = layer(outputs)
    return keras.Model(raw.inputs if by_column else raw.inputs["samples"], outputs, name=trained.name)


def _planned_steps(trained: keras.Model) -> int:
    """The length of a schedule, of the trained one: a cosine's default is the length of the run."""
    schedule = trained.optimizer._learning_rate
    return round(float(schedule.decay_steps.numpy())) if isinstance(schedule, Schedule) else 1
