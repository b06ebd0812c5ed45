"""The metrics of a training run: which way is better, what difference matters, when they are measured.

Those that hpo measures are `METRICS`. A model may report others: an *own metric* `score` is `val_score` of
the validation samples, `train_score`, `test_score` and, of any epoch, `best_val_score`. Which way is better
of it only a study can say, whose objective it is. `metric_of` answers for all of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

from hpo.spec.directions import Direction

# Of the name of an own metric, what stands before the name that the model has for it.
OWN_PARTS = ("best_val_", "val_", "train_", "test_")
LONGEST_OWN = 100
# The smallest difference of an own metric that matters, in its own units, unless a comparison says otherwise.
OWN_EFFECT = 0.01


class Ranked(Protocol):
    """What ranks trials: an objective, or a comparison by one."""

    @property
    def metric(self) -> str:
        """The final metric."""

    @property
    def direction(self) -> str:
        """maximize or minimize."""


@dataclass(frozen=True)
class Metric:
    """What is known of a final metric.

    `min_effect` is the smallest difference that matters, unless a comparison says otherwise: half a point of
    a share, a hundredth of a loss, a tenth of a time (`is_ratio`: differences are those of the logarithm, a
    tenth is a factor of 1.1). `is_judged`: verdicts are passed on it. `is_epoch`: every epoch reports it too.
    `is_objective`: trials may be ranked by it. `is_test`: measured in a final evaluation alone. `is_of_run`:
    of the run as a whole, and not of the weights that it ends with. `reported`: the epoch metric that stands
    for it while a trial is trained, itself if it is one. Which task measures which: `hpo.tasks`. `direction`
    is None of an own metric that nothing is ranked by.
    """

    direction: Direction | None
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
    # Weights that training changes: of the network, known before it is trained.
    "parameters": Metric("minimize", 0.1, is_ratio=True, is_judged=False, is_of_run=True),
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


def metric_of(name: str, ranked: Ranked) -> Metric:
    """What is known of a final metric, of hpo's or an own one, where trials are ranked like this.

    Raises:
        KeyError: it is no metric's name.

    >>> from hpo.spec import Objective
    >>> objective = Objective(metric="val_score", direction="maximize")
    >>> metric_of("test_score", objective).direction, metric_of("val_other", objective).is_judged
    ('maximize', False)
    """
    if name in METRICS:
        return METRICS[name]
    if (own := reported_name(name)) is None:
        raise KeyError(name)
    # An objective's direction is of its metric's like on other samples too.
    is_ranked = ranked.metric not in METRICS and own == reported_name(ranked.metric)
    direction: Any = ranked.direction if is_ranked else None
    return Metric(
        direction,
        OWN_EFFECT,
        is_judged=is_ranked,
        is_epoch=name.startswith("val_"),
        is_objective=name.startswith("val_"),
        is_test=name.startswith("test_"),
        is_of_run=name.startswith("best_val_"),
        reported=f"val_{own}",
    )


def reported_name(name: str) -> str | None:
    """The name under which a model reports a metric; None if it is the name of no such metric.

    >>> reported_name("val_score"), reported_name("best_val_score"), reported_name("score")
    ('score', 'score', None)
    """
    part = next((part for part in OWN_PARTS if name.startswith(part)), None)
    return None if part is None or name == part else name.removeprefix(part)


def is_own(name: object) -> bool:
    """Whether it could be the name of a metric that hpo does not know, and a model reports."""
    if not isinstance(name, str) or name in METRICS or len(name) > LONGEST_OWN:
        return False
    return reported_name(name) is not None and name.isprintable() and " " not in name


def metrics_in(attributes: Mapping[str, Any]) -> list[str]:
    """The names of metrics among other names: hpo's in their order, then own ones in theirs.

    >>> metrics_in({"worker": "w", "val_score": 0.5, "train_seconds": 1.0, "val_loss": 0.2})
    ['val_loss', 'train_seconds', 'val_score']
    """
    return [*(name for name in METRICS if name in attributes), *filter(is_own, attributes)]
