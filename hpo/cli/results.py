"""Commands on what the storage holds: list, show, trials, best, compare, delete."""

from __future__ import annotations

import sys
from collections import Counter
from typing import TYPE_CHECKING, Annotated

import typer

from hpo.cli.options import Output, StorageUrl, StudyName, StudyNames, open_storage, open_study
from hpo.cli.output import Format, show
from hpo.errors import HpoError
from hpo.tables.console import say, tell
from hpo.tables.numbers import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpo.studies import Study


def studies(storage: StorageUrl = None, output: Output = Format.table) -> None:
    """The studies in the storage."""
    from hpo.studies import list_studies
    from hpo.studies.tables import studies_table

    found = list_studies(storage=open_storage(storage))
    show(studies_table(found), output=output, empty="There is no study yet. Start one with: hpo run SPEC")
    for summary in found:
        if summary.problem:
            print(summary.problem, file=sys.stderr)


def study(
    name: StudyName,
    storage: StorageUrl = None,
    output: Output = Format.table,
    code: Annotated[
        bool, typer.Option("--code", help="The code of people's own that it was made with, as it was kept.")
    ] = False,
) -> None:
    """One study: how far it is, its specification, its best trial."""
    from dataclasses import asdict

    from hpo.spec import to_json, to_toml
    from hpo.studies.tables import best_table, front_table, study_table, summary_row

    opened = open_study(name, storage)
    if code:
        show_code(opened, output)
        return
    summary = opened.summary
    has_front = len(opened.spec.judged_by) > 1
    best = opened.best if opened.has_values and not has_front else None
    front = opened.front if has_front else []
    confirmed = opened.confirmation
    whole = summary_row(summary) | {
        "spec": to_json(opened.spec),
        "best": best and best.to_json(),
        "confirmation": confirmed and asdict(confirmed),
        **({"front": [trial.to_json() for trial in front]} if has_front else {}),
    }
    if output == Format.table:
        tell(f"{opened.headline}\n")
    show(study_table(summary), output=output, whole=whole)
    if output == Format.table:
        print(f"\n{to_toml(opened.spec)}")
        if best is not None:
            show(best_table(opened.spec, best, confirmed))
        if front:
            show(front_table(opened.spec, front))
        waiting = Counter(trial.reason for trial in opened.all_trials if trial.state == "waiting")
        for reason, count in waiting.items():
            if reason is not None:
                say(f"{counted(count, 'trial')} waiting: {reason}")


def trials(study: StudyName, storage: StorageUrl = None, output: Output = Format.table) -> None:
    """Every trial of a study."""
    from hpo.studies.tables import trials_table

    opened = open_study(study, storage)
    show(trials_table(opened.all_trials, opened.spec), output=output)


def best(
    studies: StudyNames,
    storage: StorageUrl = None,
    output: Output = Format.table,
    front: Annotated[
        bool, typer.Option("--front", help="The trials that no other beats in every objective.")
    ] = False,
) -> None:
    """The best trial of a study, or its front with several objectives; of several studies, of each."""
    opened = open_storage(storage)
    for_front: list[Study] = []
    for_best: list[Study] = []
    for name in studies:
        found = open_study(name, opened)
        (for_front if front or len(found.spec.judged_by) > 1 else for_best).append(found)
    if for_front and for_best:
        rule = "cannot be shown beside studies with one objective"
        raise HpoError(f"study {for_front[0].name!r}", rule, remedy="Add --front, or ask for each by itself.")
    if for_front:
        show_front(for_front, output)
    else:
        show_best(for_best, output)


