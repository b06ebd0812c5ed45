"""Trials as optuna-dashboard shows them: their attributes one by one and always in the same order."""

from __future__ import annotations

from typing import Any

from hpo.search import RUNGS_ATTRIBUTE
from hpo.spec import METRICS, metrics_in
from hpo.storage import BulkReadingStorage
from hpo.trials import COMPILED_ATTRIBUTE

FIRST = ("arm", "seed", "worker")


class DashboardStorage(BulkReadingStorage):
    """Optuna's storage, whose trials have the attributes of `in_order`."""

    def shown(self, attributes: dict[str, Any]) -> dict[str, Any]:
        """See `in_order`."""
        return in_order(attributes)


def in_order(attributes: dict[str, Any]) -> dict[str, Any]:
    """Arm, seed and worker, every effective hyperparameter, the final metrics, then what else there is.

    Hyperparameters that are not set are left out, and so are replicates if there is only one.

    >>> in_order({"loss": 0.5, "hyperparameters": {"epochs": 3, "dropout": None}, "seed": 1})
    {'seed': 1, 'epochs': 3, 'loss': 0.5}
    """
    rest = dict(attributes)
    rest.pop(COMPILED_ATTRIBUTE, None)  # which some trials have, for those who estimate what is left
    rest.pop(RUNGS_ATTRIBUTE, None)  # which pruners read
    hyperparameters = rest.pop("hyperparameters", None)
    if not isinstance(hyperparameters, dict):
        hyperparameters = {}
    if len(rest.get("replicates") or ()) < 2:
        rest.pop("replicates", None)
    found = {name: rest.pop(name) for name in FIRST if name in rest}
    # Of a person's own model one may have the name of something else.
    ours = {*FIRST, *METRICS, *rest}
    found |= {
        f"params.{name}" if name in ours else name: value
        for name, value in hyperparameters.items()
        if value is not None
    }
    found |= {name: rest.pop(name) for name in metrics_in(rest)}
    return found | rest
