"""How a trial ended: what the objective hands to the worker."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from optuna.trial import TrialState

from hpo.spec import metrics_in
from hpo.storage import INFEASIBLE_ATTRIBUTE


class StoppedError(Exception):
    """The trial was told to stop before its end; it has no result."""


@dataclass(kw_only=True)
class Replicate:
    """One training run of a trial: its seed, its fold (None without folds), its curve and final metrics.

    `confusion`: (classes, classes) counts of validation samples by true and predicted class.
    `validation_rows` and `validation_outputs`: some of the validation samples, by their rows in the training
    data, and the model's outputs for them, (samples, outputs), float32. `test_outputs`: those
    for the test samples, of a final evaluation.
    """

    seed: int
    fold: int | None
    curve: list[dict[str, float]] = field(default_factory=list)
    metrics: dict[str, float] = field(default_factory=dict)
    confusion: np.ndarray[Any, Any] | None = None
    validation_rows: np.ndarray[Any, Any] | None = None
    validation_outputs: np.ndarray[Any, Any] | None = None
    test_outputs: np.ndarray[Any, Any] | None = None


@dataclass(frozen=True)
class Outcome:
    """How a trial ended.

    `value` is the first objective's, `further` are the others'; `metrics` are means over the replicates;
    `loop` is what ran its epochs.

    `keepsakes` makes what is kept of a trial that is the best so far: content by file name.
    """

    state: TrialState
    value: float | None = None
    reason: str | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    replicates: Sequence[Replicate] = ()
    loop: str | None = None
    keepsakes: Callable[[], dict[str, bytes]] | None = None
    # How far it is from breaking each constraint, as Optuna has it: at most 0, kept.
    constraints: Mapping[str, float] = field(default_factory=dict)
    further: Sequence[float] = ()

    @property
    def is_infeasible(self) -> bool:
        """Whether it breaks a constraint."""
        return any(violation > 0 for violation in self.constraints.values())

    @property
    def attributes(self) -> dict[str, Any]:
        """What is stored of it beside its value, as user attributes of its trial."""
        told = {"loop": self.loop, "reason": self.reason, INFEASIBLE_ATTRIBUTE: self.is_infeasible or None}
        return {
            **{name: self.metrics[name] for name in metrics_in(self.metrics)},
            "replicates": [{"seed": one.seed, "fold": one.fold, **one.metrics} for one in self.replicates],
            **{name: value for name, value in told.items() if value is not None},
        }

    @property
    def curves(self) -> list[dict[str, Any]]:
        """A row for each epoch of each replicate: seed, fold, epoch (from 1) and its metrics."""
        return [
            {"seed": replicate.seed, "fold": replicate.fold, "epoch": epoch, **logs}
            for replicate in self.replicates
            for epoch, logs in enumerate(replicate.curve, start=1)
        ]
