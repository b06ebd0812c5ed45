"""What a comparison holds, and how it is a table and JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from hpo.analysis.verdicts import Decision
from hpo.spec import METRICS

if TYPE_CHECKING:
    import pandas as pd


ONE_SEED = "one seed"


@dataclass(frozen=True)
class Verdict:
    """What the paired runs say of one metric of an arm against the baseline.

    `difference` is arm minus baseline, on average over `pairs` of runs with the same seed and split; of
    seconds, it is the ratio of the geometric means. `low` and `high` are its confidence interval, of this arm
    alone; `p_adjusted` is adjusted over the arms. `needed_seeds` is how many seeds in all would probably
    decide. `because` says why it is undecided.
    """

    decision: Decision
    pairs: int
    is_ratio: bool
    difference: float | None
    low: float | None
    high: float | None
    p_adjusted: float | None
    needed_seeds: int | None
    because: str

    def __str__(self) -> str:
        return f"{self.decision}: {self.because}" if self.because else self.decision


@dataclass(frozen=True)
class ArmSummary:
    """One arm of a comparison, or one configuration of a search.

    `n` counts the training runs that have final metrics, `failed` the trials that have none, `pending` those
    that wait or run. `mean`, `sd` (with n - 1 in the denominator; None for one run) and `ci`, the confidence
    interval of the mean, are over those runs. `differs` are the effective hyperparameters in which the arms
    are not all alike. `verdicts` are by metric; the baseline and the configurations of a search have none.
    """

    study: str
    arm: str
    n: int
    failed: int
    pending: int
    mean: dict[str, float]
    sd: dict[str, float | None]
    ci: dict[str, tuple[float, float] | None]
    differs: dict[str, Any]
    trials: tuple[int, ...]
    verdicts: dict[str, Verdict] = field(default_factory=dict)


@dataclass(frozen=True)
class Comparison:
    """Arms side by side, best mean of the metric first."""

    metric: str
    direction: str
    metrics: tuple[str, ...]
    baseline: str | None
    baseline_study: str | None
    alpha: float
    min_effect: dict[str, float]
    arms: tuple[ArmSummary, ...]
    notes: tuple[str, ...]

    @property
    def has_one_seed(self) -> bool:
        """Whether arms are judged, and all are undecided because there is one seed."""
        verdicts = [verdict for arm in self.arms for verdict in arm.verdicts.values()]
        return bool(verdicts) and all(verdict.because == ONE_SEED for verdict in verdicts)

    @property
    def table(self) -> pd.DataFrame:
        """A row an arm: study, arm, n, failed, pending, each metric's mean, sd, verdict; what differs."""
        import pandas as pd

        return pd.DataFrame(self.rows, columns=None if self.arms else list(self.columns))

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """The table's rows, each by column."""
        return [_row(arm, self.metrics, judged=self.baseline is not None) for arm in self.arms]

    @property
    def columns(self) -> tuple[str, ...]:
        """The table's columns that do not depend on what differs."""
        means = (name for metric in self.metrics for name in (metric, f"{metric}_sd"))
        verdicts = (f"{metric}_verdict" for metric in self.metrics if self.baseline is not None)
        return ("study", "arm", "n", "failed", "pending", *means, *verdicts)

    @property
    def verdicts(self) -> pd.DataFrame:
        """A row for every metric of every arm but the baseline: the fields of its `Verdict`."""
        import pandas as pd

        names = list(Verdict.__dataclass_fields__)
        return pd.DataFrame(self.verdict_rows, columns=["study", "arm", "metric", *names])

    @property
    def verdict_rows(self) -> list[dict[str, Any]]:
        """The rows of `verdicts`, metric by metric."""
        return [
            {"study": arm.study, "arm": arm.arm, "metric": metric, **asdict(arm.verdicts[metric])}
            for metric in self.metrics
            for arm in self.arms
            if metric in arm.verdicts
        ]

    def to_json(self) -> dict[str, Any]:
        """The comparison as JSON values."""
        return {
            "metric": self.metric,
            "direction": self.direction,
            "metrics": list(self.metrics),
            "baseline": self.baseline,
            "baseline_study": self.baseline_study,
            "alpha": self.alpha,
            "min_effect": self.min_effect,
            "ratios": [metric for metric in self.metrics if METRICS[metric].is_ratio],
            "arms": [_arm_json(arm) for arm in self.arms],
            "notes": list(self.notes),
        }


def _row(arm: ArmSummary, metrics: Sequence[str], *, judged: bool) -> dict[str, Any]:
    row: dict[str, Any] = {
        "study": arm.study,
        "arm": arm.arm,
        "n": arm.n,
        "failed": arm.failed,
        "pending": arm.pending,
    }
    for metric in metrics:
        row[metric] = arm.mean.get(metric)
        row[f"{metric}_sd"] = arm.sd.get(metric)
    if judged:
        for metric in metrics:
            row[f"{metric}_verdict"] = arm.verdicts[metric].decision if metric in arm.verdicts else None
    return row | arm.differs


def _arm_json(arm: ArmSummary) -> dict[str, Any]:
    verdicts = list(arm.verdicts.items())
    return {
        "study": arm.study,
        "arm": arm.arm,
        "n": arm.n,
        "failed": arm.failed,
        "pending": arm.pending,
        "mean": arm.mean,
        "sd": arm.sd,
        "ci": {metric: ci and list(ci) for metric, ci in arm.ci.items()},
        "difference": {metric: verdict.difference for metric, verdict in verdicts},
        "difference_ci": {metric: None if v.low is None else [v.low, v.high] for metric, v in verdicts},
        "p_adjusted": {metric: verdict.p_adjusted for metric, verdict in verdicts},
        "verdict": {metric: verdict.decision for metric, verdict in verdicts},
        "because": {metric: verdict.because for metric, verdict in verdicts if verdict.because},
        "needed_seeds": {metric: verdict.needed_seeds for metric, verdict in verdicts},
        "differs": arm.differs,
    }
