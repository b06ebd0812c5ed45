"""Optuna's cache of trials, which forgets those that are gone."""

from __future__ import annotations

from typing import Any

from optuna.distributions import BaseDistribution
from optuna.storages import RDBStorage, _CachedStorage
from optuna.trial import FrozenTrial


class TrialCache(_CachedStorage):
    """Finished trials are read once, all others each time, and a trial that was withdrawn is gone.

    Optuna deletes trials with their study alone, so in its own cache one that is gone waits for ever.
    """

    def __init__(self, backend: RDBStorage) -> None:
        super().__init__(backend)
        # By which trials of a study have been read: of this cache, and not of who opens the study.
        self._specifications: dict[int, Any] = {}

    def _read_trials_from_remote_storage(self, study_id: int) -> None:
        before = self._unfinished(study_id)
        super()._read_trials_from_remote_storage(study_id)
        with self._lock:
            for trial in before:
                # What is there has been read, and is a new object.
                now = self._studies[study_id].trials.get(trial.number)
                if now is trial or (now is not None and now._trial_id != trial._trial_id):
                    self._forget(study_id, trial)

    def set_trial_param(
        self, trial_id: int, param_name: str, param_value_internal: float, distribution: BaseDistribution
    ) -> None:
        """See Optuna, whose cache knows only trials that it has made, or read with all of their study."""
        if trial_id in self._trial_id_to_study_id_and_number:
            super().set_trial_param(trial_id, param_name, param_value_internal, distribution)
        else:
            self._backend.set_trial_param(trial_id, param_name, param_value_internal, distribution)

    def forget(self, study_id: int) -> None:
        """Have all trials of a study read anew, at the next reading of all.

        What was read stays until then: another thread may be between reading and taking it.
        """
        with self._lock:
            if study := self._studies.get(study_id):
                study.last_finished_trial_id = -1
                study.param_distribution.clear()

    def read_by(self, study_id: int, specification: Any) -> None:
        """Forget the trials of a study if they were read by another specification of it.

        Its space may have grown, and with it what finished trials have.
        """
        with self._lock:
            before = self._specifications.get(study_id, specification)
            self._specifications[study_id] = specification
        if before != specification:
            self.forget(study_id)

    def _unfinished(self, study_id: int) -> list[FrozenTrial]:
        with self._lock:
            if study_id not in self._studies:
                return []
            study = self._studies[study_id]
            numbers = (self._trial_id_to_study_id_and_number[key][1] for key in study.unfinished_trial_ids)
            return [study.trials[number] for number in numbers]

    def _forget(self, study_id: int, trial: FrozenTrial) -> None:
        study, key, place = self._studies[study_id], trial._trial_id, (study_id, trial.number)
        study.unfinished_trial_ids.discard(key)
        # Another trial may have its number by now, and in some databases its key.
        if study.trials.get(trial.number) is trial:
            del study.trials[trial.number]
        if self._trial_id_to_study_id_and_number.get(key) == place:
            del self._trial_id_to_study_id_and_number[key]
        if self._study_id_and_number_to_trial_id.get(place) == key:
            del self._study_id_and_number_to_trial_id[place]
