"""What a trial that has ended has cost in epochs: of a search's limits, and of what is shown of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from optuna.trial import FrozenTrial

from hpo.search.marks import confirms
from hpo.spec import StudySpec


def runs_of(spec: StudySpec, trial: FrozenTrial) -> int:
    """How many training runs a trial has, one for each seed or fold."""
    return spec.replicates if confirms(trial) is None else spec.data.splits or 1


def epochs_spent(replicates: Sequence[Mapping[str, Any]], reported: int, *, runs: int) -> int:
    """The epochs over all runs: as each says, or of what failed before they could, as many as it reported.

    >>> epochs_spent([{"epochs_run": 3}, {"epochs_run": 5}], 5, runs=2), epochs_spent([], 5, runs=2)
    (8, 10)
    """
    if replicates and all("epochs_run" in run for run in replicates):
        return sum(int(run["epochs_run"]) for run in replicates)
    return reported * runs
