"""Given configurations first, and spaces that grow: nothing is discarded, nothing twice, budgets exact."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.trial import FrozenTrial, TrialState

from hpo.errors import SpecError
from hpo.search import START_ATTRIBUTE, first_withdrawn, plan
from hpo.spec import StudySpec, changes, parse

TABLE: dict[str, Any] = {
    "name": "s",
    "kind": "search",
    "data": {"name": "digits"},
    "confirm": False,
    "sampler": {"name": "random", "seed": 0},
}
CHOICES = [0.0, 0.1, 0.2, 0.3, 0.4]


def planned(spec: StudySpec, trials: list[FrozenTrial]) -> list[FrozenTrial]:
    """All trials once somebody has planned, who takes turns with nobody."""
    held = list(trials)
    while (first := first_withdrawn(spec, held)) is not None:
        del held[first:]
    for trial in plan(spec, held):
        trial.number = len(held)
        held.append(trial)
    return held


def end(trials: list[FrozenTrial], count: int) -> None:
    for trial in trials[:count]:
        trial.state, trial.values = TrialState.COMPLETE, [0.5]


def configurations(trials: list[FrozenTrial]) -> list[str]:
    return [json.dumps(trial.params, sort_keys=True) for trial in trials]


@settings(deadline=None, max_examples=60)
@given(data=st.data(), name=st.sampled_from(["grid", "random"]))
def test_whatever_grows_no_trial_goes_and_none_is_trained_twice(data: st.DataObject, name: str) -> None:
    table = TABLE | {"sampler": {"name": name, "seed": data.draw(st.integers(0, 3))}}
    dropout = data.draw(st.lists(st.sampled_from(CHOICES), min_size=1, max_size=3, unique=True))
    low, high, size = 16, 24, 2 * len(dropout)
    held: list[FrozenTrial] = []
    starts: list[dict[str, Any]] = []
    for _ in range(data.draw(st.integers(1, 4))):
        space = {"dropout": dropout, "batch_size": {"low": low, "high": high, "step": 8}}
        trials = data.draw(st.integers(max(1, len(starts)), size))
        spec = parse(table | {"space": space, "trials": trials, "start_with": list(starts)}, source="s")
        begun = sum(trial.state != TrialState.WAITING for trial in held)
        before = configurations(held[:begun])
        held = planned(spec, held)
        assert configurations(held[:begun]) == before
        assert len(held) == max(trials, begun)
        assert len(set(configurations(held))) == len(held)
        assert planned(spec, held) == held
        end(held, data.draw(st.integers(begun, len(held))))
        new = data.draw(st.lists(st.sampled_from(CHOICES), max_size=2, unique=True))
        dropout = data.draw(st.permutations([*dropout, *(choice for choice in new if choice not in dropout)]))
        high += 8 * data.draw(st.integers(0, 1))
        size = len(dropout) * ((high - low) // 8 + 1)
        one = {"dropout": data.draw(st.sampled_from(dropout)), "batch_size": high}
        starts += [one] if one not in starts and len(starts) < size else []


@pytest.mark.parametrize("name", ["tpe", "random", "grid"])
def test_given_configurations_come_before_what_waits(name: str) -> None:
    space = {"dropout": CHOICES, "batch_size": [16, 32]}
    table = TABLE | {"sampler": {"name": name, "seed": 0}, "space": space, "trials": 8}
    spec = parse(table, source="s")
    held = planned(spec, [])
    end(held, 2)
    starts = [{"dropout": 0.4, "batch_size": 32}, {"dropout": 0.3, "batch_size": 32}]
    asked = parse(table | {"start_with": starts}, source="s")
    assert [(change.key, change.extends) for change in changes(spec, asked)] == [("start_with", True)]
    assert [change.extends for change in changes(asked, spec)] == [False]
    again = planned(asked, held)
    assert len(again) == 8
    given_ones = [trial.number for trial in again if START_ATTRIBUTE in trial.user_attrs]
    assert given_ones == [2, 3][: len(given_ones)]
    assert given_ones or name != "tpe"
    made = set(configurations(again))
    assert {json.dumps(start, sort_keys=True) for start in starts} <= made


def test_starts_stay_what_they_are_when_lists_of_a_fixed_length_grow() -> None:
    table = TABLE | {"sampler": {"name": "tpe"}, "trials": 9}
    first, second = ({"hidden_units": units, "dropout": 0.1} for units in ([32, 64], [32]))
    before, after = (
        parse(
            table
            | {
                "space": {"hidden_units": {"layers": layers, "units": [32, 64]}, "dropout": CHOICES},
                "start_with": starts,
            },
            source="s",
        )
        for layers, starts in (([2, 2], [first]), ([1, 3], [first, second]))
    )
    found = {change.key: change.extends for change in changes(before, after)}
    assert found == {"space.hidden_units": True, "start_with": True}


@pytest.mark.parametrize(
    ("start", "rule"),
    [
        ({"dropout": 0.15, "batch_size": 16}, r"dropout: must lie in the space"),
        ({"dropout": 0.1}, r"batch_size: must be given"),
        ({"dropout": 0.1, "batch_size": 16, "momentum": 0.9}, r"momentum: is no hyperparameter of"),
        ({"dropout": 0.1, "batch_size": 16.0}, r"batch_size: must lie in the space"),
        (3, r"start_with\[1\]: must be a table"),
    ],
)
def test_what_a_search_cannot_start_with(start: Any, rule: str) -> None:
    space = {"dropout": CHOICES, "batch_size": {"low": 8, "high": 64}}
    with pytest.raises(SpecError, match=rule):
        parse(TABLE | {"space": space, "trials": 8, "start_with": [start]}, source="s")


@pytest.mark.parametrize(
    ("old", "new", "may"),
    [
        ({"low": 0.1, "high": 0.3}, {"low": 0.1, "high": 0.4}, True),
        ({"low": 0.1, "high": 0.3}, {"low": 0.2, "high": 0.4}, False),
        ({"low": 0.1, "high": 0.3, "step": 0.1}, {"low": 0.0, "high": 0.3, "step": 0.05}, True),
        ({"low": 0.1, "high": 0.3, "step": 0.1}, {"low": 0.05, "high": 0.35, "step": 0.1}, False),
        ({"low": 0.1, "high": 0.3, "step": 0.1}, {"low": 0.1, "high": 0.3}, True),
        ({"low": 0.1, "high": 0.3}, {"low": 0.1, "high": 0.3, "log": True}, False),
        ([0.1, 0.2], [0.3, 0.2, 0.1], True),
        ([0.1, 0.2], [0.1, 0.3], False),
        ([0.1, 0.2], {"low": 0.1, "high": 0.2}, False),
    ],
)
def test_what_a_space_may_become(old: Any, new: Any, may: bool) -> None:
    tables = (
        TABLE | {"sampler": {"name": "tpe"}, "trials": 2, "space": {"dropout": one}} for one in (old, new)
    )
    before, after = (parse(table, source="s") for table in tables)
    assert [change.extends for change in changes(before, after)] == [may]
