"""Commands on what the storage holds: list, show, trials, best, compare, delete."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from hpo.cli.console import Format, show, show_fields, states_of, stdout
from hpo.cli.options import Output, StorageUrl, StudyName, open_storage, open_study
from hpo.errors import HpoError
from hpo.tables.numbers import counted, p_value, with_interval, with_spread

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpo.analysis import ArmSummary, Comparison
    from hpo.studies import Study, StudySummary
    from hpo.trials.record import Trial


def studies(storage: StorageUrl = None, output: Output = Format.table) -> None:
    """The studies in the storage."""
    from hpo.studies import list_studies
    from hpo.trials.record import STATES

    summaries = list_studies(storage=open_storage(storage))
    for summary in summaries:
        if summary.problem:
            print(summary.problem, file=sys.stderr)
    counts = (f"counts.{state}" for state in STATES.values())
    show(
        [_summary_row(summary) for summary in summaries],
        output,
        records=[_summary_json(summary) for summary in summaries],
        columns=("name", "kind", "metric", "direction", "planned", *counts, "best_value", "created"),
        empty="There is no study yet. Start one with: hpo run SPEC",
    )


def study(name: StudyName, storage: StorageUrl = None, output: Output = Format.table) -> None:
    """One study: how far it is, its specification, its best trial."""
    from hpo.spec import to_json, to_toml

    opened = open_study(name, storage)
    summary = opened.summary
    if output != Format.table:
        record = _summary_json(summary)
        best = opened.best.to_json() if summary.counts["complete"] else None
        show([record], output, full=record | {"spec": to_json(opened.spec), "best": best})
        return
    show_fields(_summary_row(summary), f"study {summary.name}")
    stdout().print()
    print(to_toml(opened.spec))
    if summary.counts["complete"]:
        show_best(opened)


def trials(study: StudyName, storage: StorageUrl = None, output: Output = Format.table) -> None:
    """Every trial of a study."""
    found = open_study(study, storage).all_trials
    params = list(dict.fromkeys(name for trial in found for name in trial.params))
    full = [trial.to_json() for trial in found]
    rows = [_trial_row(trial, params) for trial in found]
    show(rows, output, records=[_flat(trial) for trial in full], full=full)


def best(
    studies: Annotated[list[str], typer.Argument(metavar="STUDY", help="Studies' names.")],
    storage: StorageUrl = None,
    output: Output = Format.table,
) -> None:
    """The best trial of a study; of several, the best of each."""
    found = [open_study(name, storage) for name in studies]
    full = [{"study": study.name} | study.best.to_json() for study in found]
    if output != Format.table:
        show([_flat(trial) for trial in full], output, full=full if len(full) > 1 else full[0])
        return
    for study in found:
        show_best(study)


def compare(
    studies: Annotated[list[str], typer.Argument(metavar="STUDY", help="Studies' names.")],
    storage: StorageUrl = None,
    output: Output = Format.table,
) -> None:
    """What every arm reached, and verdicts against the baseline; of several studies, in one ranking."""
    opened = open_storage(storage)
    show_comparison([open_study(name, opened) for name in studies], output)


def delete(
    study: StudyName,
    storage: StorageUrl = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Delete a study with its trials and artifacts."""
    opened = open_study(study, storage)
    what = f"{study} and its {counted(len(opened.all_trials), 'trial')}"
    if not yes:
        if not sys.stdin.isatty():
            raise HpoError("hpo delete", "must be confirmed", remedy="Add --yes.")
        typer.confirm(f"Delete {what}, with artifacts?", abort=True, err=True)
    opened.delete()
    print(f"Deleted {what}.", file=sys.stderr)


def show_comparison(studies: Sequence[Study], output: Format, *, most: int | None = None) -> None:
    """Print the arms of studies, of a table the first `most`, and the verdicts on them."""
    from hpo.studies import compare_studies

    comparison, names = compare_studies(studies), [study.name for study in studies]
    show(
        [_arm_row(arm, comparison.metrics, several=len(studies) > 1) for arm in comparison.arms[:most]],
        output,
        records=comparison.rows,
        full=comparison.to_json(),
        columns=comparison.columns,
        empty=f"No trial of {', '.join(names)} has finished yet. Train it with: hpo resume {names[0]}",
    )
    if output == Format.table and comparison.arms:
        _show_verdicts(comparison, several=len(studies) > 1)


