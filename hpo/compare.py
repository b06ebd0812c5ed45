"""Finished trials to a table: what each arm reached, over how many runs."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hpo.spec import ComparisonSpec, StudySpec
from hpo.trial import Trial

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class ArmSummary:
    """One arm of a comparison, or one configuration of a search.

    `n` counts the training runs that have final metrics, `failed` the trials that have none; `mean` and `sd`
    (with n - 1 in the denominator; None for one run) are over those runs. `differs` are the effective
    hyperparameters in which the arms are not all alike.
    """

    study: str
    arm: str
    n: int
    failed: int
    mean: dict[str, float]
    sd: dict[str, float | None]
    differs: dict[str, Any]


@dataclass(frozen=True)
class Comparison:
    """Arms side by side, best mean of the metric first."""

    metric: str
    direction: str
    metrics: tuple[str, ...]
    baseline: str | None
    arms: tuple[ArmSummary, ...]

    @property
    def table(self) -> pd.DataFrame:
        """A row an arm: study, arm, n, failed, mean and sd of each metric, what differs."""
        import pandas as pd

        return pd.DataFrame(self.rows, columns=None if self.arms else list(self.columns))

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The table's rows, each by column."""
        return [_row(arm, self.metrics) for arm in self.arms]

    @property
    def columns(self) -> tuple[str, ...]:
        """The table's columns that do not depend on what differs."""
        means = (name for metric in self.metrics for name in (metric, f"{metric}_sd"))
        return ("study", "arm", "n", "failed", *means)

    def to_json(self) -> dict[str, Any]:
        """The comparison as JSON values."""
        arms = [
            {
                "study": arm.study,
                "arm": arm.arm,
                "n": arm.n,
                "failed": arm.failed,
                "mean": arm.mean,
                "sd": arm.sd,
                "differs": arm.differs,
            }
            for arm in self.arms
        ]
        return {
            "metric": self.metric,
            "direction": self.direction,
            "metrics": list(self.metrics),
            "baseline": self.baseline,
            "arms": arms,
        }


def compare(spec: StudySpec, trials: Sequence[Trial]) -> Comparison:
    """Gather a study's trials by arm; in a search, each finished configuration is an arm."""
    groups: dict[str, list[Trial]] = {}
    for trial in trials:
        # An arm is there from the start; a configuration that has no result yet is nothing to compare.
        if trial.arm is not None or trial.state in ("complete", "failed"):
            groups.setdefault(trial.arm or f"#{trial.number}", []).append(trial)
    varying = _varying([group[0] for group in groups.values()])
    arms = [_summarise(spec, name, group, varying) for name, group in groups.items()]
    metric, direction = spec.objective.metric, spec.objective.direction
    sign = -1 if direction == "maximize" else 1
    arms.sort(key=lambda arm: sign * arm.mean[metric] if metric in arm.mean else float("inf"))
    baseline = spec.baseline if isinstance(spec, ComparisonSpec) else None
    return Comparison(metric, direction, spec.table_metrics, baseline, tuple(arms))


def _summarise(spec: StudySpec, name: str, trials: Sequence[Trial], varying: Sequence[str]) -> ArmSummary:
    complete = [trial for trial in trials if trial.state == "complete"]
    runs = [replicate for trial in complete for replicate in trial.replicates]
    values = {
        metric: [run[metric] for run in runs if metric in run]
        for metric in spec.table_metrics
        if any(metric in run for run in runs)
    }
    return ArmSummary(
        study=spec.name,
        arm=name,
        n=len(runs),
        failed=sum(trial.state == "failed" for trial in trials),
        mean={metric: statistics.fmean(v) for metric, v in values.items()},
        sd={metric: statistics.stdev(v) if len(v) > 1 else None for metric, v in values.items()},
        differs={key: trials[0].hyperparameters.get(key) for key in varying},
    )


def _varying(trials: Sequence[Trial]) -> list[str]:
    known = [trial.hyperparameters for trial in trials if trial.hyperparameters]
    return [key for key in (known[0] if known else {}) if any(h[key] != known[0][key] for h in known)]


def _row(arm: ArmSummary, metrics: Sequence[str]) -> dict[str, Any]:
    row: dict[str, Any] = {"study": arm.study, "arm": arm.arm, "n": arm.n, "failed": arm.failed}
    for metric in metrics:
        row[metric] = arm.mean.get(metric)
        row[f"{metric}_sd"] = arm.sd.get(metric)
    return row | arm.differs
