"""The replicates of one trial, trained in lockstep: one epoch of each, then what that epoch means for all."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import Any

from hpo.spec import Hyperparameters
from hpo.training.loops import LOOPS
from hpo.training.runs import Run, Trainer
from hpo.trials.checkpoints import Checkpoints
from hpo.trials.outcome import Replicate
from hpo.trials.progress import TrialProgress, scalars
from hpo.versions import versions

logger = logging.getLogger(__name__)

# Of a checkpoint's tree.
FORMAT = 1


def loop_of_checkpoint(saved: dict[str, Any]) -> str:
    """The loop of the trial that was saved: with another one it would not go on bit for bit."""
    # Version 0.1 had one, and named none.
    loop = saved.get("loop", "xla")
    return loop if loop in LOOPS else "xla"


class UnfitError(Exception):
    """A checkpoint from which this trial cannot go on; the message says why."""


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
        trainer: Trainer,
        *,
        keeps_best: bool,
    ) -> None:
        self.replicates, self.progress, self.clock = replicates, progress, Clock(trainer)
        self._trainer = trainer
        self._hyperparameters, self._keeps_best = hyperparameters, keeps_best

    @property
    def loop(self) -> str:
        """The name of the loop that trains it."""
        return self._trainer.loop_name

    @property
    def finished(self) -> bool:
        """Whether no replicate goes on."""
        return all(replicate.run.finished for replicate in self.replicates)

    def advance(self) -> None:
        """Train one epoch of every replicate that goes on."""
        for replicate in self.replicates:
            if not replicate.run.finished and self.progress.failure is None:
                logs = scalars(replicate.run.advance())
                # Without what callbacks have put in, which is not measured of the final weights.
                self.progress.check(logs)
                replicate.curve.append(logs)
        if self._keeps_best and self.progress.failure is None and self.progress.is_best:
            for replicate in self.replicates:
                replicate.run.keep()

    def stop(self) -> None:
        """End every replicate's training, as early stopping would."""
        for replicate in self.replicates:
            replicate.run.stop()

    def check_time(self, limit: float | None) -> None:
        """End it as failed if it has trained for more seconds than `limit`."""
        progress = self.progress
        if limit is not None and not progress.ended and self.clock.training_seconds > limit:
            epoch = len(progress.reported)
            said = f"took longer than trial_timeout, {limit:g} s without compiling, by epoch {epoch}"
            progress.failure = said

    def go_back(self) -> None:
        """Let every replicate have the weights that it kept, if it kept any."""
        for replicate in self.replicates:
            replicate.run.go_back()

    def snapshot(self) -> dict[str, Any]:
        """What `restore` needs to go on from here: a tree of numbers, strings and arrays."""
        return {
            "format": FORMAT,
            "versions": versions("keras"),
            "loop": self.loop,
            "hyperparameters": self._hyperparameters.model_dump(mode="json"),
            "progress": self.progress.get_state(),
            "replicates": [{"curve": r.curve, "run": r.run.snapshot()} for r in self.replicates],
            "seconds": self.clock.seconds,
            "compile_seconds": self.clock.compile_seconds,
        }

    def save(self, checkpoints: Checkpoints, *, number: int) -> None:
        """Keep a snapshot of trial `number`, if its callbacks have a state that can be kept."""
        try:
            checkpoints.save(self.snapshot())
        except TypeError as error:  # of a callback of a person's own
            logger.warning("trial %d keeps no checkpoint: the state of its callbacks: %s", number, error)

    def restore(self, saved: dict[str, Any], *, number: int) -> bool:
        """Go on from a snapshot of trial `number`; False if it cannot be used, and this is to be made anew.

        What another version of hpo or Keras saved may differ in anything, so any error is taken for that.
        """
        try:
            self._check(saved)
            self._restore(saved)
        except Exception as error:
            # TensorFlow's errors have pages.
            first = next(iter(str(error).splitlines()), "")
            said = first if isinstance(error, UnfitError) else f"{type(error).__name__}: {first}"
            logger.warning("trial %d begins anew, since its checkpoint cannot be used: %s", number, said)
            return False
        return True

    def _check(self, saved: dict[str, Any]) -> None:
        # Version 0.1 wrote neither format nor versions; but for the best epoch it is the same.
        if saved.get("format", FORMAT) != FORMAT:
            raise UnfitError(f"its format is {saved['format']!r}, and this version reads {FORMAT}")
        # Another Keras may order an optimizer's variables otherwise, which nothing else would tell.
        keras = versions("keras")["keras"]
        if saved.get("versions", {}).get("keras", keras) != keras:
            raise UnfitError(f"it is of Keras {saved['versions']['keras']}, and this is {keras}")
        if (
            type(self._hyperparameters)(**saved["hyperparameters"]).canonical
            != self._hyperparameters.canonical
        ):
            raise UnfitError("it is of other hyperparameters")
        has_begun = bool(saved["progress"]["reported"]) and self._keeps_best
        if has_begun and any(of_one["run"].get("kept") is None for of_one in saved["replicates"]):
            raise UnfitError("it lacks the weights of the best epoch")

    def _restore(self, saved: dict[str, Any]) -> None:
        for replicate, of_one in zip(self.replicates, saved["replicates"], strict=True):
            replicate.curve = of_one["curve"]
            replicate.run.restore(of_one["run"])
        self.progress.set_state(saved["progress"])
        self.clock.add(saved["seconds"], saved["compile_seconds"])
