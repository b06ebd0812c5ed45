"""Verdicts: against scipy and statsmodels on single cases, and how often they are wrong in simulated ones."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestPower
from statsmodels.stats.weightstats import DescrStatsW

from hpo.analysis.verdicts import Design, detectable, judge, mean_interval, needed_seeds
from tests.benchmarks.calibration import (
    ALPHA,
    AT_THE_MARGIN,
    FOLDED,
    NOISES,
    NOTHING,
    TINY,
    TWICE_THE_MARGIN,
    simulate,
    tolerance,
)
from tests.marks import often

REPEATS = 1000
DESIGN = Design(margin=0.5, alpha=0.05, maximize=True)
FINITE = st.floats(-1e3, 1e3).map(lambda value: round(value, 3))


# ------------------------------------------------------------------------------ against other programs


@given(st.lists(FINITE, min_size=2, max_size=30).filter(lambda values: np.std(values) > 1e-3))
@settings(deadline=None)
def test_one_arm_is_judged_as_scipy_and_statsmodels_do(differences):
    (effect,) = judge([differences], DESIGN)
    test = stats.ttest_1samp(differences, 0.0)
    assert effect.p == pytest.approx(test.pvalue, rel=1e-6, abs=1e-12)
    low, high = test.confidence_interval(0.95)
    assert (effect.low, effect.high) == pytest.approx((low, high), rel=1e-9, abs=1e-9)
    p_equivalent, *_ = DescrStatsW(differences).ttost_mean(-DESIGN.margin, DESIGN.margin)
    assert effect.p_equivalent == pytest.approx(p_equivalent, rel=1e-6, abs=1e-9)


@given(st.integers(1, 9), st.integers(0, 99))
@settings(deadline=None, max_examples=20)
def test_p_values_are_adjusted_over_all_arms_as_statsmodels_does(arms, seed):
    generator = np.random.default_rng(seed)
    samples = [generator.normal(mean, 1.0, 8) for mean in np.linspace(0.0, 2.0, arms)]
    raw = [stats.ttest_1samp(sample, 0.0).pvalue for sample in samples]
    found = [effect.p for effect in judge(samples, DESIGN)]
    assert found == pytest.approx(multipletests(raw, method="holm")[1], rel=1e-9)


def test_folds_are_tested_with_the_variance_of_nadeau_and_bengio():
    differences = np.array([0.1, 0.4, 0.3, 0.2, 0.6])
    (effect,) = judge([differences], Design(margin=0.01, alpha=0.05, maximize=True, overlap=1 / 4))
    statistic = differences.mean() / math.sqrt((1 / 5 + 1 / 4) * differences.var(ddof=1))
    assert effect.p == pytest.approx(2 * stats.t.sf(statistic, 4))
    (uncorrected,) = judge([differences], Design(margin=0.01, alpha=0.05, maximize=True))
    assert uncorrected.p < 0.05 < effect.p


@pytest.mark.parametrize("size", [0.5, 1.0, 2.0])
def test_the_seeds_that_are_needed_are_those_of_a_power_analysis(size):
    # Two differences of exactly this size in units of their standard deviation; too large to be equivalent.
    differences = [size - math.sqrt(0.5), size + math.sqrt(0.5)]
    design = Design(margin=1e-6, alpha=0.05, maximize=True)
    needed = TTestPower().solve_power(effect_size=size, alpha=0.05 / 3, power=0.8)
    seeds = math.ceil(needed)
    assert needed_seeds(differences, design, arms=3) == seeds
    assert detectable(seeds, design, arms=3) <= size < detectable(seeds - 1, design, arms=3)


def test_more_folds_of_the_same_samples_never_decide():
    differences = [0.0, 0.1, -0.05, 0.02, 0.08]
    folded = Design(margin=1e-6, alpha=0.05, maximize=True, overlap=1 / 4, runs_per_seed=5)
    assert needed_seeds(differences, folded, arms=1) is None


def test_an_interval_of_a_mean_is_student_s():
    values = [0.1, 0.5, 0.4, 0.8]
    expected = stats.t.interval(0.95, 3, np.mean(values), stats.sem(values))
    assert mean_interval(values, alpha=0.05, overlap=0.0) == pytest.approx(expected)
    assert mean_interval([1.0], alpha=0.05, overlap=0.0) is None


# ------------------------------------------------------------------------------------------ decisions


def test_what_is_certain_but_too_small_to_matter_is_equivalent():
    (effect,) = judge([[0.1, 0.11, 0.1, 0.09, 0.1]], DESIGN)
    assert effect.p < 1e-5
    assert effect.decision == "equivalent"


@pytest.mark.parametrize(("maximize", "decision"), [(True, "better"), (False, "worse")])
def test_the_direction_says_what_is_better(maximize, decision):
    (effect,) = judge([[2.0, 2.1, 1.9]], Design(margin=0.5, alpha=0.05, maximize=maximize))
    assert effect.decision == decision


def test_fewer_than_two_pairs_decide_nothing():
    none, one, several = judge([[], [9.0], [9.0, 9.1, 8.9]], DESIGN)
    assert (none.decision, none.mean, none.p) == ("undecided", None, None)
    assert (one.decision, one.mean, one.low, one.p) == ("undecided", 9.0, None, None)
    assert several.decision == "better"


def test_two_runs_that_differ_by_the_same_few_samples_are_not_certain():
    step = 1 / 288
    rounded = Design(margin=0.001, alpha=0.05, maximize=True, resolution=step)
    assert judge([[step, step]], rounded)[0].decision == "undecided"
    assert judge([[0.0, 0.0]], rounded)[0].decision == "undecided"
    assert judge([[10 * step] * 6], rounded)[0].decision == "better"


def test_equal_differences_of_an_exact_metric_are_decided():
    assert [effect.decision for effect in judge([[0.0, 0.0], [2.0, 2.0]], DESIGN)] == ["equivalent", "better"]


# ------------------------------------------------------------------------------------- in the long run


@pytest.mark.parametrize("scenario", often([*NOTHING[:2], *FOLDED[:2]], [*NOTHING, *FOLDED]), ids=str)
def test_where_there_is_no_difference_one_is_claimed_at_most_as_often_as_alpha(scenario):
    rates = simulate(scenario, repeats=REPEATS, seed=0)
    print(rates)
    assert rates.any_different <= ALPHA + tolerance(ALPHA, REPEATS)


@pytest.mark.slow
@pytest.mark.parametrize("scenario", AT_THE_MARGIN, ids=str)
def test_where_differences_matter_equivalence_is_claimed_at_most_as_often_as_alpha(scenario):
    rates = simulate(scenario, repeats=REPEATS, seed=0)
    assert rates.any_equivalent <= ALPHA + tolerance(ALPHA, REPEATS)


@pytest.mark.long
@pytest.mark.parametrize("noise", NOISES)
def test_a_difference_of_twice_what_matters_is_found_more_often_with_more_seeds(noise):
    found = [
        simulate(scenario, repeats=REPEATS, seed=0).first_better
        for scenario in TWICE_THE_MARGIN
        if scenario.noise == noise
    ]
    assert found == sorted(found)
    assert found[-1] > 0.95
    assert found[-1] - found[0] > 0.3


@pytest.mark.long
@pytest.mark.parametrize("noise", NOISES)
def test_tiny_differences_are_found_equivalent_with_enough_seeds(noise):
    found = [
        simulate(scenario, repeats=REPEATS, seed=0).first_equivalent
        for scenario in TINY
        if scenario.noise == noise
    ]
    assert found == sorted(found)
    assert found[-1] > 0.95
