"""Studies, trials and final evaluations as tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from hpo.analysis import Comparison, Confirmation
from hpo.analysis.comparison import is_same, value_name
from hpo.registry import StoredStudy, StudySummary, state_of
from hpo.spec import StudySpec
from hpo.tables import Column, Table
from hpo.tables.kinds import (
    COUNTS,
    DIFFERENCE,
    INTERVAL,
    LENGTH,
    LIMITS,
    MEAN,
    MOMENT,
    NAME,
    NUMBER,
    PROSE,
    STATE,
    TALLY,
    TRIAL,
    VALUE,
)
from hpo.tables.numbers import level
from hpo.trials.record import STATES, Trial

if TYPE_CHECKING:
    from hpo.studies.final import FinalSummary

SUMMARY_KEYS = (
    *("name", "kind", "metric", "direction", "planned"),
    *(f"counts.{state}" for state in STATES.values()),
    *("best_value", "created"),
)
GAP = ("gap", "low", "high")
FRESH = (
    ("on fresh seeds", NUMBER, ("confirmed.mean",)),
    ("95 % interval", LIMITS, ("confirmed.low", "confirmed.high")),
)
# Of a trial, as `Study.trials` leaves them out too.
OMITTED = frozenset({"replicates", "curve"})


def studies_table(summaries: Sequence[StudySummary]) -> Table:
    """A row a study: how far it is, and the best value so far."""
    columns = (
        Column("name"),
        Column("kind", drop=2),
        Column("trials", COUNTS, ("counts", "lost")),
        Column("metric", drop=1),
        Column("best", NUMBER, ("best_value",)),
        Column("created", MOMENT, drop=3),
    )
    return Table("Studies", columns, [summary_row(summary) for summary in summaries], keys=SUMMARY_KEYS)


def code_table(study: StoredStudy) -> Table:
    """A row a function of a person's own: its file and, for programs, the text that it had then."""
    columns = (
        Column("of", of=("key",)),
        Column("function"),
        Column("file"),
        Column("state"),
    )
    kept = study.kept_code
    rows = [
        {
            "key": key,
            "function": code.function,
            "file": code.file,
            "digest": code.digest,
            "state": state_of(code),
            "text": kept.get(key, ""),
        }
        for key, code in study.spec.own_code.items()
    ]
    rows += [
        {"key": key, "function": None, "file": None, "digest": None, "state": None, "text": text}
        for key, text in kept.items()
        if key not in study.spec.own_code
    ]
    return Table("Code", columns, rows)


def study_table(summary: StudySummary) -> Table:
    """One study, down the page."""
    table = studies_table([summary])
    return Table(
        "Study",
        table.columns,
        table.rows,
        keys=table.keys,
        caption=f"study {summary.name}",
        is_record=True,
    )


def summary_row(summary: StudySummary) -> dict[str, Any]:
    """A summary as JSON values."""
    return asdict(summary) | {"created": summary.created and summary.created.isoformat()}


def trials_table(trials: Sequence[Trial], spec: StudySpec | None = None) -> Table:
    """A row a trial: its state, value, and what it was trained with; an own model of `spec` is named."""
    drawn = {name for trial in trials for name in trial.params}
    space = spec.content().get("space", ()) if spec is not None else ()
    # In the space's order: what is not always active may be missing in the first trials.
    params = dict.fromkeys(name for name in (*space, *(n for t in trials for n in t.params)) if name in drawn)
    columns = (
        Column("number", NUMBER),
        Column("state", STATE, ("state", "lost")),
        *_value_columns(spec),
        Column("arm", NAME),
        Column("seed", NUMBER, drop=1),
        *([Column("confirms", TRIAL, drop=2)] if any(t.confirms is not None for t in trials) else []),
        *(Column(name, VALUE, (f"params.{name}",), drop=10) for name in params),
        Column("epochs", LENGTH, ("curve",), drop=20),
        Column("train_seconds", NUMBER, ("metrics.train_seconds",), drop=30),
        Column("worker", drop=40),
        Column("reason", PROSE, drop=5),
    )
    rows = [trial.to_json() for trial in trials]
    own = "" if spec is None or isinstance(spec.model, str) else f"trials of {spec.name}, model {spec.model}"
    return Table("Trials", columns, rows, omitted=OMITTED, caption=own)


