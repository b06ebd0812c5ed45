"""A comparison as tables: its arms, and the verdicts on them."""

from __future__ import annotations

from collections.abc import Sequence

from hpo.analysis.comparison import Comparison
from hpo.tables import Column, Table
from hpo.tables.kinds import (
    DIFFERENCE,
    INTERVAL,
    MEAN,
    NAME,
    NUMBER,
    P_VALUE,
    SETTING,
    TALLY,
    VERDICT,
)
from hpo.tables.numbers import level

DIFFERENCES = ("difference", "low", "high", "is_ratio")


def arms_table(comparison: Comparison, *, most: int | None = None) -> Table:
    """A row an arm, or the first `most`: its runs, mean and deviation of each metric, and what differs."""
    several, is_judged = _several(comparison), comparison.baseline is not None
    own = [Column(comparison.value_name, NUMBER, ("value",))] if comparison.has_other_values else []
    differs = dict.fromkeys(name for arm in comparison.arms for name in arm.differs)
    columns = (
        *([Column("study", NAME, drop=1)] if several else []),
        # Each trial of a search is one by itself.
        Column("arm", NAME) if is_judged or several else Column("trial", NAME, ("arm",)),
        # Of one study its verdicts say it.
        *([Column("role", drop=2)] if several and is_judged else []),
        *([Column("n", NUMBER, drop=3)] if is_judged or any(arm.n > 1 for arm in comparison.arms) else []),
        Column("failed", TALLY, drop=4),
        Column("pending", TALLY, drop=25),
        *own,
        *(_mean(name, at, comparison) for at, name in enumerate(comparison.metrics)),
        # A configuration of a search has no name but these.
        *(
            Column(name, SETTING, (comparison.key_of(name),), drop=40 if is_judged else 10)
            for name in differs
        ),
    )
    return Table("Results", columns, comparison.rows[:most], keys=comparison.columns)


def verdicts_table(
    comparison: Comparison, *, metrics: Sequence[str] | None = None, most: int | None = None
) -> Table:
    """A row for every metric, or those given, of every arm that is judged; or the first `most` of them."""
    several = _several(comparison)
    rows = [row for row in comparison.verdict_rows if metrics is None or row["metric"] in metrics]
    whose = f"{comparison.baseline} of {comparison.baseline_study}" if several else comparison.baseline
    columns = (
        Column("metric", drop=0 if len({row["metric"] for row in rows}) > 1 else 7),
        *([Column("study", NAME, drop=1)] if several else []),
        Column("arm", NAME),
        # Of which the interval is the rest.
        Column("difference", DIFFERENCE, DIFFERENCES, drop=4),
        Column(f"{level(comparison.alpha)} interval", INTERVAL, DIFFERENCES, drop=2),
        Column("p", P_VALUE, ("p_adjusted",), drop=5),
        Column("pairs", NUMBER, drop=6),
        Column("verdict", VERDICT, ("decision", "because")),
    )
    caption = f"against {whose}, runs paired by seed, p after Holm"
    return Table("Differences", columns, rows[:most], caption=caption)


def _mean(metric: str, place: int, comparison: Comparison) -> Column:
    """A metric's column; the one that ranks the arms stays unless their values are beside it."""
    ranks = metric == comparison.metric
    drop = 30 + place if not ranks else 5 if comparison.has_other_values else 0
    return Column(metric, MEAN, (metric, f"{metric}_sd"), drop=drop)


def _several(comparison: Comparison) -> bool:
    return len({arm.study for arm in comparison.arms}) > 1
