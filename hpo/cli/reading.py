"""Commands on what the storage holds: list, show, trials, best, compare, dashboard, delete."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hpo.cli.options import Output, StorageUrl, StudyName, open_storage, open_study
from hpo.console import Format, counted, show, show_fields, states_of, stdout, with_spread
from hpo.errors import HpoError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpo.compare import ArmSummary
    from hpo.study import Study, StudySummary
    from hpo.trial import Trial


def studies(storage: StorageUrl = None, output: Output = Format.table) -> None:
    """The studies in the storage."""
    from hpo.study import list_studies
    from hpo.trial import STATES

    summaries = list_studies(storage=open_storage(storage))
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


def compare(study: StudyName, storage: StorageUrl = None, output: Output = Format.table) -> None:
    """Means, standard deviations and runs of every arm, or of every configuration of a search."""
    show_comparison(open_study(study, storage), output)


def dashboard(
    storage: StorageUrl = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port on loopback; 0 takes a free one.")] = 8080,
    browser: Annotated[bool, typer.Option(help="Open a browser, on a desktop.")] = True,
) -> None:
    """Look at studies in optuna-dashboard, on this machine."""
    from hpo.dashboard import serve

    serve(
        open_storage(storage),
        port=port,
        open_browser=browser,
        announce=lambda line: print(line, file=sys.stderr),
    )


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


def show_comparison(study: Study, output: Format, *, most: int | None = None) -> None:
    """Print a study's arms, of a table the first `most`."""
    comparison = study.compare()
    show(
        [_arm_row(arm, comparison.metrics) for arm in comparison.arms[:most]],
        output,
        records=comparison.rows,
        full=comparison.to_json(),
        columns=comparison.columns,
        empty=f"No trial of {study.name} has finished yet. Train it with: hpo resume {study.name}",
    )


def show_best(study: Study) -> None:
    """Print a study's best trial."""
    trial = study.best
    fields: dict[str, Any] = {"value": trial.value}
    if trial.arm is not None:
        fields |= {"arm": trial.arm, "seed": trial.seed}
    show_fields(fields | trial.params | trial.metrics, f"best trial of {study.name}, #{trial.number}")


def _summary_json(summary: StudySummary) -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(summary) | {"created": summary.created.isoformat()}


def _summary_row(summary: StudySummary) -> dict[str, Any]:
    return {
        "name": summary.name,
        "kind": summary.kind,
        "trials": states_of(summary.counts),
        "metric": summary.metric,
        "best": summary.best_value,
        "created": summary.created.astimezone().strftime("%Y-%m-%d %H:%M"),
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


def _arm_row(arm: ArmSummary, metrics: Sequence[str]) -> dict[str, Any]:
    row: dict[str, Any] = {"arm": arm.arm, "n": f"{arm.n} ({arm.failed} failed)" if arm.failed else arm.n}
    for metric in metrics:
        row[metric] = with_spread(arm.mean.get(metric), arm.sd.get(metric))
    return row | arm.differs
