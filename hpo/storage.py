"""Where studies live: a relational database with Optuna's schema, a lease table, and a folder of artifacts.

Optuna decides what a trial is; a lease decides who trains it. All that goes around Optuna's public calls,
or depends on one kind of database, is in this module.
"""

from __future__ import annotations

import contextlib
import json
import mimetypes
import os
import sqlite3
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import optuna
import sqlalchemy as sa
from optuna.storages import BaseStorage, RDBStorage
from optuna.storages._rdb import models
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import orm

from hpo.errors import StorageError

DEFAULT_URL = "sqlite:///hpo.db"
DEFAULT_ARTIFACT_DIR = "hpo-artifacts"
LOCK_SECONDS = 60.0
SQLITE_BUSY_SECONDS = 60.0
ARTIFACT_PREFIX = "artifacts:"

_leases = sa.Table(
    "hpo_leases",
    sa.MetaData(),
    sa.Column("key", sa.String(128), primary_key=True),
    sa.Column("owner", sa.String(128), nullable=False),
    sa.Column("token", sa.String(32), nullable=False),
    sa.Column("expires", sa.Double, nullable=False),
)

optuna.logging.set_verbosity(optuna.logging.WARNING)


@dataclass(frozen=True)
class Lease:
    """The exclusive right to a key, until it expires by the database's clock."""

    engine: sa.Engine
    key: str
    token: str
    seconds: float

    def renew(self) -> bool:
        """Extend the lease by its length from now; False if somebody else has it."""
        expires = _now(self.engine) + self.seconds
        held = (_leases.c.key == self.key) & (_leases.c.token == self.token)
        with self.engine.begin() as connection:
            return connection.execute(_leases.update().where(held).values(expires=expires)).rowcount == 1

    def release(self) -> None:
        """Give the key up."""
        held = (_leases.c.key == self.key) & (_leases.c.token == self.token)
        with self.engine.begin() as connection:
            connection.execute(_leases.delete().where(held))


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
        self.url = url or os.environ.get("HPO_STORAGE") or DEFAULT_URL
        self.artifact_dir = Path(artifact_dir or os.environ.get("HPO_ARTIFACT_DIR") or DEFAULT_ARTIFACT_DIR)
        self.place = f"storage {_masked(self.url)}"
        self._check_url(create)
        with self._explained():
            if create:
                _create_schema(self.url)
            self.engine = _engine(self.url)
            self._check_schema()

    @cached_property
    def rdb(self) -> RDBStorage:
        """Optuna's storage on this engine; opened at first use, since that takes a fifth of a second."""
        with self._explained():
            rdb = RDBStorage(self.url, skip_table_creation=True)
        rdb.scoped_session.remove()
        rdb.engine.dispose()
        rdb.engine = self.engine
        rdb.scoped_session = orm.scoped_session(orm.sessionmaker(bind=self.engine))
        return rdb

    @cached_property
    def optuna(self) -> BaseStorage:
        """The storage to hand to Optuna: finished trials are read once."""
        return optuna.storages.get_storage(self.rdb)

    # Leases

    def acquire(self, key: str, *, owner: str, seconds: float) -> Lease | None:
        """Take the lease of `key` if nobody holds it or it has expired."""
        now = _now(self.engine)
        row = {"key": key, "owner": owner, "token": uuid.uuid4().hex}
        insert = self._insert(_leases).values(**row, expires=now + seconds)
        upsert = insert.on_conflict_do_update(
            index_elements=["key"],
            set_={name: insert.excluded[name] for name in ("owner", "token", "expires")},
            where=_leases.c.expires < now,
        )
        with self.engine.begin() as connection:
            taken = connection.execute(upsert).rowcount == 1
        return Lease(self.engine, key, row["token"], seconds) if taken else None

    @contextlib.contextmanager
    def lock(self, key: str) -> Iterator[None]:
        """Hold `key` alone; waits for whoever has it, for as long as their lease lasts."""
        while (lease := self.acquire(key, owner="lock", seconds=LOCK_SECONDS)) is None:
            time.sleep(0.05)
        try:
            yield
        finally:
            lease.release()

    def claim(self, study_id: int, *, owner: str, seconds: float) -> Claim | None:
        """Take the first trial that waits, or whose worker's lease has expired, and make it RUNNING."""
        held = self._held_keys()
        for trial in self.unfinished(study_id):
            key = _trial_key(trial._trial_id)
            if key in held or (lease := self.acquire(key, owner=owner, seconds=seconds)) is None:
                continue
            state = self.rdb.get_trial(trial._trial_id).state
            if state == TrialState.WAITING:
                self.optuna.set_trial_state_values(trial._trial_id, TrialState.RUNNING)
            elif state != TrialState.RUNNING:
                lease.release()
                continue
            return Claim(trial._trial_id, lease)
        return None

    def requeue(self, claim: Claim) -> None:
        """Put a claimed trial back into the queue: the same trial, with what it has reported."""
        self.optuna.set_trial_state_values(claim.trial_id, TrialState.WAITING)
        claim.lease.release()

    def unfinished(self, study_id: int) -> list[FrozenTrial]:
        """Trials that wait or run, by number."""
        states = (TrialState.WAITING, TrialState.RUNNING)
        return sorted(
            self.rdb.get_all_trials(study_id, deepcopy=False, states=states), key=lambda t: t.number
        )

    def _held_keys(self) -> set[str]:
        with self.engine.connect() as connection:
            alive = sa.select(_leases.c.key).where(_leases.c.expires >= _now(self.engine))
            return set(connection.execute(alive).scalars())

    # Studies

    def overview(self) -> list[StudyRow]:
        """Every study with its attributes, trial counts and best value, by id, in three queries."""
        study, trial, value = models.StudyModel, models.TrialModel, models.TrialValueModel
        attribute, direction = models.StudyUserAttributeModel, models.StudyDirectionModel
        tallies = sa.select(trial.study_id, trial.state, sa.func.count()).group_by(
            trial.study_id, trial.state
        )
        extremes = (
            sa.select(trial.study_id, sa.func.min(value.value), sa.func.max(value.value))
            .join(value, value.trial_id == trial.trial_id)
            .where(trial.state == TrialState.COMPLETE)
            .group_by(trial.study_id)
        )
        with self.engine.connect() as connection:
            studies = connection.execute(
                sa.select(study.study_id, study.study_name, direction.direction)
                .join(direction, direction.study_id == study.study_id)
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
            ends = {key: (low, high) for key, low, high in connection.execute(extremes)}
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
        keys = [_trial_key(trial._trial_id) for trial in trials]
        with self.engine.begin() as connection:
            connection.execute(_leases.delete().where(_leases.c.key.in_(keys)))
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
        write_atomically(self.artifact_dir / artifact_id, content)
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

    # Opening

    def _check_url(self, create: bool) -> None:
        try:
            parsed = sa.make_url(self.url)
        except sa.exc.ArgumentError:
            remedy = "Example: sqlite:///hpo.db, or postgresql+psycopg://user@host/database."
            raise StorageError("storage", "must be a database URL", got=self.url, remedy=remedy) from None
        backend = parsed.get_backend_name()
        if backend not in ("sqlite", "postgresql"):
            raise StorageError(self.place, "must be sqlite or postgresql", got=backend)
        if backend == "sqlite":
            self._check_sqlite_file(parsed.database, create)

    def _check_sqlite_file(self, database: str | None, create: bool) -> None:
        if database in (None, "", ":memory:"):
            raise StorageError(
                self.place, "must name a file, which workers can share", remedy=f"Use {DEFAULT_URL}."
            )
        path = Path(str(database))
        if path.is_dir():
            raise StorageError(self.place, "must name a file, and this is a folder")
        if not path.parent.is_dir():
            raise StorageError(
                self.place, f"the folder {path.parent} does not exist", remedy="Create it first."
            )
        if not path.exists() and not create:
            raise StorageError(
                self.place, "there is no such database", remedy="Create a study with: hpo run SPEC."
            )

    def _check_schema(self) -> None:
        with self.engine.connect() as connection:
            if not connection.dialect.has_table(connection, "version_info"):
                raise StorageError(self.place, "must be a database of studies, and is another one")

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except ImportError as error:
            remedy = "Install it with: pip install 'hpo-studies[postgres]'."
            raise StorageError(self.place, f"its driver is not installed ({error})", remedy=remedy) from None
        except (sa.exc.SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
            cause = error.__cause__ if isinstance(error, optuna.exceptions.StorageInternalError) else error
            reason = str(getattr(cause, "orig", None) or cause).strip().splitlines()[0]
            raise StorageError(self.place, f"cannot be opened: {reason.rstrip('.')}") from None
        except (RuntimeError, AssertionError) as error:
            reason = str(error).split(". ")[0].rstrip(".")
            raise StorageError(self.place, f"is of another version of Optuna: {reason}") from None

    def _insert(self, table: sa.Table) -> Any:
        from sqlalchemy.dialects import postgresql, sqlite

        return (sqlite if self.engine.dialect.name == "sqlite" else postgresql).insert(table)


def write_atomically(path: Path, content: bytes) -> None:
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


def _engine(url: str) -> sa.Engine:
    if sa.make_url(url).get_backend_name() != "sqlite":
        return sa.create_engine(url, pool_pre_ping=True)
    engine = sa.create_engine(url, connect_args={"timeout": SQLITE_BUSY_SECONDS})
    sa.event.listen(engine, "connect", _set_up_sqlite)
    sa.event.listen(engine, "begin", _begin_immediate)
    return engine


def _create_schema(url: str) -> None:
    """Create what is missing, whole or not at all, however many processes ask for it at the same time."""
    parsed = sa.make_url(url)
    if parsed.get_backend_name() == "postgresql":
        _create_postgresql(url)
    elif not Path(str(parsed.database)).exists():
        _create_sqlite(Path(str(parsed.database)))
    else:
        _create_tables(url)


def _create_tables(url: str) -> None:
    rdb = RDBStorage(url)
    _leases.metadata.create_all(rdb.engine)
    rdb.scoped_session.remove()
    rdb.engine.dispose()


def _set_up_sqlite(connection: Any, _record: Any) -> None:
    # The driver would begin transactions by itself, too late: see _begin_immediate.
    connection.isolation_level = None
    connection.execute("PRAGMA foreign_keys = ON")
    # With a write-ahead log FULL makes every commit durable, NORMAL only the last checkpoint.
    connection.execute("PRAGMA synchronous = FULL")


def _begin_immediate(connection: sa.Connection) -> None:
    # Optuna reads a trial's state and then writes it. A deferred transaction takes the write lock only at
    # the write, so two workers read WAITING and both take the trial, or one fails with "database is locked".
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _create_sqlite(path: Path) -> None:
    """Make the schema beside its place and link it there: nobody ever sees half of it."""
    draft = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        _create_tables(f"sqlite:///{draft}")
        with contextlib.closing(sqlite3.connect(draft)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
    finally:
        for leftover in path.parent.glob(f"{draft.name}*"):
            leftover.unlink()


def _create_postgresql(url: str) -> None:
    """Create the schema once, however many processes ask for it at the same time."""
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        connection.exec_driver_sql("SELECT pg_advisory_lock(7240116)")
        try:
            _create_tables(url)
        finally:
            connection.exec_driver_sql("SELECT pg_advisory_unlock(7240116)")
    engine.dispose()


def _now(engine: sa.Engine) -> sa.ColumnElement[float]:
    """Seconds since 1970 by the database's clock, the one clock that all workers share."""
    if engine.dialect.name == "sqlite":
        return sa.literal_column("(julianday('now') - 2440587.5) * 86400.0", sa.Double)
    return sa.literal_column("extract(epoch from clock_timestamp())", sa.Double)


def _trial_key(trial_id: int) -> str:
    return f"trial:{trial_id}"


def _masked(url: str) -> str:
    try:
        return sa.make_url(url).render_as_string(hide_password=True)
    except sa.exc.ArgumentError:
        return "URL"