def compare(
    studies: StudyNames,
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


def show_code(study: Study, output: Format) -> None:
    """Print the text of each file of a person's own, as it was when the study was made."""
    from hpo.registry import shown
    from hpo.studies.tables import code_table

    table = code_table(study)
    if output != Format.table:
        show(table, output=output)
        return
    if not table.rows:
        say(f"{study.name} was made with no code of anybody's own.")
    for row in table.rows:
        of = f": {row['function']} of {row['file']}, {row['state']}" if row["file"] else ", beside it"
        print(f"# {row['key']}{of}")
        print(shown(row["text"]))


def show_comparison(studies: Sequence[Study], output: Format, *, most: int | None = None) -> None:
    """Print the arms of studies, or the first `most` of them, the verdicts on them, and what else to know."""
    from hpo.analysis.confirmation import leaders_table
    from hpo.analysis.tables import arms_table, verdicts_table
    from hpo.studies import compare_studies

    comparison, names = compare_studies(studies), [study.name for study in studies]
    if output == Format.table and len(studies) == 1 and comparison.arms:
        tell(f"{studies[0].headline}\n")
    # Of several studies by the metric that ranks them: all would be pages.
    metrics = [comparison.metric] if len(studies) > 1 else None
    verdicts = [] if comparison.has_one_seed else [verdicts_table(comparison, metrics=metrics)]
    raced = studies[0].confirmation if len(studies) == 1 else None
    show(
        *([] if raced is None else [leaders_table(raced, studies[0].spec)]),
        arms_table(comparison, most=most),
        *verdicts,
        output=output,
        whole=comparison.to_json(),
        empty=nothing_of(studies, "has finished yet"),
        every=f"hpo compare {' '.join(names)} --format csv",
    )
    if output == Format.table:
        if comparison.has_one_seed and raced is None:
            say("Nothing is decided by one seed. Train more: seeds = 5 in the study file.")
        for note in comparison.notes:
            say(note)


def nothing_of(studies: Sequence[Study], done: str) -> str:
    """Why there is nothing to show of studies: none of their trials `done`, or meets the constraints."""
    said = [f"{study.name}: {none}" for study in studies if (none := study.unmet) is not None]
    names = [study.name for study in studies]
    return " ".join(said) or f"No trial of {', '.join(names)} {done}. Train it with: hpo resume {names[0]}"


def show_final(study: Study, output: Format) -> None:
    """Print what a final evaluation has shown."""
    from dataclasses import asdict

    from hpo.studies.final import summarise_final
    from hpo.studies.tables import gaps_table

    summary = summarise_final(study)
    if output == Format.table:
        tell(f"{study.headline}\n")
    show(gaps_table(summary), output=output, whole=asdict(summary))


def show_front(studies: Sequence[Study], output: Format = Format.table) -> None:
    """Print the front of each study, the best of the first objective first."""
    from dataclasses import replace

    from hpo.analysis.front import front_sentence
    from hpo.studies.tables import front_table

    tables = [front_table(study.spec, study.front) for study in studies]
    rows = [row for table in tables for row in table.rows]
    if not output.is_for_people:
        show(replace(tables[0], rows=rows), output=output, whole=rows)
        return
    show(*tables, output=output, empty=nothing_of(studies, "is complete yet"))
    for study in studies:
        if study.front:
            say(f"{study.name}: {front_sentence(study.spec, study.all_trials)}")


def show_best(studies: Sequence[Study], output: Format = Format.table) -> None:
    """Print the best trial of each study; of a comparison, with the arm that is the best over all seeds."""
    from dataclasses import replace

    from hpo.studies.tables import best_table

    found = [(study, study.best) for study in studies]
    tables = [best_table(study.spec, trial, study.confirmation) for study, trial in found]
    rows = [row for table in tables for row in table.rows]
    if not output.is_for_people:
        show(replace(tables[0], rows=rows), output=output, whole=rows if len(rows) > 1 else rows[0])
        return
    show(*tables, output=output)
    for study, trial in found:
        first = study.compare().arms[0].arm if trial.arm is not None else None
        if (confirmed := study.confirmation) is not None:
            say(f"{study.name}: {' '.join(confirmed.sentences(study.spec.objective.metric))}")
        if trial.arm != first:
            said = f"one run of {trial.arm} has the best value; over its seeds {first} has the best mean"
            say(f"{study.name}: {said}.")
