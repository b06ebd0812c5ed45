"""Finished trials to a comparison: what each arm reached, over how many runs, and what that has shown."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from hpo.analysis.comparison import ArmSummary, Comparison, Verdict
from hpo.analysis.judging import ArmRuns, judged
from hpo.analysis.verdicts import mean_interval
from hpo.errors import StudyError
from hpo.spec import METRICS, ComparisonSpec, StudySpec
from hpo.trials.record import Trial

DEFAULT_ALPHA = 0.05


def compare(*studies: tuple[StudySpec, Sequence[Trial]]) -> Comparison:
    """Gather the trials of studies by arm, and judge every arm against the first study's baseline.

    In a search, each finished configuration is an arm; a search has no baseline, and alone no verdicts: its
    best is the best of many, and only fresh seeds can tell how good it is.

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
    min_effect = {metric: first.smallest_effect(metric) for metric in metrics if METRICS[metric].is_judged}
    verdicts: dict[str, dict[tuple[str, str], Verdict]] = {}
    if baseline is not None:
        others = [arm for arm in arms if arm is not baseline]
        verdicts = {
            metric: judged(metric, baseline, others, alpha=alpha, margin=margin)
            for metric, margin in min_effect.items()
        }
    varying = _varying([arm.trials[0] for arm in arms])
    summaries = [_summarise(arm, metrics, varying, verdicts, alpha=alpha) for arm in arms]
    metric, direction = first.objective.metric, first.objective.direction
    sign = -1 if direction == "maximize" else 1
    summaries.sort(key=lambda arm: sign * arm.mean[metric] if metric in arm.mean else float("inf"))
    return Comparison(
        metric,
        direction,
        metrics,
        baseline.name if baseline is not None else None,
        baseline.spec.name if baseline is not None else None,
        alpha,
        min_effect,
        tuple(summaries),
        _notes(arms, list(verdicts)),
    )


def _arms(spec: StudySpec, trials: Sequence[Trial]) -> list[ArmRuns]:
    groups: dict[str, list[Trial]] = {}
    for trial in trials:
        # An arm is there from the start; a configuration that has no result yet is nothing to compare.
        if trial.arm is not None or trial.state in ("complete", "failed"):
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
    metrics: Sequence[str],
    varying: Sequence[str],
    verdicts: Mapping[str, Mapping[tuple[str, str], Verdict]],
    *,
    alpha: float,
) -> ArmSummary:
    values = {metric: list(found.values()) for metric in metrics if (found := arm.values(metric))}
    folds, key = arm.spec.data.folds, (arm.spec.name, arm.name)
    overlap = 1 / (folds - 1) if folds else 0.0
    return ArmSummary(
        study=arm.spec.name,
        arm=arm.name,
        n=len(arm.runs),
        failed=arm.failed,
        pending=arm.pending,
        mean={metric: statistics.fmean(v) for metric, v in values.items()},
        sd={metric: statistics.stdev(v) if len(v) > 1 else None for metric, v in values.items()},
        ci={metric: mean_interval(v, alpha=alpha, overlap=overlap) for metric, v in values.items()},
        differs={key: arm.trials[0].hyperparameters.get(key) for key in varying},
        trials=tuple(trial.number for trial in arm.trials),
        verdicts={metric: found[key] for metric, found in verdicts.items() if key in found},
    )


def _notes(arms: Sequence[ArmRuns], judged_by: Sequence[str]) -> tuple[str, ...]:
    """What a reader must know beside the figures and the verdicts."""
    notes = []
    for arm in arms:
        if arm.failed:
            reasons = {trial.reason for trial in arm.trials if trial.state == "failed" and trial.reason}
            why = f": {'; '.join(sorted(reasons))}" if reasons else ""
            notes.append(f"{arm.name}: {arm.failed} of {len(arm.trials)} trials failed{why}.")
    most = _side_by_side([trial for arm in arms for trial in arm.trials])
    if most > 1 and any(METRICS[metric].is_ratio for metric in judged_by):
        notes.append(
            f"Up to {most} trials were trained side by side on one machine, which makes each slower: "
            "their seconds are not those of a trial alone."
        )
    return tuple(notes)


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
    return [key for key in (known[0] if known else {}) if any(h[key] != known[0][key] for h in known)]
