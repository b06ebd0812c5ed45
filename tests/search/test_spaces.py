"""What is drawn of spaces with conditions, lists of layers and constraints: what is allowed, and once."""

from __future__ import annotations

import warnings
from typing import Any

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.trial import TrialState, create_trial

from hpo.search import active, decode, distributions, drawn_of, encode, hyperparameters_of, plan, suggest
from hpo.spec import SearchSpec, from_json, loads, to_json, to_toml
from hpo.trials import params_of

patient = settings(deadline=None, max_examples=15)

PARENTS: dict[str, Any] = {
    "optimizer": ["sgd", "adam"],
    "batch_size": {"low": 8, "high": 64, "step": 8},
    "hidden_units": {"layers": [0, 2], "units": [8, 16]},
}
UNDER = st.sampled_from(
    [
        {"optimizer": "sgd"},
        {"batch_size": {"low": 10, "high": 40}},
        {"optimizer": "sgd", "batch_size": [8, 64]},
    ]
)
CHILDREN: dict[str, list[dict[str, Any]]] = {
    "dropout": [{"choices": [0.1, 0.2]}, {"low": 0.0, "high": 0.9}],
    "l2": [{"low": 1e-6, "high": 0.1, "log": True}, {"low": 0.0, "high": 0.3, "step": 0.1}],
    "activation": [{"choices": ["relu", "tanh"]}],
}
CONSTRAINTS = st.sampled_from([[], ["batch_size >= 16"], ["batch_size <= 48", "dropout * batch_size < 20"]])
SAMPLERS = [
    lambda: optuna.samplers.RandomSampler(seed=1),
    lambda: optuna.samplers.TPESampler(seed=1, n_startup_trials=4),
    lambda: optuna.samplers.TPESampler(seed=1, n_startup_trials=4, multivariate=True, group=True),
    lambda: optuna.samplers.NSGAIISampler(seed=1, population_size=4),
]


def search(space: dict[str, Any], **keys: Any) -> SearchSpec:
    known = {"name": "s", "kind": "search", "data": {"name": "digits"}, "trials": 1, "confirm": False}
    return SearchSpec(**{**known, "space": space, **keys})


@st.composite
def searches(draw: st.DrawFn, **keys: Any) -> SearchSpec:
    space = dict(PARENTS)
    for name, kinds in CHILDREN.items():
        if draw(st.booleans()):
            # Constraints name it, so it has a number also where it is not active.
            space[name] = draw(st.sampled_from(kinds)) | {"when": draw(UNDER)}
    return search(space, constraints=draw(CONSTRAINTS), **keys)


@patient
@given(searches())
def test_a_space_is_the_same_after_any_way_of_writing_it(spec: SearchSpec) -> None:
    for read in (loads(to_toml(spec)), from_json(to_json(spec))):
        assert isinstance(read, SearchSpec)
        assert (read, read.drawn, read.size) == (spec, spec.drawn, spec.size)


@patient
@given(searches(sampler={"name": "random", "seed": 3}))
def test_random_configurations_are_feasible_and_differ(spec: SearchSpec) -> None:
    count = min(40, spec.size or 40)
    planned = plan(spec.model_copy(update={"trials": count}), [])
    found = [drawn_of(trial) for trial in planned]
    assert len({tuple(one.items()) for one in found}) == len(planned) == count
    for trial, one in zip(planned, found, strict=True):
        assert spec.active(one) == one
        assert spec.allows(one)
        assert trial.distributions == active(spec, one)
        assert spec.apart(spec.joined(one)) == one
        assert {name: decode(encode(value)) for name, value in one.items()} == one
        assert params_of(spec, trial).keys() == spec.joined(one).keys()


@patient
@given(searches(sampler={"name": "random", "seed": 3}))
def test_a_longer_search_begins_with_the_configurations_of_a_shorter_one(spec: SearchSpec) -> None:
    count = min(12, spec.size or 12)
    short, long = (plan(spec.model_copy(update={"trials": n}), []) for n in (count // 2, count))
    assert [trial.params for trial in long[: count // 2]] == [trial.params for trial in short]


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_any_sampler_draws_what_is_active_and_allowed_and_nothing_else(sampler: Any) -> None:
    space = PARENTS | {"momentum": {"low": 0.5, "high": 0.99, "when": {"optimizer": "sgd"}}}
    spec = search(space, constraints=["batch_size * momentum <= 30"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study = optuna.create_study(sampler=sampler())
    for number in range(25):
        trial = study.ask()
        suggest(trial, spec)
        drawn = drawn_of(trial)
        assert spec.active(drawn) == drawn
        assert spec.allows(drawn)
        assert ("momentum" in drawn) == (drawn["optimizer"] == "sgd")
        hyperparameters = hyperparameters_of(spec, trial)
        assert len(hyperparameters.hidden_units) == drawn["hidden_units_layers"]
        assert hyperparameters.momentum == drawn.get("momentum", 0.0)
        study.tell(trial, float(number % 7))


def test_a_sampler_that_would_never_meet_a_constraint_is_given_the_nearest_that_does() -> None:
    class Stubborn(optuna.samplers.RandomSampler):
        def sample_independent(self, study: Any, trial: Any, name: str, distribution: Any) -> Any:
            return distribution.high

    spec = search({"batch_size": {"low": 1, "high": 100}}, constraints=["batch_size <= 50"])
    trial = optuna.create_study(sampler=Stubborn()).ask()
    suggest(trial, spec)
    assert 45 <= trial.params["batch_size"] <= 50


def test_what_somebody_has_enqueued_stays_and_the_rest_is_drawn_to_go_with_it() -> None:
    spec = search(
        {"batch_size": [8, 16, 32, 64], "learning_rate": {"low": 0.01, "high": 1.0}},
        constraints=["batch_size * learning_rate <= 4"],
    )
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    study.enqueue_trial({"batch_size": 64})
    trial = study.ask()
    suggest(trial, spec)
    assert trial.params["batch_size"] == 64
    assert trial.params["learning_rate"] <= 4 / 64


def test_a_grid_skips_what_is_not_allowed() -> None:
    space = {"batch_size": [8, 16, 32], "learning_rate": [0.01, 0.1]}
    spec = SearchSpec(
        name="g",
        kind="search",
        data={"name": "digits"},
        sampler={"name": "grid"},
        space=space,
        constraints=["batch_size * learning_rate < 1.6"],
        trials=4,
        confirm=False,
    )
    found = [(trial.params["learning_rate"], trial.params["batch_size"]) for trial in plan(spec, [])]
    assert found == [(0.01, 8), (0.01, 16), (0.01, 32), (0.1, 8)]


def test_distributions_have_parents_first() -> None:
    spec = search(
        {"momentum": {"choices": [0.5], "when": {"optimizer": "sgd"}}, "optimizer": ["sgd", "adam"]}
    )
    names = list(distributions(spec))
    assert names.index("optimizer") < names.index("momentum")


def test_an_inactive_hyperparameter_is_shown_nowhere() -> None:
    spec = search(PARENTS | {"momentum": {"low": 0.5, "high": 0.99, "when": {"optimizer": "sgd"}}})
    params = {"optimizer": "adam", "batch_size": 8, "hidden_units_layers": 2}
    params |= {"hidden_units_1": 8, "hidden_units_2": 16}
    trial = create_trial(state=TrialState.WAITING, params=params, distributions=active(spec, params))
    assert params_of(spec, trial) == {"hidden_units": [8, 16], "optimizer": "adam", "batch_size": 8}
