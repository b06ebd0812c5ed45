"""Differences between paired runs to verdicts: better, worse, equivalent or undecided.

Every arm is tested against the baseline by the paired t-test, and by two one-sided tests for a difference
smaller than what matters (Schuirmann 1987). Both families of p-values are adjusted over the arms (Holm 1979),
so that under no difference the chance of any "better" or "worse" is at most alpha. Runs of cross-validation
share training samples; their variance is corrected (Nadeau and Bengio 2003, for repeated folds Bouckaert and
Frank 2004).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

Decision = Literal["better", "worse", "equivalent", "undecided"]
Floats = npt.NDArray[np.float64]

ONE_SEED = "one seed"
POWER = 0.8
MOST_SEEDS = 1000


@dataclass(frozen=True)
class Effect:
    """An arm's differences to the baseline, of one metric.

    `pairs` counts them; `mean` is None without any, `low`, `high` (the interval at level 1 - alpha, of this
    arm alone), `p` and `p_equivalent` (adjusted over the arms) with fewer than two.
    """

    pairs: int
    mean: float | None
    low: float | None
    high: float | None
    p: float | None
    p_equivalent: float | None
    decision: Decision


@dataclass(frozen=True)
class Verdict:
    """What the paired runs say of one metric of an arm against the baseline.

    `difference` is arm minus baseline, on average over `pairs` of runs with the same seed and split; of
    seconds, it is the ratio of the geometric means. `low` and `high` are its confidence interval, of this arm
    alone; `p_adjusted` is adjusted over the arms. `needed_seeds` is how many seeds in all would probably
    decide. `because` says why it is undecided.
    """

    decision: Decision
    pairs: int
    is_ratio: bool
    difference: float | None
    low: float | None
    high: float | None
    p_adjusted: float | None
    needed_seeds: int | None
    because: str

    def __str__(self) -> str:
        return f"{self.decision}: {self.because}" if self.because else self.decision


@dataclass(frozen=True)
class Design:
    """How runs are compared.

    Args:
        margin: the smallest difference that matters, in the metric's unit.
        alpha: the level of the tests.
        maximize: whether more is better.
        overlap: validation over training samples of a cross-validation fold, 1 / (folds - 1); else 0.
        runs_per_seed: pairs that a further seed would add: the number of folds, or 1.
        resolution: the step between neighbouring values of the metric; 0 if it is continuous.
    """

    margin: float
    alpha: float
    maximize: bool
    overlap: float = 0.0
    runs_per_seed: int = 1
    resolution: float = 0.0

    def spread(self, differences: Floats) -> float:
        """Their standard deviation, and at least that of two values that are rounded to `resolution`.

        Two runs on a small validation set often differ by the same few samples; that is not certainty.
        """
        return max(float(np.std(differences, ddof=1)), self.resolution / math.sqrt(6))

    def standard_error(self, spread: float, pairs: int) -> float:
        """Of the mean of so many paired differences."""
        return spread * math.sqrt(1 / pairs + self.overlap)


def judge(differences: Sequence[Sequence[float]], design: Design) -> list[Effect]:
    """One effect an arm, from its differences (arm minus baseline) over the runs that both have.

    >>> design = Design(margin=0.005, alpha=0.05, maximize=True)
    >>> [effect.decision for effect in judge([[0.02, 0.021, 0.019], [0.01, -0.02, 0.03]], design)]
    ['better', 'undecided']
    """
    samples = [np.asarray(arm, np.float64) for arm in differences]
    tested = [index for index, sample in enumerate(samples) if len(sample) > 1]
    effects = [_untested(sample) for sample in samples]
    if not tested:
        return effects
    for index, effect in zip(tested, _tested([samples[index] for index in tested], design), strict=True):
        effects[index] = effect
    return effects


def needed_seeds(differences: Sequence[float], design: Design, *, arms: int) -> int | None:
    """With how many seeds in all these tests would decide, four times out of five.

    Takes mean and spread of the differences so far for the true ones, and for the adjustment over `arms` its
    strictest step. None if no number up to 1000 would do, or there are not two differences.

    >>> needed_seeds([0.01, -0.005, 0.02], Design(margin=0.005, alpha=0.05, maximize=True), arms=1)
    20
    """
    sample = np.asarray(differences, np.float64)
    if len(sample) < 2:
        return None
    mean, spread = abs(float(sample.mean())), design.spread(sample)
    first = len(sample) // design.runs_per_seed + 1

    def decides(seeds: int) -> bool:
        return _power(mean, spread, seeds * design.runs_per_seed, design, design.alpha / arms) >= POWER

    if not decides(MOST_SEEDS):
        return None
    low, high = first, MOST_SEEDS
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if decides(middle) else (middle + 1, high)
    return low


def detectable(pairs: int, design: Design, *, arms: int) -> float | None:
    """The difference, in standard deviations of the paired differences, found four times out of five.

    >>> round(detectable(5, Design(margin=0.005, alpha=0.05, maximize=True), arms=1), 2)
    1.68
    """
    from scipy.optimize import brentq

    if pairs < 2:
        return None

    def missing(size: float) -> float:
        return _power_of_difference(size, 1.0, pairs, design, design.alpha / arms) - POWER

    return float(brentq(missing, 1e-3, 1e4))


def mean_interval(values: Sequence[float], *, alpha: float, overlap: float) -> tuple[float, float] | None:
    """The t interval of a mean over runs at level 1 - alpha; None for fewer than two.

    >>> low, high = mean_interval([0.9, 0.91, 0.92], alpha=0.05, overlap=0.0)
    >>> round(low, 4), round(high, 4)
    (0.8852, 0.9348)
    """
    from scipy import stats

    if len(values) < 2:
        return None
    sample = np.asarray(values, np.float64)
    error = float(sample.std(ddof=1)) * math.sqrt(1 / len(sample) + overlap)
    half = float(stats.t.ppf(1 - alpha / 2, len(sample) - 1)) * error
    return float(sample.mean()) - half, float(sample.mean()) + half


def _untested(sample: Floats) -> Effect:
    mean = float(sample.mean()) if len(sample) else None
    return Effect(len(sample), mean, None, None, None, None, "undecided")


def _tested(samples: Sequence[Floats], design: Design) -> list[Effect]:
    from scipy import stats

    pairs = np.array([len(sample) for sample in samples])
    means = np.array([sample.mean() for sample in samples])
    errors = np.array([design.standard_error(design.spread(sample), len(sample)) for sample in samples])
    freedom = pairs - 1
    with np.errstate(divide="ignore", invalid="ignore"):
        # Differences that are all the same have no error: 0 / 0 is no difference, anything else certain.
        different = 2 * stats.t.sf(np.nan_to_num(np.abs(means) / errors, nan=0.0, posinf=np.inf), freedom)
        inside = np.nan_to_num((design.margin - np.abs(means)) / errors, nan=0.0, posinf=np.inf)
        equivalent = stats.t.sf(inside, freedom)
    p, p_equivalent = _holm(different), _holm(equivalent)
    half = stats.t.ppf(1 - design.alpha / 2, freedom) * errors
    return [
        Effect(
            int(pairs[index]),
            float(mean),
            float(mean - half[index]),
            float(mean + half[index]),
            float(p[index]),
            float(p_equivalent[index]),
            _decide(float(mean), float(p[index]), float(p_equivalent[index]), design),
        )
        for index, mean in enumerate(means)
    ]


def _decide(mean: float, p: float, p_equivalent: float, design: Design) -> Decision:
    # A difference may be certain and too small to matter: then it does not matter.
    if p_equivalent <= design.alpha:
        return "equivalent"
    if p <= design.alpha:
        return "better" if (mean > 0) == design.maximize else "worse"
    return "undecided"


def _holm(p_values: Floats) -> Floats:
    """Adjusted p-values. (statsmodels has this too, but collects garbage at each call: 30 ms.)"""
    order = np.argsort(p_values)
    stepped = np.maximum.accumulate(np.arange(len(p_values), 0, -1) * p_values[order])
    adjusted = np.empty_like(p_values)
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted


def _power(mean: float, spread: float, pairs: int, design: Design, alpha: float) -> float:
    """The chance that one of both tests decides."""
    if pairs < 2:
        return 0.0
    return max(
        _power_of_difference(mean, spread, pairs, design, alpha),
        _power_of_equivalence(mean, spread, pairs, design, alpha),
    )


def _power_of_difference(mean: float, spread: float, pairs: int, design: Design, alpha: float) -> float:
    """Of the two-sided t-test: a tail of the noncentral t distribution."""
    from scipy import stats

    error = design.standard_error(spread, pairs)
    if error == 0:
        return 1.0 if mean else 0.0
    # The other tail, a decision for the wrong side, is not counted; scipy has it as nan besides.
    return float(stats.nct.sf(stats.t.ppf(1 - alpha / 2, pairs - 1), pairs - 1, mean / error))


def _power_of_equivalence(mean: float, spread: float, pairs: int, design: Design, alpha: float) -> float:
    """Of the two one-sided tests, approximately: by central t distributions (exact: Phillips 1990)."""
    from scipy import stats

    error = design.standard_error(spread, pairs)
    if mean >= design.margin:
        return 0.0
    if error == 0:
        return 1.0
    critical = stats.t.ppf(1 - alpha, pairs - 1)
    upper = stats.t.cdf((design.margin - mean) / error - critical, pairs - 1)
    lower = stats.t.cdf((design.margin + mean) / error - critical, pairs - 1)
    return max(0.0, float(upper + lower - 1))
