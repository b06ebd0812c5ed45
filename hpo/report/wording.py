"""Numbers and verdicts in words. Nothing is said of an arm that its verdict does not carry."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from hpo.compare import ONE_SEED, ArmSummary, Comparison, Verdict

# Decimals beyond which a number is written with an exponent.
MOST_DECIMALS = 6
NO_CLAIM = "One seed: every verdict is undecided, and the figures show single runs."


def number(value: Any) -> str:
    """A value as tables show it: numbers to four significant digits or more."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(number, value))}]"
    if not isinstance(value, int | float):
        return str(value)
    return f"{value:.0f}" if isinstance(value, int) or 1e4 <= abs(value) < 1e6 else f"{value:.4g}"


def with_spread(mean: float | None, sd: float | None) -> str:
    """`0.9716 ± 0.0012`: both to the second digit of the deviation."""
    if mean is None or sd is None:
        return number(mean)
    return f"{_fixed(mean, sd)} ± {_fixed(sd, sd)}" if sd else f"{number(mean)} ± 0"


def estimate(verdict: Verdict) -> tuple[str, str]:
    """Difference and interval: `+0.0035`, `+0.0021 to +0.0049`; of seconds `x 1.3`, `x 1.2 to x 1.4`."""
    if verdict.difference is None:
        return "", ""
    low, high = verdict.low, verdict.high
    if low is None or high is None:
        single = verdict.difference
        return f"x {number(single)}" if verdict.is_ratio else signed(single, None), ""
    shown = [
        f"x {_fixed(value, (high - low) / 2)}" if verdict.is_ratio else signed(value, (high - low) / 2)
        for value in (verdict.difference, low, high)
    ]
    return shown[0], f"{shown[1]} to {shown[2]}"


def signed(value: float, spread: float | None) -> str:
    """`+0.0035`, to the second digit of what it is spread by."""
    text = _fixed(abs(value), spread) if spread else number(abs(value))
    return f"{'-' if value < 0 else '+'}{text}"


def p_value(p: float | None) -> str:
    """`< 0.001`, `0.002`, `0.31`."""
    if p is None:
        return ""
    return "< 0.001" if p < 0.001 else f"{p:.3f}" if p < 0.1 else f"{p:.2f}"


def level(alpha: float) -> str:
    """The level of intervals: `95 %`."""
    return f"{100 * (1 - alpha):g} %"


def counted(count: int, what: str) -> str:
    """`1 trial`, `2 trials`."""
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


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
    if said := one_seed(comparison):
        return [said]
    first = [sentence(arm, comparison.metric, comparison, folds=folds) for arm in judged]
    rest = [m for m in comparison.metrics if m != comparison.metric and any(m in a.verdicts for a in judged)]
    return [*first, *(_in_short(metric, judged, comparison) for metric in rest)]


def one_seed(comparison: Comparison) -> str:
    """What is to be said if all that is judged has one seed; else nothing."""
    verdicts = [verdict for arm in comparison.arms for verdict in arm.verdicts.values()]
    return NO_CLAIM if verdicts and all(verdict.because == ONE_SEED for verdict in verdicts) else ""


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
    difference, interval = estimate(verdict)
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
        difference, _ = estimate(verdict)
        if verdict.decision == "equivalent":
            detail = f" (within {margin(metric, comparison, is_ratio=verdict.is_ratio)})"
        else:
            detail = f" ({verdict.because or difference})"
        said.append(f"{arm_name(arm, comparison)} is {verdict.decision}{detail}")
    return f"By {metric}, against {comparison.baseline}: {'; '.join(said)}."


def _fixed(value: float, spread: float) -> str:
    """A value to the second significant digit of what it is spread by."""
    if not spread or not math.isfinite(spread):
        return number(value)
    decimals = max(0, 1 - math.floor(math.log10(spread)))
    if decimals > MOST_DECIMALS or abs(value) >= 1e6:
        return number(value)
    return f"{value:.{decimals}f}"
