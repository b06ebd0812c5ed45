"""Trials as optuna-dashboard shows them: their attributes one by one and always in the same order."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from hpo.spec import METRICS, Hyperparameters
from hpo.storage import BulkReadingStorage

FIRST = ("arm", "seed", "worker")


class ViewedStorage(BulkReadingStorage):
    """Optuna's storage, whose trials have the attributes of `shown`."""

    def _get_trials(
        self,
        study_id: int,
        states: Iterable[TrialState] | None,  # type: ignore[override]
        included_trial_ids: Collection[int],
        trial_id_greater_than: int,
    ) -> list[FrozenTrial]:
        found = super()._get_trials(study_id, states, included_trial_ids, trial_id_greater_than)
        for trial in found:
            trial._user_attrs = shown(trial._user_attrs)
        return found

    def get_trial(self, trial_id: int) -> FrozenTrial:
        """See Optuna."""
        trial = super().get_trial(trial_id)
        trial._user_attrs = shown(trial._user_attrs)
        return trial


def shown(attributes: dict[str, Any]) -> dict[str, Any]:
    """Arm, seed and worker, every effective hyperparameter, the final metrics, then what else there is.

    Hyperparameters that are not set are left out, and so are replicates if there is only one.
    """
    rest = dict(attributes)
    hyperparameters = rest.pop("hyperparameters", None)
    if not isinstance(hyperparameters, dict):
        hyperparameters = {}
    if len(rest.get("replicates") or ()) < 2:
        rest.pop("replicates", None)
    found = {name: rest.pop(name) for name in FIRST if name in rest}
    for name in Hyperparameters.model_fields:
        if hyperparameters.get(name) is not None:
            found[name] = hyperparameters[name]
    found |= {name: rest.pop(name) for name in METRICS if name in rest}
    return found | rest
