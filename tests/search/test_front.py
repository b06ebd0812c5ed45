"""Several objectives: what a study file may say, and which trials are on the front."""

from __future__ import annotations

from typing import Any

import pytest
from optuna.trial import TrialState, create_trial

from hpo.analysis import front_of
from hpo.analysis.front import dominated_volume, front_sentence
from hpo.errors import SpecError
from hpo.search import hypervolume, on_front
from hpo.spec import SearchSpec, from_json, to_json
from hpo.trials import Trial

TWO = [{"metric": "val_accuracy"}, {"metric": "parameters"}]


def search(**keys: Any) -> SearchSpec:
    table = {
        "name": "s",
        "kind": "search",
        "data": {"name": "digits"},
        "trials": 20,
        "objectives": TWO,
        "space": {"learning_rate": {"low": 1e-3, "high": 0.5}},
    }
    return SearchSpec(**{**table, **keys})


def trials(*values: tuple[float, float] | None) -> list[Trial]:
    found = []
    for number, pair in enumerate(values):
        state = TrialState.FAIL if pair is None else TrialState.COMPLETE
        frozen = create_trial(state=state, values=None if pair is None else list(pair))
        frozen.number = number
        found.append(Trial.of(search(), frozen))
    return found


def test_the_first_objective_is_the_objective():
    spec = search()
    assert [(o.metric, o.direction) for o in spec.objectives] == [
        ("val_accuracy", "maximize"),
        ("parameters", "minimize"),
    ]
    assert spec.objective == spec.objectives[0]
    # There is no leader to confirm.
    assert spec.race is None
    assert spec.searched == 20
    assert from_json(to_json(spec)) == spec


def test_a_study_of_one_objective_is_what_it_was():
    spec = SearchSpec(
        name="s",
        kind="search",
        data={"name": "digits"},
        trials=5,
        space={"dropout": [0.1, 0.2, 0.3, 0.4, 0.5]},
    )
    assert spec.objectives == (spec.objective,)
    assert "objectives" not in spec.content()
    assert "objectives" not in to_json(spec)


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        ({"objectives": TWO[:1]}, "objectives: must be at least two"),
        ({"objectives": []}, "objectives: must be at least two"),
        ({"objectives": [TWO[0], TWO[0]]}, "repeats an earlier one"),
        ({"objectives": [TWO[0], {}]}, "'metric' is missing"),
        ({"objectives": [{"metric": "val_accuracy", "at": "best"}, TWO[1]]}, "must be 'last'"),
        ({"objective": {"metric": "val_loss"}}, "objective: must be the first of objectives"),
        ({"objectives": [TWO[0], {"metric": "paramters"}]}, "paramters"),
        ({"confirm": {"top": 2, "seeds": 2}}, "confirm: needs one objective"),
        ({"stop_at": 0.9}, "stop_at: needs one objective"),
        ({"patience_trials": 5}, "patience_trials: needs one objective"),
    ],
)
def test_what_several_objectives_cannot_have_is_refused_in_one_line(keys, line):
    with pytest.raises(SpecError) as refused:
        search(**keys)
    assert line in str(refused.value)
    assert "\n" not in str(refused.value)


def test_the_front_begins_with_the_best_of_the_first_objective():
    spec = search()
    found = trials((0.90, 900.0), (0.95, 2000.0), None, (0.90, 1000.0), (0.80, 100.0), (0.90, 900.0))
    assert [trial.number for trial in front_of(spec, found)] == [1, 0, 5, 4]
    assert found[1].values == {"val_accuracy": 0.95, "parameters": 2000.0}
    assert found[1].value == 0.95
    assert found[2].values == {}


def test_the_hypervolume_of_a_search_only_grows():
    volumes = [
        volume for _, volume in dominated_volume(search(), trials((0.8, 100.0), (0.9, 200.0), (0.7, 300.0)))
    ]
    assert volumes == pytest.approx([0.1 * 200, 0.1 * 200 + 0.1 * 100, 0.1 * 200 + 0.1 * 100])


def test_nan_is_on_no_front_and_adds_no_volume():
    nan = float("nan")
    assert on_front([(nan, 0.0), (1.0, 1.0)]) == [False, True]
    assert on_front([]) == []
    assert hypervolume([(nan, 0.0), (1.0, 1.0)], (2.0, 2.0)) == 1.0


def test_the_headline_says_how_far_the_front_reaches():
    said = front_sentence(search(), trials((0.95, 2000.0), (0.8, 100.0), (0.7, 300.0)))
    assert said == (
        "2 of 3 complete trials are on the front of val_accuracy and parameters: "
        "val_accuracy 0.95, parameters 2000 (#0) to val_accuracy 0.8, parameters 100 (#1)."
    )
