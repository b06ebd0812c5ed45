"""The contract of all strategies: what each promises of a study, by its plan and its sampler, in memory."""

from __future__ import annotations

import copy
import random
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import numpy as np
import optuna
import pytest
from optuna.trial import FrozenTrial, Trial, TrialState, create_trial

from hpo import create_study
from hpo.errors import SpecError
from hpo.search import (
    ShowingSampler,
    Views,
    decode,
    distributions,
    hyperparameters_of,
    make_sampler,
    plan,
    suggest,
)
from hpo.search.configurations import sobol
from hpo.search.cube import Cube
from hpo.search.shown import ShownStudy
from hpo.spec import SearchSpec, from_json, parse, to_json
from hpo.spec.strategies import ABILITIES

NAMES = tuple(ABILITIES)
RANGES: dict[str, Any] = {
    "learning_rate": {"low": 1e-4, "high": 0.1, "log": True},
    "dropout": {"low": 0.0, "high": 0.5},
}
STEPS: dict[str, Any] = {"dropout": {"low": 0.0, "high": 0.5, "step": 0.1}, "batch_size": [32, 64]}


CONDITIONAL: dict[str, Any] = {
    **RANGES,
    "optimizer": ["sgd", "adam"],
    "momentum": {"low": 0.0, "high": 0.9, "when": {"optimizer": "sgd"}},
}


def search(name: str, trials: int, space: dict[str, Any], *, seed: int = 0, **keys: Any) -> SearchSpec:
    """A study of this sampler; the test is skipped where it is refused the space."""
    table = {
        "name": "s",
        "kind": "search",
        "data": {"name": "digits"},
        "confirm": False,
        "space": space,
    } | keys
    try:
        spec = parse(table | {"trials": trials, "sampler": {"name": name, "seed": seed}})
    except SpecError as error:
        pytest.skip(str(error))
    assert isinstance(spec, SearchSpec)
    return spec


class Database:
    """A study in memory, that workers train: they begin, end and are killed in an order of its own."""

    def __init__(self, spec: SearchSpec, *, order: int = 0) -> None:
        self.spec, self.random = spec, random.Random(order)
        self.study = optuna.create_study(direction="maximize")

    def train(self, *, workers: int = 1, kills: float = 0.0, at_most: int = 10_000) -> None:
        """Train until nothing is left, or so many have ended. Who is killed leaves a trial to others."""
        running, ended = list[int](), 0
        while ended < at_most:
            begun = len(running) < workers and self._claim(running)
            if not begun:
                if not running:
                    return
                number = running.pop(self.random.randrange(len(running)))
                if self.random.random() < kills:
                    self._begin(number)  # who takes it over gets what it has
                    running.append(number)
                else:
                    self._end(number)
                    ended += 1

    @property
    def params(self) -> list[dict[str, Any]]:
        return [dict(trial.params) for trial in self.study.get_trials(deepcopy=False)]

    def _claim(self, running: list[int]) -> bool:
        states = (TrialState.WAITING,)
        if not self.study.get_trials(deepcopy=False, states=states):
            self.study.add_trials(plan(self.spec, self.study.get_trials(deepcopy=False)))
        waiting = self.study.get_trials(deepcopy=False, states=states)
        if not waiting:
            return False
        self.study._storage.set_trial_state_values(waiting[0]._trial_id, TrialState.RUNNING)
        self._begin(waiting[0].number)
        running.append(waiting[0].number)
        return True

    def _begin(self, number: int) -> None:
        self.study.sampler = make_sampler(self.spec, number)
        trial = Trial(self.study, self.study.trials[number]._trial_id)
        suggest(trial, self.spec)

    def _end(self, number: int) -> None:
        params = self.study.trials[number].params
        self.study.tell(number, -abs(float(params["dropout"]) - 0.3))


def trained(spec: SearchSpec, **keys: Any) -> Database:
    database = Database(spec, order=keys.pop("order", 0))
    database.train(**keys)
    return database


