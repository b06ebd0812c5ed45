"""Studies whose trials are recorded as a worker records them, without training."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from optuna.trial import TrialState

import hpo
from hpo.spec import StudySpec, loads
from hpo.trials import CURVES_FILE, PREDICTIONS_FILE, predictions_file
from hpo.trials.record import Trial
from tests.databases import new_storage

Run = Mapping[str, float]
# Metrics of each run of a trial, by its arm (None in a search) and its seed or number; None: it failed.
Outcome = Callable[[str | None, int], Sequence[Run] | Run | None]
BEGUN = datetime(2026, 1, 1)


def created(text: str | StudySpec, folder: Path) -> hpo.Study:
    """A study in a database and an artifact folder of its own."""
    storage = new_storage(f"sqlite:///{folder / 'hpo.db'}", artifact_dir=folder / "hpo-artifacts")
    return hpo.create_study(loads(text) if isinstance(text, str) else text, storage=storage)


def comparison(arms: Sequence[str], **keys: Any) -> StudySpec:
    """A comparison of arms that differ in their learning rate, on scikit-learn's digits."""
    rates = {"arms": [{"name": name, "learning_rate": 0.01 * (i + 1)} for i, name in enumerate(arms)]}
    basic = {"name": "comparison", "kind": "comparison", "data": {"name": "digits"}, "seeds": 5}
    return hpo.StudySpec(**{**basic, "params": {"hidden_units": [8], "epochs": 3}, **rates, **keys})


def record(
    study: hpo.Study,
    outcome: Outcome,
    *,
    epochs: int = 3,
    most: int | None = None,
    predict: Callable[[int], np.ndarray[Any, Any]] | None = None,
) -> None:
    """End the trials that a study waits for, or the first `most`."""
    waiting = {trial.number: trial for trial in study.all_trials if trial.state == "waiting"}
    for _ in range(len(waiting) if most is None else most):
        claim = study.storage.claim([study.id], owner="host-1", seconds=60)
        assert claim is not None
        trial = waiting[claim.number]
        runs = outcome(trial.arm, claim.number if trial.seed is None else trial.seed)
        if runs is None:
            claim.finish(TrialState.FAIL, attributes={"reason": "loss is nan at epoch 1", "worker": "host-1"})
            continue
        found = [dict(run) for run in ([runs] if isinstance(runs, Mapping) else runs)]
        replicates = [{"seed": trial.seed or seed, "fold": None, **run} for seed, run in enumerate(found)]
        metrics = {key: float(np.mean([run[key] for run in found])) for key in found[0]}
        files = [study.storage.artifacts.attach(CURVES_FILE, curves(replicates, epochs))]
        if predict is not None:
            files.append(
                study.storage.artifacts.attach(PREDICTIONS_FILE, predictions_file(predict(claim.number)))
            )
        claim.finish(
            TrialState.COMPLETE,
            value=metrics[study.spec.objective.metric],
            attributes={**metrics, "compile_seconds": 0.5, "worker": "host-1", "replicates": replicates},
            attachments=files,
        )


def curves(replicates: Sequence[Mapping[str, Any]], epochs: int) -> bytes:
    """Learning curves that end at the runs' validation metrics."""
    rows = [
        {
            "seed": run["seed"],
            "fold": run["fold"],
            "epoch": epoch,
            "loss": 2.0 / epoch + 0.01 * run["seed"],
            "accuracy": run["val_accuracy"] * epoch / epochs,
            "val_loss": 2.5 / epoch + 0.01 * run["seed"],
            "val_accuracy": run["val_accuracy"] * epoch / epochs,
        }
        for run in replicates
        for epoch in range(1, epochs + 1)
    ]
    return pd.DataFrame(rows).to_csv(index=False).encode()


def compare_json(text: str) -> dict[str, Any]:
    """What `hpo compare --format json` prints."""
    values: dict[str, Any] = json.loads(text)
    return values


def ended_trial(
    number: int,
    value: float | None,
    params: Mapping[str, Any] | None = None,
    *,
    reported: Sequence[float] = (),
    runs: Sequence[tuple[int, float]] = ((1, 1.0),),
    ended: float | None = None,
    state: str = "",
) -> Trial:
    """A trial that has ended, after `ended` seconds; `runs` are the epochs and seconds of each."""
    basic: dict[str, Any] = {field.name: None for field in dataclasses.fields(Trial)}
    basic |= {"params": dict(params or {}), "hyperparameters": {"epochs": 9}, "metrics": {}, "retries": 0}
    basic |= {"number": number, "value": value, "reported": list(reported), "lost": False, "runs": 1}
    basic["state"] = state or ("pruned" if value is None else "complete")
    basic["finished"] = BEGUN + timedelta(seconds=number if ended is None else ended)
    basic["replicates"] = [{"epochs_run": float(epochs), "train_seconds": own} for epochs, own in runs]
    return Trial(**basic)
