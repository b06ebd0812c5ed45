"""One study as its storage holds it: specification, data digest, trials, what is planned and stopped."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from hpo.data import Dataset, digest_of_test, is_corrected, load_parts, load_test, load_train
from hpo.errors import DataError, SpecError, StudyError
from hpo.registry.code import ACCEPT, CODE_ATTRIBUTE, check_code
from hpo.registry.summary import StudySummary
from hpo.search import ShowingSampler, Views, first_withdrawn, known, make_pruner, make_sampler, plan
from hpo.spec import Data, FinalSpec, SearchSpec, StudySpec, from_json
from hpo.storage import Storage, StudyRow, study_id, system_attributes, trial_id
from hpo.trials import STATES, Trial

SPEC_ATTRIBUTE = "spec"
DIGEST_ATTRIBUTE = "data_digest"
# None, or absent from a study of version 0.1, until there is a test part.
TEST_DIGEST_ATTRIBUTE = "test_digest"
CREATED_ATTRIBUTE = "created"
# Those that it was made with; absent from a study of version 0.1. A trial has those of its worker.
VERSIONS_ATTRIBUTE = "versions"
STOPPED_ATTRIBUTE = "stopped"
# Of a search that starts from another study: its best configuration; of programs, rows of its trials.
STARTED_FROM_ATTRIBUTE = "started_from"
# How many workers each crew of it is to have.
WORKERS_ATTRIBUTE = "workers"
ATTRIBUTES = frozenset({SPEC_ATTRIBUTE, DIGEST_ATTRIBUTE, CREATED_ATTRIBUTE})
LOST = "its worker is lost; the next worker takes it up"
OTHER_DATA = "Put that data back, or give the study a new name."
OTHER_DRAWS = "If its function draws numbers, let it do so by a seed of its own."


class StoredStudy:
    """A study in its storage: what planners and workers need of it. Training and reading are `Study`'s.

    Raises:
        SpecError: this version of hpo cannot read its specification.
        StudyError: it is not one of hpo's, or has been deleted.
    """

    def __init__(self, storage: Storage, optuna_study: optuna.Study) -> None:
        self.storage, self.optuna = storage, optuna_study
        self._viewed: Views | None = None
        self.refresh()

    def refresh(self) -> None:
        """Read the specification again: somebody may have changed what the study asks for.

        Raises:
            SpecError: this version of hpo cannot read it.
            StudyError: somebody has deleted the study.
        """
        attributes = self.storage.study_attributes(self.id)
        if attributes is None:
            raise _deleted(self.name)
        if not is_ours(attributes):
            raise StudyError(place_of(self.name), "must have been created by hpo, and was not")
        self.storage.optuna.read_by(self.id, attributes[SPEC_ATTRIBUTE])
        if getattr(self, "_stored_spec", None) != attributes[SPEC_ATTRIBUTE]:
            self._viewed = None
        self._stored_spec = attributes[SPEC_ATTRIBUTE]
        self.spec = from_json(self._stored_spec, source=place_of(self.name))
        self.data_digest: str = attributes[DIGEST_ATTRIBUTE]
        self.test_digest: str | None = attributes.get(TEST_DIGEST_ATTRIBUTE)
        self.started_from: dict[str, Any] | None = attributes.get(STARTED_FROM_ATTRIBUTE)
        self._versions: dict[str, str] | None = attributes.get(VERSIONS_ATTRIBUTE)
        self._has_older_split = TEST_DIGEST_ATTRIBUTE not in attributes

    @property
    def kept_code(self) -> dict[str, str]:
        """The text of each file of a person's own, by the key that names it, as it was kept to be shown."""
        return self.storage.study_attribute(self.id, CODE_ATTRIBUTE) or {}

    @property
    def versions(self) -> dict[str, str]:
        """The versions that the study was made with, or else those of its first trial that says them."""
        if self._versions is None:
            of_trials = (frozen.user_attrs.get(VERSIONS_ATTRIBUTE) for frozen in self.frozen_trials)
            self._versions = next(filter(None, of_trials), None)
        return self._versions or {}

    def check_code(self) -> None:
        """Raises CodeError unless the files of people's own are here, and as the study was made with them."""
        if self.spec.own_code:
            accept = f"hpo resume {self.name} {ACCEPT}"
            check_code(place_of(self.name), self.spec, self.kept_code, accept=accept)

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
        held = self.frozen_trials
        found = [Trial.of(self.spec, frozen) for frozen in held]
        if not any(trial.state == "running" for trial in found):
            return found
        lost = set(self.storage.lost(self.id))
        return [
            replace(trial, lost=True, reason=LOST)
            if trial.state == "running" and trial_id(frozen) in lost
            else trial
            for trial, frozen in zip(found, held, strict=True)
        ]

    @property
    def summary(self) -> StudySummary:
        """How far the study is."""
        for row in self.storage.overview():
            if row.study_id == self.id:
                return summarise(row, self.storage)
        raise _deleted(self.name)

    @property
    def final_rows(self) -> list[StudyRow]:
        """The final evaluations of this study, alone or with others, as the storage lists them."""
        return [row for row in self.storage.overview() if self.name in sources_of(row.attributes)]

    @property
    def evaluated_by(self) -> list[str]:
        """The names of the final evaluations of this study that have results."""
        return [row.name for row in self.final_rows if row.counts.get(TrialState.COMPLETE)]

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
        asked = self.asked
        first = first_withdrawn(asked, held)
        if first is not None and self.storage.withdraw_trials(self.id, first=first, given=given):
            return False
        missing = plan(asked, held)
        return not missing or self.storage.add_trials(self.id, missing, after=len(held), given=given)

    @property
    def asked(self) -> StudySpec:
        """Its specification, which starts with the best of the study that it starts from."""
        best = self.started_from and self.started_from["best"]
        if not best or not isinstance(self.spec, SearchSpec):
            return self.spec
        return self.spec.model_copy(update={"start_with": (best, *self.spec.start_with)})

    @cached_property
    def _earlier(self) -> list[Any]:
        """Rows of the trials of the study that it starts from, which stay as they were then."""
        return list(system_attributes(self.optuna).get(STARTED_FROM_ATTRIBUTE, ()))

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

    @property
    def workers(self) -> int | None:
        """How many workers each of its crews is to have; None: as many as it was started with."""
        count: int | None = self.storage.study_attribute(self.id, WORKERS_ATTRIBUTE)
        return count

    @workers.setter
    def workers(self, count: int | None) -> None:
        if count != self.workers:
            self.storage.set_study_attribute(self.id, WORKERS_ATTRIBUTE, count)

    @property
    def data(self) -> Data:
        """The data as this machine has them: those given in Python may be in another artifact folder."""
        data = self.spec.data
        path, folder = Path(data.name), self.storage.artifacts.data
        if path.parent.name != folder.name or path.exists():
            return data
        kept = self.storage.artifacts.given_data(path.name)
        return data if kept is None else data.model_copy(update={"name": str(kept.resolve())})

    def load_data(self) -> Dataset:
        """The training part of the study's data set.

        Raises:
            DataError: it cannot be had, or is not the data that the study began with.
        """
        dataset = load_train(self.data, task=self.spec.task)
        self.check_data(dataset)
        return dataset

    def load_test_data(self) -> Dataset | None:
        """The test part of the study's data set, for a final evaluation; None for any other study.

        Raises:
            DataError: there is none, or it is not the one that the study began with.
        """
        if not isinstance(self.spec, FinalSpec):
            return None
        dataset = load_test(self.data, task=self.spec.task)
        self.check_test(dataset.digest)
        return dataset

    def confirm_data(self) -> None:
        """Check both parts of the data before more is trained, and keep the test part's digest if it is new.

        Raises:
            DataError: they cannot be had, or are not those that the study began with.
        """
        data, task = self.data, self.spec.task
        try:
            dataset, test = load_parts(data, task=task)
            self.check_data(dataset)
            del dataset  # arrays of a test part may be as large
            digest = digest_of_test(data, task=task) if test is None else test.digest
        except DataError:
            self.load_data()
            # Nothing depends yet on a test part that is not right: a final evaluation will refuse it.
            if self.test_digest is not None:
                raise
            return
        self.check_test(digest)
        if not self._has_unchecked_results:
            self.record_test(digest)

    @property
    def _has_unchecked_results(self) -> bool:
        """Whether version 0.1 evaluated it on a test part of which nothing says that it is today's."""
        is_evaluated = any(frozen.state == TrialState.COMPLETE for frozen in self.frozen_trials)
        return isinstance(self.spec, FinalSpec) and self.test_digest is None and is_evaluated

    def check_data(self, dataset: Dataset) -> None:
        """Raises DataError unless this is the training data, split as it was when the study began."""
        place, data = f"data {dataset.name}", self.spec.data
        if dataset.digest != self.data_digest:
            rule = "must be the data that the study began with, and has changed since"
            raise DataError(place, rule, remedy=OTHER_DATA if data.code is None else OTHER_DRAWS)
        if (
            self._has_older_split
            and data.validation is not None
            and not dataset.columns
            and is_corrected(dataset.y, fraction=data.validation, seed=data.seed)
        ):
            rule = (
                "the split that the study began with leaves a class out of a part, and is not made any more"
            )
            raise DataError(place, rule, remedy="Give the study a new name.")

    def check_test(self, digest: str | None) -> None:
        """Raises DataError if the digest of the test part is not that of the study, once it has one."""
        if self.test_digest is not None and digest != self.test_digest:
            rule = "must have the test part that the study began with, which has changed since"
            raise DataError(f"data {self.spec.data.name}", rule, remedy=OTHER_DATA)

    def record_test(self, digest: str | None) -> None:
        """Keep the digest of the test part, if none was known."""
        if self.test_digest is None and (digest is not None or self._has_older_split):
            self.optuna.set_user_attr(TEST_DIGEST_ATTRIBUTE, digest)
            self.refresh()

    def optuna_for(self, number: int) -> optuna.Study:
        """The Optuna study with the sampler and the pruner of trial `number`."""
        sampler, pruner = make_sampler(self.spec, number), make_pruner(self.spec)
        if isinstance(self.spec, SearchSpec):
            sampler = ShowingSampler(sampler, self._views)
        # A new one would ask the database for its key by its name.
        study = copy.copy(self.optuna)
        study.sampler, study.pruner = sampler, pruner
        return study

    @property
    def _views(self) -> Views:
        """Its trials as samplers see them, kept until its specification changes."""
        assert isinstance(self.spec, SearchSpec)
        if self._viewed is None:
            rows = self._earlier if self.started_from else ()
            self._viewed = Views(self.spec, known(self.spec, rows))
        return self._viewed

    def delete(self) -> None:
        """Remove the study with its trials and artifacts.

        Raises:
            StudyError: a worker is training it.
        """
        if busy := len(self.storage.in_training(self.id)):
            rule = f"cannot be deleted while workers train it (trials in training: {busy})"
            raise StudyError(place_of(self.name), rule, remedy="Stop them first.")
        self.storage.delete_study(self.id)
        # What callbacks of its own have written; its name is that of a folder.
        shutil.rmtree(self.storage.artifacts.of_callbacks(self.name), ignore_errors=True)


