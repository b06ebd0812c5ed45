"""What a doctor asks of a database and mends in it: rows, leases and trials that have lost each other."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from optuna.storages._rdb import models
from optuna.trial import TrialState

from hpo.storage.artifacts import ARTIFACT_PREFIX
from hpo.storage.claims import (
    CHECKPOINT_ATTRIBUTE,
    RETRIES_ATTRIBUTE,
    UNFINISHED,
    held,
    key_of,
    trial_key,
    upsert_attributes,
)
from hpo.storage.leases import Lease, leases, new_token, take
from hpo.storage.schema import OPTUNA_TABLES

# The lease is given up by the transaction that takes it, long before.
ALONE_SECONDS = 60.0


@dataclass(frozen=True)
class FileRow:
    """A row of the database that names a file: `trial` is the number of its trial, None of a study's own.

    `ours`: of a study that has the attribute asked for. `held`: of a trial that a worker holds.
    """

    model: Any
    parent: Any
    key: str
    text: str
    study: str
    ours: bool
    trial: int | None = None
    trial_id: int | None = None
    finished: bool = False
    held: bool = False

    @property
    def value(self) -> Any:
        """What is stored: an artifact's description, or a checkpoint's name."""
        return _parsed(self.text)

    @property
    def is_checkpoint(self) -> bool:
        """Whether the file is what a trial goes on from."""
        return self.key == CHECKPOINT_ATTRIBUTE

    @property
    def name(self) -> str:
        """The file's name."""
        return str(self.value) if self.is_checkpoint else self.key.removeprefix(ARTIFACT_PREFIX)

    @property
    def filename(self) -> str | None:
        """What people call an artifact."""
        # Optuna stores it as JSON within JSON.
        meta = _parsed(self.value) if isinstance(self.value, str) else self.value
        return meta.get("filename") if isinstance(meta, dict) else None

    @property
    def itself(self) -> sa.ColumnElement[bool]:
        """The condition that only this row meets, and only as long as it is unchanged."""
        condition: sa.ColumnElement[bool] = (
            self.parent & (self.model.key == self.key) & (self.model.value_json == self.text)
        )
        return condition


@dataclass(frozen=True)
class LostTrial:
    """A trial that runs, and that no worker holds. `leased`: hpo has claimed it, and `owner` had it last."""

    trial_id: int
    number: int
    study: str
    begun: datetime | None
    leased: bool
    owner: str | None
    attributes: Mapping[str, Any]


def file_rows(engine: sa.Engine, *, attribute: str) -> list[FileRow]:
    """Every row that names a file; `ours` are those of studies with this user attribute."""
    ours = _has(attribute).label("ours")
    with engine.connect() as connection:
        return [*_rows_of_studies(connection, ours), *_rows_of_trials(connection, ours)]


def named_files(connection: sa.Connection) -> set[str]:
    """The files that a database of Optuna's names, be it one that hpo has never used."""
    found: set[str] = set()
    for own in (models.StudySystemAttributeModel, models.TrialSystemAttributeModel):
        artifacts = sa.select(own.key).where(own.key.startswith(ARTIFACT_PREFIX))
        checkpoints = sa.select(own.value_json).where(own.key == CHECKPOINT_ATTRIBUTE)
        found |= {key.removeprefix(ARTIFACT_PREFIX) for key in connection.execute(artifacts).scalars()}
        found |= {str(_parsed(text)) for text in connection.execute(checkpoints).scalars()}
    return found


def is_of_optuna(connection: sa.Connection) -> bool:
    """Whether a database has the tables in which Optuna's studies name files."""
    own = (models.StudySystemAttributeModel, models.TrialSystemAttributeModel)
    return all(connection.dialect.has_table(connection, model.__tablename__) for model in own)


def is_there(engine: sa.Engine, row: FileRow) -> bool:
    """Whether a row is still there, unchanged."""
    with engine.connect() as connection:
        return connection.execute(sa.select(row.model.key).where(row.itself)).first() is not None


def delete_row(bind: sa.Connection, row: FileRow) -> bool:
    """Delete a row; False if it is gone or changed already."""
    return bind.execute(sa.delete(row.model).where(row.itself)).rowcount == 1


def lost_trials(engine: sa.Engine, *, attribute: str) -> list[LostTrial]:
    """The trials that run in studies with this user attribute, and that no worker holds."""
    trial, study, own = models.TrialModel, models.StudyModel, models.TrialUserAttributeModel
    owner = sa.select(leases.c.owner).where(leases.c.key == key_of(trial.trial_id)).scalar_subquery()
    with engine.connect() as connection:
        found = connection.execute(
            sa.select(
                trial.trial_id,
                trial.number,
                study.study_name,
                trial._datetime_start_utc.label("begun"),
                owner.label("owner"),
            )
            .join(study, study.study_id == trial.study_id)
            .where(trial.state == TrialState.RUNNING, _has(attribute), ~held(connection))
            .order_by(trial.study_id, trial.number)
        ).all()
        attributes: dict[int, dict[str, Any]] = {row.trial_id: {} for row in found}
        rows = sa.select(own.trial_id, own.key, own.value_json).where(own.trial_id.in_(attributes))
        for key, name, text in connection.execute(rows):
            attributes[key][name] = _parsed(text)
    return [
        LostTrial(
            trial_id=row.trial_id,
            number=row.number,
            study=row.study_name,
            begun=row.begun and row.begun.replace(tzinfo=UTC),
            leased=row.owner is not None,
            owner=row.owner,
            attributes=attributes[row.trial_id],
        )
        for row in found
    ]


