"""What a search had spent whenever one of its trials ended."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from hpo.search import epochs_spent
from hpo.trials.record import Trial

ENDED = ("complete", "pruned", "failed")


@dataclass(frozen=True)
class Spent:
    """What all trials that had ended by the end of trial `number`, itself included, had cost.

    `epochs` are those of every training run, `seconds` those of training, over all workers; neither counts
    compiling, evaluating, or a trial that is not over. One with the result of another one costs nothing.
    """

    number: int
    epochs: int
    seconds: float


def spent(trials: Iterable[Trial]) -> list[Spent]:
    """What had been spent when each trial ended, in the order in which they ended."""
    found, epochs, seconds = list[Spent](), 0, 0.0
    ended = [trial for trial in trials if trial.state in ENDED]
    for trial in sorted(ended, key=lambda trial: (trial.finished or datetime.min, trial.number)):
        if trial.same_as is None:
            epochs += epochs_of(trial)
            seconds += sum(run.get("train_seconds", 0.0) for run in trial.replicates)
        found.append(Spent(trial.number, epochs, seconds))
    return found


def epochs_of(trial: Trial) -> int:
    """The epochs of all training runs of a trial, as far as it has trained."""
    return epochs_spent(trial.replicates, len(trial.reported), runs=trial.runs)
