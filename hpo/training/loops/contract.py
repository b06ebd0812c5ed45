"""What every loop does, and the numbers that all of them share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Protocol

import keras
import numpy as np

from hpo.training.samples import Array, Logs, Samples

# Samples at a time where nothing is learned: enough to hide what a call costs, and little memory.
EVALUATION_BATCH = 512


class CompilationError(Exception):
    """A loop cannot run a model's step; nothing has been run."""


class BatchWatch(Protocol):
    """Is told of each batch. A loop without one has no need to come back to Python before its epoch ends."""

    def begin(self, step: int) -> None:
        """Before batch `step`, counted from 0."""

    def end(self, step: int, logs: Logs) -> bool:
        """After it, with the metrics of the epoch so far; whether the epoch goes on."""


class Loop(ABC):
    """Trains, evaluates and predicts with a compiled and built model, whose variables it changes.

    All of them follow Keras: the same losses, the same metrics, the last batch short, to rounding.
    """

    def __init__(self, model: keras.Model) -> None:
        self.model = model
        self.compile_seconds = 0.0

    @property
    @abstractmethod
    def compilations(self) -> int:
        """How many programs have been traced or compiled."""

    @abstractmethod
    def train(self, samples: Samples, order: Array, batch: int, watch: BatchWatch | None = None) -> Logs:
        """One epoch over `samples` in `order` (int32 rows of the data), the last batch short as in Keras."""

    @abstractmethod
    def evaluate(
        self, samples: Samples, watch: BatchWatch | None = None, batch: int = EVALUATION_BATCH
    ) -> Logs:
        """Metrics of the model as it is, without training."""

    @abstractmethod
    def predict(self, samples: Samples) -> Any:
        """The model's outputs, shape (samples, *output shape), nested as the model's are."""


def numbers(logs: dict[str, Any]) -> Logs:
    """Logs as Python numbers; a metric of several values, such as F1 of each class, stays an array."""
    return {name: np.asarray(value) if np.ndim(value) else float(value) for name, value in logs.items()}
