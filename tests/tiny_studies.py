"""Studies that train in a moment, workers to train them, and what to look at meanwhile."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa

from hpo import Study, StudySpec, Trial, create_study
from hpo.storage import Storage
from hpo.workers.worker import Worker
from tests.command import environment
from tests.databases import new_storage
from tests.forks import Forked

SEARCH: dict[str, Any] = {
    "name": "random",
    "kind": "search",
    "data": {"name": "digits"},
    "trials": 5,
    "confirm": False,
    "sampler": {"name": "random", "seed": 0},
    "params": {"hidden_units": [8], "epochs": 3},
    "space": {
        "learning_rate": {"low": 1e-3, "high": 0.5, "log": True},
        "dropout": {"low": 0.0, "high": 0.5},
        "l2": [0.0, 1e-3],
    },
}
TPE = SEARCH | {"name": "tpe", "trials": 4, "sampler": {"name": "tpe", "seed": 0}}
# A trial takes one to two seconds: it can be stopped in its midst, after its first reports are written.
LONG: dict[str, Any] = {
    "name": "long",
    "kind": "comparison",
    "data": {"name": "digits"},
    "seeds": 2,
    "params": {"hidden_units": [8], "epochs": 400},
    "arms": [{"name": "slow", "learning_rate": 0.01, "dropout": 0.2}, {"name": "fast", "learning_rate": 0.1}],
}
EPOCH_METRICS = ["loss", "accuracy", "val_loss", "val_accuracy"]


@pytest.fixture
def own_data(tmp_path: Path) -> Path:
    """Data that takes a moment to train on: one batch, and two shapes to compile for."""
    draws = np.random.default_rng(0).random((80, 4), np.float32)
    path = tmp_path / "own.npz"
    np.savez(path, x_train=draws, y_train=np.arange(80) % 2)
    return path


def worker_of(*studies: Study, **options: Any) -> Worker:
    """A worker in this process that serves these studies of one storage."""
    return Worker(studies[0].storage, [study.name for study in studies], **options)


def execute(storage: Storage, statement: str) -> list[Any]:
    with storage.engine.begin() as connection:
        result = connection.execute(sa.text(statement))
        return list(result) if result.returns_rows else []


def leases(storage: Storage) -> int:
    count: int = execute(storage, "SELECT count(*) FROM hpo_leases")[0][0]
    return count


def expire_leases(storage: Storage) -> None:
    """Let the leases of dead workers be over, as if their time had passed."""
    execute(storage, "UPDATE hpo_leases SET expires = 0")


def states(study: Study) -> list[str]:
    return [trial.state for trial in study.all_trials]


def eventually(true: Callable[[], bool], *, within: float = 180.0) -> None:
    deadline = time.monotonic() + within
    while not true():
        assert time.monotonic() < deadline, "this has not come about in time"
        time.sleep(0.05)


def training(study: Study) -> list[Trial]:
    """The trials in whose midst a worker is."""
    return [trial for trial in study.all_trials if trial.state == "running" and trial.reported]


def is_training(process: Forked, study: Study) -> bool:
    return any(str(trial.worker).endswith(f"-{process.pid}") for trial in training(study))


def results(study: Study) -> dict[Any, Any]:
    """All that a trial's result is, except times: its configuration, value, metrics and curve."""
    timed = {"train_seconds", "compile_seconds"}
    return {
        (trial.arm, trial.seed, tuple(map(str, trial.params.items()))): (
            trial.state,
            trial.value,
            {name: value for name, value in trial.metrics.items() if name not in timed},
            trial.reported,
            study.curves(trial.number)[EPOCH_METRICS].to_numpy().tolist(),
        )
        for trial in study.all_trials
    }


@contextmanager
def worker_process(storage: Storage, *options: str) -> Iterator[Forked]:
    """An `hpo worker`, which is gone at the end."""
    process = Forked(
        ["worker", *options],
        env=environment(HPO_STORAGE=storage.url, HPO_ARTIFACT_DIR=storage.artifacts.place.given),
        stderr=subprocess.PIPE,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def new_studies(url: str, folder: Path, *tables: dict[str, Any]) -> list[Study]:
    storage = new_storage(url, artifact_dir=folder / "artifacts")
    return [create_study(StudySpec(**table), storage=storage) for table in tables]
