"""A trial's model in a file: trained again as the trial was, rebuilt from Keras's own layers, saved."""

from __future__ import annotations

import logging
import math
from importlib.metadata import version
from pathlib import Path
from typing import Any

import keras

from hpo import __version__
from hpo.data import Dataset
from hpo.files import new_file
from hpo.model import Dropout, Schedule
from hpo.model_file import Card, save
from hpo.objective import Objective, Training
from hpo.spec import Hyperparameters, StudySpec
from hpo.trial import Trial

logger = logging.getLogger(__name__)

CHECKED = ("val_loss", "val_accuracy")
TOLERANCE = 1e-3
OPTIMIZERS = {
    "sgd": keras.optimizers.SGD,
    "adam": keras.optimizers.Adam,
    "adamax": keras.optimizers.Adamax,
    "nadam": keras.optimizers.Nadam,
    "adagrad": keras.optimizers.Adagrad,
    "rmsprop": keras.optimizers.RMSprop,
}


def export(spec: StudySpec, trial: Trial, dataset: Dataset, path: Path, *, force: bool = False) -> None:
    """Train the first replicate of a complete trial again and write its model.

    A warning says so if the model does not have the metrics that the trial recorded.

    Raises:
        HpoError: the file cannot be written, or is there already and `force` is not set.
    """
    hyperparameters = Hyperparameters(**trial.hyperparameters)
    training = Objective(spec, dataset).train(hyperparameters, seed=trial.seed)
    _compare(trial, training, f"study {spec.name!r} trial {trial.number}")
    model = stock_model(training.run.trainer.model, hyperparameters)
    with new_file(path, force=force) as draft:
        save(model, _card(spec, trial, dataset, training), draft)


def stock_model(trained: keras.Model, hyperparameters: Hyperparameters) -> keras.Model:
    """A compiled model of Keras's own layers with the weights of one that `hpo.model` built.

    The optimizer begins anew: its slots are not copied.
    """
    h = hyperparameters
    rates = iter([rate for rate in h.per_layer("dropout") if rate > 0])
    strengths = iter([*h.per_layer("l2"), 0.0])  # the output layer has none
    layers: list[keras.layers.Layer] = [keras.layers.Input(trained.input_shape[1:])]
    for layer in trained.layers:
        if isinstance(layer, Dropout):
            layers.append(keras.layers.Dropout(next(rates)))
        elif isinstance(layer, keras.layers.Dense):
            strength = next(strengths)
            penalty = keras.regularizers.L2(strength) if strength > 0 else None
            layers.append(keras.layers.Dense(layer.units, kernel_regularizer=penalty))
        else:
            layers.append(type(layer).from_config(layer.get_config()))
    model = keras.Sequential(layers, name=trained.name)
    for ours, theirs in zip(model.layers, trained.layers, strict=True):
        if not isinstance(theirs, Dropout):
            ours.set_weights(theirs.get_weights())
    model.compile(
        optimizer=_optimizer(trained, h), loss="sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    model.optimizer.build(model.trainable_variables)
    return model


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


def _compare(trial: Trial, training: Training, place: str) -> None:
    recorded, measured = trial.replicates[0], training.metrics
    pairs = {name: (measured.get(name, math.nan), recorded.get(name, math.nan)) for name in CHECKED}
    if all(math.isclose(*pair, rel_tol=TOLERANCE, abs_tol=TOLERANCE) for pair in pairs.values()):
        return
    figures = ", ".join(f"{name} {now:.4f} (recorded: {then:.4f})" for name, (now, then) in pairs.items())
    logger.warning(
        "%s: trained again it is another model, on another machine or by other versions: %s", place, figures
    )


def _card(spec: StudySpec, trial: Trial, dataset: Dataset, training: Training) -> Card:
    return Card(
        study=spec.name,
        trial=trial.number,
        arm=trial.arm,
        seed=training.seed,
        fold=training.fold,
        hyperparameters=trial.hyperparameters,
        metrics=training.metrics,
        data=dataset.name,
        data_digest=dataset.digest,
        class_names=dataset.class_names or tuple(str(index) for index in range(dataset.classes)),
        sample_shape=dataset.sample_shape,
        dtype=str(dataset.x.dtype),  # type: ignore[arg-type]
        scale=dataset.scale,
        versions={"hpo": __version__, "keras": keras.__version__, "tensorflow": version("tensorflow")},
    )