def is_ours(attributes: Mapping[str, Any]) -> bool:
    """Whether user attributes are those of a study that hpo created."""
    return attributes.keys() >= ATTRIBUTES


def sources_of(attributes: Mapping[str, Any]) -> tuple[str, ...]:
    """The studies that a final evaluation with these user attributes is of; none of any other study."""
    spec = attributes.get(SPEC_ATTRIBUTE) if is_ours(attributes) else None
    if not isinstance(spec, Mapping) or spec.get("kind") != "final":
        return ()
    sources = spec.get("sources")
    return tuple(map(str, sources)) if isinstance(sources, list | tuple) else ()


def summarise(row: StudyRow, storage: Storage) -> StudySummary:
    """The summary of a study that hpo created, whichever version of it."""
    counts = {name: row.counts.get(state, 0) for state, name in STATES.items()}
    created = _time(row.attributes[CREATED_ATTRIBUTE])
    try:
        spec = from_json(row.attributes[SPEC_ATTRIBUTE], source=place_of(row.name))
    except SpecError as error:
        return StudySummary(row.name, None, None, None, None, counts, None, created, problem=str(error))
    metric, ranks = ", ".join(one.metric for one in spec.judged_by), len(spec.judged_by) == 1
    direction, best = (spec.objective.direction, row.best_value) if ranks else (None, None)
    lost = len(storage.lost(row.study_id)) if counts["running"] else 0
    return StudySummary(row.name, spec.kind, metric, direction, spec.planned, counts, best, created, lost)


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
