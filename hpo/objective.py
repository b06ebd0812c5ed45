"""One claimed trial: train its replicates in lockstep, report each epoch, prune, measure the final model."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
import optuna
from optuna.trial import TrialState

from hpo.callbacks import PruningCallback, TrialProgress
from hpo.data import Dataset, stratified_folds, stratified_split
from hpo.epochs import Logs, Samples
from hpo.metrics import classification_metrics
from hpo.model import Network, build, compile_key
from hpo.spec import Hyperparameters, StudySpec
from hpo.training import Run

# XLA keeps what it has compiled (about 20 MiB a key) for the life of the process. So forgetting a network
# frees only its state and graphs, and costs seconds and those 20 MiB once more if its key comes back.
KEPT_STATE_BYTES = 256 * 1024**2


class StoppedError(Exception):
    """The trial was told to stop before its end; it has no result."""


@dataclass
class Replicate:
    """One training run of a trial: its seed, its fold (None without folds), its curve and final metrics."""

    seed: int
    fold: int | None
    run: Run
    curve: list[Logs] = field(default_factory=list)
    metrics: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """How a trial ended. `value` is the objective's; `metrics` are means over the replicates."""

    state: TrialState
    value: float | None
    reason: str | None
    metrics: dict[str, float]
    replicates: list[Replicate]

    @property
    def curves(self) -> list[dict[str, Any]]:
        """A row for each epoch of each replicate: seed, fold, epoch (from 1) and its metrics."""
        return [
            {"seed": replicate.seed, "fold": replicate.fold, "epoch": epoch, **logs}
            for replicate in self.replicates
            for epoch, logs in enumerate(replicate.curve, start=1)
        ]


