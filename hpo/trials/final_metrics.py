"""The final metrics of a trial: of each replicate, and as means over them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from hpo.spec import StudySpec, directions, is_own, reported_name
from hpo.trials.progress import scalars

if TYPE_CHECKING:
    from hpo.training.samples import Logs
    from hpo.trials.lockstep import ReplicateRun


def part_of(part: str, logs: Logs) -> dict[str, float]:
    """What a model reports of the samples of a part: `val`, `train` or `test`."""
    return {f"{part}_{name}": value for name, value in scalars(logs).items()}


def of_test(logs: Logs, measured: Mapping[str, float], objective: str) -> dict[str, float]:
    """The metrics of the test set: what the model reports of it, and what its task has measured."""
    found = part_of("test", logs)
    of_task = {f"test_{name}": value for name, value in measured.items()}
    if is_own(objective):
        # The model's own, which trials are ranked by, though the task may call another one so.
        of_task.pop(f"test_{reported_name(objective)}", None)
    return found | of_task


def not_finite(measured: Mapping[str, float], objective: str) -> str | None:
    """The first metric that is not finite and must be; what a model reports beside may be undefined."""
    for name, value in measured.items():
        if not math.isfinite(value) and (name == objective or not is_own(name)):
            return name
    return None


def mean_metrics(spec: StudySpec, replicates: Sequence[ReplicateRun], best_epoch: int) -> dict[str, float]:
    """Means over the replicates of what all have; adds what is known of their curves."""
    for replicate in replicates:
        replicate.metrics |= {
            "train_seconds": replicate.run.train_seconds,
            "epochs_run": float(replicate.run.epoch),
        }
        if best_epoch:
            validated = [name for name in replicate.curve[0] if name.startswith("val_")]
            towards = {name: spec.metric(name).direction for name in validated}
            replicate.metrics |= {
                f"best_{name}": directions.best(direction)(logs[name] for logs in replicate.curve)
                for name, direction in towards.items()
                if direction is not None
            }
            replicate.metrics["best_epoch"] = float(best_epoch)
    shared = [name for name in replicates[0].metrics if all(name in r.metrics for r in replicates)]
    return {name: float(np.mean([replicate.metrics[name] for replicate in replicates])) for name in shared}
