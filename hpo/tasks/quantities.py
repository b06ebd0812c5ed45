"""Quantities: targets are float32 of shape (samples, targets), in their own units."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from hpo.tasks.task import Task

if TYPE_CHECKING:
    from hpo.tasks.task import Array


class Regression(Task):
    """One quantity or several; outputs are what they are thought to be, (samples, targets), in their units.

    The loss is the mean squared error of targets that are scaled to a mean of 0 and a standard deviation of 1
    over the training samples, so that learning rates mean the same for prices and for shares. RMSE and MAE
    are in the targets' units, over all targets together; R2 is the mean over the targets.
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

    def measured(self, y: Array, outputs: Array, weight: Array | None = None) -> dict[str, float]:
        """R2, of at least two samples."""
        import numpy as np
        from sklearn.metrics import r2_score

        if len(y) < 2:
            return {}
        return {"r2": float(r2_score(y.astype(np.float64), outputs.astype(np.float64), sample_weight=weight))}

    def compared(self, y: Array, outputs: Array) -> dict[str, float]:
        """RMSE and MAE."""
        import numpy as np

        error = outputs.astype(np.float64) - y
        return {"rmse": float(np.sqrt(np.square(error).mean())), "mae": float(np.abs(error).mean())}

    def described(self, outputs: Array, names: Sequence[str]) -> dict[str, Array]:
        """Each target's value."""
        return {name: outputs[:, index] for index, name in enumerate(names)}
