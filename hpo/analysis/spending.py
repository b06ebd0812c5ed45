"""What a search had spent whenever one of its trials ended."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from hpo.trials.record import Trial

ENDED = ("complete", "pruned", "failed")


@dataclass(frozen=True)
class Spent:
    """What all trials that had ended by the end of trial `number`, itself included, had cost.

    `epochs` are those of every training run, `seconds` those of training, over all workers; neither counts
    compiling, evaluating, or a trial that is not over.
    """

    number: int
    epochs: int
    seconds: float


def spent(trials: Iterable[Trial]) -> list[Spent]:
    """What had been spent when each trial ended, in the order in which they ended."""
    found, epochs, seconds = list[Spent](), 0, 0.0
    ended = [trial for trial in trials if trial.state in ENDED]
    for trial in sorted(ended, key=lambda trial: (trial.finished or datetime.min, trial.number)):
        epochs += epochs_of(trial)
        seconds += sum(run.get("train_seconds", 0.0) for run in trial.replicates)
        found.append(Spent(trial.number, epochs, seconds))
    return found


def epochs_of(trial: Trial) -> int:
    """The epochs of all training runs of a trial, as far as it has trained."""
    runs: Sequence[dict[str, float]] = trial.replicates
    if runs and all("epochs_run" in run for run in runs):
        return sum(int(run["epochs_run"]) for run in runs)
    return len(trial.reported) * max(1, len(runs))