@contextlib.contextmanager
def alone(engine: sa.Engine, trial_id: int, *, owner: str) -> Iterator[sa.Connection | None]:
    """A transaction during which no worker has the trial or gets it; None if one has it."""
    trial = models.TrialModel
    lease = Lease(engine, trial_key(trial_id), new_token(), ALONE_SECONDS)
    # In the order of a worker that claims: the trial's row, then the lease's, which decides.
    own = sa.select(trial.trial_id).where(trial.trial_id == trial_id)
    with engine.begin() as connection:
        locked = connection.execute(own.with_for_update(of=trial, skip_locked=True)).first()
        if locked is None or not take(connection, lease, owner=owner):
            yield None
            return
        yield connection
        lease.release_in(connection)


def put_back(engine: sa.Engine, trial_id: int, *, owner: str) -> bool:
    """Let a trial wait that runs and that no worker holds; False if it is not so, or no longer."""
    trial, attribute = models.TrialModel, models.TrialUserAttributeModel
    running = (trial.trial_id == trial_id) & (trial.state == TrialState.RUNNING)
    with alone(engine, trial_id, owner=owner) as connection:
        if connection is None:
            return False
        waits = sa.update(trial).where(running).values({trial.state: TrialState.WAITING})
        if connection.execute(waits).rowcount == 0:
            return False
        # It has lost a worker. A trial that ends every worker is given up after some; here too it counts.
        lost = sa.select(attribute.value_json).where(
            attribute.trial_id == trial_id, attribute.key == RETRIES_ATTRIBUTE
        )
        retries = json.loads(connection.execute(lost).scalar() or "0")
        upsert_attributes(connection, attribute, trial_id, {RETRIES_ATTRIBUTE: retries + 1})
        return True


def useless_leases(engine: sa.Engine) -> list[tuple[str, str, bool]]:
    """Key and token of the leases of trials that are gone or have finished; whether they are gone."""
    trial = models.TrialModel
    over = trial.state.is_(None) | trial.state.not_in(UNFINISHED)
    found = (
        sa.select(leases.c.key, leases.c.token, trial.state)
        .outerjoin(trial, key_of(trial.trial_id) == leases.c.key)
        .where(leases.c.key.startswith(trial_key("")), over)
        .order_by(leases.c.key)
    )
    with engine.connect() as connection:
        return [(row.key, row.token, row.state is None) for row in connection.execute(found)]


def delete_lease(engine: sa.Engine, key: str, token: str) -> bool:
    """Delete a lease; False if it is gone, or another's by now."""
    same = (leases.c.key == key) & (leases.c.token == token)
    with engine.begin() as connection:
        return connection.execute(leases.delete().where(same)).rowcount == 1


def parentless(connection: sa.Connection) -> set[tuple[str, int]]:
    """Table and row number of each row of an SQLite file whose trial or study is gone."""
    return {
        (table.name, row[1])
        for table in OPTUNA_TABLES
        for row in connection.exec_driver_sql(f'PRAGMA foreign_key_check("{table.name}")')
    }


def delete_parentless(engine: sa.Engine) -> None:
    """Delete every such row."""
    with engine.begin() as connection:
        # A trial that goes takes its rows along, but only in the next turn.
        connection.exec_driver_sql("PRAGMA defer_foreign_keys = ON")
        while found := parentless(connection):
            for table, number in found:
                connection.exec_driver_sql(f'DELETE FROM "{table}" WHERE rowid = ?', (number,))


def _has(attribute: str) -> sa.ColumnElement[bool]:
    """Whether the study in question has a user attribute."""
    own = models.StudyUserAttributeModel
    return sa.exists().where(own.study_id == models.StudyModel.study_id, own.key == attribute)


def _rows_of_studies(connection: sa.Connection, ours: sa.Label[bool]) -> Iterator[FileRow]:
    study, own = models.StudyModel, models.StudySystemAttributeModel
    found = (
        sa.select(own.key, own.value_json, study.study_id, study.study_name, ours)
        .join(study, study.study_id == own.study_id)
        .where(own.key.startswith(ARTIFACT_PREFIX))
        .order_by(study.study_id, own.key)
    )
    for row in connection.execute(found):
        yield FileRow(
            model=own,
            parent=own.study_id == row.study_id,
            key=row.key,
            text=row.value_json,
            study=row.study_name,
            ours=row.ours,
        )


def _rows_of_trials(connection: sa.Connection, ours: sa.Label[bool]) -> Iterator[FileRow]:
    trial, study, own = models.TrialModel, models.StudyModel, models.TrialSystemAttributeModel
    found = (
        sa.select(own.key, own.value_json, trial.trial_id, trial.number, trial.state, study.study_name)
        .add_columns(ours, held(connection).label("held"))
        .join(trial, trial.trial_id == own.trial_id)
        .join(study, study.study_id == trial.study_id)
        .where(own.key.startswith(ARTIFACT_PREFIX) | (own.key == CHECKPOINT_ATTRIBUTE))
        .order_by(trial.study_id, trial.number, own.key)
    )
    for row in connection.execute(found):
        yield FileRow(
            model=own,
            parent=own.trial_id == row.trial_id,
            key=row.key,
            text=row.value_json,
            study=row.study_name,
            ours=row.ours,
            trial=row.number,
            trial_id=row.trial_id,
            finished=row.state not in UNFINISHED,
            held=row.held,
        )


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
