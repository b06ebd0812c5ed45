"""What the replicates of a trial report together: the mean of each epoch, once, and when a trial ends."""

from __future__ import annotations

import math
import warnings
from pathlib import Path

import optuna
import pytest

from hpo.spec import Objective
from hpo.trials.progress import TrialProgress

METRIC = "val_accuracy"
ALWAYS = optuna.pruners.ThresholdPruner(lower=2.0)  # no accuracy reaches 2


@pytest.fixture
def study() -> optuna.Study:
    return optuna.create_study(direction="maximize", pruner=optuna.pruners.NopPruner())


def progress_of(trial: optuna.trial.Trial, *, replicates: int = 1, epochs: int = 5) -> TrialProgress:
    return TrialProgress(trial, Objective(metric=METRIC), METRIC, replicates=replicates, epochs=epochs)


def record(progress: TrialProgress, epoch: int, *values: float, replicates: range | None = None) -> None:
    for replicate, value in zip(replicates or range(len(values)), values, strict=True):
        progress.record(replicate, epoch, {"loss": 1.0, METRIC: value}, stopping=False)


def reported(study: optuna.Study) -> dict[int, float]:
    return study.trials[-1].intermediate_values


def test_the_mean_over_the_replicates_is_reported_as_the_step_of_its_epoch(study: optuna.Study) -> None:
    progress = progress_of(study.ask(), replicates=2)
    record(progress, 1, 0.25)
    assert reported(study) == {}
    record(progress, 1, 0.75, replicates=range(1, 2))
    record(progress, 2, 0.5, 1.0)
    assert reported(study) == {1: 0.5, 2: 0.75}
    assert progress.reported == [0.5, 0.75]


@pytest.mark.parametrize("leaver", [0, 1, 2])
def test_a_replicate_that_has_left_stands_with_its_last_epoch(study: optuna.Study, leaver: int) -> None:
    progress = progress_of(study.ask(), replicates=3)
    record(progress, 1, 0.3, 0.3, 0.3)
    progress.leave(leaver)
    for replicate in {0, 1, 2} - {leaver}:
        record(progress, 2, 0.6, replicates=range(replicate, replicate + 1))
    assert reported(study) == pytest.approx({1: 0.3, 2: 0.5})


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", ["loss", "val_loss", METRIC])
def test_what_is_not_finite_ends_the_trial_unreported(study: optuna.Study, name: str, value: float) -> None:
    progress = progress_of(study.ask(), replicates=2)
    record(progress, 1, 0.5, 0.5)
    progress.record(0, 2, {"loss": 1.0, METRIC: 0.5, name: value}, stopping=False)
    assert progress.ended
    assert not progress.pruned
    assert progress.failure == f"{name} is {value} at epoch 2"
    assert reported(study) == {1: 0.5}


def test_the_pruner_ends_the_trial(study: optuna.Study) -> None:
    study.pruner = optuna.pruners.ThresholdPruner(lower=0.5)
    progress = progress_of(study.ask(), replicates=2)
    record(progress, 1, 0.4, 0.8)
    assert not progress.ended
    record(progress, 2, 0.4, 0.5)
    assert progress.pruned
    assert progress.ended


def test_the_last_epoch_is_never_pruned(study: optuna.Study) -> None:
    study.pruner = optuna.pruners.ThresholdPruner(lower=2.0, n_warmup_steps=3)
    progress = progress_of(study.ask(), epochs=3)
    for epoch in (1, 2, 3):
        record(progress, epoch, 0.1)
    assert reported(study).keys() == {1, 2, 3}
    assert not progress.ended


def test_nor_is_the_epoch_in_which_the_last_replicates_stop_early(study: optuna.Study) -> None:
    study.pruner = ALWAYS
    progress = progress_of(study.ask(), replicates=2)
    progress.record(0, 1, {METRIC: 0.1}, stopping=True)
    progress.leave(0)
    progress.record(1, 1, {METRIC: 0.1}, stopping=True)
    assert not progress.ended


def test_the_trial_is_pruned_if_only_some_replicates_stop_early(study: optuna.Study) -> None:
    study.pruner = ALWAYS
    progress = progress_of(study.ask(), replicates=2)
    progress.record(0, 1, {METRIC: 0.1}, stopping=False)
    progress.record(1, 1, {METRIC: 0.1}, stopping=True)
    assert progress.pruned


@pytest.fixture
def taken_over(tmp_path: Path) -> optuna.Study:
    """A study with a trial whose worker died after three reports, as the next worker finds it."""
    options = {"study_name": "s", "storage": f"sqlite:///{tmp_path / 's.db'}"}
    trial = optuna.create_study(direction="maximize", **options).ask()
    for epoch, value in ((1, 0.1), (2, 0.2), (3, 0.3)):
        trial.report(value, epoch)
    study = optuna.load_study(**options)
    study.pruner = ALWAYS
    return study


def take_over(study: optuna.Study, *, epochs: int) -> TrialProgress:
    return progress_of(optuna.trial.Trial(study, study.trials[0]._trial_id), epochs=epochs)


def test_epochs_that_a_lost_worker_went_beyond_are_neither_reported_nor_judged_again(
    taken_over: optuna.Study,
) -> None:
    progress = take_over(taken_over, epochs=9)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for epoch in (1, 2):
            record(progress, epoch, 0.9)
            assert not progress.ended
        record(progress, 3, 0.9)
    # Whether that worker came to ask the pruner about its last report, nobody knows.
    assert progress.pruned
    assert reported(taken_over) == {1: 0.1, 2: 0.2, 3: 0.3}


def test_a_trial_whose_worker_died_after_its_last_epoch_is_not_pruned_as_it_is_repeated(
    taken_over: optuna.Study,
) -> None:
    progress = take_over(taken_over, epochs=3)
    for epoch in (1, 2, 3):
        record(progress, epoch, 0.9)
    assert not progress.ended
    assert progress.reported == [0.9, 0.9, 0.9]
