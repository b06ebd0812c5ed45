"""Studies from Python: create, open, list, run, read."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import optuna
from optuna.trial import FrozenTrial

from hpo.compare import Comparison, compare
from hpo.data import Dataset, load_train, stratified_folds, stratified_split
from hpo.errors import DataError, StudyError
from hpo.launch import run_workers
from hpo.planning import make_pruner, make_sampler, plan
from hpo.spec import StudySpec, changes, from_json, load, to_json
from hpo.storage import Storage, StudyRow
from hpo.trial import STATES, Trial

if TYPE_CHECKING:
    import pandas as pd

SPEC_ATTRIBUTE = "spec"
DIGEST_ATTRIBUTE = "data_digest"
CREATED_ATTRIBUTE = "created"
ATTRIBUTES = frozenset({SPEC_ATTRIBUTE, DIGEST_ATTRIBUTE, CREATED_ATTRIBUTE})
CURVES_FILE = "curves.csv"


@dataclass(frozen=True)
class StudySummary:
    """One line about a study. `counts` has an entry for every state of a trial."""

    name: str
    kind: str
    metric: str
    direction: str
    planned: int
    counts: dict[str, int]
    best_value: float | None
    created: datetime


class Study:
    """A study in its storage. Get one from `create_study` or `open_study`."""

    def __init__(self, storage: Storage, optuna_study: optuna.Study) -> None:
        self.storage, self.optuna = storage, optuna_study
        if not _is_ours(optuna_study.user_attrs):
            raise StudyError(_place(optuna_study.study_name), "must have been created by hpo, and was not")
        self.refresh()

    def refresh(self) -> None:
        """Read the specification again: somebody may have extended the study.

        Raises:
            StudyError: somebody has deleted it.
        """
        try:
            attributes = self.optuna.user_attrs
        except KeyError:
            raise _deleted(self.optuna.study_name) from None
        self.spec = from_json(attributes[SPEC_ATTRIBUTE])
        self.data_digest: str = attributes[DIGEST_ATTRIBUTE]

    @property
    def name(self) -> str:
        """The study's name, unique in its storage."""
        return self.spec.name

    @property
    def id(self) -> int:
        """Optuna's key of the study in its storage."""
        return self.optuna._study_id

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

    def trials(self) -> pd.DataFrame:
        """One row a trial, indexed by number; params, metrics and hyperparameters in columns of their own."""
        import pandas as pd

        rows = [trial.to_json() for trial in self.all_trials]
        table = (
            pd.json_normalize(rows, sep=".") if rows else pd.DataFrame(columns=["number", "state", "value"])
        )
        return table.drop(columns=["replicates", "curve"], errors="ignore").set_index("number")

    @property
    def best(self) -> Trial:
        """The complete trial with the best value.

        Raises:
            StudyError: no trial is complete.
        """
        complete = [trial for trial in self.all_trials if trial.value is not None]
        if not complete:
            raise StudyError(
                _place(self.name), "has no complete trial yet", remedy=f"Run: hpo resume {self.name}."
            )
        better = max if self.spec.objective.direction == "maximize" else min
        return better(complete, key=lambda trial: trial.value or 0.0)

    @property
    def summary(self) -> StudySummary:
        """How far the study is."""
        for row in self.storage.overview():
            if row.study_id == self.id:
                return _summarise(row)
        raise _deleted(self.name)

    def curves(self, number: int) -> pd.DataFrame:
        """The learning curves of a trial: seed, fold, epoch and its metrics, a row an epoch and replicate.

        Raises:
            StudyError: there is no such trial, or it has not finished.
        """
        import pandas as pd

        frozen = next((t for t in self.frozen_trials if t.number == number), None)
        path = self.storage.artifact(frozen, CURVES_FILE) if frozen is not None else None
        if path is None or not path.exists():
            raise StudyError(_place(self.name), f"there are no learning curves of trial {number}")
        return pd.read_csv(path)

    def compare(self) -> Comparison:
        """Means, standard deviations and numbers of runs of every arm, or of every configuration."""
        return compare(self.spec, self.all_trials)

    def plan(self) -> int:
        """Add the trials that the study still lacks; returns how many it has to train in all."""
        self.refresh()
        held = self.frozen_trials
        while missing := plan(self.spec, held):
            if self.storage.add_trials(self.id, missing, after=len(held)):
                break
            # Somebody else has added some at the same time.
            held = self.storage.rdb.get_all_trials(self.id, deepcopy=False)
        return len(self.storage.unfinished(self.id))

    def load_data(self) -> Dataset:
        """The training part of the study's data set.

        Raises:
            DataError: it cannot be had, or is not the data that the study began with.
        """
        dataset = load_train(self.spec.data.name)
        if dataset.digest != self.data_digest:
            rule = "must be the data that the study began with, and has changed since"
            raise DataError(f"data {self.spec.data.name}", rule, remedy="Give the study a new name.")
        return dataset

    def run(
        self,
        *,
        workers: int | None = None,
        timeout: float | None = None,
        watch: Callable[[Sequence[FrozenTrial]], None] | None = None,
        log: Callable[[str], None] | None = None,
    ) -> StudySummary:
        """Train what is left in child processes and wait until they end.

        Args:
            workers: how many; by default one for each core.
            timeout: seconds, after which the workers stop and their trials go back into the queue.
            watch: called about twice a second with the study's trials.
            log: called with each line that a worker writes; by default it goes to standard error.

        Raises:
            WorkerError: workers died, and trials are left.
        """

        def look() -> None:
            if watch is not None:
                watch(self.frozen_trials)

        self.plan()
        run_workers(
            self.storage,
            self.name,
            left=lambda: len(self.storage.unfinished(self.id)),
            workers=workers,
            timeout=timeout,
            look=look,
            log=log,
        )
        return self.summary

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
            raise StudyError(_place(self.name), rule, remedy="Stop them first.")
        self.storage.delete_study(self.id)


