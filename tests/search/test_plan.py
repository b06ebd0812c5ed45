"""What a study still has to train, for any spec and any part of it that is there already."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime
from itertools import product
from typing import Any

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from hpo.search import (
    decode,
    distributions,
    encode,
    first_withdrawn,
    hyperparameters_of,
    make_pruner,
    make_sampler,
    plan,
    suggest,
    workload,
)
from hpo.search import starts as of_starts
from hpo.search.pruners import MedianPruner
from hpo.spec import ComparisonSpec, Range, SearchSpec, StudySpec, parse

# On a busy machine a slow example says nothing.
patient = settings(deadline=None)

# Each dimension in several forms; those without a step make a space endless.
FINITE: dict[str, st.SearchStrategy[Any]] = {
    "hidden_units": st.sampled_from([[[8], [16]], [[], [8], [16, 8]], [8, 16]]),
    "optimizer": st.sampled_from([["sgd", "adam"], ["adam", "rmsprop", "nadam"]]),
    "activation": st.just(["relu", "tanh", "gelu"]),
    "batch_norm": st.just([True, False]),
    "dropout": st.sampled_from([[0.0, 0.2], {"low": 0.1, "high": 0.7, "step": 0.1}, [0.3]]),
    "learning_rate": st.sampled_from([[0.1, 0.01, 0.001], {"low": 0.1, "high": 0.3, "step": 0.05}]),
    "batch_size": st.sampled_from(
        [[32, 64], ["full", 1, 16], {"low": 8, "high": 64, "step": 8}, {"low": 1, "high": 3, "step": 1}]
    ),
    "l2": st.sampled_from([[0.0, 1e-4], {"low": 0.0, "high": 0.3, "step": 0.1}]),
    "early_stopping_patience": st.sampled_from([[1, 2], {"low": 2, "high": 10, "step": 4}]),
}
ENDLESS: dict[str, st.SearchStrategy[Any]] = {
    "dropout": st.just({"low": 0.0, "high": 0.9}),
    "learning_rate": st.sampled_from(
        [
            {"low": 1e-5, "high": 1.0, "log": True},
            {"low": 0.001, "high": 0.3},
            {"low": 0.1, "high": 0.1000001},
        ]
    ),
    "batch_size": st.sampled_from([{"low": 8, "high": 9, "log": True}, {"low": 1, "high": 512, "log": True}]),
    "l2": st.just({"low": 1e-8, "high": 0.1, "log": True}),
    "early_stopping_patience": st.just({"low": 1, "high": 20}),
}

TPE = {"learning_rate": {"low": 1e-5, "high": 1.0, "log": True}, "dropout": {"low": 0.0, "high": 0.9}}


@st.composite
def spaces(draw: st.DrawFn, *, endless: bool | None = None) -> dict[str, Any]:
    names = draw(st.lists(st.sampled_from(list(FINITE)), min_size=1, max_size=4, unique=True))
    space = {name: draw(FINITE[name]) for name in names}
    if endless is None:
        endless = draw(st.booleans())
    if endless:
        some = draw(st.lists(st.sampled_from(list(ENDLESS)), min_size=1, max_size=3, unique=True))
        space |= {name: draw(ENDLESS[name]) for name in some}
    return space


def search(space: dict[str, Any], *, sampler: str = "random", seed: int = 0, **keys: Any) -> SearchSpec:
    spec = parse(
        {
            "name": "search",
            "kind": "search",
            "data": {"name": "digits"},
            "sampler": {"name": sampler, "seed": seed},
            "space": space,
            "confirm": False,
            **({"repeats": True} if sampler == "tpe" else {}),
            **keys,
        }
    )
    assert isinstance(spec, SearchSpec)
    return spec


@st.composite
def random_searches(draw: st.DrawFn, *, endless: bool | None = None) -> SearchSpec:
    space, seed = draw(spaces(endless=endless)), draw(st.integers(0, 2**32 - 1))
    size = search(space, trials=1).size
    return search(space, seed=seed, trials=draw(st.integers(1, min(size or 40, 40))))


def comparison(*, arms: int, seeds: int) -> ComparisonSpec:
    spec = parse(
        {
            "name": "comparison",
            "kind": "comparison",
            "data": {"name": "digits"},
            "seeds": seeds,
            "arms": [{"name": f"arm {i}", "learning_rate": 0.1 / (i + 1)} for i in range(arms)],
        }
    )
    assert isinstance(spec, ComparisonSpec)
    return spec


grids = (
    spaces(endless=False).map(lambda space: search(space, sampler="grid")).filter(lambda s: s.trials <= 400)
)
comparisons = st.builds(comparison, arms=st.integers(2, 5), seeds=st.integers(1, 6))
tpe_searches = st.builds(
    lambda space, trials: search(space, sampler="tpe", trials=trials), spaces(), st.integers(1, 30)
)
specs = st.one_of(random_searches(), grids, comparisons, tpe_searches)


def identity(trial: FrozenTrial) -> tuple[Any, ...]:
    return tuple(trial.user_attrs.items()), tuple(trial.params.items())


def configurations(trials: list[FrozenTrial]) -> list[tuple[Any, ...]]:
    return [tuple(trial.params.items()) for trial in trials]


# --------------------------------------------------------------------------------------------- any study


@patient
@given(specs)
def test_a_new_study_lacks_as_many_trials_as_it_asks_for(spec: StudySpec):
    planned = plan(spec, [])
    assert len(planned) == spec.planned
    assert {trial.state for trial in planned} == {TrialState.WAITING}


@patient
@given(specs, st.data())
def test_with_any_part_there_in_any_order_the_plan_is_the_rest(spec: StudySpec, data: st.DataObject):
    whole = plan(spec, [])
    present = data.draw(st.lists(st.sampled_from(whole), unique_by=id))
    missing = plan(spec, present)
    assert len(present) + len(missing) == spec.planned
    assert plan(spec, [*present, *missing]) == []
    everything = {identity(trial) for trial in whole}
    assert {identity(trial) for trial in [*present, *missing]} == everything


@patient
@given(specs, st.sampled_from(list(TrialState)))
def test_trials_count_whatever_became_of_them(spec: StudySpec, state: TrialState):
    trials = plan(spec, [])
    for trial in trials:
        trial.state = state
    assert plan(spec, trials) == []


@patient
@given(specs)
def test_trials_that_somebody_else_added_do_not_break_the_plan(spec: StudySpec):
    stranger = create_trial(state=TrialState.COMPLETE, value=1.0)
    missing = plan(spec, [stranger])
    expected = spec.planned - (isinstance(spec, SearchSpec) and spec.sampler.name == "tpe")
    assert len(missing) == expected
    assert plan(spec, [stranger, *missing]) == []


# ------------------------------------------------------------------------------------------- comparisons


@patient
@given(comparisons)
def test_a_comparison_is_every_arm_with_every_seed_once(spec: ComparisonSpec):
    pairs = [(trial.user_attrs["arm"], trial.user_attrs["seed"]) for trial in plan(spec, [])]
    assert len(pairs) == len(set(pairs))
    assert set(pairs) == set(product([arm.name for arm in spec.arms], range(spec.seeds)))


def test_an_interrupted_comparison_has_all_arms_on_fewer_seeds():
    spec = comparison(arms=3, seeds=4)
    half = plan(spec, [])[:6]
    assert {trial.user_attrs["seed"] for trial in half} == {0, 1}
    assert {trial.user_attrs["arm"] for trial in half} == {"arm 0", "arm 1", "arm 2"}


@patient
@given(comparisons, st.integers(1, 3), st.integers(0, 3))
def test_more_arms_and_seeds_add_only_the_new_pairs(spec: ComparisonSpec, arms: int, seeds: int):
    longer = comparison(arms=len(spec.arms) + arms, seeds=spec.seeds + seeds)
    old, added = plan(spec, []), plan(longer, plan(spec, []))
    assert len(old) + len(added) == longer.planned
    assert not {identity(trial) for trial in old} & {identity(trial) for trial in added}


@patient
@given(comparisons)
def test_an_arm_s_hyperparameters_are_the_arm_s(spec: ComparisonSpec):
    for trial in plan(spec, []):
        effective = hyperparameters_of(spec, trial)
        assert effective.learning_rate == spec.arm(trial.user_attrs["arm"]).params["learning_rate"]


# -------------------------------------------------------------------------------------- grids and random


@patient
@given(grids)
def test_a_grid_is_each_configuration_once(spec: SearchSpec):
    planned = plan(spec, [])
    axes = []
    for name, dimension in spec.space.items():
        values = dimension
        if isinstance(dimension, Range):
            count = round((dimension.high - dimension.low) / dimension.step) + 1
            values = [round(dimension.low + i * dimension.step, 9) for i in range(count)]
        axes.append([(name, encode(value)) for value in values])
    found = [tuple((name, _rounded(value)) for name, value in c) for c in configurations(planned)]
    assert sorted(map(repr, found)) == sorted(map(repr, product(*axes)))


def _rounded(value: Any) -> Any:
    return round(value, 9) if isinstance(value, float) else value


@patient
@given(random_searches(endless=False))
def test_a_random_search_of_a_finite_space_repeats_nothing(spec: SearchSpec):
    found = configurations(plan(spec, []))
    assert len(set(found)) == len(found) == spec.trials


@patient
@given(random_searches(), st.integers(1, 20))
def test_a_longer_random_search_begins_with_the_shorter_one(spec: SearchSpec, more: int):
    trials = min(spec.trials + more, spec.size or 2**31)
    longer = spec.model_copy(update={"trials": trials})
    assert configurations(plan(longer, []))[: spec.trials] == configurations(plan(spec, []))
    added = plan(longer, plan(spec, []))
    assert [trial.user_attrs["index"] for trial in added] == list(range(spec.trials, trials))


@patient
@given(random_searches())
def test_every_drawn_value_lies_in_its_dimension_and_makes_valid_hyperparameters(spec: SearchSpec):
    for trial in plan(spec, []):
        effective = hyperparameters_of(spec, trial)
        for name, dimension in spec.space.items():
            value = decode(trial.params[name])
            if isinstance(dimension, Range):
                assert dimension.low <= value <= dimension.high
                assert type(value) is type(dimension.low)
                if dimension.step is not None:
                    steps = (value - dimension.low) / dimension.step
                    assert math.isclose(steps, round(steps), abs_tol=1e-9)
            assert encode(getattr(effective, name)) == trial.params[name] or name == "hidden_units"
            assert trial.distributions[name]._contains(
                trial.distributions[name].to_internal_repr(trial.params[name])
            )


def test_another_seed_draws_other_configurations():
    space = {"learning_rate": {"low": 1e-4, "high": 1.0, "log": True}, "dropout": [0.1, 0.2, 0.3, 0.4]}
    drawn = {tuple(configurations(plan(search(space, seed=s, trials=5), []))) for s in range(5)}
    assert len(drawn) == 5


def test_a_log_range_is_drawn_evenly_in_the_logarithm():
    space = {"learning_rate": {"low": 1e-4, "high": 1.0, "log": True}}
    rates = [t.params["learning_rate"] for t in plan(search(space, trials=400), [])]
    decades = [sum(10.0**e <= rate < 10.0 ** (e + 1) for rate in rates) for e in (-4, -3, -2, -1)]
    assert min(decades) > 60


def test_a_log_range_of_integers_reaches_both_ends():
    space = {"batch_size": {"low": 2, "high": 5, "log": True}, "dropout": {"low": 0.0, "high": 0.5}}
    sizes = [t.params["batch_size"] for t in plan(search(space, trials=200), [])]
    assert {type(size) for size in sizes} == {int}
    assert set(sizes) == {2, 3, 4, 5}


HUGE = {
    "batch_size": {"low": 1, "high": 1_000_000_000, "step": 1},
    "early_stopping_patience": {"low": 1, "high": 1_000_000_000, "step": 1},
    "decay_steps": {"low": 1, "high": 1_000_000_000, "step": 1},
}


@pytest.mark.parametrize("starts", [[], [{"dropout": 0.1, "batch_size": 32}]], ids=["listed", "starts"])
@pytest.mark.parametrize("sampler", ["random", "qmc"])
def test_one_more_trial_of_many_is_one_that_is_made(
    sampler: str, starts: Any, monkeypatch: pytest.MonkeyPatch
):
    space = {"dropout": {"low": 0.0, "high": 0.5}, "batch_size": [32, 64, 128]}
    held = plan(search(space, sampler=sampler, trials=5000, start_with=starts), [])
    for number, trial in enumerate(held):
        trial.number = number
    made, listed = list[Any](), list[Any]()

    def counting(of: Callable[..., Any], to: list[Any]) -> Callable[..., Any]:
        return lambda *given, **named: to.append(given) or of(*given, **named)

    monkeypatch.setattr(of_starts, "create_trial", counting(of_starts.create_trial, made))
    monkeypatch.setattr(of_starts, "configurations_of", counting(of_starts.configurations_of, listed))
    (more,) = plan(search(space, sampler=sampler, trials=5001, start_with=starts), held)
    assert more.user_attrs == {"index": 5000 - len(starts)}
    assert len(made) <= 1 + len(starts)
    assert len(listed) == 1


def test_a_space_too_large_to_list_is_drawn_from_without_repeats():
    params = {"schedule": "inverse_time"}
    spec = search(HUGE, trials=300, params=params)
    assert spec.size == 10**27
    drawn = configurations(plan(spec, []))
    assert len(set(drawn)) == 300
    assert configurations(plan(search(HUGE, trials=100, params=params), [])) == drawn[:100]
    highest = max(dict(c)["decay_steps"] for c in drawn)
    assert highest > 9e8


@pytest.mark.long
def test_all_of_a_large_finite_space_is_planned_without_repeats():
    space = {"batch_size": {"low": 1, "high": 100_001, "step": 1}}
    spec = search(space, trials=100_001)
    assert len(set(configurations(plan(spec, [])))) == 100_001


# ---------------------------------------------------------------------------------------------- withdrawal


def lowered(spec: StudySpec, count: int) -> StudySpec:
    key = "seeds" if isinstance(spec, ComparisonSpec) else "trials"
    return spec.model_copy(update={key: count})


def numbered(trials: list[FrozenTrial]) -> list[FrozenTrial]:
    for number, trial in enumerate(trials):
        trial.number = number
    return trials


def replanned(spec: StudySpec, held: list[FrozenTrial]) -> list[FrozenTrial]:
    """The trials of a study after its plan, as `StoredStudy.plan` makes it."""
    first = first_withdrawn(spec, held)
    kept = held[:first]
    held = numbered([*kept, *plan(spec, kept)])
    assert first_withdrawn(spec, held) is None
    assert plan(spec, held) == []
    return held


adaptive = st.integers(1, 12).map(lambda trials: search(TPE, sampler="tpe", trials=trials))


@patient
@given(st.one_of(random_searches(), comparisons, adaptive), st.data())
def test_a_lowered_study_keeps_what_has_begun_and_asks_for_no_more(spec: StudySpec, data: st.DataObject):
    trials = numbered(plan(spec, []))
    begun = data.draw(st.integers(0, len(trials)))
    for trial in trials[:begun]:
        trial.state = data.draw(st.sampled_from(list(TrialState)))
        trial.datetime_start = datetime(2026, 1, 1)
    count = data.draw(st.integers(1, spec.seeds if isinstance(spec, ComparisonSpec) else spec.planned))
    small = lowered(spec, count)
    held = replanned(small, list(trials))
    assert held[:begun] == trials[:begun]
    assert len(held) == max(begun, small.planned)
    # Raised again it is the study that it was.
    assert list(map(identity, replanned(spec, held))) == list(map(identity, trials))


def test_arms_added_later_do_not_keep_seeds_from_being_lowered():
    three = comparison(arms=3, seeds=3)
    two = three.model_copy(update={"arms": three.arms[:2]})
    first = numbered(plan(two, []))
    held = numbered([*first, *plan(three, first)])
    assert [trial.user_attrs["arm"] for trial in held[6:]] == ["arm 2"] * 3
    left = replanned(lowered(three, 2), held)
    assert len(left) == 6
    assert {(t.user_attrs["arm"], t.user_attrs["seed"]) for t in left} == {
        (f"arm {arm}", seed) for arm in range(3) for seed in range(2)
    }


def test_what_a_person_enqueued_is_not_withdrawn():
    spec = search(TPE, sampler="tpe", trials=4)
    held = numbered(plan(spec, []))
    held[3].system_attrs = {"fixed_params": {"dropout": 0.1}}
    assert first_withdrawn(lowered(spec, 2), held) is None
    held[3].system_attrs, held[2].system_attrs = {}, held[3].system_attrs
    assert first_withdrawn(lowered(spec, 2), held) == 3


# ------------------------------------------------------------------------------------- encode and suggest

choices = st.recursive(
    st.one_of(st.integers(-(2**53), 2**53), st.floats(allow_nan=False, allow_infinity=False), st.booleans()),
    lambda inner: st.lists(inner, max_size=4),
    max_leaves=8,
)


@patient
@given(choices)
def test_what_is_encoded_can_be_decoded(value: Any):
    assert decode(encode(value)) == value
    assert type(decode(encode(value))) is type(value)


@pytest.mark.parametrize("word", ["sgd", "relu", "full", "leaky_relu"])
def test_words_are_stored_as_they_are(word):
    assert encode(word) == word
    assert decode(word) == word


@given(random_searches())
@settings(deadline=None, max_examples=25)
def test_a_planned_trial_suggests_the_values_it_holds(spec: SearchSpec):
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    study.add_trials(plan(spec, [])[:5])
    for planned in study.trials:
        trial = optuna.trial.Trial(study, planned._trial_id)
        study._storage.set_trial_state_values(planned._trial_id, TrialState.RUNNING)
        suggest(trial, spec)
        assert trial.params == planned.params


@given(spaces())
@settings(deadline=None, max_examples=25)
def test_a_sampler_s_trial_gets_a_value_of_every_dimension(space: dict[str, Any]):
    spec = search(space, sampler="tpe", trials=3)
    study = optuna.create_study()
    study.add_trials(plan(spec, []))
    for number in range(3):
        study.sampler = make_sampler(spec, number)
        trial = study.ask()
        suggest(trial, spec)
        assert list(trial.params) == list(spec.space)
        assert hyperparameters_of(spec, trial)
        study.tell(trial, 1.0)


def test_distributions_are_the_declared_space():
    spec = search(
        {
            "hidden_units": [[64, 32], [128]],
            "learning_rate": {"low": 1e-4, "high": 0.1, "log": True},
            "dropout": {"low": 0.0, "high": 0.5, "step": 0.1},
            "l2": {"low": 0.0, "high": 0.5},
            "batch_size": {"low": 16, "high": 128, "log": True},
            "early_stopping_patience": {"low": 2, "high": 10, "step": 2},
            "optimizer": ["sgd", "adam"],
        },
        trials=1,
    )
    assert list(distributions(spec)) == list(spec.space)
    assert distributions(spec) == {
        "hidden_units": CategoricalDistribution(["[64, 32]", "[128]"]),
        "learning_rate": FloatDistribution(1e-4, 0.1, log=True),
        "dropout": FloatDistribution(0.0, 0.5, step=0.1),
        "l2": FloatDistribution(0.0, 0.5),
        "batch_size": IntDistribution(16, 128, log=True),
        "early_stopping_patience": IntDistribution(2, 10, step=2),
        "optimizer": CategoricalDistribution(["sgd", "adam"]),
    }


# ------------------------------------------------------------------------------------ samplers and pruners


def first_draw(spec: SearchSpec, number: int) -> tuple[Any, ...]:
    study = optuna.create_study(sampler=make_sampler(spec, number))
    trial = study.ask()
    suggest(trial, spec)
    return tuple(trial.params.items())


def test_a_trial_s_sampler_follows_from_the_seed_and_its_number_alone():
    spec = search(TPE, sampler="tpe", trials=10)
    draws = [first_draw(spec, number) for number in range(10)]
    assert draws == [first_draw(spec, number) for number in range(10)]
    assert len(set(draws)) == 10
    other = search(TPE, sampler="tpe", seed=1, trials=10)
    assert not set(draws) & {first_draw(other, number) for number in range(10)}


PRUNERS = {
    "none": ({"name": "none"}, optuna.pruners.NopPruner),
    "median": ({"name": "median", "min_epochs": 3, "startup_trials": 2}, MedianPruner),
    "halving": ({"name": "successive_halving"}, optuna.pruners.SuccessiveHalvingPruner),
    "hyperband": ({"name": "hyperband", "reduction_factor": 2}, optuna.pruners.HyperbandPruner),
}


@pytest.mark.parametrize(("pruner", "kind"), PRUNERS.values(), ids=list(PRUNERS))
def test_a_search_has_the_pruner_it_declares(pruner, kind):
    spec = search(TPE, trials=1, pruner=pruner, params={"epochs": 9})
    assert type(make_pruner(spec)) is kind


def test_the_median_pruner_waits_for_min_epochs_and_startup_trials():
    pruner = {"name": "median", "min_epochs": 3, "startup_trials": 2}
    spec = search(TPE, trials=9, pruner=pruner, params={"epochs": 9})
    study = optuna.create_study(direction="maximize", pruner=make_pruner(spec))
    asked = []
    for value in (0.9, 0.1, 0.1):
        trial = study.ask()
        for step in range(1, 6):
            trial.report(value, step)
            asked.append(trial.should_prune())
        study.tell(trial, value)
    # Of the third trial, the epochs after the third.
    assert asked == [False] * 10 + [False, False, True, True, True]


def test_a_comparison_prunes_nothing():
    assert type(make_pruner(comparison(arms=2, seeds=1))) is optuna.pruners.NopPruner


# ----------------------------------------------------------------------------------------------- workload


def test_the_workload_of_a_comparison_adds_up_its_arms():
    spec = parse(
        {
            "name": "batches",
            "kind": "comparison",
            "data": {"name": "digits", "validation": 0.2},
            "seeds": 3,
            "params": {"epochs": 5},
            "arms": [
                {"name": "all", "batch_size": "full"},
                {"name": "some", "batch_size": 32},
                {"name": "long", "epochs": 7},
            ],
        }
    )
    work = workload(spec, 1000)
    assert work.epochs == 3 * (5 + 5 + 7)
    assert work.steps == 3 * (5 * 1 + 5 * 25 + 7 * 25)


def test_the_workload_of_a_search_is_that_of_its_smallest_batch_and_all_folds():
    spec = search(
        {"batch_size": [64, 16, "full"]},
        trials=3,
        data={"name": "digits", "folds": 5},
        params={"epochs": 2},
    )
    work = workload(spec, 1000)
    assert work.epochs == 3 * 5 * 2
    assert work.steps == 3 * 5 * 2 * 50
