"""An arm's runs against the baseline's: paired by seed and fold, to a verdict on each metric."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Sequence

from hpo.analysis.arms import ArmRuns
from hpo.analysis.verdicts import ONE_SEED, Decision, Design, Verdict, detectable, judge, needed_seeds
from hpo.spec import ComparisonSpec, StudySpec

# Standard deviations: seeds that find only larger differences than this find hardly any.
HARDLY_DETECTABLE = 3.0
FEWEST_SEEDS, MOST_ADVISED = 5, 50


def judged(
    metric: str, baseline: ArmRuns, others: Sequence[ArmRuns], *, alpha: float, margin: float
) -> dict[tuple[str, str], Verdict]:
    """The verdicts on one metric, by study and arm."""
    is_ratio = baseline.spec.metric(metric).is_ratio
    scale: Callable[[float], float] = math.log if is_ratio else float
    unscale: Callable[[float], float] = math.exp if is_ratio else float
    reference = baseline.values(metric)
    differences = [
        [
            scale(value) - scale(reference[key])
            for key, value in arm.values(metric).items()
            if key in reference and (not is_ratio or min(value, reference[key]) > 0)
        ]
        for arm in others
    ]
    resolution = _resolution(
        itertools.chain(reference.values(), *(a.values(metric).values() for a in others))
    )
    design = _design(
        baseline.spec,
        metric,
        alpha=alpha,
        margin=math.log1p(margin) if is_ratio else margin,
        resolution=0.0 if is_ratio else resolution,
    )
    verdicts = {}
    for arm, effect, sample in zip(others, judge(differences, design), differences, strict=True):
        decision, because = _with_failures(effect.decision, arm, baseline)
        needed = None
        if decision == "undecided" and not because:
            needed = needed_seeds(sample, design, arms=len(others)) if effect.pairs > 1 else None
            because = _because(effect.pairs, needed, design)
        estimates = (effect.mean, effect.low, effect.high)
        mean, low, high = (None if value is None else unscale(value) for value in estimates)
        verdicts[arm.spec.name, arm.name] = Verdict(
            decision, effect.pairs, is_ratio, mean, low, high, effect.p, needed, because
        )
    return verdicts


def doubts(spec: StudySpec) -> str | None:
    """Why the runs that a comparison plans can hardly end in a verdict; None if they can."""
    if not isinstance(spec, ComparisonSpec) or len(spec.arms) < 2:
        return None
    if spec.seeds == 1 and not spec.data.folds:
        return f"one seed: every verdict will be undecided. Set seeds to {FEWEST_SEEDS} or more"
    design = _design(spec, spec.objective.metric, alpha=spec.alpha, margin=1.0, resolution=0.0)

    def found(seeds: int) -> float:
        return detectable(seeds * spec.replicates, design, arms=len(spec.arms) - 1) or math.inf

    size = found(spec.seeds)
    if size <= HARDLY_DETECTABLE:
        return None
    # Folds share so much that for some comparisons no number is enough.
    more = range(max(FEWEST_SEEDS, spec.seeds + 1), MOST_ADVISED)
    enough = next((seeds for seeds in more if found(seeds) <= HARDLY_DETECTABLE), None)
    remedy = f". Set seeds to {enough} or more" if enough else ""
    return (
        f"{spec.seeds} seeds: only a difference of {size:.1f} times its own standard deviation over seeds"
        f" would probably be told from none{remedy}"
    )


def _with_failures(decision: Decision, arm: ArmRuns, baseline: ArmRuns) -> tuple[Decision, str]:
    """What is left of a decision when runs have failed: those that are left flatter whoever lost them."""
    said = [f"{a.failed} of {len(a.trials)} runs of {a.name!r} failed" for a in (arm, baseline) if a.failed]
    if (arm.failed and decision in ("better", "equivalent", "undecided")) or (
        baseline.failed and decision in ("worse", "equivalent", "undecided")
    ):
        return "undecided", " and ".join(said)
    return decision, ""


def _because(pairs: int, needed: int | None, design: Design) -> str:
    seeds = pairs // design.runs_per_seed
    if not pairs:
        return "no seed in common with the baseline yet"
    if pairs == 1:
        return ONE_SEED
    if needed is None:
        return "more seeds would hardly decide"
    more = needed - seeds
    return f"{more} more seed{'s' * (more > 1)} would probably decide"


def _design(spec: StudySpec, metric: str, *, alpha: float, margin: float, resolution: float) -> Design:
    folds = spec.data.folds
    return Design(
        margin=margin,
        alpha=alpha,
        maximize=spec.metric(metric).direction == "maximize",
        overlap=1 / (folds - 1) if folds else 0.0,
        runs_per_seed=spec.data.splits or 1,
        resolution=resolution,
    )


def _resolution(values: Iterable[float]) -> float:
    distinct = sorted(set(values))
    return min((b - a for a, b in itertools.pairwise(distinct)), default=0.0)
