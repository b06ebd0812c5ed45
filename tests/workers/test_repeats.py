"""A configuration that a search has trained before is answered from the database."""

from __future__ import annotations

import copy
import dataclasses
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState

from hpo import Study, StudySpec, create_study
from hpo.analysis.spending import spent
from hpo.search import repeats, room, seeds_of
from hpo.storage import Storage
from hpo.trials.outcome import Outcome, Replicate
from hpo.workers.worker import Worker
from tests.tiny_studies import SEARCH, worker_of

TABLE = SEARCH | {"name": "again", "trials": 3, "space": {"learning_rate": {"low": 0.01, "high": 0.5}}}
RATE = 0.125


class Counting:
    """A runner that trains nothing, and counts."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, trial: Any, hyperparameters: Any, **_: Any) -> Outcome:
        self.calls += 1
        if hyperparameters.learning_rate == 0.25 and self.calls == 1:
            raise RuntimeError("this once")
        trial.report(0.5, 1)
        trial.report(0.75, 2)
        metrics = {"val_accuracy": 0.75, "epochs_run": 2.0, "train_seconds": 1.0 + self.calls}

        runs = [Replicate(seed=0, fold=None, metrics=metrics)]
        return Outcome(TrialState.COMPLETE, value=0.75, metrics=metrics, replicates=runs, loop="graph")


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return create_study(
        StudySpec(**TABLE), storage=f"sqlite:///{tmp_path}/hpo.db", artifact_dir=tmp_path / "artifacts"
    )


def test_what_has_been_trained_is_answered_from_the_database_and_costs_nothing(study):
    for _ in range(3):
        study.optuna.enqueue_trial({"learning_rate": RATE})
    runner = Counting()
    worker = worker_of(study, runner=lambda _: runner)
    assert worker.run(exit_when_idle=True) == 6
    assert runner.calls == 4
    first, *others = [trial for trial in study.all_trials if trial.params["learning_rate"] == RATE]
    assert first.reason is None
    for other in others:
        assert other.reason == f"as #{first.number}"
        assert (other.state, other.value, other.metrics) == (first.state, first.value, first.metrics)
        assert (other.reported, other.replicates, other.loop) == (
            first.reported,
            first.replicates,
            first.loop,
        )
    # Of the limits: what was not trained took no epochs of them.
    limited = study.spec.model_copy(update={"max_epochs_total": 4 * 2 + 3, "trials": 7})
    assert room(limited, study.frozen_trials).trials == 7


def test_what_breaks_a_constraint_breaks_it_as_another_one_too(tmp_path: Path) -> None:
    rule = "val_loss <= 0.5"
    table = TABLE | {"constraints": [rule]}
    study = create_study(
        StudySpec(**table), storage=f"sqlite:///{tmp_path}/hpo.db", artifact_dir=tmp_path / "artifacts"
    )
    for _ in range(2):
        study.optuna.enqueue_trial({"learning_rate": RATE})
    counting = Counting()

    def runner(trial: Any, hyperparameters: Any, **keys: Any) -> Outcome:
        if hyperparameters.learning_rate != RATE:
            return counting(trial, hyperparameters, **keys)
        found = counting(trial, hyperparameters, **keys)
        broken = {"constraints": {rule: 0.4}, "reason": "val_loss 0.9"}
        return dataclasses.replace(found, value=0.99, **broken)

    worker_of(study, runner=lambda _: runner).run(exit_when_idle=True)
    of_rate = [trial for trial in study.frozen_trials if trial.params["learning_rate"] == RATE]
    assert [trial.user_attrs["infeasible"] for trial in of_rate] == [True, True]
    assert [trial.constraints for trial in of_rate] == [{rule: 0.4}] * 2
    first = of_rate[0].number
    assert [trial.user_attrs["reason"] for trial in of_rate] == [
        "val_loss 0.9",
        f"as #{first}: val_loss 0.9",
    ]
    assert study.best.params["learning_rate"] != RATE
    assert study.summary.best_value == 0.75
    # Of the epochs that were spent the copy has none.
    assert spent(study.all_trials)[-1].epochs == 2 * counting.calls == 2 * 4


@pytest.mark.slow
def test_workers_at_once_repeat_nothing_on_the_same_seeds(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/hpo.db"
    table = TABLE | {
        "name": "repeating",
        "space": {"dropout": [0.1, 0.2]},
        "start_with": [{"dropout": 0.2}],
        "sampler": {"name": "tpe"},
        "repeats": True,
        "trials": 40,
    }
    study = create_study(StudySpec(**table), storage=url, artifact_dir=tmp_path / "artifacts")

    def runner(trial: Any, hyperparameters: Any, **keys: Any) -> Outcome:
        time.sleep(0.01)
        return Counting()(trial, hyperparameters, **keys)

    def work() -> None:
        storage = Storage(url, artifact_dir=tmp_path / "artifacts")
        Worker(storage, ["repeating"], runner=lambda _: runner).run(exit_when_idle=True)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    trials = study.frozen_trials
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 40
    done = [(trial.params["dropout"], trial.user_attrs["repeat"]) for trial in trials]
    assert len(set(done)) == 40
    for dropout in (0.1, 0.2):
        found = sorted(repeat for of, repeat in done if of == dropout)
        assert found == list(range(len(found)))


def test_what_failed_is_trained_again(study):
    study.optuna.enqueue_trial({"learning_rate": 0.25})
    study.optuna.enqueue_trial({"learning_rate": 0.25})
    runner = Counting()
    runner.calls = -3  # the planned ones come first
    worker_of(study, runner=lambda _: runner).run(exit_when_idle=True)
    assert [trial.state for trial in study.all_trials] == ["complete"] * 3 + ["failed", "complete"]
    assert study.all_trials[4].reason is None


def test_repeats_that_are_asked_for_have_seeds_of_their_own_far_from_those_of_a_race(study):
    trials = study.frozen_trials
    same = [copy.copy(trials[0]) for _ in range(3)]
    for number, trial in enumerate(same):
        trial.number = number
        trial.params = {"learning_rate": RATE}
    racing = copy.copy(same[0])
    racing.user_attrs = {"confirms": 0, "seed": 1}
    # Whichever of them draws first.
    for number, trial in enumerate((same[2], same[0], same[1])):
        assert repeats([*same, racing], trial) == number
        trial.user_attrs = {"repeat": number}
    # Those of versions that did not say so are all trained on the first seeds.
    same[0].user_attrs, same[0].state = {}, TrialState.RUNNING
    assert repeats([same[0], same[1]], same[1]) == 0
    same[0].user_attrs = {"hyperparameters": {}}
    assert repeats([same[0], same[1]], same[1]) == 1
    same[0].user_attrs, same[0].state = {}, TrialState.COMPLETE
    assert repeats([same[0], same[1]], same[1]) == 1
    seeds = [seed for repeat in range(3) for seed in seeds_of(2, repeat)]
    assert len(set(seeds)) == 6
    assert seeds[:2] == [0, 1]
    assert min(seeds[2:]) >= 10_000
