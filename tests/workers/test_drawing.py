"""Workers that draw at the same time draw no configuration that another one has, or is about to have."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from optuna.trial import TrialState

from hpo import create_study
from hpo.registry import StoredStudy, find
from hpo.spec import SearchSpec
from hpo.storage import LeasedTrial, Patience, Storage
from hpo.trials.outcome import StoppedError
from hpo.workers.drawing import draw
from tests.tiny_studies import SEARCH, leases

FINITE: dict[str, Any] = SEARCH | {
    "trials": 12,
    "space": {"learning_rate": [0.001, 0.01, 0.1], "hidden_units": [[4], [8]], "batch_size": [32, 64]},
    "params": {"epochs": 1},
}


def begin_all(url: str, stopping: threading.Event) -> None:
    """Claim and draw trials until none is left; half of them end before the next one begins."""
    storage, retry = Storage(url), Patience(stopping)
    study = StoredStudy(storage, find("random", storage))
    assert isinstance(study.spec, SearchSpec)
    while (claim := storage.claim([study.id], owner="w", seconds=60.0)) is not None:
        trial = LeasedTrial(study.optuna_for(claim.number), claim, retry)
        draw(trial, study.spec, storage=storage, retry=retry, stopping=stopping)
        if claim.number % 2:
            claim.finish(TrialState.COMPLETE, value=trial.params["learning_rate"])


def at_once(count: int, action: Callable[[], None]) -> None:
    threads = [threading.Thread(target=action) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@pytest.mark.parametrize("name", ["tpe", "forest"])
def test_three_workers_at_once_try_each_configuration_once(name: str, storage: Storage) -> None:
    study = create_study(FINITE | {"sampler": {"name": name, "seed": 0}}, storage=storage)
    at_once(3, lambda: begin_all(storage.url, threading.Event()))
    drawn = [repr(sorted(trial.params.items())) for trial in study.frozen_trials]
    assert len(set(drawn)) == len(drawn) == 12


def test_who_is_told_to_stop_does_not_wait_for_its_turn(storage: Storage) -> None:
    study = create_study(FINITE | {"sampler": {"name": "tpe"}}, storage=storage)
    assert isinstance(study.spec, SearchSpec)
    stopping = threading.Event()
    claim = storage.claim([study.id], owner="w", seconds=60.0)
    assert claim is not None
    trial = LeasedTrial(study.optuna_for(0), claim, Patience(stopping))
    before = leases(storage)
    assert storage.acquire(f"draw:{study.id}", owner="another", seconds=60.0)
    stopping.set()
    with pytest.raises(StoppedError):
        draw(trial, study.spec, storage=storage, retry=Patience(stopping), stopping=stopping)
    assert not trial.params
    assert leases(storage) == before + 1
