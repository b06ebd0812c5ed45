"""Finished trials to a comparison: what each arm reached, over how many runs, and what that has shown."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from hpo.analysis.arms import ArmRuns, ArmSummary
from hpo.analysis.comparison import Comparison
from hpo.analysis.judgement import judged
from hpo.analysis.verdicts import Verdict, mean_interval
from hpo.errors import StudyError
from hpo.spec import ComparisonSpec, Metric, SearchSpec, StudySpec, directions
from hpo.trials.record import Trial

DEFAULT_ALPHA = 0.05


def compare(*studies: tuple[StudySpec, Sequence[Trial]]) -> Comparison:
    """Gather the trials of studies by arm, and judge every arm against the first study's baseline.

    Arms are ranked by the first study's objective, as its best trial is. Those of other studies that are the
    baseline over again are not judged. In a search, each finished configuration is an arm; a search has no
    baseline, and alone no verdicts: its best is the best of many, and only fresh seeds can tell how good it
    is.

    Raises:
        StudyError: the studies do not split the data alike.
    """
    first, _ = studies[0]
    _check_alike([spec for spec, _ in studies])
    arms = [arm for spec, trials in studies for arm in _arms(spec, trials)]
    metrics = tuple(dict.fromkeys(metric for spec, _ in studies for metric in spec.table_metrics))
    alpha, baseline = DEFAULT_ALPHA, None
    if isinstance(first, ComparisonSpec):
        alpha = first.alpha
        baseline = next((arm for arm in arms if arm.spec is first and arm.name == first.baseline), None)
    min_effect = {
        metric: first.smallest_effect(metric) for metric in metrics if first.metric(metric).is_judged
    }
    copies = [arm for arm in arms if baseline is not None and arm.is_copy_of(baseline)]
    verdicts: dict[str, dict[tuple[str, str], Verdict]] = {}
    if baseline is not None:
        others = [arm for arm in arms if arm is not baseline and arm not in copies]
        verdicts = {
            metric: judged(metric, baseline, others, alpha=alpha, margin=margin)
            for metric, margin in min_effect.items()
        }
    varying = _varying([arm.trials[0] for arm in arms])
    objective = first.objective
    arms.sort(key=lambda arm: rank(arm.value(objective.metric), objective.direction))
    summaries = [
        _summarise(arm, objective.metric, metrics, varying, verdicts, alpha=alpha, is_copy=arm in copies)
        for arm in arms
    ]
    found = Comparison(
        objective.metric,
        objective.direction,
        objective.at,
        metrics,
        baseline.name if baseline is not None else None,
        baseline.spec.name if baseline is not None else None,
        alpha,
        min_effect,
        tuple(summaries),
        (
            *_notes(arms, {name: first.metric(name) for name in verdicts}),
            *_of_copies(copies, baseline),
            *_moments([s for s, _ in studies]),
        ),
    )
    if not (found.has_other_values and objective.at == "best"):
        return found
    said = (
        f"Ranked by {found.value_name}; metrics, and verdicts on them, are of the last epoch of these runs."
    )
    return replace(found, notes=(*found.notes, said))


def rank(value: float | None, direction: str) -> tuple[bool, float]:
    """A key by which the best value is first, and what is none, or not finite, last.

    >>> sorted([0.8, None, 0.9], key=lambda value: rank(value, "maximize"))
    [0.9, 0.8, None]
    """
    if value is None or not math.isfinite(value):
        return True, 0.0
    return False, -directions.sign(direction) * value


def ranked_trials(trials: Sequence[Trial], direction: str) -> list[Trial]:
    """The complete trials whose values are finite, the best value first; none that only confirms another."""
    complete = [
        trial
        for trial in trials
        if trial.confirms is None and trial.value is not None and math.isfinite(trial.value)
    ]
    return sorted(complete, key=lambda trial: rank(trial.value, direction))


def _arms(spec: StudySpec, trials: Sequence[Trial]) -> list[ArmRuns]:
    groups: dict[str, list[Trial]] = {}
    for trial in trials:
        if trial.confirms is not None:
            continue
        # An arm is there from the start; a configuration that has no result yet is nothing to compare.
        if trial.arm is not None or trial.value is not None or trial.state == "failed":
            groups.setdefault(trial.arm or f"#{trial.number}", []).append(trial)
    return [ArmRuns(spec, name, tuple(group)) for name, group in groups.items()]


def _check_alike(specs: Sequence[StudySpec]) -> None:
    first = specs[0]
    for spec in specs[1:]:
        for key in ("validation", "folds", "seed"):
            mine, other = getattr(first.data, key), getattr(spec.data, key)
            if mine != other:
                rule = f"cannot be compared with study {first.name!r}, whose data.{key} is {mine!r}"
                remedy = "Only runs on the same split of the same data are comparable."
                raise StudyError(f"study {spec.name!r}: data.{key}", rule, got=other, remedy=remedy)


def _summarise(
    arm: ArmRuns,
    metric: str,
    metrics: Sequence[str],
    varying: Sequence[str],
    verdicts: Mapping[str, Mapping[tuple[str, str], Verdict]],
    *,
    alpha: float,
    is_copy: bool,
) -> ArmSummary:
    values = {name: list(found.values()) for name in metrics if (found := arm.values(name))}
    folds, key = arm.spec.data.folds, (arm.spec.name, arm.name)
    overlap = 1 / (folds - 1) if folds else 0.0
    return ArmSummary(
        study=arm.spec.name,
        arm=arm.name,
        n=len(arm.runs),
        failed=arm.failed,
        pending=arm.pending,
        value=arm.value(metric),
        mean={name: statistics.fmean(v) for name, v in values.items()},
        sd={name: statistics.stdev(v) if len(v) > 1 else None for name, v in values.items()},
        ci={name: mean_interval(v, alpha=alpha, overlap=overlap) for name, v in values.items()},
        differs={key: arm.trials[0].hyperparameters.get(key) for key in varying if _is_active(arm, key)},
        trials=tuple(trial.number for trial in arm.trials),
        is_copy=is_copy,
        verdicts={name: found[key] for name, found in verdicts.items() if key in found},
    )


def _is_active(arm: ArmRuns, key: str) -> bool:
    """Whether an arm has a hyperparameter; of a search's, whether its conditions were met."""
    return not isinstance(arm.spec, SearchSpec) or key not in arm.spec.space or key in arm.trials[0].params


