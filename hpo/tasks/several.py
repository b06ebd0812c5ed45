"""Several outputs at once, each with targets of its own, nested as a person's function gives them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from hpo.tasks.task import Task

if TYPE_CHECKING:
    from hpo.tasks.task import Array


class Several(Task):
    """Several outputs; only a model that a person's function has compiled knows what their losses are.

    Epochs report the loss, and whatever else the model was compiled with. Targets and outputs are nested:
    nothing else is measured of them, nor drawn.
    """

    name = "several"
    objective = "val_loss"
    shown = ("val_loss", "train_seconds")
    epoch: ClassVar = dict[str, str]()
    final = ()
    figures = ()
    activation = "linear"
    targets = "several arrays"
    loss = ""
    has_probabilities = False
    has_one_output = False

    def units(self, names: int) -> int:
        """One for each output, which has units of its own."""
        return names

    def strata(self, y: Any) -> None:
        """None: a sample has a target of each output."""

    def measured(self, y: Any, outputs: Any, weight: Array | None = None) -> dict[str, float]:
        """Nothing."""
        return {}

    compared = measured

    def undefined(self, y: Any, names: int, weight: Array | None = None) -> dict[str, str]:
        """Nothing."""
        return {}

    def _measured(self, y: Any, outputs: Any, weight: Array | None) -> dict[str, float]:
        return {}

    _compared = _measured

    def described(self, outputs: Any, names: Sequence[str]) -> dict[str, Array]:
        """Nothing."""
        return {}
