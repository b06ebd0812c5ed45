"""A search that an earlier version stored means what it meant then, opens, goes on and is reported."""

from __future__ import annotations

import json
from typing import Any

import pytest

from hpo import create_study, open_study
from hpo.errors import StudyError
from hpo.registry import SPEC_ATTRIBUTE
from hpo.spec import SearchSpec, to_json
from hpo.storage import Storage
from tests.registry.test_growth import SEARCH, end_all

SIX: dict[str, Any] = SEARCH | {
    "name": "older",
    "trials": 6,
    "space": {"learning_rate": [0.001, 0.01, 0.1], "dropout": [0.1, 0.2]},
}
# Of format 1.
KEYS = {
    "name",
    "kind",
    "data",
    "objective",
    "params",
    "task",
    "seeds",
    "sampler",
    "pruner",
    "space",
    "trials",
}


def test_a_search_of_format_1_may_repeat_itself(storage: Storage) -> None:
    study = create_study(SIX, storage=storage)
    end_all(study, 4)
    stored = {key: value for key, value in to_json(study.spec).items() if key in KEYS}
    stored |= {"format": 1, "trials": 12}
    storage.set_study_attribute(study.id, SPEC_ATTRIBUTE, json.loads(json.dumps(stored)))
    opened = open_study("older", storage=storage)
    spec = opened.spec
    assert isinstance(spec, SearchSpec)
    assert (spec.strategy, spec.trials, spec.repeats, spec.race, spec.size) == ("tpe", 12, True, None, 6)
    end_all(opened)
    trials = opened.all_trials
    assert [trial.state for trial in trials] == ["complete"] * 12
    assert len({json.dumps(trial.params) for trial in trials}) <= 6
    assert opened.summary.progress == "search of 12 trials: 12 complete"
    best = max(trials, key=lambda trial: (trial.value or 0.0, -trial.number))
    assert f"#{best.number} has the highest val_accuracy of 12 complete trials" in opened.headline


def test_a_search_of_format_2_that_named_no_sampler_goes_on_by_its_file(
    storage: Storage, caplog: pytest.LogCaptureFixture
) -> None:
    """Then the default was TPE; the same file means `auto` now, and no trial is lost by that."""
    asked = SEARCH | {"name": "older"}
    study = create_study(asked, storage=storage)
    stored = to_json(study.spec) | {"format": 2}
    storage.set_study_attribute(study.id, SPEC_ATTRIBUTE, json.loads(json.dumps(stored)))
    opened = open_study("older", storage=storage)
    assert isinstance(opened.spec, SearchSpec)
    assert opened.spec.strategy == "tpe"
    end_all(opened, 3)
    before = [trial.params for trial in opened.all_trials if trial.state == "complete"]
    again = create_study(asked, storage=storage)
    assert "older: sampler was tpe and is gp, which learns from all earlier trials" in caplog.messages
    end_all(again)
    assert [trial.params for trial in again.all_trials][:3] == before
    assert [trial.state for trial in again.all_trials] == ["complete"] * 5
    with pytest.raises(StudyError, match=r"sampler\.name was 'auto' and is 'random'"):
        create_study(asked | {"sampler": {"name": "random"}}, storage=storage)
