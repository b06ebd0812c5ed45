"""What is read of a trial is what was trained, whatever the defaults are by now."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import hpo
from tests.command import quick
from tests.recorded import comparison, created, record
from tests.tiny_studies import execute


def store(study: hpo.Study, number: int, **changes: object) -> None:
    """Let a trial have been begun with other hyperparameters than today's."""
    begun = study.spec.hyperparameters_for(study.spec.arms[0].params).model_dump(mode="json") | changes
    text = json.dumps(begun).replace("'", "''")
    trial = f"(SELECT trial_id FROM trials WHERE number = {number})"
    execute(
        study.storage,
        "INSERT INTO trial_user_attributes (trial_id, key, value_json)"
        f" VALUES ({trial}, 'hyperparameters', '{text}')",
    )


def test_what_the_worker_stored_is_what_every_door_says(tmp_path: Path) -> None:
    study = created(comparison(["a", "b"], seeds=1), tmp_path)
    record(study, lambda arm, seed: {"val_accuracy": 0.8, "val_loss": 0.5, "train_seconds": 1.0})
    store(study, 0, activation="tanh")
    assert study.all_trials[0].hyperparameters["activation"] == "tanh"
    assert study.all_trials[1].hyperparameters["activation"] == "relu"
    told = json.loads(quick("trials", "comparison", "--format", "json", folder=tmp_path).stdout)
    assert [trial["hyperparameters"]["activation"] for trial in told] == ["tanh", "relu"]
    arms = json.loads(quick("compare", "comparison", "--format", "json", folder=tmp_path).stdout)["arms"]
    assert {arm["arm"]: arm["differs"]["activation"] for arm in arms} == {"a": "tanh", "b": "relu"}


@pytest.mark.slow
def test_what_another_version_stored_is_shown_as_it_is(tmp_path: Path) -> None:
    study = created(comparison(["a", "b"], seeds=1), tmp_path)
    store(study, 0, warmup=3)
    assert study.all_trials[0].hyperparameters["warmup"] == 3
