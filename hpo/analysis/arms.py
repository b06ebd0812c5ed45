"""What an arm is: its trials and runs, and what they reached. In a search each configuration is an arm."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from hpo.analysis.verdicts import Verdict
from hpo.spec import StudySpec
from hpo.spec.constraints import PARAMETERS
from hpo.trials.record import Trial

Run = Mapping[str, Any]
Key = tuple[int | None, int | None]  # seed and fold
# One value stands for one in each layer.
PER_LAYER = ("dropout", "l2")


@dataclass(frozen=True)
class ArmRuns:
    """An arm's trials, and its runs by seed and fold."""

    spec: StudySpec
    name: str
    trials: tuple[Trial, ...]

    @cached_property
    def runs(self) -> dict[Key, Run]:
        return {
            (run.get("seed"), run.get("fold")): {**_of_network(trial), **run}
            for trial in self.trials
            if trial.state == "complete"
            for run in trial.replicates
        }

    @property
    def failed(self) -> int:
        return sum(trial.state == "failed" for trial in self.trials)

    @property
    def pending(self) -> int:
        return sum(trial.state in ("waiting", "running") for trial in self.trials)

    def values(self, metric: str) -> dict[Key, float]:
        return {key: run[metric] for key, run in self.runs.items() if metric in run}

    def value(self, metric: str) -> float | None:
        """What the arm is ranked by: the mean of its trials' values, if they are of that metric.

        An earlier version recorded metrics of the last epoch beside values of the best, so it is not the mean
        of the metric. Of another objective's trials it is.
        """
        if self.spec.objective.metric == metric:
            found = [trial.value for trial in self.trials if trial.value is not None]
        else:
            found = list(self.values(metric).values())
        return statistics.fmean(found) if found else None

    @cached_property
    def configuration(self) -> dict[str, Any]:
        """The effective hyperparameters, one value a layer; empty if they are not known."""
        own = self.trials[0].hyperparameters
        units = own.get("hidden_units")
        if not isinstance(units, list | tuple):  # as an own model's may be
            return own
        layers = len(units)
        return {
            name: [value] * layers if name in PER_LAYER and not isinstance(value, list) else value
            for name, value in own.items()
        }

    def is_copy_of(self, other: ArmRuns) -> bool:
        """Whether another study trained the same hyperparameters."""
        return (
            self.spec.name != other.spec.name
            and self.spec.model == other.spec.model
            and bool(self.configuration)
            and self.configuration == other.configuration
        )


def _of_network(trial: Trial) -> dict[str, float]:
    """What is known of a trial's network, and so is the same of each of its runs."""
    return {PARAMETERS: trial.metrics[PARAMETERS]} if PARAMETERS in trial.metrics else {}


@dataclass(frozen=True)
class ArmSummary:
    """One arm of a comparison, or one configuration of a search.

    `n` counts the training runs that have final metrics, `failed` the trials that have none, `pending` those
    that wait or run. `mean`, `sd` (with n - 1 in the denominator; None for one run) and `ci`, the confidence
    interval of the mean, are over those runs. `value` is what arms are ranked by, the mean over trials of the
    objective's value. `differs` are the effective hyperparameters in which the arms are not all alike, but
    for those that are not active in it. `verdicts` are by metric; the baseline, its copies in other studies
    (`is_copy`) and the configurations of a search have none.
    """

    study: str
    arm: str
    n: int
    failed: int
    pending: int
    value: float | None
    mean: dict[str, float]
    sd: dict[str, float | None]
    ci: dict[str, tuple[float, float] | None]
    differs: dict[str, Any]
    trials: tuple[int, ...]
    is_copy: bool = False
    verdicts: dict[str, Verdict] = field(default_factory=dict)
