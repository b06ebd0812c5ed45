"""The last lines of a command that trains: what has become of the study, and what to do next."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from hpo.tables.console import say
from hpo.tables.kinds import counts as states
from hpo.tables.numbers import number

if TYPE_CHECKING:
    from hpo.studies import Study, StudySummary


def left_of(study: Study) -> int:
    """How many of a study's trials have not finished."""
    return len(study.storage.unfinished(study.id))


def conclude(study: Study, summary: StudySummary) -> None:
    """The last line, which says whether all is well; exit code 1 if it is not.

    A search goes over configurations of which some may diverge, and its result is what the others reached. A
    comparison with a run less is not the one that was asked for.
    """
    from hpo.spec import SearchSpec

    counts = summary.counts
    steps = [_next(study, summary)] if study.has_values and not left_of(study) else []
    if study.unmet is not None and not left_of(study):
        steps = [f"loosen the constraints in a study of a new name · look: hpo trials {study.name}"]
    # The last line of a run in which something failed says what.
    for line in (
        (*steps, states_of(study, summary)) if counts["failed"] else (states_of(study, summary), *steps)
    ):
        say(line)
    is_well = isinstance(study.spec, SearchSpec) and counts["complete"]
    if counts["failed"] and not is_well:
        raise typer.Exit(1)


def states_of(study: Study, summary: StudySummary) -> str:
    """How many trials are in which state, and what became of those that are not complete."""
    line = f"{study.name}: {states(summary.counts)}."
    if left_of(study):
        line += " Stopped by hpo stop." if study.is_stopped else ""
        line += f" Go on with: hpo resume {study.name}"
    if summary.counts["failed"]:
        failed = next(trial for trial in study.all_trials if trial.state == "failed")
        line += f" The first that failed, #{failed.number}: {failed.reason}"
    return line


def _next(study: Study, summary: StudySummary) -> str:
    """What a person would do now, of what can be done: without a test part there is no final evaluation."""
    from hpo.spec import ComparisonSpec, FinalSpec

    name, steps = study.name, []
    final = [f"hpo final {name}"] if study.test_digest is not None else []
    if isinstance(study.spec, FinalSpec):
        name = study.spec.sources[0]
    elif not isinstance(study.spec, ComparisonSpec):
        raced = study.confirmation
        if len(study.spec.judged_by) > 1:
            steps.append(f"choose: hpo best {name}")
            # How many of the front, a person says.
            final = [f"{command} --top N" for command in final]
        else:
            best, winner = study.best, None if raced is None else raced.winner
            reached = number(best.value) if winner is None else f"{number(winner.mean)} on fresh seeds"
            steps.append(f"best #{best.number} {reached}")
        several = [f"hpo promote {name}"] if summary.counts["complete"] > 1 and raced is None else []
        if further := " or ".join([*several, *final]):
            steps.append(f"{'confirm' if raced is None else 'test'}: {further}")
    elif study.compare().has_one_seed:
        steps.append("decide: set seeds = 5 in the study file and run it again")
    else:
        steps += [f"test: {command}" for command in final]
    return " · ".join((*steps, f"look: hpo report {name} --out report"))
