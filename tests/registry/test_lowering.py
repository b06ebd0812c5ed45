"""A budget that is lowered: what has begun ends and counts, what waits is withdrawn; and raised again."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from hpo import Study, StudySpec, create_study, open_study
from hpo.storage import Storage
from hpo.trials import Outcome
from hpo.workers.worker import Worker
from tests.command import quick
from tests.forks import CONTEXT
from tests.tiny_studies import eventually, states

SEARCH: dict[str, Any] = {
    "name": "search",
    "kind": "search",
    "confirm": False,
    "data": {"name": "digits"},
    "trials": 5,
    "sampler": {"name": "random", "seed": 0},
    "params": {"hidden_units": [4], "epochs": 2},
    "space": {"learning_rate": {"low": 1e-3, "high": 0.5, "log": True}},
}
FILE = """
name = "search"
kind = "search"
data = { name = "digits" }
trials = 5
sampler = { name = "SAMPLER" }
[params]
hidden_units = [4]
epochs = 2
[space]
learning_rate = { low = 1e-3, high = 0.5, log = true }
"""


def counted(name: str, folder: Path) -> dict[str, Any]:
    (found,) = json.loads(quick("list", "--format", "json", folder=folder).stdout)
    assert found["name"] == name
    return {"planned": found["planned"], **{state: n for state, n in found["counts"].items() if n}}


def planned(study: Study) -> list[Any]:
    return [(trial.number, trial.params, trial.seed, trial.arm) for trial in study.all_trials]


@pytest.mark.slow
@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_the_unchanged_file_takes_back_what_trials_of_the_command_line_added(
    sampler: str, tmp_path: Path
) -> None:
    (tmp_path / "study.toml").write_text(FILE.replace("SAMPLER", sampler))
    assert quick("create", "study.toml", folder=tmp_path).returncode == 0
    study = open_study("search", storage=f"sqlite:///{tmp_path / 'hpo.db'}")
    first = planned(study)
    study = create_study(study.spec.model_copy(update={"trials": 9}), storage=study.storage)
    raised = planned(study)
    assert counted("search", tmp_path) == {"planned": 9, "waiting": 9}
    done = quick("create", "study.toml", folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "search: 5 trials to train. Run: hpo resume search\n")
    assert counted("search", tmp_path) == {"planned": 5, "waiting": 5}
    assert planned(study) == first == raised[:5]
    assert planned(create_study(study.spec.model_copy(update={"trials": 9}), storage=study.storage)) == raised


def test_seeds_of_a_comparison_are_lowered_and_arms_are_not(url: str) -> None:
    arms = [{"name": "a", "learning_rate": 0.1}, {"name": "b", "learning_rate": 0.2}]
    table = {"name": "c", "kind": "comparison", "data": {"name": "digits"}, "arms": arms}
    study = create_study(StudySpec(**table, seeds=4), storage=url)
    before = planned(study)
    for _ in range(5):  # both arms of two seeds, and one arm of the third
        study.storage.claim([study.id], owner="test", seconds=60)
    study = create_study(StudySpec(**table, seeds=2), storage=study.storage)
    assert study.summary.planned == 4
    assert states(study) == ["running"] * 5
    raised = create_study(StudySpec(**table, seeds=3), storage=study.storage)
    assert planned(raised) == before[:6]
    fewer = StudySpec(**table | {"arms": [arms[0], {"name": "c", "learning_rate": 0.3}]}, seeds=3)
    with pytest.raises(Exception, match='is taken by another specification: arms "b" was'):
        create_study(fewer, storage=study.storage)


def test_a_planner_that_read_the_larger_number_adds_nothing_after_it_was_lowered(url: str) -> None:
    study = create_study(
        StudySpec(
            **SEARCH,
        ),
        storage=url,
    )
    behind = open_study("search", storage=Storage(url))
    asked = create_study(StudySpec(**SEARCH | {"trials": 2}), storage=study.storage)
    # What it does between its look at the study and its plan.
    assert not behind._is_planned(behind.storage.rdb.get_all_trials(behind.id))
    assert len(asked.all_trials) == 2
    assert behind.plan() == 2


def work(url: str, folder: Path) -> None:
    """A worker of the study, whose trials take a moment and need no TensorFlow."""

    def train(trial: optuna.trial.Trial, *_: Any, **__: Any) -> Outcome:
        for epoch in range(1, 4):
            time.sleep(0.05)
            trial.report(0.5, epoch)
        return Outcome(TrialState.COMPLETE, 0.5, None, {"val_accuracy": 0.5}, [])

    Worker(Storage(url, artifact_dir=folder), ["search"], runner=lambda _: train).run()


@pytest.mark.slow
def test_workers_train_on_while_a_study_is_lowered_and_raised(
    new_database: Callable[[], str], tmp_path: Path
) -> None:
    storage = Storage(new_database(), artifact_dir=tmp_path / "artifacts", create=True)
    table = SEARCH | {"sampler": {"name": "tpe"}, "trials": 40}
    study = create_study(StudySpec(**table), storage=storage)
    workers = [CONTEXT.Process(target=work, args=(storage.url, tmp_path), daemon=True) for _ in range(2)]
    for worker in workers:
        worker.start()

    def complete() -> int:
        return study.summary.counts["complete"]

    def nothing_waits() -> bool:
        counts = study.summary.counts
        return counts["waiting"] + counts["running"] == 0

    eventually(lambda: complete() >= 2)
    create_study(StudySpec(**table | {"trials": 3}), storage=Storage(storage.url))
    eventually(nothing_waits)
    # What had begun has ended, and counts.
    ended = complete()
    assert 3 <= ended < 20
    assert (study.summary.planned, len(study.all_trials)) == (3, ended)
    create_study(StudySpec(**table | {"trials": ended + 3}), storage=storage)
    eventually(lambda: complete() == ended + 3)
    assert [trial.number for trial in study.all_trials] == list(range(ended + 3))
    assert all(worker.is_alive() for worker in workers)
    for worker in workers:
        worker.kill()
        worker.join()
