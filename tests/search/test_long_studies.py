"""What samplers learn from when there is much, and find where there is little."""

from __future__ import annotations

import math
import statistics
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.trial import FrozenTrial, Trial, TrialState, create_trial

from hpo.search import distributions, drawn_of, make_sampler, suggest
from hpo.spec import SearchSpec, parse

SPACE: dict[str, Any] = {
    "learning_rate": {"low": 1e-4, "high": 0.1, "log": True},
    "dropout": {"low": 0.0, "high": 0.5},
}


def search(sampler: str, **keys: Any) -> SearchSpec:
    table = {"name": "s", "kind": "search", "data": {"name": "digits"}, "space": SPACE, "trials": 5000}
    spec = parse(table | {"sampler": {"name": sampler}} | keys)
    assert isinstance(spec, SearchSpec)
    return spec


def distance(values: Any) -> float:
    """From the best configuration, 0.01 and 0.3, as shares of the dimensions."""
    return abs(math.log10(values["learning_rate"]) + 2) / 3 + abs(values["dropout"] - 0.3) / 0.5


def tried(spec: SearchSpec, count: int) -> optuna.Study:
    """A study with as many trials, all over the space, each of which is the worse the farther it is."""
    study, space = optuna.create_study(direction="maximize"), distributions(spec)
    shares = np.random.default_rng(0).random((count, 2))
    drawn = [{"learning_rate": 1e-4 * 1000**x, "dropout": 0.5 * y} for x, y in shares.tolist()]
    study.add_trials([create_trial(value=-distance(d), params=d, distributions=space) for d in drawn])
    return study


def claimed(study: optuna.Study, spec: SearchSpec) -> FrozenTrial:
    study.add_trial(create_trial(state=TrialState.WAITING))
    waiting = trials_of(study)[-1]
    study.sampler = make_sampler(spec, waiting.number)
    study._storage.set_trial_state_values(waiting._trial_id, TrialState.RUNNING)
    suggest(Trial(study, waiting._trial_id), spec)
    return trials_of(study)[-1]


def trials_of(study: optuna.Study) -> list[FrozenTrial]:
    return study.get_trials(deepcopy=False)


@pytest.mark.parametrize("sampler", ["tpe", "gp", "forest"])
def test_of_thousands_of_trials_the_few_best_say_where_to_go_on(sampler: str) -> None:
    spec = search(sampler)
    study = tried(spec, 3000)
    found = statistics.median(distance(drawn_of(claimed(study, spec))) for _ in range(9))
    at_random = statistics.median(distance(drawn_of(trial)) for trial in trials_of(study)[:3000])
    assert found < at_random / 4


def test_tpe_learns_from_what_runs_the_best_and_of_the_others_some_of_any_age() -> None:
    spec = search("tpe")
    study = tried(spec, 3000)
    running = claimed(study, spec)
    sampler = make_sampler(spec, 3001)
    seen = sampler._seen(study).get_trials()  # type: ignore[attr-defined]
    numbers = [trial.number for trial in seen]
    best = sorted(trials_of(study)[:3000], key=lambda trial: -(trial.value or 0.0))[:50]
    assert numbers == sorted(set(numbers))
    assert {running.number, *(trial.number for trial in best)} <= set(numbers)
    assert len(numbers) == 501
    assert all(any(low <= n < low + 300 for n in numbers) for low in range(0, 3000, 300))


def test_a_shorter_study_is_learned_from_whole() -> None:
    spec = search("tpe")
    study = tried(spec, 400)
    claimed(study, spec)
    assert make_sampler(spec, 401)._seen(study).get_trials() == trials_of(study)  # type: ignore[attr-defined]


@pytest.mark.parametrize("sampler", ["tpe", "gp"])
def test_constraints_that_one_draw_of_two_thousand_meets_are_met(sampler: str) -> None:
    spec = search(sampler, constraints=["50 * dropout <= learning_rate"], trials=12)
    study = optuna.create_study(direction="maximize")
    for _ in range(4):
        values = drawn_of(claimed(study, spec))
        assert 50 * values["dropout"] <= values["learning_rate"]
        study.tell(len(trials_of(study)) - 1, -distance(values))


@pytest.mark.parametrize("sampler", ["tpe", "gp", "nsga2"])
def test_each_configuration_of_steps_is_trained_once_however_optuna_spells_it(sampler: str) -> None:
    """0.15 is its fourth value of these, and Optuna's is 0.15000000000000002."""
    space = {"dropout": {"low": 0.0, "high": 0.5, "step": 0.05}, "batch_size": [16, 32, 64]}
    spec = search(sampler, space=space, trials=33, confirm=False)
    study = optuna.create_study(direction="maximize")
    for number in range(33):
        values = drawn_of(claimed(study, spec))
        study.tell(number, -abs(values["dropout"] - 0.3))
    found = {(trial.params["dropout"], trial.params["batch_size"]) for trial in trials_of(study)}
    assert len(found) == 33
    assert {dropout for dropout, _ in found} == {round(0.05 * at, 2) for at in range(11)}


@pytest.mark.parametrize("sampler", ["tpe", "gp", "nsga2"])
def test_steps_beside_a_range_without_an_end_are_spelt_as_the_file_does_too(sampler: str) -> None:
    space = SPACE | {"dropout": {"low": 0.0, "high": 0.5, "step": 0.05}}
    spec = search(sampler, space=space, trials=30, confirm=False)
    study = optuna.create_study(direction="maximize")
    for number in range(30):
        study.tell(number, -distance(drawn_of(claimed(study, spec))))
    found = {trial.params["dropout"] for trial in trials_of(study)}
    assert found <= {round(0.05 * at, 2) for at in range(11)}


@pytest.mark.parametrize("space", [SPACE, {"dropout": [0.1, 0.2, 0.3]}], ids=["endless", "finite"])
def test_a_trial_that_has_all_its_values_asks_no_sampler(space: dict[str, Any]) -> None:
    """A run of a race, or one whose worker was lost: a decision for nothing takes a tenth of a second."""
    spec = search("gp", space=space, trials=3)
    study = optuna.create_study(direction="maximize", sampler=Unasked())
    values = {"learning_rate": 0.01, "dropout": 0.2}
    study.enqueue_trial({name: values[name] for name in space})
    trial = study.ask()
    suggest(trial, spec)
    assert trial.params == {name: values[name] for name in space}


class Unasked(optuna.samplers.RandomSampler):
    def sample_relative(self, *_: Any) -> dict[str, Any]:
        raise AssertionError("it was asked")