def _notes(arms: Sequence[ArmRuns], judged_by: Mapping[str, Metric]) -> tuple[str, ...]:
    """What a reader must know beside the figures and the verdicts."""
    notes = []
    for arm in arms:
        if arm.failed:
            reasons = {trial.reason for trial in arm.trials if trial.state == "failed" and trial.reason}
            why = f": {'; '.join(sorted(reasons))}" if reasons else ""
            said = f"{arm.name}: {arm.failed} of {len(arm.trials)} trials failed{why}"
            notes.append(f"{said.removesuffix('.')}.")
    most = _side_by_side([trial for arm in arms for trial in arm.trials])
    if most > 1 and any(metric.is_ratio for metric in judged_by.values()):
        notes.append(
            f"Up to {most} trials were trained side by side on one machine, which makes each slower: "
            "their seconds are not those of a trial alone."
        )
    return tuple(notes)


def _of_copies(copies: Sequence[ArmRuns], baseline: ArmRuns | None) -> list[str]:
    """What is not judged, as it would be judged against itself."""
    if baseline is None or not copies:
        return []
    names = ", ".join(f"{arm.name} of {arm.spec.name}" for arm in copies)
    are = "is a copy" if len(copies) == 1 else "are copies"
    return [f"{names} {are} of the baseline, with the hyperparameters of {baseline.name}: not judged."]


def _moments(specs: Sequence[StudySpec]) -> list[str]:
    """Whose figures are of another epoch than those of the first study, whose objective ranks them."""
    own = specs[0].objective
    others = [spec for spec in specs[1:] if "best" in {own.at, spec.objective.at} and spec.objective != own]
    return [
        f"{own.metric} of {spec.name} is of another epoch than that of {specs[0].name}: its objective is"
        f" {spec.objective.metric} at = {spec.objective.at!r}."
        for spec in others
    ]


def _side_by_side(trials: Sequence[Trial]) -> int:
    """How many trials were in training at the same time on one machine, at the most."""
    most = 0
    by_host: dict[str, list[tuple[Any, int]]] = {}
    for trial in trials:
        if trial.worker and trial.started and trial.finished:
            host = trial.worker.rsplit("-", 1)[0]
            # One that ends when another begins was not beside it: -1 sorts before 1.
            by_host.setdefault(host, []).extend([(trial.started, 1), (trial.finished, -1)])
    for moments in by_host.values():
        at_once = 0
        for _, step in sorted(moments):
            at_once += step
            most = max(most, at_once)
    return most


def _varying(trials: Sequence[Trial]) -> list[str]:
    known = [trial.hyperparameters for trial in trials if trial.hyperparameters]
    # Another version of hpo may have stored other ones.
    keys = dict.fromkeys(key for hyperparameters in known for key in hyperparameters)
    return [key for key in keys if any(h.get(key) != known[0].get(key) for h in known)]
