"""Keras callbacks of a trial's runs: report to its Optuna trial, prune, notice divergence, stop early."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
import optuna

from hpo.errors import ModelError
from hpo.spec import METRICS, Hyperparameters, Objective, directions, metric_of
from hpo.storage import last_step
from hpo.training.samples import Logs
from hpo.trials.objectives import Standing
from hpo.trials.record import TAKEN


class TrialProgress:
    """What the replicates of one trial, trained in lockstep, have reported together.

    Each epoch's mean of `metric`, the objective's or what stands for it, over the replicates goes to Optuna
    as the step of that epoch, counted from 1; a replicate that has stopped early stands with its last epoch.
    What a worker that lost the trial has reported stays, and the epochs that it went beyond are not judged
    again.
    """

    def __init__(
        self,
        trial: optuna.trial.Trial,
        objective: Objective,
        metric: str,
        *,
        replicates: int,
        epochs: int,
        standing: Standing | None = None,
    ) -> None:
        self.reported: list[float] = []
        self.pruned = False
        self.failure: str | None = None
        self._trial, self._objective, self._reported, self._epochs = trial, objective, metric, epochs
        self._latest, self._standing = [math.nan] * replicates, standing
        self._training = set(range(replicates))
        self._begun = last_step(trial)

    @property
    def ended(self) -> bool:
        """Whether every replicate must stop now, however many epochs it has left."""
        return self.pruned or self.failure is not None

    @property
    def best_epoch(self) -> int:
        """The epoch, from 1, of the best report, the first one of equals; 0 without any."""
        direction = metric_of(self._reported, self._objective).direction
        best = directions.best(direction or "minimize")
        return self.reported.index(best(self.reported)) + 1 if self.reported else 0

    @property
    def is_best(self) -> bool:
        """Whether the last report is better than all before."""
        return self.best_epoch == len(self.reported) > 0

    def record(self, replicate: int, epoch: int, logs: Logs, *, stopping: bool) -> None:
        """Take one replicate's epoch, its last if `stopping`; the last one of an epoch makes the report."""
        reported = self._reported
        self.check(logs)
        for name, value in logs.items():
            # What the model reports beside may not be defined for every epoch.
            if not math.isfinite(value) and (name == reported or not _is_beside(name)):
                self.failure = f"{name} is {value} at epoch {epoch}"
                return
        self._latest[replicate] = logs[self._reported]
        if self._standing is not None:
            self._standing.take(replicate, epoch, logs)
        if replicate != max(self._training):
            return
        self.reported.append(float(np.mean(self._latest)))
        if epoch > self._begun:
            self._trial.report(self.reported[-1], step=epoch)
        if self._standing is not None:
            self._standing.tell(epoch)
        # A trial whose replicates all end here is complete: there is nothing left to save.
        ending = epoch >= self._epochs or (stopping and self._training == {replicate})
        self.pruned = not ending and epoch >= self._begun and self._trial.should_prune()

    def check(self, logs: Logs) -> None:
        """Raises ModelError unless the model reports what its study needs, and nothing that is taken."""
        metric, reported = self._objective.metric, self._reported
        if reported not in logs:
            which = (
                "objective.metric" if reported == metric else f"objective.metric {metric!r}, by {reported}"
            )
            reports = f"It reports {', '.join(name for name in logs if name.startswith('val_'))}."
            rule = "must be one number that the model reports of validation samples"
            raise ModelError(which, rule, got=reported, remedy=reports)
        if taken := [name for name in TAKEN if name in logs]:
            raise ModelError("model", f"must report no metric named {taken[0]!r}, which is taken")

    def leave(self, replicate: int) -> None:
        """A replicate has finished training."""
        self._training.discard(replicate)

    def get_state(self) -> dict[str, Any]:
        """What `set_state` needs to go on from here, between two epochs of a trial that goes on."""
        return {"reported": self.reported, "latest": self._latest, "training": sorted(self._training)}

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        self.reported, self._latest = state["reported"], state["latest"]
        self._training = set(state["training"])


def scalars(logs: Logs) -> Logs:
    """The metrics that are one number each; one of several values, as F1 of each class, is none."""
    return {name: value for name, value in logs.items() if np.ndim(value) == 0}


def _is_beside(name: str) -> bool:
    """Whether an epoch's metric, of training or validation samples, is none of hpo's."""
    own = name.removeprefix("val_")
    return own != "loss" and f"val_{own}" not in METRICS


class Measured(keras.callbacks.Callback):
    """Keeps what an epoch has measured, before callbacks of a person's own may write into it."""

    logs: Logs | None = None

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        self.logs = dict(logs or {})


class PruningCallback(keras.callbacks.Callback):
    """Reports one replicate's epochs and stops its training once the trial is pruned or has diverged.

    It sets `model.stop_training` instead of raising, so that the other callbacks end as they should. It comes
    after those that stop training by themselves, and `first` before all others.
    """

    def __init__(self, progress: TrialProgress, replicate: int = 0) -> None:
        super().__init__()
        self._progress, self._replicate = progress, replicate
        self.first = Measured()

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        reported = scalars(self.first.logs or logs or {})
        self._progress.record(self._replicate, epoch + 1, reported, stopping=self.model.stop_training)
        if self._progress.ended:
            self.model.stop_training = True

    def on_train_end(self, logs: Logs | None = None) -> None:
        self._progress.leave(self._replicate)


def early_stopping(hyperparameters: Hyperparameters, objective: Objective) -> list[keras.callbacks.Callback]:
    """What stops a run early, if its hyperparameters say so."""
    if hyperparameters.early_stopping_patience is None:
        return []
    return [
        keras.callbacks.EarlyStopping(
            monitor="val_loss",
            mode="min",
            patience=hyperparameters.early_stopping_patience,
            min_delta=hyperparameters.early_stopping_min_delta,
            # The best epoch by the objective goes before the best by val_loss.
            restore_best_weights=hyperparameters.restore_best and objective.at == "last",
        )
    ]
