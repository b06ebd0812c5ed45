"""The final evaluation: the best configurations on fresh seeds, looked at once on the test set."""

from __future__ import annotations

import contextlib
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from hpo.analysis import DEFAULT_ALPHA
from hpo.analysis.verdicts import mean_interval
from hpo.data import load_test
from hpo.errors import SpecError, StudyError
from hpo.registry import place_of, sources_of
from hpo.spec import METRICS, ComparisonSpec, FinalSpec, of_training, parse
from hpo.storage import Storage
from hpo.studies import Study, create_study, open_study
from hpo.studies.candidates import Candidate, candidates, candidates_of
from hpo.studies.names import OLD_ARM_LENGTH, arm_name, final_names
from hpo.trials.record import Trial

SEEDS = 5
# Far from the seeds of comparisons, which count from 0.
SEED_STEP = 1000


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
    """A configuration's runs on fresh seeds; `gaps` by metric, the objective's first, empty without runs."""

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


def create_final(
    studies: Sequence[Study], *, top: int | None = None, seeds: int | None = None, again: bool = False
) -> Study:
    """The final evaluation of the best configurations of these studies, planned and not yet trained.

    The one that there is, if there is one, unless `again` asks for another look at the test set.

    Args:
        studies: of one storage, ranked together.
        top: how many configurations; by default those of the evaluation that there is, else 1.
        seeds: how many fresh seeds for each; by default those of the evaluation that there is, else 5.
        again: whether to look at the test set once more.

    Raises:
        CodeError: a file of a person's own has changed since a study was made.
        DataError: the data has no test set, or has changed.
        SpecError: this version of hpo cannot read a final evaluation that there is, or train what is chosen.
        StudyError: nothing is complete, the studies cannot be ranked together, or the evaluation that there
            is has other configurations or seeds than asked for.
    """
    storage = studies[0].storage
    # One that cannot be read is a look at the test set too: it raises.
    before = [open_study(row.name, storage=storage) for study in studies for row in study.final_rows]
    before.sort(key=lambda final: _final(final).evaluation)
    same = [final for final in before if set(_final(final).sources) == {study.name for study in studies}]
    if same and not again:
        _check_asked(same[-1], top=top and min(top, len(candidates(studies))), seeds=seeds)
        if storage.unfinished(same[-1].id):
            same[-1].check_code()
            same[-1].confirm_data()
        return same[-1]
    if top is None and len(studies[0].spec.judged_by) > 1:
        remedy = f"Say how many of its front by --top: hpo best {studies[0].name}."
        rule = "has several objectives, and no best trial"
        raise StudyError(place_of(studies[0].name), rule, remedy=remedy)
    for study in studies:
        study.check_code()
        study.load_data()
    first = studies[0].spec
    test = load_test(studies[0].data, task=first.task)
    for study in studies:
        study.check_test(test.digest)
    evaluation = 1 + max((_final(final).evaluation for final in before), default=0)
    chosen = candidates(studies)[: top or 1]
    spec = _spec(studies, chosen, seeds=seeds or SEEDS, evaluation=evaluation)
    for study in studies:
        study.record_test(test.digest)
    return create_study(spec, storage=storage)


def finals_of(study: Study) -> list[Study]:
    """The final evaluations of a study, alone or with others, in the order of their looks at the test set.

    Those that this version of hpo cannot read are left out.
    """
    found = []
    for row in study.final_rows:
        with contextlib.suppress(SpecError):
            found.append(open_study(row.name, storage=study.storage))
    return sorted(found, key=lambda final: _final(final).evaluation)


def _check_asked(final: Study, *, top: int | None, seeds: int | None) -> None:
    """Refuse to pass off an evaluation of other configurations or seeds as what is asked for."""
    spec = _final(final)
    for name, asked, has in (("--top", top, len(spec.arms)), ("--seeds", seeds, spec.seeds)):
        if asked is not None and asked != has:
            rule = f"has been evaluated on the test set with {name} {has}"
            remedy = f"Leave {name} out, or look once more, which is recorded: --again."
            raise StudyError(place_of(final.name), rule, got=f"{name} {asked}", remedy=remedy)


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


def _spec(studies: Sequence[Study], chosen: Sequence[Candidate], *, seeds: int, evaluation: int) -> FinalSpec:
    first = studies[0].spec
    data = first.data.model_dump(exclude_none=True)
    if folds := data.pop("folds", None):
        # As much data to train on as each fold had.
        data["validation"] = 1 / folds
        data.pop("repeats", None)
    used = [spec.seed_range.stop for study in studies if isinstance(spec := study.spec, ComparisonSpec)]
    names = [study.name for study in studies]
    spec = parse(
        {
            "name": _free_name(studies[0].storage, names, evaluation=evaluation),
            "kind": "final",
            "description": f"The best of {', '.join(names)} on the test set.",
            "data": data,
            **of_training(first),
            "objective": first.objective,
            "metrics": first.metrics,
            "seeds": seeds,
            "max_retries": first.max_retries,
            "strict_versions": first.strict_versions,
            "arms": [candidate.arm for candidate in chosen],
            "alpha": first.alpha if isinstance(first, ComparisonSpec) else DEFAULT_ALPHA,
            "sources": names,
            "first_seed": max([SEED_STEP * evaluation, *used]),
            "evaluation": evaluation,
        }
    )
    assert isinstance(spec, FinalSpec)
    return spec


def _free_name(storage: Storage, studies: Sequence[str], *, evaluation: int) -> str:
    """The plainest name that no other study has."""
    others = {row.name for row in storage.overview() if set(sources_of(row.attributes)) != set(studies)}
    plain, *unique = final_names(studies, evaluation=evaluation)
    return unique[0] if unique and plain in others else plain


def _selected(storage: Storage, spec: FinalSpec) -> dict[str, dict[str, float]]:
    """What the sources say of their arms, by the names that these have in the final evaluation."""
    several, found = len(spec.sources) > 1, dict[str, dict[str, float]]()
    for name in spec.sources:
        try:
            source = open_study(name, storage=storage)
        except (StudyError, SpecError):  # it has been deleted, or is of a later version of hpo
            continue
        for arm in source.compare().arms:
            found[arm_name(name, arm.arm, several=several)] = arm.mean
        for candidate in candidates_of(source, several=several):
            # The objective may be of the best epoch, an arm's mean is of the last.
            found[candidate.name] = {
                **found[candidate.name],
                source.spec.objective.metric: candidate.value,
            }
    return {name[:OLD_ARM_LENGTH]: mean for name, mean in found.items()} | found


def _arm(
    name: str, trials: Sequence[Trial], selected: dict[str, dict[str, float]], spec: FinalSpec
) -> FinalArm:
    runs = [trial.metrics for trial in trials if trial.state == "complete"]
    gaps = {}
    # The objective's goes first; what is not measured on the test set has no pair.
    own = spec.objective.metric.removeprefix("val_")
    for metric in dict.fromkeys((own, *spec.learned.epoch, "loss")):
        validation = f"val_{metric}"
        if validation not in METRICS and validation != spec.objective.metric:
            validation = metric
        test = f"test_{metric}"
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