def best_table(spec: StudySpec, trial: Trial, confirmed: Confirmation | None = None) -> Table:
    """The best trial of a study, down the page; with what it reaches on fresh seeds, once that is known."""
    winner = None if confirmed is None else confirmed.winner
    objective = spec.objective
    is_metric = trial.value is None or is_same(trial.value, trial.metrics.get(objective.metric))
    columns = (
        Column("value" if is_metric else value_name(objective.metric, objective.at), NUMBER, ("value",)),
        *([Column(name, kind, of) for name, kind, of in FRESH] if winner is not None else []),
        Column("arm"),
        Column("seed", NUMBER),
        *(Column(name, VALUE, (f"params.{name}",)) for name in trial.params),
        *(Column(name, NUMBER, (f"metrics.{name}",)) for name in trial.metrics),
    )
    row = {"study": spec.name} | trial.to_json() | {"confirmed": None if winner is None else asdict(winner)}
    caption = f"best trial of {spec.name}, #{trial.number}"
    return Table("Best trial", columns, [row], omitted=OMITTED, caption=caption, is_record=True)


def front_table(spec: StudySpec, front: Sequence[Trial]) -> Table:
    """A row a trial on the front of a search, by what each objective has reached, with what varies."""
    params = dict.fromkeys(name for trial in front for name in trial.params)
    columns = (
        Column("number", TRIAL),
        *(Column(o.metric, NUMBER, (f"values.{o.metric}",)) for o in spec.judged_by),
        *(Column(name, VALUE, (f"params.{name}",), drop=10) for name in params),
    )
    rows = [{"study": spec.name} | trial.to_json() for trial in front]
    return Table("Front", columns, rows, omitted=OMITTED, caption=f"front of {spec.name}")


def _value_columns(spec: StudySpec | None) -> list[Column]:
    if spec is None or len(spec.judged_by) == 1:
        return [Column("value", NUMBER)]
    return [Column(o.metric, NUMBER, (f"values.{o.metric}",)) for o in spec.judged_by]


def ranking_table(spec: StudySpec, ranked: Sequence[Trial], comparison: Comparison) -> Table:
    """A row a configuration of a search, the best value first."""
    arms = {row["arm"]: row for row in comparison.rows}
    rows = [
        arms[f"#{trial.number}"] | {"rank": rank, "trial": trial.number, "params": trial.params}
        for rank, trial in enumerate(ranked, start=1)
    ]
    own = [Column(comparison.value_name, NUMBER, ("value",))] if comparison.has_other_values else []
    columns = (
        Column("rank", NUMBER),
        Column("trial", TRIAL),
        *own,
        *(Column(name, MEAN, (name, f"{name}_sd")) for name in comparison.metrics),
        *([Column("n", NUMBER)] if spec.replicates > 1 else []),
        *(Column(name, VALUE, (f"params.{name}",)) for name in spec.content()["space"]),
    )
    return Table("Ranking", columns, rows)


def gaps_table(summary: FinalSummary) -> Table:
    """A row for each metric of each configuration of a final evaluation: validation data and test set."""
    columns = (
        Column("configuration", NAME, ("arm",)),
        Column("metric"),
        Column("n", NUMBER, drop=2),
        Column("failed", TALLY, drop=1),
        Column("validation, when chosen", NUMBER, ("selected",), drop=3),
        Column("validation, fresh seeds", NUMBER, ("validation",)),
        Column("test", NUMBER),
        Column("gap", DIFFERENCE, GAP),
        Column(f"{level(summary.alpha)} interval", INTERVAL, GAP),
    )
    look = f"look {summary.evaluation} at the test set" if summary.evaluation > 1 else "the test set"
    rows = [
        {"arm": arm.arm, "metric": metric, "n": arm.n, "failed": arm.failed} | asdict(gap)
        for arm in summary.arms
        for metric, gap in arm.gaps.items()
    ]
    return Table(
        f"Test results of {summary.study}",
        columns,
        rows,
        keys=("arm", "metric", "n", "failed"),
        caption=f"{summary.study}: {look}, fresh seeds; the gap is validation minus test",
    )
