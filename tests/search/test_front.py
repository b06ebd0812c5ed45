"""Several objectives: what a study file may say, and which trials are on the front."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState, create_trial

from hpo import plots
from hpo.analysis import front_of
from hpo.analysis.front import dominated_volume, front_sentence
from hpo.errors import SpecError
from hpo.search import (
    RUNGS_ATTRIBUTE,
    distributions,
    hypervolume,
    make_pruner,
    may_prune,
    on_front,
    reference_of,
    volumes,
)
from hpo.search.front import dominates
from hpo.search.shown import ShownStudy, Views
from hpo.spec import SearchSpec, from_json, to_json
from hpo.studies.frame import trials_frame
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
        ({"stop_at": 0.0}, "stop_at: needs one objective"),
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


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        ({"sampler": {"name": "gp"}}, "sampler.name: cannot take several objectives"),
        ({"start_from": "other"}, "start_from: needs one objective"),
        (
            {"pruner": {"name": "hyperband"}, "objectives": [TWO[0], {"metric": "f1"}]},
            "objectives[2].metric: must be reported by every epoch with pruner 'hyperband'",
        ),
    ],
)
def test_what_cannot_take_several_objectives_says_so_in_one_line(keys, line):
    with pytest.raises(SpecError) as refused:
        search(**keys)
    assert line in str(refused.value)
    assert "\n" not in str(refused.value)


def test_auto_takes_several_objectives():
    assert search(sampler={"name": "auto"}).strategy == "tpe"


def test_the_front_is_what_the_definition_says():
    draws = np.random.default_rng(0)
    for _ in range(30):
        losses = draws.integers(0, 6, (25, draws.integers(2, 4))).astype(float).tolist()
        assert on_front(losses) == [not any(dominates(other, own) for other in losses) for own in losses]


def test_volumes_are_those_of_each_beginning():
    losses = np.random.default_rng(1).uniform(size=(40, 2)).tolist()
    reference = reference_of(losses)
    expected = [hypervolume(losses[: count + 1], reference) for count in range(len(losses))]
    assert volumes(losses) == pytest.approx(expected)


def rungs(spec: SearchSpec, *reached: list[float] | None, epoch: int = 1) -> Any:
    """A study of trials that have reached these values at a rung."""
    found = []
    for number, values in enumerate(reached):
        attributes = {} if values is None else {RUNGS_ATTRIBUTE: {str(epoch): values}}
        trial = create_trial(state=TrialState.RUNNING, user_attrs=attributes)
        trial.number = number
        found.append(trial)
    return SimpleNamespace(get_trials=lambda deepcopy: found)


def pruned(spec: SearchSpec, study: Any) -> list[int]:
    pruner = make_pruner(spec)
    return [trial.number for trial in study.get_trials(deepcopy=False) if pruner.prune(study, trial)]


HALVING = {"name": "successive_halving", "reduction_factor": 2}


def test_what_is_dominated_and_behind_is_stopped():
    spec = search(pruner=HALVING, params={"epochs": 9})
    # The front, then one in the first half after it, then what is behind.
    reached = [
        [0.9, 900.0],
        [0.8, 100.0],
        [0.8, 200.0],
        *([0.5 - 0.1 * n, 950.0 + n] for n in range(4)),
        None,
    ]
    assert pruned(spec, rungs(spec, *reached)) == [3, 4, 5, 6]


def test_a_front_goes_on_however_large_it_is():
    spec = search(pruner=HALVING, params={"epochs": 9})
    front = [[0.1 * step, 100.0 * step] for step in range(9)]
    assert pruned(spec, rungs(spec, *front)) == []
    # As good in both is not better.
    assert pruned(spec, rungs(spec, [0.5, 100.0], [0.5, 100.0])) == []


def test_what_trains_a_leader_again_is_compared_with_nothing():
    spec = search(pruner=HALVING, params={"epochs": 9})
    study = rungs(spec, [0.9, 100.0], [0.8, 200.0])
    study.get_trials(deepcopy=False)[0].user_attrs["confirms"] = 1
    assert pruned(spec, study) == []


def test_the_median_pruner_waits_for_its_first_trials():
    spec = search(pruner={"name": "median", "startup_trials": 3}, params={"epochs": 9})
    four = [[0.9, 100.0], [0.8, 200.0], [0.7, 300.0], [0.6, 400.0]]
    assert pruned(spec, rungs(spec, *four[:3])) == []
    assert pruned(spec, rungs(spec, *four)) == [2, 3]
    assert [epoch for epoch in range(1, 10) if may_prune(spec, epoch)] == [1, 2, 4, 8]


def test_brackets_of_hyperband_begin_at_later_rungs():
    spec = search(pruner={"name": "hyperband", "reduction_factor": 3}, params={"epochs": 27})
    values = [[0.9 - 0.001 * n, 100.0 + n] for n in range(60)]
    stopped = {epoch: pruned(spec, rungs(spec, *values, epoch=epoch)) for epoch in (1, 3, 9)}
    assert 0 < len(stopped[1]) < len(stopped[3]) < len(stopped[9])
    # What may be stopped at the first rung may be stopped at all.
    assert set(stopped[1]) < set(stopped[9])


def test_samplers_do_not_see_what_was_pruned():
    spec = search()
    optuna_study = optuna.create_study(directions=["maximize", "minimize"])
    space = {"learning_rate": 0.01}
    for state, values in ((TrialState.PRUNED, None), (TrialState.COMPLETE, [0.9, 100.0])):
        optuna_study.add_trial(
            create_trial(state=state, values=values, params=space, distributions=distributions(spec))
        )
    assert [trial.number for trial in ShownStudy(optuna_study, Views(spec).of).get_trials()] == [1]


def test_the_figure_of_a_front_has_it_as_a_line():
    spec, found = search(), trials((0.95, 2000.0), (0.8, 100.0), (0.7, 300.0), None)
    figure = plots.front(spec.objectives, found, front_of(spec, found), dominated_volume(spec, found))
    behind, on, line, volume = figure.data
    assert (list(behind.x), list(on.x), list(on.y)) == ([300.0], [100.0, 2000.0], [0.8, 0.95])
    assert (list(line.x), line.line.shape) == ([100.0, 2000.0], "hv")
    assert list(volume.x) == [0, 1, 2]


def test_the_frame_has_a_column_for_each_objective():
    assert [*trials_frame(search(), trials(None)).columns[2:5]] == [
        "learning_rate",
        "val_accuracy",
        "parameters",
    ]
