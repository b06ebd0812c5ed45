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
    the names of `hpo.plots.FIGURES`. `targets`: what they are, in words. `activation` and `loss` are Keras's
    names; `scales_targets` says whether the loss is taken of targets with mean 0 and standard deviation 1.
    """

    name: ClassVar[str]
    objective: ClassVar[str]
    shown: ClassVar[tuple[str, ...]]
    epoch: ClassVar[Mapping[str, str]]
    final: ClassVar[tuple[str, ...]]
    figures: ClassVar[tuple[str, ...]]
    targets: ClassVar[str]
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

    def takes_loss(self, name: str) -> bool:
        """Whether a loss of Keras's own, by its function's name, is one of such targets and outputs."""
        return "categorical" not in name

    @abstractmethod
    def units(self, names: int) -> int:
        """Output units of a model for so many classes, labels or quantities."""

    @abstractmethod
    def strata(self, y: Array) -> Array | None:
        """A class for each sample, whose shares a split keeps; None if there is none."""

    def measured(self, y: Array, outputs: Array, weight: Array | None = None) -> dict[str, float]:
        """The metrics of `final`, without the `undefined` ones.

        `weight`: how much each sample counts, shape (samples,); one of weight 0 as if it were not there.
        """
        y, outputs, weight = that_count(y, outputs, weight)
        return self._measured(y, outputs, weight) if len(y) else {}

    def compared(self, y: Array, outputs: Array, weight: Array | None = None) -> dict[str, float]:
        """The metrics of `epoch`, of these samples, weighted as Keras weights them."""
        y, outputs, weight = that_count(y, outputs, weight)
        return self._compared(y, outputs, weight) if len(y) else {}

    @abstractmethod
    def undefined(self, y: Array, names: int, weight: Array | None = None) -> dict[str, str]:
        """The metrics of `final` that these targets do not define, each with what it needs.

        `names`: how many classes, labels or quantities there are. Samples of weight 0 do not count. No
        targets at all define none of those that depend on them.
        """

    @abstractmethod
    def _measured(self, y: Array, outputs: Array, weight: Array | None) -> dict[str, float]:
        """`measured` of samples that all count."""

    @abstractmethod
    def _compared(self, y: Array, outputs: Array, weight: Array | None) -> dict[str, float]:
        """`compared` of samples that all count."""

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


def counting(y: Array, weight: Array | None) -> Array:
    """The targets of the samples that count for something."""
    return y if weight is None else y[weight > 0]


def that_count(y: Array, outputs: Array, weight: Array | None) -> tuple[Array, Array, Array | None]:
    """Samples without those of weight 0, which would have a part in what is counted by class."""
    if weight is None or weight.all():
        return y, outputs, weight
    counts = weight > 0
    return y[counts], outputs[counts], weight[counts]
