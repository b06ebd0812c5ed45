"""The families of models: each makes networks for a study's data out of hyperparameters.

A family is an entry of `FAMILIES` under one contract test (`tests/models/test_families.py`); nothing outside
asks which one it is. Its vocabulary, which is told without TensorFlow, is `hpo.spec.vocabulary`'s.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from hpo.data import Column, Statistics, flat, is_nested, mapped, named
from hpo.models.layers import TargetUnits
from hpo.models.preparation import Preparation
from hpo.spec import Compile, Hyperparameters
from hpo.tasks import TASKS, Task
from hpo.training.runs import Trainer
from hpo.training.samples import Array

# Of the weights that a level is embedded in, as they begin.
EMBEDDING_SPREAD = 0.5


@dataclass(frozen=True)
class Signature:
    """What goes into a model and comes out of it.

    Raw samples of `sample_shape` go in, multiplied by `scale`, or the prepared `columns` of a table; what the
    `task` predicts of `classes` comes out. `weighted`: samples count differently. `dtype` is that of the
    samples. Several inputs have shapes and types that are nested as they are, several outputs `units`.
    `named`: the loss and the metrics that a study names.
    """

    sample_shape: Any
    classes: int
    scale: float
    task: Task = TASKS["multi-class"]
    columns: tuple[Column, ...] = ()
    weighted: bool = False
    dtype: Any = "float32"
    units: Any = None
    named: Compile | None = None

    @property
    def outputs(self) -> Any:
        """Output units of a model, or of each of its outputs."""
        return self.task.units(self.classes) if self.task.has_one_output else self.units

    def blank(self, shape: Any) -> Any:
        """One sample of zeros, or of several inputs one of each, of the shape that a model takes."""
        if is_nested(self.dtype):
            return mapped(lambda kind, one: np.zeros((1, *one), kind), self.dtype, shape)
        is_whole = self.dtype.startswith("int") and not self.columns
        return np.zeros((1, *shape), self.dtype if is_whole else np.float32)

    def inputs(self) -> Any:
        """Keras's inputs for samples; of bytes they are floats, as Keras takes them to scale them."""
        if not is_nested(self.dtype):
            return _input("samples", self.dtype, self.sample_shape)
        names = named(self.dtype, "x")
        made = [_input(*one) for one in zip(names, names.values(), flat(self.sample_shape), strict=True)]
        return dict(zip(names, made, strict=True)) if isinstance(self.dtype, dict) else tuple(made)


def _input(name: str, kind: str, shape: tuple[int, ...]) -> keras.KerasTensor:
    return keras.Input(shape, name=name, dtype=kind if kind.startswith("int") else "float32")


@dataclass(frozen=True, eq=False)
class Fit:
    """What the training samples of a run say: of a table's columns, and of the targets of a regression.

    `centre` and `spread`: mean and standard deviation of each target, (targets,), float32.
    """

    statistics: Statistics | None
    centre: Array
    spread: Array


class Network(ABC):
    """A trainer of one shape of model, which serves every trial of that shape."""

    trainer: Trainer

    @property
    @abstractmethod
    def state_bytes(self) -> int:
        """Bytes of the state of one run."""

    @abstractmethod
    def initial_state(
        self, hyperparameters: Hyperparameters, *, seed: int, steps: int, fit: Fit | None = None
    ) -> list[Array]:
        """The trainer's state that a fresh build with these hyperparameters and this seed would have.

        Sets the strengths too, which all runs of a trial share, so ask for the states of every run before
        the first one starts. `steps` is the number of steps of the whole run: the default length of a
        cosine. `fit` is what the training samples say, which goes with the state. The hyperparameters must be
        of the network's key.
        """

    @abstractmethod
    def exported(self, hyperparameters: Hyperparameters, *, by_column: bool = False) -> keras.Model:
        """A compiled model for others, with the weights that the network has now: of nothing of hpo's own.

        `by_column`: it takes a table's raw columns by name, and not an array of samples.
        """

    def finished(self, outputs: Array) -> Array:
        """What the task calls the model's outputs: probabilities, if the model says them otherwise."""
        return outputs


class Family(ABC):
    """Networks of one kind for data of one signature."""

    def __init__(self, signature: Signature) -> None:
        self.signature = signature

    @abstractmethod
    def key(self, hyperparameters: Hyperparameters) -> Hashable:
        """Equal for hyperparameters that one network serves."""

    @abstractmethod
    def build(self, hyperparameters: Hyperparameters, loop: str) -> Network:
        """A network of the shape that these hyperparameters ask for, trained by this loop."""

    def layers(self, hyperparameters: Hyperparameters) -> Sequence[keras.Layer]:
        """Layers that the choice of a loop depends on, beside such as every loop is made for."""
        return ()


def take(fit: Fit | None, preparation: Preparation | None, units: TargetUnits | None, *, seed: int) -> None:
    """Set what the training samples say, and draw the embeddings of a table's categories."""
    if preparation is not None:
        assert fit is not None
        assert fit.statistics is not None
        preparation.fit(fit.statistics)
        if (embeddings := preparation.embeddings) is not None:
            drawn = keras.initializers.RandomNormal(stddev=EMBEDDING_SPREAD, seed=seed)(embeddings.shape)
            embeddings.assign(drawn)
    if units is not None:
        assert fit is not None
        units.centre.assign(fit.centre)
        units.spread.assign(fit.spread)
