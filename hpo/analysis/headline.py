"""What a study has shown so far, in two or three sentences: the first thing that people read of it."""

from __future__ import annotations

from collections.abc import Sequence

from hpo.analysis.arms import ArmSummary
from hpo.analysis.comparison import Comparison
from hpo.analysis.confirmation import Confirmation
from hpo.analysis.front import front_sentence
from hpo.analysis.ranking import ranked_trials
from hpo.analysis.verdicts import Decision
from hpo.spec import ComparisonSpec, FinalSpec, StudySpec, directions
from hpo.tables.kinds import counts
from hpo.tables.numbers import counted, estimate, number, settings, with_spread
from hpo.trials.record import STATES, Trial

# How many are named; the tables have all.
NEXT, NAMED = 2, 4
# In the order in which they are told.
DECISIONS: tuple[Decision, ...] = ("better", "equivalent", "undecided", "worse")


def headline(
    spec: StudySpec,
    trials: Sequence[Trial],
    comparison: Comparison,
    *,
    finals: Sequence[str] = (),
    has_test: bool = True,
    confirmed: Confirmation | None = None,
    why: str | None = None,
    unmet: str | None = None,
) -> str:
    """The result: of a search its winner, of a comparison its verdicts, of a final what it reached.

    It ends with what is not known yet. `comparison` is that of the study's `trials`, `finals` names its final
    evaluations that have results, `has_test` says whether there may be any. `confirmed` is what the race of a
    search's leaders has shown, `why` says what has ended it before all its trials had begun, `unmet` that
    none meets its constraints.
    """
    if unmet is not None:
        said = [unmet, _missing(trials)]
    elif not any(trial.value is not None for trial in trials):
        said = [_nothing(trials)]
    elif isinstance(spec, FinalSpec):
        said = [*_tested(comparison, spec), _missing(trials)]
    elif isinstance(spec, ComparisonSpec):
        said = [*_verdicts(comparison), _missing(trials)]
    elif len(spec.judged_by) > 1:
        said = [front_sentence(spec, trials), _missing(trials)]
    else:
        said = [*_winner(spec, trials, finals, has_test=has_test, confirmed=confirmed), _missing(trials)]
        if why is not None:
            said.append(f"No further trial begins: {why}.")
    return " ".join(filter(None, said))


def _nothing(trials: Sequence[Trial]) -> str:
    found = {state: sum(trial.state == state for trial in trials) for state in STATES.values()}
    return f"No trial is complete yet: {counts(found)}."


def _winner(
    spec: StudySpec,
    trials: Sequence[Trial],
    finals: Sequence[str],
    *,
    has_test: bool,
    confirmed: Confirmation | None,
) -> list[str]:
    objective = spec.objective
    ranked = ranked_trials(trials, objective.direction)
    if not ranked:
        return [f"No trial has a finite {objective.metric}."]
    first, *others = ranked
    made_of = f" with {settings(first.params)}" if first.params else ""
    extreme = directions.extreme(objective.direction)
    moment = " of its best epoch" if objective.at == "best" else ""
    if confirmed is not None and (winner := confirmed.winner) is not None:
        params = next(trial.params for trial in trials if trial.number == winner.number)
        of_search = (
            f"In the search #{first.number} has the {extreme} of {counted(len(ranked), 'complete trial')}"
        )
        said = [
            *confirmed.sentences(objective.metric),
            *([f"It has {settings(params)}."] if params else []),
            f"{of_search}: {number(first.value)}{moment}.",
        ]
        return [*said, *_tested_by(finals, has_test=has_test)]
    reached = f"{extreme} {objective.metric} of {counted(len(ranked), 'complete trial')}"
    said = [f"#{first.number} has the {reached}: {number(first.value)}{moment}{made_of}."]
    if confirmed is not None:
        said += confirmed.sentences(objective.metric)
    elif others:
        nearest = ", ".join(f"#{trial.number} {_behind(first, trial)}" for trial in others[:NEXT])
        said.append(f"Behind it: {nearest}.")
    if finals:
        return [*said, f"What such a one reaches on fresh seeds and on the test set: {', '.join(finals)}."]
    where = "on other seeds and on the test set" if has_test else "on other seeds"
    return [*said, f"What it reaches {where} is not known yet."]


def _tested_by(finals: Sequence[str], *, has_test: bool) -> list[str]:
    if finals:
        return [f"What such a one reaches on the test set: {', '.join(finals)}."]
    return ["What it reaches on the test set is not known yet."] if has_test else []


def _behind(first: Trial, other: Trial) -> str:
    assert first.value is not None
    assert other.value is not None
    behind = abs(first.value - other.value)
    return f"by {number(behind)}" if behind else "with the same value"


def _verdicts(comparison: Comparison) -> list[str]:
    metric, judged = comparison.metric, [arm for arm in comparison.arms if arm.verdicts]
    first = comparison.arms[0]
    extreme = directions.extreme(comparison.direction)
    leads = f"{first.arm} has the {extreme} mean {comparison.ranked_by}, {_reached(first, comparison)}"
    if comparison.has_one_seed or not judged:
        return [f"{leads}.", "One seed decides nothing." if comparison.has_one_seed else ""]
    groups = [
        f"{decision}: {_named(found)}"
        for decision in DECISIONS
        if (found := [_short(arm, metric) for arm in judged if _decision(arm, metric) == decision])
    ]
    return [f"By {metric}, against {comparison.baseline}, {'; '.join(groups)}.", f"{leads}."]


def _decision(arm: ArmSummary, metric: str) -> str | None:
    return arm.verdicts[metric].decision if metric in arm.verdicts else None


def _short(arm: ArmSummary, metric: str) -> str:
    verdict = arm.verdicts[metric]
    if verdict.difference is None or verdict.decision == "equivalent":
        return arm.arm
    size, _ = estimate(verdict.difference, verdict.low, verdict.high, is_ratio=verdict.is_ratio)
    return f"{arm.arm} ({size})"


def _reached(arm: ArmSummary, comparison: Comparison) -> str:
    if comparison.has_other_values:
        return number(arm.value)
    metric = comparison.metric
    return with_spread(arm.mean.get(metric), arm.sd.get(metric))


def _tested(comparison: Comparison, spec: FinalSpec) -> list[str]:
    validation = spec.objective.metric
    test = f"test_{validation.removeprefix('val_')}"
    said = []
    for arm in comparison.arms[:NAMED]:
        found = f"{validation} {with_spread(arm.mean.get(validation), arm.sd.get(validation))}"
        if test in arm.mean:
            found = f"{test} {with_spread(arm.mean[test], arm.sd.get(test))}, {found}"
        said.append(f"{arm.arm}: {found} ({counted(arm.n, 'run')})")
    return [f"On fresh seeds, {'; '.join(said)}."]


def _missing(trials: Sequence[Trial]) -> str:
    """What is not there yet, or never will be."""
    left = sum(trial.state in ("waiting", "running") for trial in trials)
    failed = sum(trial.state == "failed" for trial in trials)
    said = []
    if left:
        said.append(
            f"{left} of {counted(len(trials), 'trial')} {'is' if left == 1 else 'are'} still to come."
        )
    if failed:
        said.append(f"{counted(failed, 'trial')} failed.")
    return " ".join(said)


def _named(names: Sequence[str]) -> str:
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")
