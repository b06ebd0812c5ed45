"""The studies of a storage: create, open, list."""

from __future__ import annotations

import warnings
from datetime import UTC, datetime
from pathlib import Path

import optuna

from hpo.data import Dataset, load_train, stratified_folds, stratified_split
from hpo.errors import DataError, StudyError
from hpo.spec import StudySpec, changes, load, to_json
from hpo.storage import Storage
from hpo.study.study import (
    ATTRIBUTES,
    CREATED_ATTRIBUTE,
    DIGEST_ATTRIBUTE,
    SPEC_ATTRIBUTE,
    STOPPED_ATTRIBUTE,
    Study,
    StudySummary,
    is_ours,
    place_of,
    summarise,
)


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
    study.go_on()
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
        names = [row.name for row in opened.overview() if is_ours(row.attributes)]
        remedy = f"There are: {', '.join(names)}." if names else "It holds no study yet."
        raise StudyError(place_of(name), f"there is no such study in {opened.place}", remedy=remedy) from None


def list_studies(
    *, storage: Storage | str | None = None, artifact_dir: str | Path | None = None
) -> list[StudySummary]:
    """What studies there are, oldest first; studies that hpo did not create are left out.

    Raises:
        StorageError: the database cannot be opened.
    """
    opened = storage if isinstance(storage, Storage) else Storage(storage, artifact_dir=artifact_dir)
    summaries = [summarise(row) for row in opened.overview() if is_ours(row.attributes)]
    return sorted(summaries, key=lambda summary: summary.created)


def served_studies(storage: Storage) -> list[int]:
    """Ids of the studies that workers may train: those of hpo, without those that are stopped."""
    return storage.studies_with(SPEC_ATTRIBUTE, without=STOPPED_ATTRIBUTE)


def _check_split(spec: StudySpec, dataset: Dataset) -> None:
    data = spec.data
    if data.folds is not None:
        stratified_folds(dataset.y, folds=data.folds, seed=data.seed)
    elif data.validation is not None:
        stratified_split(dataset.y, fraction=data.validation, seed=data.seed)


def _is_half_registered(study: optuna.Study, spec: StudySpec) -> bool:
    """Whether it is what `create_study` leaves if it is killed: a new study, or one that looks like it."""
    return (
        not is_ours(study.user_attrs)
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
        raise StudyError(place_of(study.name), f"is taken by another specification: {lines}", remedy=remedy)
    if digest != study.data_digest:
        rule = "must be the data that the study began with, and has changed since"
        raise DataError(f"data {spec.data.name}", rule, remedy="Give the study a new name.")
    if found:
        study.optuna.set_user_attr(SPEC_ATTRIBUTE, to_json(spec))
