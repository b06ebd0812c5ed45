"""Runs that take turns on one trainer."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from hpo.training.runs import Run
from hpo.training.samples import Samples
from tests.training.models import (
    BATCH,
    CASES,
    assert_same_logs,
    assert_same_weights,
    fitted_by_hand,
    mlp,
    noisy,
    trainer_of,
)

# Runs


def finish(run: Run) -> Run:
    while not run.finished:
        run.advance()
    return run


@pytest.mark.slow
def test_runs_in_lockstep_equal_runs_alone_bit_for_bit(train: Samples, held: Samples) -> None:
    trainer = trainer_of(noisy(), train)
    start = trainer.state
    options: Any = {"validation": held, "batch_size": BATCH, "epochs": 3, "initial_state": start}
    alone = [finish(Run(trainer, train, seed=seed, **options)) for seed in (0, 1)]
    together = [Run(trainer, train, seed=seed, **options) for seed in (0, 1)]
    for _ in range(3):
        for run in together:
            run.advance()
    for run, reference in zip(together, alone, strict=True):
        assert run.history.history == reference.history.history
        np.testing.assert_array_equal(run.predict(held), reference.predict(held))
    assert alone[0].history.history != alone[1].history.history


def test_an_epoch_visits_the_samples_in_the_order_drawn_from_seed_and_epoch(
    train: Samples,
) -> None:
    expected, expected_logs = fitted_by_hand("sgd", seed=7)
    model = CASES["sgd"]()
    run = Run(trainer_of(model, train), train, batch_size=BATCH, epochs=2, seed=7)
    assert_same_logs([run.advance(), run.advance()], expected_logs)
    assert_same_weights(model, expected)


def test_a_run_that_has_finished_says_so(train: Samples) -> None:
    run = finish(Run(trainer_of(mlp(), train), train, epochs=2))
    assert run.epoch == 2
    with pytest.raises(RuntimeError, match="finished after 2 epochs"):
        run.advance()


def test_stopping_ends_the_callbacks_once_and_keeps_the_run_usable(train: Samples, held: Samples) -> None:
    ends: list[Any] = []
    ending = keras.callbacks.LambdaCallback(on_train_end=ends.append)
    run = Run(trainer_of(mlp(), train), train, epochs=9, callbacks=[ending])
    logs = run.advance()
    run.stop()
    run.stop()
    assert run.finished
    assert ends == [logs]
    assert run.evaluate(held)["loss"] > 0


def test_compiling_is_timed_apart_from_training(train: Samples, held: Samples) -> None:
    trainer = trainer_of(mlp(), train)
    run = finish(Run(trainer, train, validation=held, batch_size=BATCH, epochs=3))
    assert trainer.loop.compilations == 3  # the trace and the program of training, the graph of evaluation
    assert 0 < run.train_seconds < trainer.compile_seconds
