"""What every task says of itself."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]


class Task(ABC):
    """One kind of target. `y` are targets as a data set stores them, `outputs` what the model makes of them.

    `objective`: the metric that trials are judged by, unless a study says otherwise; `shown`: the final
    metrics that tables show then. `epoch`: what each epoch reports besides the loss, by names of Keras's
    metrics. `final`: what is measured of a trained model. `figures`: what is drawn of targets and outputs, by
    the names of `hpo.plots.FIGURES`. `activation` and `loss` are Keras's names; `scales_targets` says
    whether the loss is taken of targets with mean 0 and standard deviation 1.
    """

    name: ClassVar[str]
    objective: ClassVar[str]
    shown: ClassVar[tuple[str, ...]]
    epoch: ClassVar[Mapping[str, str]]
    final: ClassVar[tuple[str, ...]]
    figures: ClassVar[tuple[str, ...]]
    activation: ClassVar[str]
    loss: ClassVar[str]
    scales_targets: ClassVar[bool] = False
    # Whether every output is the probability of a class or label, from 0 to 1.
    has_probabilities: ClassVar[bool] = True
    # Whether targets and outputs are one array each, and a loss is known for them.
    has_one_output: ClassVar[bool] = True

    @property
    def epoch_metrics(self) -> tuple[str, ...]:
        """What an epoch reports, of the training and then of the validation samples."""
        names = ("loss", *self.epoch)
        return (*names, *(f"val_{name}" for name in names))

    @property
    def checked(self) -> tuple[str, ...]:
        """The final metrics that every epoch reports of the validation samples."""
        return ("val_loss", *(f"val_{name}" for name in self.epoch))

    @property
    def metrics(self) -> tuple[str, ...]:
        """The final metrics that a study may be ranked by or show, those of the run as a whole left out."""
        measured = [
            f"{part}_{name}" for part in ("val", "train", "best_val") for name in ("loss", *self.epoch)
        ]
        return (*measured, *self.final)

    @abstractmethod
    def units(self, names: int) -> int:
        """Output units of a model for so many classes, labels or quantities."""

    @abstractmethod
    def strata(self, y: Array) -> Array | None:
        """A class for each sample, whose shares a split keeps; None if there is none."""

    @abstractmethod
    def measured(self, y: Array, outputs: Array, weight: Array | None = None) -> dict[str, float]:
        """The metrics of `final`, those left out that these targets do not define.

        `weight`: how much each sample counts, shape (samples,).
        """

    @abstractmethod
    def compared(self, y: Array, outputs: Array) -> dict[str, float]:
        """The metrics of `epoch`, of these samples."""

    def confusion(self, y: Array, outputs: Array) -> Array | None:
        """Samples by true (row) and predicted (column) class; None if a sample has not one class."""
        return None

    def probabilities(self, outputs: Array) -> Array | None:
        """Outputs as a probability for each class, (samples, classes); None if a sample has not one class."""
        return None

    def detections(self, y: Array, outputs: Array, names: Sequence[str]) -> dict[str, tuple[Array, Array]]:
        """What is found or missed, by name: whether each sample has it, and the probability that it has.

        Both have shape (samples,); there are none of a task without probabilities.
        """
        return {}

    @abstractmethod
    def described(self, outputs: Array, names: Sequence[str]) -> dict[str, Array]:
        """What a prediction says of each sample, a column each."""
