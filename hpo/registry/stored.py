"""One study as its storage holds it: specification, data digest, trials, what is planned and stopped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import optuna
from optuna.trial import FrozenTrial

from hpo.data import Dataset, digest_of_test_part, load_test, load_train
from hpo.errors import DataError, SpecError, StudyError
from hpo.search import first_withdrawn, make_pruner, make_sampler, plan
from hpo.spec import FinalSpec, from_json
from hpo.storage import Storage, StudyRow, study_id
from hpo.trials import STATES, Trial

SPEC_ATTRIBUTE = "spec"
DIGEST_ATTRIBUTE = "data_digest"
# Of the test part; None if there is none. Studies of version 0.1 have it from their next look at it.
TEST_DIGEST_ATTRIBUTE = "test_digest"
CREATED_ATTRIBUTE = "created"
STOPPED_ATTRIBUTE = "stopped"
ATTRIBUTES = frozenset({SPEC_ATTRIBUTE, DIGEST_ATTRIBUTE, CREATED_ATTRIBUTE})


@dataclass(frozen=True)
class StudySummary:
    """One line about a study. `counts` has an entry for every state of a trial.

    `problem` says why this version of hpo cannot read the study; what only its specification tells is then
    None.
    """

    name: str
    kind: str | None
    metric: str | None
    direction: str | None
    planned: int | None
    counts: dict[str, int]
    best_value: float | None
    created: datetime | None
    problem: str | None = None


class StoredStudy:
    """A study in its storage: what planners and workers need of it. Training and reading are `Study`'s.

    Raises:
        SpecError: this version of hpo cannot read its specification.
        StudyError: it is not one of hpo's, or has been deleted.
    """

    def __init__(self, storage: Storage, optuna_study: optuna.Study) -> None:
        self.storage, self.optuna = storage, optuna_study
        self.refresh()

    def refresh(self) -> None:
        """Read the specification again: somebody may have changed what the study asks for.

        Raises:
            SpecError: this version of hpo cannot read it.
            StudyError: somebody has deleted the study.
        """
        try:
            attributes = self.optuna.user_attrs
        except KeyError:
            raise _deleted(self.name) from None
        if not is_ours(attributes):
            raise StudyError(place_of(self.name), "must have been created by hpo, and was not")
        self._stored_spec = attributes[SPEC_ATTRIBUTE]
        self.spec = from_json(self._stored_spec, source=place_of(self.name))
        self.data_digest: str = attributes[DIGEST_ATTRIBUTE]

    @property
    def name(self) -> str:
        """The study's name, unique in its storage."""
        return self.optuna.study_name

    @property
    def is_stopped(self) -> bool:
        """Whether `stop` was called after the study was last created, run or resumed."""
        return self.storage.study_attribute(self.id, STOPPED_ATTRIBUTE) is not None

    @property
    def id(self) -> int:
        """Optuna's key of the study in its storage."""
        return study_id(self.optuna)

    @property
    def frozen_trials(self) -> list[FrozenTrial]:
        """Every trial, by number, as Optuna has it. Not to be changed.

        Raises:
            StudyError: the study has been deleted.
        """
        try:
            return self.optuna.get_trials(deepcopy=False)
        except KeyError:
            raise _deleted(self.name) from None

    @property
    def all_trials(self) -> list[Trial]:
        """Every trial, by number."""
        return [Trial.of(self.spec, frozen) for frozen in self.frozen_trials]

    @property
    def summary(self) -> StudySummary:
        """How far the study is."""
        for row in self.storage.overview():
            if row.study_id == self.id:
                return summarise(row)
        raise _deleted(self.name)

    def plan(self) -> int:
        """Add the trials that the study still lacks, and withdraw those that it no longer asks for.

        What has begun, and what has finished, stays. Returns how many trials the study has to train in all.
        """
        self.refresh()
        held = self.frozen_trials
        while not self._is_planned(held):
            self.refresh()
            held = self.storage.rdb.get_all_trials(self.id, deepcopy=False)
        return len(self.storage.unfinished(self.id))

    def _is_planned(self, held: Sequence[FrozenTrial]) -> bool:
        """Make the trials `held` what the study asks for; False if they are to be looked at again.

        Somebody else may have planned at the same time, by this specification or another one.
        """
        given = {SPEC_ATTRIBUTE: self._stored_spec}
        first = first_withdrawn(self.spec, held)
        if first is not None and self.storage.withdraw_trials(self.id, first=first, given=given):
            return False
        missing = plan(self.spec, held)
        return not missing or self.storage.add_trials(self.id, missing, after=len(held), given=given)

    def stop(self) -> None:
        """Let the study's workers, wherever they are, end after their epoch and put their trials back.

        Nobody trains the study until it is created, run or resumed again.
        """
        now = datetime.now(UTC).isoformat(timespec="seconds")
        self.optuna.set_user_attr(STOPPED_ATTRIBUTE, now)

    def go_on(self) -> None:
        """Let workers train the study again after a `stop`."""
        if self.is_stopped:
            self.optuna.set_user_attr(STOPPED_ATTRIBUTE, None)

    def load_data(self) -> Dataset:
        """The training part of the study's data set.

        Raises:
            DataError: it cannot be had, or is not the data that the study began with.
        """
        dataset = load_train(self.spec.data.name)
        if dataset.digest != self.data_digest:
            raise changed_data(self.spec.data.name)
        return dataset

    @property
    def test_digest(self) -> str | None:
        """The digest of the test part of the study's data; None if there is none, or it is not known."""
        digest: str | None = self.optuna.user_attrs.get(TEST_DIGEST_ATTRIBUTE)
        return digest

    def check_test_data(self, name: str | None = None) -> None:
        """Check the test part of the study's data, or of the set of that name, which may have moved.

        Raises:
            DataError: it is not what the study began with.
        """
        name, attributes = name or self.spec.data.name, self.optuna.user_attrs
        found = digest_of_test_part(name)
        if TEST_DIGEST_ATTRIBUTE not in attributes:
            self.optuna.set_user_attr(TEST_DIGEST_ATTRIBUTE, found)
        elif attributes[TEST_DIGEST_ATTRIBUTE] != found:
            raise changed_data(f"{name}: test part")

    def load_test_data(self) -> Dataset | None:
        """The test part of the study's data set, for a final evaluation; None for any other study.

        Raises:
            DataError: there is none, or it is not what the study began with.
        """
        if not isinstance(self.spec, FinalSpec):
            return None
        dataset, name = load_test(self.spec.data.name), self.spec.data.name
        if self.optuna.user_attrs.get(TEST_DIGEST_ATTRIBUTE, dataset.digest) != dataset.digest:
            raise changed_data(f"{name}: test part")
        return dataset

    def optuna_for(self, number: int) -> optuna.Study:
        """The Optuna study with the sampler and the pruner of trial `number`."""
        sampler, pruner = make_sampler(self.spec, number), make_pruner(self.spec)
        return optuna.study.Study(self.name, self.storage.optuna, sampler=sampler, pruner=pruner)

    def delete(self) -> None:
        """Remove the study with its trials and artifacts.

        Raises:
            StudyError: a worker is training it.
        """
        if busy := len(self.storage.in_training(self.id)):
            rule = f"cannot be deleted while workers train it (trials in training: {busy})"
            raise StudyError(place_of(self.name), rule, remedy="Stop them first.")
        self.storage.delete_study(self.id)


def changed_data(name: str) -> DataError:
    """The error for data that are not those that a study began with."""
    rule = "must be the data that the study began with, and has changed since"
    return DataError(f"data {name}", rule, remedy="Give the study a new name.")


def is_ours(attributes: Mapping[str, Any]) -> bool:
    """Whether user attributes are those of a study that hpo created."""
    return attributes.keys() >= ATTRIBUTES


def summarise(row: StudyRow) -> StudySummary:
    """The summary of a study that hpo created, whichever version of it."""
    counts = {name: row.counts.get(state, 0) for state, name in STATES.items()}
    created = _time(row.attributes[CREATED_ATTRIBUTE])
    try:
        spec = from_json(row.attributes[SPEC_ATTRIBUTE], source=place_of(row.name))
    except SpecError as error:
        return StudySummary(row.name, None, None, None, None, counts, None, created, problem=str(error))
    metric, direction = spec.objective.metric, spec.objective.direction
    return StudySummary(row.name, spec.kind, metric, direction, spec.planned, counts, row.best_value, created)


def _time(text: Any) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return None


def _deleted(name: str) -> StudyError:
    return StudyError(place_of(name), "has been deleted")


def place_of(name: str) -> str:
    """A study, as error messages name it."""
    return f"study {name!r}"
