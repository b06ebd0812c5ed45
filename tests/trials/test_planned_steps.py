"""How much a study plans for one program, as the loop is chosen by it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpo.spec import MlpHyperparameters, StudySpec
from hpo.trials.planned_steps import planned_steps

SEARCH = {"name": "s", "kind": "search", "data": {"name": "digits", "validation": 0.2}, "trials": 24}
# Small spaces do for the arithmetic.
SEARCH |= {"repeats": True}
RATES = {"low": 1e-3, "high": 0.1, "log": True}


def steps(table: dict[str, Any], **values: Any) -> int:
    spec = StudySpec(**table)
    return planned_steps(spec, spec.hyperparameters_for(values), samples=1000)


@pytest.mark.parametrize(
    ("space", "values", "programs"),
    [
        ({"learning_rate": RATES}, {"learning_rate": 0.01}, 1),
        ({"dropout": [0.1, 0.2], "l2": [0.1, 0.2]}, {"dropout": 0.1, "l2": 0.2}, 1),
        ({"dropout": [0.0, 0.2]}, {"dropout": 0.2}, 2),
        ({"dropout": {"low": 0.0, "high": 0.5}}, {"dropout": 0.3}, 1),
        ({"hidden_units": [[8], [8, 8], [16]]}, {"hidden_units": [8, 8]}, 3),
        ({"hidden_units": [[8], [8, 8]], "activation": ["relu", "tanh"]}, {"hidden_units": [8]}, 4),
        ({"batch_size": [100, 50]}, {"batch_size": 100}, 2),
        ({"batch_size": {"low": 91, "high": 100}}, {"batch_size": 100}, 10),
        ({"batch_size": {"low": 20, "high": 100, "step": 20}}, {"batch_size": 100}, 5),
    ],
    ids=str,
)
def test_trials_of_a_search_are_spread_over_the_programs_of_its_space(
    space: dict[str, Any], values: dict[str, Any], programs: int
) -> None:
    batch = {} if "batch_size" in space else {"batch_size": 100}
    table = SEARCH | {"space": space, "params": {"epochs": 5, **batch}}
    assert steps(table, **values) == 24 // programs * 5 * 10


def test_seeds_and_folds_are_trained_too() -> None:
    params = {"epochs": 5, "batch_size": 100}
    table = SEARCH | {"space": {"learning_rate": RATES}, "params": params}
    once = steps(table, learning_rate=0.01)
    assert steps(table | {"seeds": 3}, learning_rate=0.01) == 3 * once
    assert steps(table | {"data": {"name": "digits", "folds": 4}}, learning_rate=0.01) == 4 * once


def test_arms_of_a_comparison_share_what_they_have_in_common() -> None:
    arms = [
        {"name": "slow", "learning_rate": 0.01},
        {"name": "fast", "learning_rate": 0.1, "epochs": 10},
        {"name": "wide", "hidden_units": [256]},
    ]
    table = {
        "name": "c", "kind": "comparison", "data": {"name": "digits"}, "seeds": 3, "arms": arms,
        "params": {"epochs": 5, "batch_size": 100},
    }  # fmt: skip
    assert steps(table, learning_rate=0.01) == 3 * (5 + 10) * 10
    assert steps(table, hidden_units=[256]) == 3 * 5 * 10


@given(trials=st.integers(1, 80), epochs=st.integers(1, 100), batch=st.integers(1, 1000))
def test_at_least_the_trial_itself_is_planned(trials: int, epochs: int, batch: int) -> None:
    space = {"hidden_units": [[units] for units in range(1, 30)], "activation": ["relu", "tanh", "elu"]}
    params = {"epochs": epochs, "batch_size": batch}
    table = SEARCH | {"trials": trials, "space": space, "params": params}
    own = epochs * MlpHyperparameters(batch_size=batch).steps_per_epoch(1000)
    assert own <= steps(table, hidden_units=[8], activation="elu") <= trials * own
