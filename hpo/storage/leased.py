"""A claimed trial as Optuna has it: its calls outlast what passes, and write only while it is claimed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import optuna
from optuna.distributions import BaseDistribution

from hpo.storage.claims import Claim
from hpo.storage.patience import Patience
from hpo.storage.reports import REPORT_SECONDS

Result = TypeVar("Result")


class LeasedTrial(optuna.trial.Trial):
    """Optuna's trial, whose calls outlast what passes of the database and write only while it is claimed.

    They raise LeaseLostError once another worker may have the trial. What is reported within
    `report_seconds` is written together; `may_prune` says whether the pruner can end a trial after a step.
    """

    def __init__(
        self,
        study: optuna.Study,
        claim: Claim,
        retry: Patience,
        *,
        report_seconds: float = REPORT_SECONDS,
        may_prune: Callable[[int], bool] = lambda _: True,
    ) -> None:
        self._claim, self._retry, self._report_seconds = claim, retry, report_seconds
        self._may_prune, self._has_asked = may_prune, False
        begin = super().__init__
        retry(lambda: begin(study, claim.trial_id))

    @property
    def last_reported(self) -> float | None:
        """The value of the last step that was reported."""
        reported = self._cached_frozen_trial.intermediate_values
        return reported[max(reported)] if reported else None

    def report(self, value: float, step: int) -> None:
        """See Optuna."""
        reported = self._cached_frozen_trial.intermediate_values
        if step not in reported:
            reported[step] = float(value)
            self._retry(lambda: self._claim.report(float(value), step, seconds=self._report_seconds))

    def set_user_attr(self, key: str, value: Any) -> None:
        """See Optuna."""
        self._retry(lambda: self._claim.describe({key: value}))
        self._cached_frozen_trial.user_attrs[key] = value

    def should_prune(self) -> bool:
        """See Optuna. The database is asked only where the pruner can prune.

        It judges this trial by what is here, and by the results and rungs of others: reports may wait.
        """
        reported = self._cached_frozen_trial.intermediate_values
        # The worker that had the trial before may have passed a rung without asking.
        if not reported or (self._has_asked and not self._may_prune(max(reported))):
            return False
        self._has_asked = True
        return self._kept(self._is_pruned)

    def _is_pruned(self) -> bool:
        # Optuna's own refuses several objectives, whatever the pruner.
        return self.study.pruner.prune(self.study, self._get_latest_trial())

    def _suggest(self, name: str, distribution: BaseDistribution) -> Any:
        suggest, begun = super()._suggest, False

        def attempt() -> Any:
            nonlocal begun
            if begun:
                # The reply to the first attempt's COMMIT may have been lost: what is stored is drawn.
                self._cached_frozen_trial = self.storage.get_trial(self._trial_id)
            begun = True
            return suggest(name, distribution)

        return self._kept(attempt)

    def _kept(self, action: Callable[[], Result]) -> Result:
        def attempt() -> Result:
            with self._claim.fenced():
                return action()

        return self._retry(attempt)