@pytest.mark.parametrize("name", NAMES)
def test_budgets_are_exact_and_values_in_the_space_whoever_trains_and_dies(name: str) -> None:
    spec = search(name, 9, RANGES)
    database = trained(spec, workers=3, kills=0.2)
    trials = database.study.get_trials(deepcopy=False)
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 9
    space = distributions(spec)
    for trial in trials:
        assert trial.params.keys() == space.keys()
        assert all(space[key]._contains(space[key].to_internal_repr(trial.params[key])) for key in space)
        spec.hyperparameters_for({key: decode(value) for key, value in trial.params.items()})
    assert len({repr(params) for params in database.params}) == 9


@pytest.mark.parametrize("name", NAMES)
def test_what_is_listed_is_the_same_for_any_number_of_workers_and_what_learns_repeats_with_one(
    name: str,
) -> None:
    spec = search(name, 8, RANGES) if name != "grid" else search(name, 8, STEPS)
    others = {"order": 5, "kills": 0.2} | ({} if spec.is_adaptive else {"workers": 3})
    assert trained(spec).params == trained(spec, **others).params


@pytest.mark.parametrize("name", NAMES)
def test_a_search_goes_on_where_it_was_and_a_longer_one_begins_with_the_shorter(name: str) -> None:
    space = STEPS if name == "grid" else RANGES
    database = Database(search(name, 6, space))
    database.train(at_most=3)
    database.train()
    assert len(database.params) == 6
    database.spec = search(name, 8, space)
    database.train(workers=2)
    assert len(database.params) == 8
    if not database.spec.is_adaptive:
        assert database.params == trained(search(name, 8, space)).params


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_drawn_twice_in_a_finite_space_and_all_of_it_in_the_end(name: str) -> None:
    spec = search(name, 12, STEPS)
    assert len({repr(sorted(params.items())) for params in trained(spec, workers=2).params}) == 12


@pytest.mark.parametrize("name", [name for name, one in ABILITIES.items() if not one.is_whole])
def test_conditions_and_constraints_are_kept(name: str) -> None:
    spec = search(name, 8, CONDITIONAL, constraints=["learning_rate <= 0.1 * (1 - dropout)"])
    for params in trained(spec, workers=2).params:
        assert ("momentum" in params) == (params["optimizer"] == "sgd")
        assert params["learning_rate"] <= 0.1 * (1 - params["dropout"])


@pytest.mark.parametrize("repeats", [False, True])
@pytest.mark.parametrize("name", ["gp", "forest", "mixed"])
def test_models_start_with_other_points_each_under_a_constraint(name: str, repeats: bool) -> None:
    keys: dict[str, Any] = {"constraints": ["dropout >= 0.35"], "repeats": repeats}
    database = Database(search(name, 48, RANGES, **keys))
    database.train(workers=3, at_most=14)
    drawn = [repr(params) for params in database.params if params]
    assert len(set(drawn)) == len(drawn) >= 14


@pytest.mark.parametrize("space", [RANGES, CONDITIONAL], ids=["ranges", "conditional"])
def test_models_start_with_the_points_of_their_trials_numbers(space: dict[str, Any]) -> None:
    spec = search("gp", 48, space)
    database = Database(spec)
    database.train(workers=2, at_most=12)
    cube = Cube(spec)
    asked = [cube.drawn(point) for point in sobol(cube.width, 0, 0, 12)]
    assert [{name: decode(value) for name, value in one.items()} for one in database.params[:12]] == asked


def test_a_model_draws_nothing_twice_of_ranges_at_whose_ends_it_looks() -> None:
    """Candidates are moved to the ends of ranges, and of two at both ends are the same."""
    spec = search("gp", 20, RANGES)
    study = optuna.create_study(direction="maximize")
    for number in range(5):
        study.add_trial(
            create_trial(
                value=float(number),
                params={"learning_rate": 0.01 * number + 0.01, "dropout": 0.1 * number},
                distributions=distributions(spec),
            )
        )
    sampler = make_sampler(spec, 5)
    taken = study.trials[4].params
    cube = Cube(spec)
    ranked = np.vstack([cube.points([taken]), np.full((1, cube.width), 0.5)])
    sampler._ranked = lambda *_: ranked  # type: ignore[attr-defined]
    drawn = sampler.sample_relative(study, _asked(5), {})
    assert drawn == cube.drawn(ranked[1])


def _asked(number: int) -> FrozenTrial:
    trial = create_trial(state=TrialState.RUNNING)
    trial.number = number
    return trial


