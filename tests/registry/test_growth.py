"""A search whose space grows: every earlier trial stays, counts and is shown, and none is trained twice."""

from __future__ import annotations

import json
import logging
from typing import Any

import optuna
import pytest

from hpo import create_study, open_study
from hpo.dashboard.arm_parameters import ShownTrials
from hpo.errors import HpoError, StudyError
from hpo.search import ShowingSampler, suggest
from hpo.spec import SearchSpec
from hpo.storage import Storage
from hpo.studies import Study

SEARCH: dict[str, Any] = {
    "name": "growing",
    "kind": "search",
    "confirm": False,
    "data": {"name": "digits"},
    "trials": 5,
    "params": {"hidden_units": [4], "epochs": 2, "batch_size": 64},
    "space": {"learning_rate": {"low": 1e-3, "high": 0.1, "log": True}, "dropout": [0.1, 0.2]},
}
GROWN = SEARCH | {
    "params": {"hidden_units": [4], "epochs": 2},
    "space": {
        "learning_rate": {"low": 1e-3, "high": 0.5, "log": True},
        "dropout": [0.2, 0.3, 0.1],
        "batch_size": [32, 64],
    },
    "start_with": [{"learning_rate": 0.3, "dropout": 0.3, "batch_size": 32}],
}


def end_all(study: Study, most: int = 1000) -> None:
    """End the trials that wait as a worker does that learns nothing from them."""
    for _ in range(most):
        study.plan()
        claim = study.storage.claim([study.id], owner="w", seconds=60.0)
        if claim is None:
            return
        of = study.optuna_for(claim.number)
        trial = optuna.trial.Trial(of, claim.trial_id)
        assert isinstance(study.spec, SearchSpec)
        suggest(trial, study.spec)
        value = abs(trial.params["learning_rate"] - 0.05) + trial.params["dropout"]
        claim.finish(optuna.trial.TrialState.COMPLETE, value=value, attributes={})


def test_who_has_read_the_trials_before_sees_what_they_have_since_the_space_grew(storage: Storage) -> None:
    """A dashboard, which opens studies anew on the one storage that it has."""
    end_all(create_study(SEARCH, storage=storage))
    other = Storage(storage.url)
    shown = ShownTrials(other.rdb)
    study_id = open_study("growing", storage=other).id
    for grown in (False, True):
        if grown:
            create_study(GROWN, storage=storage)
        trials = open_study("growing", storage=other).all_trials
        served = [trial for trial in shown.get_all_trials(study_id) if trial.params]
        assert {trial.params.get("batch_size") for trial in trials if trial.value} == {64 if grown else None}
        assert {trial.params.get("batch_size") for trial in served if trial.value} == {64 if grown else None}


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_a_grown_space_keeps_every_trial(
    sampler: str, storage: Storage, caplog: pytest.LogCaptureFixture
) -> None:
    named = {"sampler": {"name": sampler, "seed": 0}}
    study = create_study(SEARCH | named, storage=storage)
    end_all(study, 4)
    before = study.all_trials
    with caplog.at_level(logging.WARNING):
        create_study(GROWN | named | {"trials": 12}, storage=storage)
    (line,) = [text for text in caplog.messages if "grown" in text]
    assert line.startswith("growing: space has grown: ")
    assert "dropout may be 0.3, learning_rate up to 0.5, batch_size varies; 4 earlier trials stay" in line
    end_all(study)
    after = study.all_trials
    assert [(t.number, t.value) for t in after[:4]] == [(t.number, t.value) for t in before[:4]]
    for old, new in zip(before[:4], after, strict=False):
        assert new.params == {**old.params, "batch_size": 64}
    assert len(after) == 12
    assert all(trial.state == "complete" for trial in after)
    assert any(trial.params["dropout"] == 0.3 for trial in after)
    # What it starts with from now on came before what only waited.
    starts = [trial.number for trial in after if trial.params["learning_rate"] == 0.3]
    assert len(starts) == 1
    assert starts[0] <= 5
    assert len({json.dumps(trial.params, sort_keys=True) for trial in after}) == 12
    # Optuna's own see one space.
    plain = optuna.load_study(study_name="growing", storage=storage.url)
    assert len(plain.trials) == 12
    assert set(optuna.importance.get_param_importances(plain)) == {"learning_rate", "dropout", "batch_size"}
    with pytest.raises(StudyError, match=r"space\.dropout was"):
        create_study(SEARCH | named, storage=storage)


def test_what_it_is_to_start_with_is_trained_or_said_to_have_no_trial_left(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    study = create_study(SEARCH, storage=url)
    end_all(study)
    asked = SEARCH | {"start_with": [{"learning_rate": 0.01, "dropout": 0.2}]}
    line = "growing: no trial is left for 1 configuration of start_with. Raise trials."
    with caplog.at_level(logging.WARNING):
        assert create_study(asked, storage=study.storage).plan() == 0
    assert line in caplog.messages
    caplog.clear()
    assert create_study(asked | {"trials": 6}, storage=study.storage).plan() == 1
    assert line not in caplog.messages
    end_all(study)
    assert study.all_trials[5].params == asked["start_with"][0]
    # What is trained already is no further one.
    again = [*asked["start_with"], study.all_trials[0].params]
    create_study(asked | {"trials": 6, "start_with": again}, storage=study.storage)
    assert line not in caplog.messages


def test_a_search_starts_from_another_one(url: str, caplog: pytest.LogCaptureFixture) -> None:
    first = create_study(SEARCH | {"name": "first"}, storage=url)
    end_all(first)
    best = min(first.all_trials, key=lambda trial: -(trial.value or 0.0))
    wider = SEARCH["space"] | {"dropout": [0.0, 0.1, 0.2]}
    asked = SEARCH | {"name": "second", "space": wider, "start_from": "first"}
    with caplog.at_level(logging.WARNING):
        second = create_study(asked, storage=first.storage)
    line = f"second: starts with #{best.number} of first, and its sampler knows 5 of its 5 trials"
    assert line in caplog.messages
    with caplog.at_level(logging.WARNING):
        params = SEARCH["params"] | {"epochs": 3, "batch_size": 32}
        create_study(asked | {"name": "longer", "params": params}, storage=first.storage).delete()
    said = line.replace("second:", "longer:") + "; else than there: batch_size=32, epochs=3"
    assert said in caplog.messages
    first.delete()
    end_all(second)
    assert second.all_trials[0].params == best.params
    assert len(second.all_trials) == 5
    sampler = second.optuna_for(4).sampler
    assert isinstance(sampler, ShowingSampler)
    seen = sampler._shown(second.optuna)
    assert len(seen.get_trials()) == 10
    assert {str(trial.distributions["dropout"]) for trial in seen.get_trials()} == {
        "CategoricalDistribution(choices=(0.0, 0.1, 0.2))"
    }
    # What it took over is its own by now.
    assert create_study(asked, storage=first.storage).plan() == 0
    for wrong, rule in (
        ({"start_from": "secnd"}, "Did you mean 'second'"),
        ({"start_from": "third"}, "must be another study"),
        ({"start_from": "second", "objective": {"metric": "val_loss"}}, "must be a search of the same"),
    ):
        with pytest.raises(HpoError, match=rule):
            create_study(SEARCH | {"name": "third"} | wrong, storage=first.storage)
    assert [row.name for row in first.storage.overview()] == ["second"]
