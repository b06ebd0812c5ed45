"""The replicates of one trial, trained in lockstep: one epoch of each, then what that epoch means for all."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import Any

from hpo.spec import Hyperparameters
from hpo.training.runs import Run, Trainer
from hpo.trials.outcome import Replicate
from hpo.trials.progress import TrialProgress

logger = logging.getLogger(__name__)

# Of a checkpoint's tree. Those of version 0.1 have none, and differ in that they have no best epoch.
FORMAT = 1


@dataclass(kw_only=True)
class ReplicateRun(Replicate):
    """A replicate that is being trained."""

    run: Run


class Clock:
    """Seconds that a trial has taken, those before its checkpoint included: all, and in compiling."""

    def __init__(self, trainer: Trainer) -> None:
        self._trainer = trainer
        self._begun, self._compiled = time.monotonic(), trainer.compile_seconds

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._begun

    @property
    def compile_seconds(self) -> float:
        return self._trainer.compile_seconds - self._compiled

    @property
    def training_seconds(self) -> float:
        """All but compiling, which depends on what the worker has trained before."""
        return self.seconds - self.compile_seconds

    def add(self, seconds: float, compile_seconds: float) -> None:
        self._begun -= seconds
        self._compiled -= compile_seconds


class Lockstep:
    """A trial's replicates, what they have reported, and how long it has taken.

    With `keeps_best`, every replicate keeps its weights of the best epoch so far, by what the trial reports:
    the mean over the replicates. One that has stopped early stands in it with its last epoch.
    """

    def __init__(
        self,
        hyperparameters: Hyperparameters,
        replicates: list[ReplicateRun],
        progress: TrialProgress,
        clock: Clock,
        *,
        keeps_best: bool,
    ) -> None:
        self.replicates, self.progress, self.clock = replicates, progress, clock
        self._hyperparameters, self._keeps_best = hyperparameters, keeps_best

    @property
    def finished(self) -> bool:
        """Whether no replicate goes on."""
        return all(replicate.run.finished for replicate in self.replicates)

    def advance(self) -> None:
        """Train one epoch of every replicate that goes on."""
        for replicate in self.replicates:
            if not replicate.run.finished and self.progress.failure is None:
                replicate.curve.append(replicate.run.advance())
        if self._keeps_best and self.progress.failure is None and self.progress.is_best:
            for replicate in self.replicates:
                replicate.run.keep()

    def stop(self) -> None:
        """End every replicate's training, as early stopping would."""
        for replicate in self.replicates:
            replicate.run.stop()

    def go_back(self) -> None:
        """Let every replicate have the weights that it kept, if it kept any."""
        for replicate in self.replicates:
            replicate.run.go_back()

    def snapshot(self) -> dict[str, Any]:
        """What `restore` needs to go on from here: a tree of numbers, strings and arrays."""
        return {
            "format": FORMAT,
            "hyperparameters": self._hyperparameters.model_dump(mode="json"),
            "progress": self.progress.get_state(),
            "replicates": [{"curve": r.curve, "run": r.run.snapshot()} for r in self.replicates],
            "seconds": self.clock.seconds,
            "compile_seconds": self.clock.compile_seconds,
        }

    def restore(self, saved: dict[str, Any]) -> bool:
        """Go on from a snapshot of the same trial; False if it cannot be used, and this is to be made anew.

        What another version of hpo or Keras saved may differ in anything, so any error is taken for that.
        """
        try:
            self._restore(saved)
        except Exception as error:
            reason = str(error) or type(error).__name__
            logger.warning("trial begins anew, since its checkpoint cannot be used: %s", reason)
            return False
        return True

    def _restore(self, saved: dict[str, Any]) -> None:
        version = saved.get("format", 0)
        if version > FORMAT or (version == 0 and self._keeps_best):
            raise ValueError(f"it is of format {version}, this version of hpo takes {FORMAT}")
        if Hyperparameters(**saved["hyperparameters"]) != self._hyperparameters:
            raise ValueError("the trial has been changed since")
        for replicate, of_one in zip(self.replicates, saved["replicates"], strict=True):
            replicate.curve = of_one["curve"]
            replicate.run.restore(of_one["run"])
        self.progress.set_state(saved["progress"])
        self.clock.add(saved["seconds"], saved["compile_seconds"])
