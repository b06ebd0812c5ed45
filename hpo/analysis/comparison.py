"""What a comparison holds, and how it is rows and JSON."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from functools import cached_property
from html import escape
from typing import TYPE_CHECKING, Any

from hpo.analysis.arms import ArmSummary
from hpo.analysis.verdicts import ONE_SEED, Verdict
from hpo.spec import directions, metric_of
from hpo.tables import html
from hpo.tables.numbers import counted, with_spread

if TYPE_CHECKING:
    import pandas as pd

# Values and metrics that agree to so much are one figure, which several programs have computed.
SAME = 1e-4
# Arms in a repr, and in a notebook's cell.
SHOWN, SHOWN_ROWS = 3, 60
# What a row has of the verdict on each metric, and how a `Verdict` names it.
JUDGED = {
    "verdict": "decision",
    "difference": "difference",
    "difference_low": "low",
    "difference_high": "high",
    "p_adjusted": "p_adjusted",
    "pairs": "pairs",
}


@dataclass(frozen=True)
class Comparison:
    """Arms side by side, the best value first: the mean over trials of what `at` says of the metric."""

    metric: str
    direction: str
    at: str
    metrics: tuple[str, ...]
    baseline: str | None
    baseline_study: str | None
    alpha: float
    min_effect: dict[str, float]
    arms: tuple[ArmSummary, ...]
    notes: tuple[str, ...]

    def __repr__(self) -> str:
        extreme = directions.extreme(self.direction)
        against = f", baseline {self.baseline}" if self.baseline is not None else ""
        what = "configuration" if self.baseline is None else "arm"
        head = f"Comparison of {counted(len(self.arms), what)}, {extreme} {self.ranked_by} first{against}"
        more = len(self.arms) - SHOWN
        rest = [f"and {more} more"] if more > 0 else []
        return "\n  ".join([head, *(_line(arm, self) for arm in self.arms[:SHOWN]), *rest])

    def _repr_html_(self) -> str:
        from hpo.analysis.tables import arms_table, verdicts_table

        made = (arms_table(self, most=SHOWN_ROWS), verdicts_table(self, most=SHOWN_ROWS))
        tables = (
            f"<p><b>{escape(table.title)}</b></p>\n{html.rendered(table)}" for table in made if table.rows
        )
        more = len(self.arms) - SHOWN_ROWS
        rest = [f"And {more} more; its table has all."] if more > 0 else []
        return "".join([*tables, *(f"<p>{escape(line)}</p>\n" for line in (*rest, *self.notes))])

    @property
    def has_one_seed(self) -> bool:
        """Whether arms are judged, and all are undecided because there is one seed."""
        verdicts = [verdict for arm in self.arms for verdict in arm.verdicts.values()]
        return bool(verdicts) and all(verdict.because == ONE_SEED for verdict in verdicts)

    @property
    def value_name(self) -> str:
        """What values are, for those who read them beside the metrics."""
        return value_name(self.metric, self.at)

    @property
    def ranked_by(self) -> str:
        """What is highest, or lowest, of the first arm."""
        return self.value_name if self.has_other_values else self.metric

    @property
    def has_other_values(self) -> bool:
        """Whether some arm is ranked by another figure than its metric: of another epoch, or not of ours."""
        return any(
            arm.value is not None and not is_same(arm.value, arm.mean.get(self.metric)) for arm in self.arms
        )

    @property
    def table(self) -> pd.DataFrame:
        """A row an arm: study, arm, counts of runs and trials, value, each metric's mean, sd and verdict, and
        the hyperparameters that differ.
        """
        import pandas as pd

        return pd.DataFrame(self.rows, columns=None if self.arms else list(self.columns))

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """The table's rows, each by column."""
        return [_row(arm, self) for arm in self.arms]

    @property
    def columns(self) -> tuple[str, ...]:
        """The table's columns that do not depend on what differs."""
        is_judged = self.baseline is not None
        means = (name for metric in self.metrics for name in (metric, f"{metric}_sd"))
        verdicts = (f"{metric}_{part}" for metric in self.metrics for part in JUDGED if is_judged)
        role = ["role"] if is_judged else []
        return ("study", "arm", *role, "n", "failed", "pending", "value", *means, *verdicts)

    def key_of(self, name: str) -> str:
        """The column of a hyperparameter; people may have named one as a column of ours."""
        return f"params.{name}" if name in self.columns else name

    @property
    def verdicts(self) -> pd.DataFrame:
        """A row for every metric of every arm that is judged: the fields of its `Verdict`."""
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
            "at": self.at,
            "metrics": list(self.metrics),
            "baseline": self.baseline,
            "baseline_study": self.baseline_study,
            "alpha": self.alpha,
            "min_effect": self.min_effect,
            "ratios": [metric for metric in self.metrics if metric_of(metric, self).is_ratio],
            "arms": [_arm_json(arm) for arm in self.arms],
            "notes": list(self.notes),
        }


def value_name(metric: str, at: str) -> str:
    """What the value of a trial is, where its metric is another figure.

    >>> value_name("val_loss", "best")
    'val_loss of the best epoch'
    """
    return f"{metric} of the best epoch" if at == "best" else "value"


def is_same(value: float, metric: float | None) -> bool:
    """Whether a value and a metric are one figure.

    >>> is_same(0.5, 0.50001), is_same(0.517, 0.574), is_same(0.5, None)
    (True, False, False)
    """
    return metric is not None and math.isclose(value, metric, rel_tol=SAME, abs_tol=SAME)


def _line(arm: ArmSummary, comparison: Comparison) -> str:
    """An arm as a comparison's repr has it: `Adam: 0.9716 ± 0.0012, n 5, better`."""
    metric = comparison.metric
    mean = with_spread(arm.mean.get(metric, arm.value), arm.sd.get(metric))
    verdict = arm.verdicts.get(metric)
    decision = verdict.decision if verdict is not None else _role(arm, comparison)
    return f"{arm.arm}: {', '.join(filter(None, [mean, f'n {arm.n}', decision]))}"


def _row(arm: ArmSummary, comparison: Comparison) -> dict[str, Any]:
    is_judged = comparison.baseline is not None
    row: dict[str, Any] = {
        "study": arm.study,
        "arm": arm.arm,
        **({"role": _role(arm, comparison)} if is_judged else {}),
        "n": arm.n,
        "failed": arm.failed,
        "pending": arm.pending,
        "value": arm.value,
    }
    for metric in comparison.metrics:
        row[metric] = arm.mean.get(metric)
        row[f"{metric}_sd"] = arm.sd.get(metric)
    for metric in comparison.metrics if is_judged else ():
        verdict = arm.verdicts.get(metric)
        for name, of in JUDGED.items():
            row[f"{metric}_{name}"] = None if verdict is None else getattr(verdict, of)
    return row | {comparison.key_of(name): value for name, value in arm.differs.items()}


def _role(arm: ArmSummary, comparison: Comparison) -> str | None:
    """What an arm is, if it is not judged."""
    if (arm.study, arm.arm) == (comparison.baseline_study, comparison.baseline):
        return "baseline"
    return "copy of the baseline" if arm.is_copy else None


def _arm_json(arm: ArmSummary) -> dict[str, Any]:
    verdicts = list(arm.verdicts.items())
    return {
        "study": arm.study,
        "arm": arm.arm,
        "n": arm.n,
        "failed": arm.failed,
        "pending": arm.pending,
        "value": arm.value,
        "copy_of_baseline": arm.is_copy,
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
