"""Which trials a pruner stopped, when, and how far behind they were."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hpo.analysis.ranking import ranked_trials
from hpo.tables.numbers import counted
from hpo.trials.record import Trial


@dataclass(frozen=True)
class Stop:
    """Where a trial was pruned: its last epoch, from 1, and what that reported."""

    number: int
    epoch: int
    value: float


@dataclass(frozen=True)
class Pruning:
    """The trials that were pruned, against those that were not.

    `best` and `median` are what is reported after each epoch, from epoch 1: by the complete trial with the
    best value, and in the middle of all complete trials that trained so far. `most` are the epochs that no
    trial goes beyond.
    """

    stops: Sequence[Stop]
    ended: int
    most: int
    best: Sequence[float]
    median: Sequence[float]

    def __str__(self) -> str:
        first, last = (extreme(stop.epoch for stop in self.stops) for extreme in (min, max))
        after = f"{first}" if first == last else f"{first} to {last}"
        epochs = sum(stop.epoch for stop in self.stops)
        return (
            f"{len(self.stops)} of {counted(self.ended, 'trial')} pruned, after {after} of {self.most}"
            f" epochs: {counted(epochs, 'epoch')} where whole ones would have taken up to"
            f" {len(self.stops) * self.most}."
        )


def pruning(trials: Sequence[Trial], direction: str) -> Pruning | None:
    """What was pruned when; None if nothing was."""
    stops = [
        Stop(trial.number, len(trial.reported), trial.reported[-1])
        for trial in trials
        if trial.state == "pruned" and trial.reported and math.isfinite(trial.reported[-1])
    ]
    if not stops:
        return None
    complete = [trial.reported for trial in ranked_trials(trials, direction) if trial.reported]
    longest = max([len(curve) for curve in complete], default=0)
    declared = [int(trial.hyperparameters.get("epochs", 0)) for trial in trials]
    return Pruning(
        stops,
        ended=sum(trial.state in ("complete", "pruned", "failed") for trial in trials),
        most=max(longest, *declared, *(stop.epoch for stop in stops)),
        best=complete[0] if complete else (),
        median=[
            float(np.median([curve[at] for curve in complete if len(curve) > at])) for at in range(longest)
        ],
    )
