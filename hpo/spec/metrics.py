"""The metrics of a training run: which way is better, what difference matters, when they are measured."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

Direction = Literal["maximize", "minimize"]


@dataclass(frozen=True)
class Metric:
    """What is known of a final metric.

    `min_effect` is the smallest difference that matters, unless a comparison says otherwise: half a point of
    a share, a hundredth of a loss, a tenth of a time (`is_ratio`: differences are those of the logarithm, a
    tenth is a factor of 1.1). `is_judged`: verdicts are passed on it. `is_epoch`: every epoch reports it too.
    `is_objective`: trials may be ranked by it. `is_test`: measured in a final evaluation alone. `is_of_run`:
    of the run as a whole, and not of the weights that it ends with. `reported`: the epoch metric that stands
    for it while a trial is trained, itself if it is one. Which task measures which: `hpo.tasks`.
    """

    direction: Direction
    min_effect: float
    is_ratio: bool = False
    is_judged: bool = True
    is_epoch: bool = False
    is_objective: bool = True
    is_test: bool = False
    is_of_run: bool = False
    reported: str = "val_accuracy"


def _share() -> Metric:
    return Metric("maximize", 0.005)


# Errors in the targets' own units: a fiftieth of them.
def _error(*, is_epoch: bool = False) -> Metric:
    return Metric("minimize", 0.02, is_ratio=True, reported="val_rmse", is_epoch=is_epoch)


METRICS: dict[str, Metric] = {
    "val_accuracy": Metric("maximize", 0.005, is_epoch=True),
    "val_loss": Metric("minimize", 0.01, is_epoch=True),
    "precision": Metric("maximize", 0.005),
    "recall": Metric("maximize", 0.005),
    "f1": Metric("maximize", 0.005),
    "train_accuracy": Metric("maximize", 0.005),
    "train_loss": Metric("minimize", 0.01),
    "train_seconds": Metric("minimize", 0.1, is_ratio=True, is_of_run=True),
    # Of any epoch, each run's by itself.
    "best_val_accuracy": Metric("maximize", 0.005, is_objective=False, is_of_run=True),
    "best_val_loss": Metric("minimize", 0.01, is_objective=False, is_of_run=True),
    # By what the trial reports, the mean over its runs.
    "best_epoch": Metric("minimize", 1.0, is_judged=False, is_objective=False, is_of_run=True),
    # Not judged: nearly all of it depends on what was compiled before.
    "compile_seconds": Metric(
        "minimize", 0.1, is_ratio=True, is_judged=False, is_objective=False, is_of_run=True
    ),
    "epochs_run": Metric("minimize", 1.0, is_objective=False, is_of_run=True),
    # Of classes and labels.
    "balanced_accuracy": _share(),
    "roc_auc": _share(),
    "average_precision": _share(),
    "log_loss": Metric("minimize", 0.01, reported="val_loss"),
    "brier": Metric("minimize", 0.005, reported="val_loss"),
    # Of quantities.
    "val_rmse": _error(is_epoch=True),
    "val_mae": _error(is_epoch=True),
    "r2": Metric("maximize", 0.01, reported="val_rmse"),
    "train_rmse": _error(),
    "train_mae": _error(),
    "best_val_rmse": Metric("minimize", 0.02, is_ratio=True, is_objective=False, is_of_run=True),
    "best_val_mae": Metric("minimize", 0.02, is_ratio=True, is_objective=False, is_of_run=True),
}
# On the test set, which chooses nothing, whatever is measured of weights on validation samples.
METRICS |= {
    f"test_{name.removeprefix('val_')}": replace(metric, is_epoch=False, is_objective=False, is_test=True)
    for name, metric in METRICS.items()
    if not metric.is_of_run and not name.startswith("train_")
}