class Objective:
    """Trains the trials of one study on its data, keeping compiled networks from trial to trial."""

    def __init__(self, spec: StudySpec, dataset: Dataset) -> None:
        self.spec, self.dataset = spec, dataset
        self.splits = _splits(spec, dataset)
        self._device = Samples.of(dataset.x, dataset.y)
        self._networks: OrderedDict[Hashable, Network] = OrderedDict()

    def __call__(
        self,
        trial: optuna.trial.Trial,
        hyperparameters: Hyperparameters,
        *,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> Outcome:
        """Train a trial to its end.

        Raises:
            StoppedError: `should_stop()` was true before an epoch.
        """
        network = self._network(hyperparameters)
        compiled_before = network.trainer.compile_seconds
        pairs = self._pairs(trial.user_attrs.get("seed"))
        progress = TrialProgress(
            trial, self.spec.objective.reported, replicates=len(pairs), epochs=hyperparameters.epochs
        )
        replicates = self._replicates(network, hyperparameters, pairs, progress)
        while any(not replicate.run.finished for replicate in replicates):
            if should_stop():
                raise StoppedError
            _advance(replicates, progress)
            if progress.ended:
                for replicate in replicates:
                    replicate.run.stop()
        if not progress.ended:
            progress.divergence = self._measure(replicates)
        metrics = _mean_metrics(replicates)
        metrics["compile_seconds"] = network.trainer.compile_seconds - compiled_before
        return self._outcome(progress, metrics, replicates)

    def _outcome(
        self, progress: TrialProgress, metrics: dict[str, float], replicates: list[Replicate]
    ) -> Outcome:
        if progress.divergence is not None:
            return Outcome(TrialState.FAIL, None, progress.divergence, metrics, replicates)
        if progress.pruned:
            reason = f"after epoch {len(progress.reported)}"
            return Outcome(TrialState.PRUNED, None, reason, metrics, replicates)
        objective = self.spec.objective
        best = max if objective.direction == "maximize" else min
        value = best(progress.reported) if objective.at == "best" else metrics[objective.metric]
        return Outcome(TrialState.COMPLETE, value, None, metrics, replicates)

    def _network(self, hyperparameters: Hyperparameters) -> Network:
        key = compile_key(hyperparameters)
        if key not in self._networks:
            data = self.dataset
            network = build(
                hyperparameters, sample_shape=data.sample_shape, classes=data.classes, scale=data.scale
            )
            network.trainer.build(self._device)
            self._networks[key] = network
            while len(self._networks) > 1 and self._kept_bytes() > KEPT_STATE_BYTES:
                self._networks.popitem(last=False)
        self._networks.move_to_end(key)
        return self._networks[key]

    def _kept_bytes(self) -> int:
        return sum(network.state_bytes for network in self._networks.values())

    def _pairs(self, seed: int | None) -> list[tuple[int, int | None]]:
        """Seed and fold of each replicate; a comparison's trial comes with its seed."""
        seeds = range(self.spec.seeds) if seed is None else [seed]
        folds = range(len(self.splits)) if self.spec.data.folds else [None]
        return [(seed, fold) for seed in seeds for fold in folds]

    def _replicates(
        self,
        network: Network,
        hyperparameters: Hyperparameters,
        pairs: list[tuple[int, int | None]],
        progress: TrialProgress,
    ) -> list[Replicate]:
        h = hyperparameters
        training = [self._samples(fold, 0) for _, fold in pairs]
        # All states first: they are made in the model that the runs then take turns on.
        states = [
            network.initial_state(h, seed=seed, steps=h.epochs * h.steps_per_epoch(len(samples)))
            for (seed, _), samples in zip(pairs, training, strict=True)
        ]
        return [
            Replicate(
                seed,
                fold,
                Run(
                    network.trainer,
                    samples,
                    validation=self._samples(fold, 1),
                    batch_size=h.batch_size,
                    epochs=h.epochs,
                    callbacks=[*_early_stopping(h), PruningCallback(progress, index)],
                    seed=seed,
                    initial_state=state,
                ),
            )
            for index, ((seed, fold), samples, state) in enumerate(zip(pairs, training, states, strict=True))
        ]

    def _samples(self, fold: int | None, part: int) -> Samples:
        return Samples(self._device.x, self._device.y, self.splits[fold or 0][part])

    def _measure(self, replicates: list[Replicate]) -> str | None:
        """The final metrics of every replicate, by the weights that its training ended with.

        Returns what is not finite, if anything is.
        """
        for replicate in replicates:
            training, validation = self._samples(replicate.fold, 0), self._samples(replicate.fold, 1)
            by_name = replicate.run.evaluate(validation)
            probabilities = replicate.run.predict(validation)
            measured = {
                "val_loss": by_name["loss"],
                "val_accuracy": by_name["accuracy"],
                **classification_metrics(self.dataset.y[validation.rows], probabilities),
                **{f"train_{name}": value for name, value in replicate.run.evaluate(training).items()},
            }
            replicate.metrics = {name: value for name, value in measured.items() if math.isfinite(value)}
            for name, value in measured.items():
                if not math.isfinite(value):
                    return f"{name} is {value} after epoch {replicate.run.epoch}"
        return None


def _advance(replicates: list[Replicate], progress: TrialProgress) -> None:
    """One epoch of every replicate that goes on."""
    for replicate in replicates:
        if not replicate.run.finished and progress.divergence is None:
            replicate.curve.append(replicate.run.advance())


def _splits(spec: StudySpec, dataset: Dataset) -> list[tuple[Any, Any]]:
    data = spec.data
    if data.folds is not None:
        return list(stratified_folds(dataset.y, folds=data.folds, seed=data.seed))
    assert data.validation is not None
    return [stratified_split(dataset.y, fraction=data.validation, seed=data.seed)]


def _early_stopping(hyperparameters: Hyperparameters) -> list[keras.callbacks.Callback]:
    if hyperparameters.early_stopping_patience is None:
        return []
    return [
        keras.callbacks.EarlyStopping(
            monitor="val_loss",
            mode="min",
            patience=hyperparameters.early_stopping_patience,
            min_delta=hyperparameters.early_stopping_min_delta,
            restore_best_weights=hyperparameters.restore_best,
        )
    ]


def _mean_metrics(replicates: list[Replicate]) -> dict[str, float]:
    for replicate in replicates:
        replicate.metrics["train_seconds"] = replicate.run.train_seconds
        replicate.metrics["epochs_run"] = float(replicate.run.epoch)
    shared = [name for name in replicates[0].metrics if all(name in r.metrics for r in replicates)]
    return {name: float(np.mean([replicate.metrics[name] for replicate in replicates])) for name in shared}
