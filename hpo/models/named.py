"""Losses and metrics by name: Keras's, and those that a file of the study has registered with Keras."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras.src import losses, metrics

from hpo.errors import ModelError
from hpo.spec import Compile
from hpo.spec.base import suggest
from hpo.tasks import Task

KERAS = {"loss": losses.ALL_OBJECTS_DICT, "metrics": metrics.ALL_OBJECTS_DICT}


def check_named(named: Compile | None) -> None:
    """Raises ModelError unless every loss and metric that a study names is there."""
    if named is not None:
        loss_of(named)
        _metrics(named.metrics)


def loss_of(named: Compile | None) -> Any:
    """The loss that a study names: of targets and outputs, (samples,) or a Keras loss; None if it names none.

    Raises:
        ModelError: there is none of that name.
    """
    return None if named is None or named.loss is None else _found(named.loss, "loss")


def metrics_of(task: Task, named: Compile | None = None, *, weighted: bool = False) -> dict[str, Any]:
    """The metrics that a model of this task is compiled with: the task's, and those that its study names.

    Raises:
        ModelError: there is none of such a name.
    """
    made = [getattr(keras.metrics, kind)(name=name) for name, kind in task.epoch.items()]
    if named is not None:
        made += [metric for metric in _metrics(named.metrics) if metric.name not in task.epoch]
    return {"weighted_metrics" if weighted else "metrics": made}


def of_keras_alone(named: Compile | None) -> Compile | None:
    """Those of them that any Keras knows, for a model that others load."""
    if named is None:
        return None
    loss = named.loss if named.loss in KERAS["loss"] else None
    return Compile(loss=loss, metrics=tuple(name for name in named.metrics if name in KERAS["metrics"]))


def unreduced(loss: Any) -> Callable[[Any, Any], Any]:
    """A loss as a function of targets and outputs that gives a value a sample."""
    return loss.call if isinstance(loss, keras.losses.Loss) else loss  # type: ignore[no-any-return]


def _metrics(names: Sequence[str]) -> list[keras.metrics.Metric]:
    found = []
    for name in names:
        metric, reported = _found(name, "metrics"), name.rpartition(">")[2]
        if not isinstance(metric, keras.metrics.Metric):
            metric = keras.metrics.MeanMetricWrapper(metric, name=reported)
        # As Keras does for names.
        metric.name = reported
        found.append(metric)
    return found


def _found(name: str, key: str) -> Any:
    """An instance or a function."""
    registered = keras.saving.get_custom_objects()
    found = KERAS[key].get(name) or registered.get(name)
    if found is None:
        same = [known for known in registered if known.rpartition(">")[2] == name]
        if len(same) > 1:
            raise ModelError(f"compile.{key}", f"must say which, of {', '.join(same)}", got=name)
        found = registered[same[0]] if same else None
    if not callable(found):
        rule = "must be of Keras, or registered in the study's file by register_keras_serializable"
        remedy = suggest(name, [*KERAS[key], *registered])
        raise ModelError(f"compile.{key}", rule, got=name, remedy=remedy)
    try:
        return found() if inspect.isclass(found) else found
    except TypeError as error:
        raise ModelError(f"compile.{key}", f"must need no arguments: {error}", got=name) from None
