"""A database of studies with its leases and artifacts."""

from __future__ import annotations

import contextlib
import json
import math
import mimetypes
import os
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import optuna
import sqlalchemy as sa
from optuna.distributions import distribution_to_json
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import BaseStorage, RDBStorage
from optuna.storages._rdb import models
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import orm

from hpo.storage import opening
from hpo.storage.leases import Lease, acquire, leases, now

DEFAULT_ARTIFACT_DIR = "hpo-artifacts"
LOCK_SECONDS = 60.0
ARTIFACT_PREFIX = "artifacts:"
UNFINISHED = (TrialState.WAITING, TrialState.RUNNING)

optuna.logging.set_verbosity(optuna.logging.WARNING)


@dataclass(frozen=True)
class StudyRow:
    """A study as `Storage.overview` finds it; `attributes` are its user attributes."""

    study_id: int
    name: str
    attributes: dict[str, Any]
    counts: dict[TrialState, int]
    best_value: float | None


@dataclass(frozen=True)
class Claim:
    """A trial that this process alone trains."""

    trial_id: int
    lease: Lease


class Storage:
    """An open database and its artifact folder.

    Args:
        url: `sqlite:///FILE` or `postgresql+psycopg://...`; by default `HPO_STORAGE`, then `sqlite:///hpo.db`.
        artifact_dir: by default `HPO_ARTIFACT_DIR`, then `hpo-artifacts`.
        create: create the database if it is not there.

    Raises:
        StorageError: the database cannot be opened, is not there, or is no Optuna database of this version.
    """

    def __init__(
        self, url: str | None = None, *, artifact_dir: Path | str | None = None, create: bool = False
    ) -> None:
        url = url or os.environ.get("HPO_STORAGE") or opening.DEFAULT_URL
        self.artifact_dir = Path(artifact_dir or os.environ.get("HPO_ARTIFACT_DIR") or DEFAULT_ARTIFACT_DIR)
        self.place = f"storage {opening.masked(url)}"
        with opening.explained(self.place):
            self.url = opening.checked(url, place=self.place, create=create)
            if create:
                opening.create_schema(self.url)
            self.engine = opening.make_engine(self.url)
            opening.check_schema(self.engine, place=self.place, create=create)

    @cached_property
    def rdb(self) -> RDBStorage:
        """Optuna's storage on this engine; opened at first use, since that takes a fifth of a second."""
        with opening.explained(self.place):
            return opening.optuna_storage(self.url, self.engine)

    @cached_property
    def optuna(self) -> BaseStorage:
        """The storage to hand to Optuna: finished trials are read once."""
        return optuna.storages.get_storage(self.rdb)

    # Leases

    def acquire(self, key: str, *, owner: str, seconds: float) -> Lease | None:
        """Take the lease of `key` if nobody holds it or it has expired."""
        return acquire(self.engine, key, owner=owner, seconds=seconds)

    @contextlib.contextmanager
    def lock(self, key: str) -> Iterator[None]:
        """Hold `key` alone; waits for whoever has it, for as long as their lease lasts."""
        while (lease := self.acquire(key, owner="lock", seconds=LOCK_SECONDS)) is None:
            time.sleep(0.05)
        try:
            yield
        finally:
            lease.release()

    # Trials

    def add_trials(self, study_id: int, trials: Sequence[FrozenTrial], *, after: int) -> bool:
        """Add all of these trials to a study that has `after` of them; if it has another number, none."""
        with orm.Session(self.engine) as session, session.begin():
            # As Optuna does: who holds the study's row numbers its trials.
            models.StudyModel.find_or_raise_by_id(study_id, session, for_update=True)
            of_study = models.TrialModel.study_id == study_id
            if session.scalar(sa.select(sa.func.count()).where(of_study)) != after:
                return False
            session.add_all(_row(study_id, number, trial) for number, trial in enumerate(trials, after))
        return True

    def unfinished(self, study_id: int) -> list[int]:
        """Ids of the trials that wait or run, by number."""
        return self._unfinished(study_id, sa.true())

    def in_training(self, study_id: int) -> list[int]:
        """Ids of the trials that a worker holds, by number."""
        return self._unfinished(study_id, self._held())

    def claim(self, study_id: int, *, owner: str, seconds: float) -> Claim | None:
        """Take the first trial that waits, or whose worker's lease has expired, and make it RUNNING."""
        for trial_id in self._unfinished(study_id, ~self._held()):
            lease = self.acquire(_trial_key(trial_id), owner=owner, seconds=seconds)
            if lease is None:
                continue
            try:
                # Changes nothing in a trial that is RUNNING already because its worker died.
                self.optuna.set_trial_state_values(trial_id, TrialState.RUNNING)
                return Claim(trial_id, lease)
            except (UpdateFinishedTrialError, KeyError):
                # It was finished, or deleted with its study, since it was found.
                lease.release()
        return None

    def requeue(self, claim: Claim) -> bool:
        """Put a claimed trial back into the queue: the same trial, with what it has reported.

        False, and nothing is changed, if the trial is no longer this process's.
        """
        if not claim.lease.renew():
            return False
        try:
            self.optuna.set_trial_state_values(claim.trial_id, TrialState.WAITING)
        except (UpdateFinishedTrialError, KeyError):
            return False
        finally:
            claim.lease.release()
        return True

    def _held(self) -> sa.ColumnElement[bool]:
        """Whether somebody holds the lease of a trial."""
        key = _key_of(models.TrialModel.trial_id)
        return sa.exists().where(leases.c.key == key, leases.c.expires >= now(self.engine))

    def _unfinished(self, study_id: int, condition: sa.ColumnElement[bool]) -> list[int]:
        trial = models.TrialModel
        found = sa.select(trial.trial_id).where(
            trial.study_id == study_id, trial.state.in_(UNFINISHED), condition
        )
        with self.engine.connect() as connection:
            return list(connection.execute(found.order_by(trial.number)).scalars())

    # Studies

    def overview(self) -> list[StudyRow]:
        """Every study with its attributes, trial counts and best value, by id, in four queries.

        The best value is that of the first objective.
        """
        study, trial = models.StudyModel, models.TrialModel
        attribute, direction = models.StudyUserAttributeModel, models.StudyDirectionModel
        tallies = sa.select(trial.study_id, trial.state, sa.func.count()).group_by(
            trial.study_id, trial.state
        )
        with opening.explained(self.place), self.engine.connect() as connection:
            studies = connection.execute(
                sa.select(study.study_id, study.study_name, direction.direction)
                .join(direction, (direction.study_id == study.study_id) & (direction.objective == 0))
                .order_by(study.study_id)
            ).all()
            attributes: dict[int, dict[str, Any]] = {}
            for key, name, text in connection.execute(
                sa.select(attribute.study_id, attribute.key, attribute.value_json)
            ):
                attributes.setdefault(key, {})[name] = json.loads(text)
            counts: dict[int, dict[TrialState, int]] = {}
            for key, state, count in connection.execute(tallies):
                counts.setdefault(key, {})[state] = count
            ends = {key: (low, high) for key, low, high in connection.execute(_extremes())}
        return [
            StudyRow(
                study_id=key,
                name=name,
                attributes=attributes.get(key, {}),
                counts=counts.get(key, {}),
                best_value=ends.get(key, (None, None))[towards == StudyDirection.MAXIMIZE],
            )
            for key, name, towards in studies
        ]

    def delete_study(self, study_id: int) -> None:
        """Remove a study with its trials, leases and artifacts."""
        trials = self.rdb.get_all_trials(study_id, deepcopy=False)
        attributes = [self.rdb.get_study_system_attrs(study_id), *(trial.system_attrs for trial in trials)]
        artifacts = [
            key.removeprefix(ARTIFACT_PREFIX)
            for a in attributes
            for key in a
            if key.startswith(ARTIFACT_PREFIX)
        ]
        keys = sa.select(_key_of(models.TrialModel.trial_id)).where(models.TrialModel.study_id == study_id)
        with self.engine.begin() as connection:
            connection.execute(leases.delete().where(leases.c.key.in_(keys)))
        self.optuna.delete_study(study_id)
        for artifact in artifacts:
            (self.artifact_dir / artifact).unlink(missing_ok=True)

    # Artifacts

    def save_artifact(self, trial_id: int, filename: str, content: bytes) -> str:
        """Keep a file with a trial, as Optuna's artifact store does; returns the artifact's id.

        The file is on the disk before its row is in the database, so a row never dangles.
        """
        artifact_id = str(uuid.uuid4())
        self.artifact_dir.mkdir(parents=True, exist_ok=True)
        _write_atomically(self.artifact_dir / artifact_id, content)
        meta = {
            "artifact_id": artifact_id,
            "filename": filename,
            "mimetype": mimetypes.guess_type(filename)[0] or "application/octet-stream",
            "encoding": None,
        }
        self.optuna.set_trial_system_attr(trial_id, ARTIFACT_PREFIX + artifact_id, json.dumps(meta))
        return artifact_id

    def artifact(self, trial: FrozenTrial, filename: str) -> Path | None:
        """The file of a trial's artifact of that name, if it has one."""
        for key, value in trial.system_attrs.items():
            if key.startswith(ARTIFACT_PREFIX) and json.loads(value)["filename"] == filename:
                return self.artifact_dir / key.removeprefix(ARTIFACT_PREFIX)
        return None


