"""The final evaluation: the best configurations on fresh seeds, looked at once on the test set."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hpo.analysis import DEFAULT_ALPHA
from hpo.analysis.verdicts import mean_interval
from hpo.data import load_test
from hpo.errors import StudyError
from hpo.registry import SPEC_ATTRIBUTE
from hpo.spec import ComparisonSpec, FinalSpec, StudySpec, parse
from hpo.storage import Storage
from hpo.studies import Study, compare_studies, create_study, open_study
from hpo.trials.record import Trial

SEEDS = 5
# Far from the seeds of comparisons, which count from 0.
SEED_STEP = 1000
# What of the test set stands against what of the validation data.
PAIRS = {"accuracy": ("val_accuracy", "test_accuracy"), "loss": ("val_loss", "test_loss")}
NAME_LENGTH, ARM_LENGTH = 40, 64


@dataclass(frozen=True)
class Gap:
    """One metric of one configuration, on validation data and on the test set.

    `selected` is the configuration's mean in the study that it comes from, of the objective's metric the
    value that it was chosen by; None if that study is gone. `validation` and `test` are means over the fresh
    seeds. `gap` is validation minus test, with its interval over seeds (None for one seed); the test set is
    the same for all, so how it was drawn is not in the interval.
    """

    selected: float | None
    validation: float
    test: float
    gap: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class FinalArm:
    """A configuration's runs on fresh seeds; `gaps` by metric, `accuracy` and `loss`, empty without runs."""

    arm: str
    n: int
    failed: int
    gaps: dict[str, Gap]
    trials: tuple[int, ...]


@dataclass(frozen=True)
class FinalSummary:
    """A final evaluation: which look at the test set it is, and what it has shown."""

    study: str
    sources: tuple[str, ...]
    evaluation: int
    alpha: float
    arms: tuple[FinalArm, ...]


@dataclass(frozen=True)
class _Candidate:
    name: str
    params: dict[str, Any]
    hyperparameters: dict[str, Any]
    value: float


def create_final(studies: Sequence[Study], *, top: int = 1, seeds: int = SEEDS, again: bool = False) -> Study:
    """The final evaluation of the best `top` configurations of these studies, planned and not yet trained.

    The one that there is, if there is one, unless `again` asks for another look at the test set.

    Raises:
        DataError: the data has no test set.
        StudyError: nothing is complete, or the studies cannot be ranked together.
    """
    storage = studies[0].storage
    before = [final for study in studies for final in finals_of(study)]
    same = [final for final in before if set(_final(final).sources) == {study.name for study in studies}]
    if same and not again:
        return same[-1]
    load_test(studies[0].spec.data.name)
    for study in studies:
        study.check_test_data()
    evaluation = 1 + max((_final(final).evaluation for final in before), default=0)
    spec = _spec(studies, _candidates(studies)[:top], seeds=seeds, evaluation=evaluation)
    return create_study(spec, storage=storage)


def finals_of(study: Study) -> list[Study]:
    """The final evaluations of a study, alone or with others, in the order of their looks at the test set."""
    found = [
        open_study(row.name, storage=study.storage)
        for row in study.storage.overview()
        if _is_final_of(row.attributes.get(SPEC_ATTRIBUTE), study.name)
    ]
    return sorted(found, key=lambda final: _final(final).evaluation)


def summarise_final(final: Study) -> FinalSummary:
    """What a final evaluation has shown so far."""
    spec = _final(final)
    trials = final.all_trials
    selected = _selected(final.storage, spec)
    arms = [_arm(arm.name, [t for t in trials if t.arm == arm.name], selected, spec) for arm in spec.arms]
    return FinalSummary(final.name, tuple(spec.sources), spec.evaluation, spec.alpha, tuple(arms))


def _final(study: Study) -> FinalSpec:
    assert isinstance(study.spec, FinalSpec)
    return study.spec


def _is_final_of(attribute: Any, name: str) -> bool:
    return attribute is not None and attribute.get("kind") == "final" and name in attribute["sources"]


def _candidates(studies: Sequence[Study]) -> list[_Candidate]:
    """Configurations that have results, best first by their studies' objective, each once."""
    first = studies[0].spec.objective
    for study in studies[1:]:
        if study.spec.objective != first:
            rule = f"must have the objective of study {studies[0].name!r} to be ranked with it"
            raise StudyError(f"study {study.name!r}", rule, got=study.spec.objective.metric)
    compare_studies(studies)  # refuses what is not comparable
    found = [candidate for study in studies for candidate in _of_study(study, several=len(studies) > 1)]
    if not found:
        names = ", ".join(study.name for study in studies)
        raise StudyError(f"study {names}", "has no complete trial yet", remedy="Train it first: hpo resume.")
    found.sort(key=lambda candidate: candidate.value, reverse=first.direction == "maximize")
    by_content = {json.dumps(c.hyperparameters, sort_keys=True): c for c in reversed(found)}
    return [c for c in found if by_content[json.dumps(c.hyperparameters, sort_keys=True)] is c]


