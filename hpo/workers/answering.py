"""A trial whose configuration the study has trained before: its result is read, and not trained again."""

from __future__ import annotations

from typing import Any

from optuna.trial import FrozenTrial

from hpo.spec import metrics_in
from hpo.storage import LeasedTrial
from hpo.trials.outcome import Outcome, Replicate


def answered(trial: LeasedTrial, by: FrozenTrial) -> Outcome:
    """The outcome of a complete trial as that of this one: value, metrics, what each epoch reported."""
    for step, value in sorted(by.intermediate_values.items()):
        trial.report(value, step)
    attributes = by.user_attrs
    value, *further = by.values
    return Outcome(
        by.state,
        value=value,
        further=further,
        reason=f"as #{by.number}" + (f": {attributes['reason']}" if "reason" in attributes else ""),
        metrics={name: attributes[name] for name in metrics_in(attributes)},
        replicates=[_replicate(run) for run in attributes["replicates"]],
        loop=attributes.get("loop"),
        # What it breaks, the other breaks too.
        constraints=by.constraints,
    )


def _replicate(run: dict[str, Any]) -> Replicate:
    metrics = {name: value for name, value in run.items() if name not in ("seed", "fold")}
    return Replicate(seed=run["seed"], fold=run["fold"], metrics=metrics)
