"""A configuration that a search has trained before is answered from the database."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState

from hpo import Study, StudySpec, create_study
from hpo.search import repeats, room, seeds_of
from hpo.trials.outcome import Outcome, Replicate
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
    assert [repeats([*same, racing], trial) for trial in same] == [0, 1, 2]
    seeds = [seed for repeat in range(3) for seed in seeds_of(2, repeat)]
    assert len(set(seeds)) == 6
    assert seeds[:2] == [0, 1]
    assert min(seeds[2:]) >= 10_000
