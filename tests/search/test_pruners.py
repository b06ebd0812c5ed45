"""Where a pruner can prune: asked there alone, it decides what it would decide if it was asked each epoch."""

from __future__ import annotations

import random
from typing import Any

import optuna
import pytest

from hpo.search import make_pruner, may_prune
from hpo.search.pruners import PRUNERS as TABLE
from hpo.spec import SearchSpec
from hpo.spec.parts import PRUNER_KEYS

PRUNERS: list[dict[str, Any]] = [
    {"name": "none"},
    {"name": "median", "min_epochs": 5, "startup_trials": 3},
    {"name": "median", "min_epochs": 1, "startup_trials": 1},
    {"name": "successive_halving", "min_epochs": 1, "reduction_factor": 2},
    {"name": "successive_halving", "min_epochs": 3, "reduction_factor": 4},
    {"name": "hyperband", "min_epochs": 1, "reduction_factor": 3},
    {"name": "hyperband", "min_epochs": 4, "reduction_factor": 2},
]


def search(pruner: dict[str, Any]) -> SearchSpec:
    return SearchSpec(
        name="s",
        kind="search",
        data={"name": "digits"},
        trials=40,
        confirm=False,
        params={"epochs": 30},
        pruner=pruner,
        space={"learning_rate": {"low": 1e-3, "high": 0.5}},
    )


def ended_at(spec: SearchSpec, *, ask_always: bool) -> list[int]:
    """The epoch after which each of forty trials ends, the same ones for the same specification."""
    study = optuna.create_study(study_name="s", direction="maximize", pruner=make_pruner(spec))
    draws, ends = random.Random(0), []
    for _ in range(40):
        trial, level = study.ask(), draws.random()
        curve = [level * (1 - 0.8**epoch) + 0.1 * draws.random() for epoch in range(1, 31)]
        state, epoch = optuna.trial.TrialState.COMPLETE, 0
        for epoch, value in enumerate(curve, start=1):
            trial.report(value, epoch)
            if (ask_always or may_prune(spec, epoch)) and trial.should_prune():
                state = optuna.trial.TrialState.PRUNED
                break
        study.tell(trial, None if state == optuna.trial.TrialState.PRUNED else curve[-1], state)
        ends.append(epoch)
    return ends


@pytest.mark.parametrize("pruner", PRUNERS, ids=lambda pruner: "-".join(map(str, pruner.values())))
def test_the_same_trials_end_after_the_same_epochs(pruner):
    spec = search(pruner)
    ends = ended_at(spec, ask_always=False)
    assert ends == ended_at(spec, ask_always=True)
    assert (min(ends) < 30) == (pruner["name"] != "none")


def test_between_the_rungs_nobody_is_asked():
    spec = search({"name": "hyperband", "min_epochs": 1, "reduction_factor": 3})
    assert [epoch for epoch in range(1, 31) if may_prune(spec, epoch)] == [1, 3, 9, 27]
    assert not any(may_prune(search({"name": "none"}), epoch) for epoch in range(31))


@pytest.mark.parametrize("raced", [False, True])
def test_medians_are_of_those_that_search(raced: bool):
    """The leader's runs reach more by then than half of the search: that says nothing of what may lead."""
    study = optuna.create_study(direction="maximize", pruner=make_pruner(search(PRUNERS[2])))
    for value in (0.5, 0.6, 0.7):
        study.add_trial(optuna.trial.create_trial(value=value, intermediate_values={1: value}))
    for seed in range(6 if raced else 0):
        of_race = {"confirms": 2, "seed": seed}
        study.add_trial(
            optuna.trial.create_trial(value=0.72, intermediate_values={1: 0.72}, user_attrs=of_race)
        )
    trial = study.ask()
    trial.report(0.65, 1)
    assert not trial.should_prune()
    below = study.ask()
    below.report(0.55, 1)
    assert below.should_prune()


def test_the_table_has_what_a_specification_may_name() -> None:
    assert TABLE.keys() == PRUNER_KEYS.keys()