def create_study(
    spec: StudySpec | str | Path,
    *,
    storage: Storage | str | None = None,
    artifact_dir: str | Path | None = None,
) -> Study:
    """Register a study and plan its trials, or open the one that is there.

    A specification that only adds to the one stored (more trials, seeds or arms, or what tables show)
    extends the study.

    Args:
        spec: a specification, or the path of a study file.
        storage: a database URL; by default `HPO_STORAGE`, then `sqlite:///hpo.db`.
        artifact_dir: by default `HPO_ARTIFACT_DIR`, then `hpo-artifacts`.

    Raises:
        SpecError: the file breaks a rule.
        DataError: the data cannot be had, or cannot be split as declared.
        StorageError: the database cannot be opened.
        StudyError: the name is taken by a study with another specification.
    """
    if not isinstance(spec, StudySpec):
        spec = load(spec)
    dataset = load_train(spec.data.name)
    _check_split(spec, dataset)
    opened = (
        storage if isinstance(storage, Storage) else Storage(storage, artifact_dir=artifact_dir, create=True)
    )
    with opened.lock(f"create:{spec.name}"):
        found = optuna.create_study(
            study_name=spec.name,
            storage=opened.optuna,
            direction=spec.objective.direction,
            load_if_exists=True,
        )
        if _is_half_registered(found, spec):
            _register(found, spec, dataset.digest)
        else:
            _extend(Study(opened, found), spec, dataset.digest)
    study = Study(opened, found)
    study.plan()
    return study


def open_study(
    name: str, *, storage: Storage | str | None = None, artifact_dir: str | Path | None = None
) -> Study:
    """The study of that name.

    Raises:
        StorageError: the database cannot be opened.
        StudyError: there is no study of that name.
    """
    opened = storage if isinstance(storage, Storage) else Storage(storage, artifact_dir=artifact_dir)
    try:
        return Study(opened, optuna.load_study(study_name=name, storage=opened.optuna))
    except KeyError:
        names = [row.name for row in opened.overview() if _is_ours(row.attributes)]
        remedy = f"There are: {', '.join(names)}." if names else "It holds no study yet."
        raise StudyError(_place(name), f"there is no such study in {opened.place}", remedy=remedy) from None


def list_studies(
    *, storage: Storage | str | None = None, artifact_dir: str | Path | None = None
) -> list[StudySummary]:
    """What studies there are, oldest first; studies that hpo did not create are left out.

    Raises:
        StorageError: the database cannot be opened.
    """
    opened = storage if isinstance(storage, Storage) else Storage(storage, artifact_dir=artifact_dir)
    summaries = [_summarise(row) for row in opened.overview() if _is_ours(row.attributes)]
    return sorted(summaries, key=lambda summary: summary.created)


def _check_split(spec: StudySpec, dataset: Dataset) -> None:
    data = spec.data
    if data.folds is not None:
        stratified_folds(dataset.y, folds=data.folds, seed=data.seed)
    elif data.validation is not None:
        stratified_split(dataset.y, fraction=data.validation, seed=data.seed)


def _is_ours(attributes: Mapping[str, Any]) -> bool:
    return attributes.keys() >= ATTRIBUTES


def _is_half_registered(study: optuna.Study, spec: StudySpec) -> bool:
    """Whether it is what `create_study` leaves if it is killed: a new study, or one that looks like it."""
    return (
        not _is_ours(study.user_attrs)
        and study.user_attrs.keys() <= ATTRIBUTES
        and [direction.name.lower() for direction in study.directions] == [spec.objective.direction]
        and not study.get_trials(deepcopy=False)
    )


def _register(study: optuna.Study, spec: StudySpec, digest: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study.set_metric_names([spec.objective.metric])
    study.set_user_attr(CREATED_ATTRIBUTE, datetime.now(UTC).isoformat(timespec="seconds"))
    study.set_user_attr(DIGEST_ATTRIBUTE, digest)
    # Last: what has a specification is whole.
    study.set_user_attr(SPEC_ATTRIBUTE, to_json(spec))


def _extend(study: Study, spec: StudySpec, digest: str) -> None:
    """Store a specification that only adds to the study's own."""
    found = changes(study.spec, spec)
    # The same data may come from another place.
    moved = {"data.name"} if digest == study.data_digest else set()
    refused = [change for change in found if not change.extends and change.key not in moved]
    if refused:
        lines = "; ".join(f"{change.key} was {change.old!r} and is {change.new!r}" for change in refused)
        remedy = f"Give it a new name, or delete the old study: hpo delete {study.name} --yes."
        raise StudyError(_place(study.name), f"is taken by another specification: {lines}", remedy=remedy)
    if digest != study.data_digest:
        rule = "must be the data that the study began with, and has changed since"
        raise DataError(f"data {spec.data.name}", rule, remedy="Give the study a new name.")
    if found:
        study.optuna.set_user_attr(SPEC_ATTRIBUTE, to_json(spec))


def _summarise(row: StudyRow) -> StudySummary:
    spec = from_json(row.attributes[SPEC_ATTRIBUTE])
    return StudySummary(
        name=spec.name,
        kind=spec.kind,
        metric=spec.objective.metric,
        direction=spec.objective.direction,
        planned=spec.planned,
        counts={name: row.counts.get(state, 0) for state, name in STATES.items()},
        best_value=row.best_value,
        created=datetime.fromisoformat(row.attributes[CREATED_ATTRIBUTE]),
    )


def _deleted(name: str) -> StudyError:
    return StudyError(_place(name), "has been deleted")


def _place(name: str) -> str:
    return f"study {name!r}"