def show_final(study: Study, output: Format) -> None:
    """Print what a final evaluation has shown."""
    from dataclasses import asdict

    from hpo.studies.final import summarise_final

    summary = summarise_final(study)
    found = [(arm, metric, gap) for arm in summary.arms for metric, gap in arm.gaps.items()]
    records = [
        {"arm": arm.arm, "metric": metric, "n": arm.n, "failed": arm.failed} | asdict(gap)
        for arm, metric, gap in found
    ]
    if output == Format.table:
        look = f"look {summary.evaluation} at the test set" if summary.evaluation > 1 else "the test set"
        stdout().print(Text(f"{study.name}: {look}, fresh seeds", style="bold"))
    rows = [_gap_row(record) for record in records]
    show(rows, output, records=records, full=asdict(summary), columns=("arm", "metric", "n", "failed"))


def _gap_row(record: dict[str, Any]) -> dict[str, Any]:
    return {
        "arm": record["arm"],
        "metric": record["metric"],
        "n": f"{record['n']} ({record['failed']} failed)" if record["failed"] else record["n"],
        "chosen by": record["selected"],
        "validation": record["validation"],
        "test": record["test"],
        "validation - test": with_interval(record["gap"], record["low"], record["high"]),
    }


def _show_verdicts(comparison: Comparison, *, several: bool) -> None:
    rows = comparison.verdict_rows
    if several:
        # Of the metric that they are ranked by: all would be pages.
        rows = [row for row in rows if row["metric"] == comparison.metric]
    if comparison.has_one_seed:
        print("\nNothing is decided by one seed. Train more: seeds = 5 in the study file.", file=sys.stderr)
    elif rows:
        whose = f" of {comparison.baseline_study}" if several else ""
        how = f"runs paired by seed, intervals of {100 * (1 - comparison.alpha):g} %, p after Holm"
        print()
        stdout().print(Text(f"against {comparison.baseline}{whose}, {how}", style="bold"))
        show([_verdict_row(row, several=several) for row in rows], Format.table)
    for note in comparison.notes:
        print(note, file=sys.stderr)


def _verdict_row(row: dict[str, Any], *, several: bool) -> dict[str, Any]:
    verdict = f"{row['decision']}: {row['because']}" if row["because"] else row["decision"]
    difference = with_interval(row["difference"], row["low"], row["high"], is_ratio=row["is_ratio"])
    return {"study" if several else "metric": row["study" if several else "metric"]} | {
        "arm": row["arm"],
        "difference": difference or None,
        "p": p_value(row["p_adjusted"]) or None,
        "verdict": verdict,
    }


def show_best(study: Study) -> None:
    """Print a study's best trial."""
    trial = study.best
    fields: dict[str, Any] = {"value": trial.value}
    if trial.arm is not None:
        fields |= {"arm": trial.arm, "seed": trial.seed}
    show_fields(fields | trial.params | trial.metrics, f"best trial of {study.name}, #{trial.number}")


def _summary_json(summary: StudySummary) -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(summary) | {"created": summary.created and summary.created.isoformat()}


def _summary_row(summary: StudySummary) -> dict[str, Any]:
    return {
        "name": summary.name,
        "kind": summary.kind if summary.problem is None else "unreadable",
        "trials": states_of(summary.counts),
        "metric": summary.metric,
        "best": summary.best_value,
        "created": summary.created and summary.created.astimezone().strftime("%Y-%m-%d %H:%M"),
    }


def _trial_row(trial: Trial, params: Sequence[str]) -> dict[str, Any]:
    row: dict[str, Any] = {"number": trial.number, "state": trial.state, "value": trial.value}
    if trial.arm is not None:
        row |= {"arm": trial.arm, "seed": trial.seed}
    return row | {
        **{name: trial.params.get(name) for name in params},
        "epochs": len(trial.curve),
        "train_seconds": trial.metrics.get("train_seconds"),
        "worker": trial.worker,
        "reason": trial.reason,
    }


def _flat(trial: dict[str, Any]) -> dict[str, Any]:
    """What of a trial fits into a row of CSV, as in `Study.trials`."""
    return {key: value for key, value in trial.items() if key not in ("replicates", "curve")}


def _arm_row(arm: ArmSummary, metrics: Sequence[str], *, several: bool) -> dict[str, Any]:
    row: dict[str, Any] = {"study": arm.study} if several else {}
    row |= {"arm": arm.arm, "n": f"{arm.n} ({arm.failed} failed)" if arm.failed else arm.n}
    for metric in metrics:
        mean, sd = arm.mean.get(metric), arm.sd.get(metric)
        row[metric] = mean if sd is None else with_spread(mean, sd)
    return row | arm.differs