def _of_study(study: Study, *, several: bool) -> list[_Candidate]:
    spec, groups = study.spec, dict[str, list[Trial]]()
    for trial in study.all_trials:
        groups.setdefault(trial.arm or f"#{trial.number}", []).append(trial)
    return [
        _Candidate(
            name=_name(study.name, name, several=several),
            params={**spec.params, **_own_params(spec, name, trials[0])},
            hyperparameters=trials[0].hyperparameters,
            value=statistics.fmean(trial.value for trial in trials if trial.value is not None),
        )
        for name, trials in groups.items()
        # One that failed with some seed is not what anybody wants to use.
        if all(trial.state != "failed" for trial in trials) and any(t.value is not None for t in trials)
    ]


def _own_params(spec: StudySpec, name: str, trial: Trial) -> dict[str, Any]:
    return dict(spec.arm(name).params) if isinstance(spec, ComparisonSpec) else trial.params


def _spec(
    studies: Sequence[Study], chosen: Sequence[_Candidate], *, seeds: int, evaluation: int
) -> FinalSpec:
    first = studies[0].spec
    data = first.data.model_dump(exclude_none=True)
    if folds := data.pop("folds", None):
        # As much data to train on as each fold had.
        data["validation"] = 1 / folds
    used = [spec.seed_range.stop for study in studies if isinstance(spec := study.spec, ComparisonSpec)]
    others = f"-and-{len(studies) - 1}-more" if len(studies) > 1 else ""
    look = f"-{evaluation}" if evaluation > 1 else ""
    spec = parse(
        {
            "name": f"{first.name[:NAME_LENGTH]}{others}-final{look}",
            "kind": "final",
            "description": f"The best of {', '.join(study.name for study in studies)} on the test set.",
            "data": data,
            "objective": first.objective,
            "metrics": first.metrics,
            "seeds": seeds,
            "max_retries": first.max_retries,
            "arms": [{"name": candidate.name, **candidate.params} for candidate in chosen],
            "alpha": first.alpha if isinstance(first, ComparisonSpec) else DEFAULT_ALPHA,
            "sources": [study.name for study in studies],
            "first_seed": max([SEED_STEP * evaluation, *used]),
            "evaluation": evaluation,
        }
    )
    assert isinstance(spec, FinalSpec)
    return spec


def _selected(storage: Storage, spec: FinalSpec) -> dict[str, dict[str, float]]:
    """What the sources say of their arms, by the names that these have in the final evaluation."""
    several, found = len(spec.sources) > 1, dict[str, dict[str, float]]()
    for name in spec.sources:
        try:
            source = open_study(name, storage=storage)
        except StudyError:  # it has been deleted
            continue
        for arm in source.compare().arms:
            found[_name(name, arm.arm, several=several)] = arm.mean
        for candidate in _of_study(source, several=several):
            # The objective may be of the best epoch, an arm's mean is of the last.
            found[candidate.name] = {
                **found[candidate.name],
                source.spec.objective.metric: candidate.value,
            }
    return found


def _name(study: str, arm: str, *, several: bool) -> str:
    return (f"{study}: {arm}" if several else arm)[:ARM_LENGTH]


def _arm(
    name: str, trials: Sequence[Trial], selected: dict[str, dict[str, float]], spec: FinalSpec
) -> FinalArm:
    runs = [trial.metrics for trial in trials if trial.state == "complete"]
    gaps = {}
    for metric, (validation, test) in PAIRS.items():
        differences = [run[validation] - run[test] for run in runs if validation in run and test in run]
        if differences:
            interval = mean_interval(differences, alpha=spec.alpha, overlap=0.0)
            gaps[metric] = Gap(
                selected=selected.get(name, {}).get(validation),
                validation=statistics.fmean(run[validation] for run in runs),
                test=statistics.fmean(run[test] for run in runs),
                gap=statistics.fmean(differences),
                low=interval and interval[0],
                high=interval and interval[1],
            )
    failed = sum(trial.state == "failed" for trial in trials)
    return FinalArm(name, len(runs), failed, gaps, tuple(trial.number for trial in trials))
