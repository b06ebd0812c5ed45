"""Workers with other versions than a study was made with say so, or leave the study alone."""

from __future__ import annotations

import logging

import pytest

from hpo.errors import WorkerError
from hpo.versions import versions
from hpo.workers import trained_with as module
from tests.tiny_studies import SEARCH, execute, new_studies, states, worker_of


@pytest.fixture
def other_keras(monkeypatch):
    """A worker's machine has another Keras, and another patch of Python."""
    monkeypatch.setattr(module, "versions", lambda: versions() | {"keras": "3.14.9", "python": "3.11.99"})


@pytest.fixture
def made_here(monkeypatch):
    monkeypatch.setattr("hpo.registry.registration.versions", lambda: versions() | {"python": "3.11.0"})


@pytest.mark.slow
def test_other_versions_are_said_once_and_recorded_with_each_trial(made_here, other_keras, tmp_path, caplog):
    (study,) = new_studies(f"sqlite:///{tmp_path}/hpo.db", tmp_path, SEARCH | {"trials": 2})
    worker_of(study).run(max_trials=2)
    keras = versions()["keras"]
    line = f"study 'random' was made with keras {keras}, and is trained here with keras 3.14.9"
    assert [record.message for record in caplog.records].count(line) == 1
    for trial in study.all_trials:
        assert trial.other_versions == {"keras": keras}
        assert trial.versions["keras"] == "3.14.9"
        assert trial.versions["python"] == "3.11.99"


@pytest.mark.slow
def test_a_strict_study_is_left_to_others_which_train_it_and_costs_no_other_study(
    made_here, other_keras, tmp_path, monkeypatch, caplog
):
    strict, free = new_studies(
        f"sqlite:///{tmp_path}/hpo.db",
        tmp_path,
        SEARCH | {"trials": 1, "strict_versions": True},
        SEARCH | {"name": "free", "trials": 1},
    )
    with pytest.raises(WorkerError, match="cannot be trained"):
        worker_of(strict, free).run(exit_when_idle=True)
    assert (states(strict), states(free)) == (["waiting"], ["complete"])
    (trial,) = strict.all_trials
    keras = versions()["keras"]
    assert trial.reason == (
        f"study 'random': was made with keras {keras}, and must be trained with that, as strict_versions"
        " says, but got 'keras 3.14.9'. Install what it was made with."
    )
    assert trial.retries == 0
    monkeypatch.undo()
    with caplog.at_level(logging.WARNING):
        worker_of(strict).run(exit_when_idle=True)
    (trial,) = strict.all_trials
    assert (trial.state, trial.other_versions, trial.reason) == ("complete", None, None)


@pytest.mark.long
def test_a_study_of_an_earlier_version_is_of_the_versions_of_its_first_trial(tmp_path, monkeypatch):
    (study,) = new_studies(f"sqlite:///{tmp_path}/hpo.db", tmp_path, SEARCH | {"trials": 3})
    execute(study.storage, "DELETE FROM study_user_attributes WHERE key = 'versions'")
    study.refresh()
    assert study.versions == {}
    with monkeypatch.context() as patched:
        patched.setattr(module, "versions", lambda: versions() | {"tensorflow": "2.20.0"})
        worker_of(study).run(max_trials=1)
    worker_of(study).run(max_trials=1)
    first, second, _ = study.all_trials
    assert first.other_versions is None
    assert second.other_versions == {"tensorflow": "2.20.0"}


def test_strict_versions_may_be_changed_later(tmp_path):
    url = f"sqlite:///{tmp_path}/hpo.db"
    new_studies(url, tmp_path, SEARCH)
    (study,) = new_studies(url, tmp_path, SEARCH | {"strict_versions": True})
    assert study.spec.strict_versions
