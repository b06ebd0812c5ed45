"""Verdicts in words. Nothing is said of an arm that its verdict does not carry."""

from __future__ import annotations

from collections.abc import Sequence

from hpo.analysis import ArmSummary, Comparison, Verdict
from hpo.tables.numbers import counted, estimate, level, p_value

NO_CLAIM = "One seed: every verdict is undecided, and the figures show single runs."


def estimate_of(verdict: Verdict) -> tuple[str, str]:
    """A verdict's difference and its interval."""
    return estimate(verdict.difference, verdict.low, verdict.high, is_ratio=verdict.is_ratio)


def margin(metric: str, comparison: Comparison, *, is_ratio: bool) -> str:
    """The smallest difference that matters: `0.005`, `a factor of 1.1`."""
    effect = comparison.min_effect[metric]
    return f"a factor of {1 + effect:g}" if is_ratio else f"{effect:g}"


def conclusions(comparison: Comparison, *, folds: int | None) -> list[str]:
    """One sentence for each arm on the metric that arms are ranked by, then one for each other metric.

    With one seed there is a single sentence; without verdicts there is none.
    """
    judged = [arm for arm in comparison.arms if arm.verdicts]
    if not judged:
        return []
    if comparison.has_one_seed:
        return [NO_CLAIM]
    first = [sentence(arm, comparison.metric, comparison, folds=folds) for arm in judged]
    rest = [m for m in comparison.metrics if m != comparison.metric and any(m in a.verdicts for a in judged)]
    return [*first, *(_in_short(metric, judged, comparison) for metric in rest)]


def sentence(arm: ArmSummary, metric: str, comparison: Comparison, *, folds: int | None) -> str:
    """What the verdict on one metric of an arm says."""
    verdict, baseline = arm.verdicts[metric], comparison.baseline
    name = arm_name(arm, comparison)
    if verdict.decision == "equivalent":
        within = margin(metric, comparison, is_ratio=verdict.is_ratio)
        head = f"{name} and {baseline} are equivalent by {metric}, within {within}"
    elif verdict.decision == "undecided":
        head = f"{name} against {baseline} by {metric} is {verdict}"
    else:
        head = f"{name} is {verdict.decision} than {baseline} by {metric}"
    evidence = _evidence(verdict, comparison.alpha, folds)
    if not evidence:
        return f"{head}."
    return f"{head}{'. So far' if verdict.decision == 'undecided' else ''}: {evidence}."


def arm_name(arm: ArmSummary, comparison: Comparison) -> str:
    """An arm, with its study if there are several."""
    several = any(other.study != arm.study for other in comparison.arms)
    return f"{arm.study}: {arm.arm}" if several else arm.arm


def _evidence(verdict: Verdict, alpha: float, folds: int | None) -> str:
    difference, interval = estimate_of(verdict)
    if not interval:
        return ""
    seeds = counted(verdict.pairs // (folds or 1), "seed")
    over = f"{seeds}, {verdict.pairs} pairs of runs" if folds else seeds
    p = "" if verdict.decision == "equivalent" else f"{_p_equals(verdict.p_adjusted)}, "
    return f"{difference} ({level(alpha)} interval {interval}, {p}{over})"


def _p_equals(p: float | None) -> str:
    text = p_value(p)
    return f"p {text}" if text.startswith("<") else f"p = {text}"


def _in_short(metric: str, arms: Sequence[ArmSummary], comparison: Comparison) -> str:
    said = []
    for arm in arms:
        if (verdict := arm.verdicts.get(metric)) is None:
            continue
        difference, _ = estimate_of(verdict)
        if verdict.decision == "equivalent":
            detail = f" (within {margin(metric, comparison, is_ratio=verdict.is_ratio)})"
        else:
            detail = f" ({verdict.because or difference})"
        said.append(f"{arm_name(arm, comparison)} is {verdict.decision}{detail}")
    return f"By {metric}, against {comparison.baseline}: {'; '.join(said)}."