def test_samplers_see_trials_that_search_by_the_space_as_it_is() -> None:
    spec = search("tpe", 4, RANGES)
    database = trained(spec)
    leader = database.study.trials[0]
    race: dict[str, Any] = {"user_attrs": {"confirms": 0, "seed": 1}, "value": 9.0}
    database.study.add_trial(create_trial(params=leader.params, distributions=leader.distributions, **race))
    grown = search("tpe", 4, RANGES | {"dropout": {"low": 0.0, "high": 0.9}})
    seen = ShownStudy(database.study, Views(grown).of).get_trials()
    assert [trial.params for trial in seen] == [trial.params for trial in database.study.trials[:4]]
    assert all(trial.distributions == distributions(grown) for trial in seen)
    views = Views(spec)
    held = database.study.get_trials(deepcopy=False)
    assert all(one is trial for one, trial in zip(views.of(held), held, strict=False))


@pytest.mark.parametrize("space", [RANGES, CONDITIONAL], ids=["ranges", "conditional"])
def test_optuna_s_own_draw_as_they_do_without_being_told_the_space(space: dict[str, Any]) -> None:
    spec = search("tpe", 13, space)
    database = trained(search("tpe", 12, space))
    ours = make_sampler(spec, 12)
    seed = int(np.random.SeedSequence([0, 12]).generate_state(1)[0])
    drawn = []
    for sampler in (ShowingSampler(ours, Views(spec)), optuna.samplers.TPESampler(seed=seed)):
        study = _unwritten(database.study)
        asked = create_trial(state=TrialState.RUNNING)
        asked.number = 12
        drawn.append(sampler.sample_relative(study, asked, sampler.infer_relative_search_space(study, asked)))
    assert drawn[0] == drawn[1]
    assert drawn[0].keys() == space.keys() - {"momentum"}


def _unwritten(study: optuna.Study) -> optuna.Study:
    """A copy whose trials are read, and which has no place to write to."""
    found = copy.copy(study)
    found._storage = MagicMock(wraps=study._storage, set_trial_system_attr=lambda *_: None)
    return found


def test_a_strategy_whose_package_is_missing_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = search("cmaes", 4, RANGES)
    monkeypatch.setattr("hpo.spec.strategies.find_spec", lambda name: None)
    assert from_json(to_json(spec)) == spec
    said = r"needs the package cmaes, which is not installed\. pip install 'hpo-studies\[cmaes\]'"
    with pytest.raises(SpecError, match=said):
        make_sampler(spec, 0)
    with pytest.raises(SpecError, match=f"study 's': sampler.name: 'cmaes' {said}"):
        create_study(spec, storage="sqlite:///must-not-be-made.db")
    assert not Path("must-not-be-made.db").exists()


@pytest.mark.parametrize("name", [name for name, one in ABILITIES.items() if one.takes_conditions])
def test_a_choice_may_be_a_table_beside_conditions(name: str):
    if name == "grid":
        momentum: dict[str, Any] = {"choices": [0.1, 0.9], "when": {"optimizer": "sgd"}}
    else:
        momentum = {"low": 0.1, "high": 0.9, "when": {"optimizer": "sgd"}}
    weights: list[Any] = ["balanced", "none", {"0": 1.0, "1": 3.0}]
    table = {
        "name": "s",
        "kind": "search",
        "data": {"name": "digits"},
        "trials": 6,
        "sampler": {"name": name},
        "space": {"class_weight": weights, "optimizer": ["sgd", "adam"], "momentum": momentum},
    }
    spec = parse(table)
    assert isinstance(spec, SearchSpec)
    study = optuna.create_study(direction="maximize")
    for planned in plan(spec, []):
        study.add_trial(planned)
    for frozen in study.get_trials():
        study._storage.set_trial_state_values(frozen._trial_id, state=TrialState.RUNNING)
        study.sampler = make_sampler(spec, frozen.number)
        trial = optuna.trial.Trial(study, frozen._trial_id)
        suggest(trial, spec)
        study.tell(trial, 0.5 + frozen.number / 100)
    drawn = [hyperparameters_of(spec, trial).class_weight for trial in study.trials]
    assert len(drawn) == 6
    assert all(one in weights for one in drawn)
