"""Quantities: targets are float32 of shape (samples, targets), in their own units."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from hpo.tasks.task import Task, counting

if TYPE_CHECKING:
    from hpo.tasks.task import Array


class Regression(Task):
    """One quantity or several; outputs are what they are thought to be, (samples, targets), in their units.

    The loss is the mean squared error of targets that are scaled to a mean of 0 and a standard deviation of 1
    over the training samples, so that learning rates mean the same for prices and for shares. RMSE and MAE
    are in the targets' units, over all targets together; R2 is the mean over the targets that vary.
    """

    name = "regression"
    objective = "val_rmse"
    shown = ("val_rmse", "val_mae", "r2", "train_seconds")
    epoch: ClassVar = {"rmse": "RootMeanSquaredError", "mae": "MeanAbsoluteError"}
    final = ("r2",)
    figures = ("predicted", "residuals")
    targets = "quantities"
    activation = "linear"
    loss = "mean_squared_error"
    scales_targets = True
    has_probabilities = False

    def units(self, names: int) -> int:
        """One for each target."""
        return names

    def strata(self, y: Array) -> None:
        """None: there are no classes."""

    def _measured(self, y: Array, outputs: Array, weight: Array | None) -> dict[str, float]:
        """R2."""
        import numpy as np
        from sklearn.metrics import r2_score

        if self.undefined(y, y.shape[1], weight):
            return {}
        varying = _varying(counting(y, weight))
        truth, thought = (array[:, varying].astype(np.float64) for array in (y, outputs))
        return {"r2": float(r2_score(truth, thought, sample_weight=weight))}

    def undefined(self, y: Array, names: int, weight: Array | None = None) -> dict[str, str]:
        """R2, if there is nothing to explain."""
        return {} if _varying(counting(y, weight)).any() else {"r2": "two samples with different targets"}

    def _compared(self, y: Array, outputs: Array, weight: Array | None) -> dict[str, float]:
        """RMSE and MAE."""
        import numpy as np

        error = outputs.astype(np.float64) - y
        squared, absolute = (
            float(np.average(of(error).mean(axis=1), weights=weight)) for of in (np.square, np.abs)
        )
        return {"rmse": squared**0.5, "mae": absolute}

    def described(self, outputs: Array, names: Sequence[str]) -> dict[str, Array]:
        """Each target's value."""
        return {name: outputs[:, index] for index, name in enumerate(names)}


def _varying(y: Array) -> Array:
    """Whether a target has different values, (targets,)."""
    found: Array = (y != y[:1]).any(axis=0)
    return found
