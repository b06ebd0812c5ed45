"""The studies that are put under faults, of any size, and what their trials must come to.

A run is a chain of digests that begins with the trial's hyperparameters: so each epoch needs the state of the
one before, as training does, and whoever knows the hyperparameters can recompute every value.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import optuna
from optuna.trial import FrozenTrial, TrialState

from hpo.spec import ComparisonSpec, Hyperparameters, SearchSpec, StudySpec
from hpo.trials.outcome import Outcome, Replicate

MANY_RETRIES = 1000
ARM_EPOCHS = (4, 25, 9, 14, 6)
SEEDS_PER_ARM = 6
COMMON = {"data": {"name": "digits"}, "max_retries": MANY_RETRIES}
RATE = {"low": 1e-4, "high": 0.5, "log": True}


def _arms(size: int) -> dict[str, Any]:
    count = min(len(ARM_EPOCHS), 2 + size // SEEDS_PER_ARM)
    arms = [{"name": f"arm {epochs}", "epochs": epochs} for epochs in ARM_EPOCHS[:count]]
    return {
        "name": "arms",
        "kind": "comparison",
        "seeds": size,
        "params": {"hidden_units": [8]},
        "arms": arms,
    }


def _random(size: int) -> dict[str, Any]:
    return {
        "name": "random",
        "kind": "search",
        # The checker counts trials; a race may spare some.
        "confirm": False,
        "objective": {"metric": "val_loss", "at": "best"},
        "trials": size,
        "seeds": 2,
        "sampler": {"name": "random", "seed": 3},
        "params": {"hidden_units": [8], "epochs": 8},
        "space": {"learning_rate": RATE, "dropout": [[0.0], [0.2]], "l2": {"low": 0.0, "high": 0.1}},
    }


def _tpe(size: int) -> dict[str, Any]:
    return {
        "name": "tpe",
        "kind": "search",
        # The checker counts trials; a race may spare some.
        "confirm": False,
        "trials": size,
        "sampler": {"name": "tpe", "seed": 5},
        "pruner": {"name": "median", "min_epochs": 3, "startup_trials": 4},
        "params": {"hidden_units": [8], "epochs": 12},
        "space": {"learning_rate": RATE, "dropout": {"low": 0.0, "high": 0.5}, "l2": [0.0, 1e-3]},
    }


STUDIES: dict[str, Callable[[int], dict[str, Any]]] = {"arms": _arms, "random": _random, "tpe": _tpe}


def spec_of(name: str, size: int) -> StudySpec:
    """The study of that name with so many seeds or trials; a larger one only adds to a smaller one."""
    return StudySpec(**(COMMON | STUDIES[name](size)))


def size_of(spec: StudySpec) -> int:
    """The size that `spec_of` was given."""
    assert isinstance(spec, ComparisonSpec | SearchSpec)
    return spec.seeds if isinstance(spec, ComparisonSpec) else spec.trials


class Chain(Replicate):
    """One training run."""

    def __init__(self, hyperparameters: Hyperparameters, *, identity: int, seed: int) -> None:
        super().__init__(seed=seed, fold=None)
        begin = json.dumps([hyperparameters.model_dump(mode="json"), identity, seed], sort_keys=True)
        self._state = hashlib.sha256(begin.encode()).digest()

    def advance(self) -> None:
        """Train one epoch."""
        self._state = hashlib.sha256(self._state).digest()
        numbers = np.frombuffer(self._state, np.uint64) / 2.0**64
        loss, accuracy, val_loss, noise = (float(number) for number in numbers)
        # Some are better than others from their first epoch on, so that some are pruned.
        quality = self.curve[0]["accuracy"] if self.curve else accuracy
        logs = {"loss": loss, "accuracy": accuracy, "val_loss": val_loss}
        self.curve.append(logs | {"val_accuracy": 0.8 * quality + 0.2 * noise})

    def snapshot(self) -> dict[str, Any]:
        """What `restore` needs to go on from here."""
        return {"state": np.frombuffer(self._state, np.uint8), "curve": self.curve}

    def restore(self, saved: dict[str, Any]) -> None:
        """Go on from there."""
        self._state, self.curve = saved["state"].tobytes(), saved["curve"]


def chains(
    spec: StudySpec, hyperparameters: Hyperparameters, trial: FrozenTrial | optuna.trial.Trial
) -> list[Chain]:
    """The runs of a trial, before their first epoch."""
    planned = trial.user_attrs
    identity = planned.get("seed", planned.get("index", trial.number))
    seeds = range(spec.seeds) if isinstance(spec, SearchSpec) else [planned["seed"]]
    return [Chain(hyperparameters, identity=identity, seed=seed) for seed in seeds]


def reported(spec: StudySpec, runs: Sequence[Replicate]) -> list[float]:
    """What a trial reports of each epoch that its runs have trained."""
    metric = spec.reported
    epochs = zip(*(run.curve for run in runs), strict=True)
    return [float(np.mean([logs[metric] for logs in epoch])) for epoch in epochs]


def outcome(spec: StudySpec, runs: Sequence[Replicate], *, pruned: bool) -> Outcome:
    """How a trial ends after the epochs that its runs have trained."""
    for run in runs:
        last = run.curve[-1]
        run.metrics = {name: last[name] for name in ("val_loss", "val_accuracy")}
        run.metrics["epochs_run"] = float(len(run.curve))
    metrics = {name: float(np.mean([run.metrics[name] for run in runs])) for name in runs[0].metrics}
    if pruned:
        reason = f"after epoch {len(runs[0].curve)}"
        return Outcome(TrialState.PRUNED, None, reason, metrics, runs)
    objective = spec.objective
    best = max if objective.direction == "maximize" else min
    value = best(reported(spec, runs)) if objective.at == "best" else metrics[objective.metric]
    return Outcome(TrialState.COMPLETE, value, None, metrics, runs)