def _row(study_id: int, number: int, trial: FrozenTrial) -> Any:
    """A trial that waits, as Optuna keeps it."""
    params = [
        models.TrialParamModel(
            param_name=name,
            param_value=distribution.to_internal_repr(trial.params[name]),
            distribution_json=distribution_to_json(distribution),
        )
        for name, distribution in trial.distributions.items()
    ]
    attributes = [
        models.TrialUserAttributeModel(key=key, value_json=json.dumps(value))
        for key, value in trial.user_attrs.items()
    ]
    return models.TrialModel(
        study_id=study_id, number=number, state=trial.state, params=params, user_attributes=attributes
    )


def _extremes() -> sa.Select[Any]:
    """Study, lowest and highest value of its complete trials; infinities, stored apart, count."""
    trial, value = models.TrialModel, models.TrialValueModel
    kinds = models.TrialValueModel.TrialValueType
    number = sa.case(
        (value.value_type == kinds.INF_POS, sa.literal(math.inf, sa.Double)),
        (value.value_type == kinds.INF_NEG, sa.literal(-math.inf, sa.Double)),
        else_=value.value,
    )
    return (
        sa.select(trial.study_id, sa.func.min(number), sa.func.max(number))
        .join(value, (value.trial_id == trial.trial_id) & (value.objective == 0))
        .where(trial.state == TrialState.COMPLETE)
        .group_by(trial.study_id)
    )


def _trial_key(trial_id: int) -> str:
    return f"trial:{trial_id}"


def _key_of(trial_id: Any) -> sa.ColumnElement[str]:
    return sa.literal("trial:") + sa.cast(trial_id, sa.String)


def _write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that it is either whole, on the disk, or not there."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
