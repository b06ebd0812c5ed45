"""Claims: who trains a trial, and the writes that only its trainer may make.

Optuna decides what a trial is, a lease who trains it. Optuna's own calls know of no leases, and each commits
by itself. So a claim (`queue`), a result and a return to the queue are one transaction each on Optuna's
tables, together with the lease; and what goes through Optuna's calls (`fenced`) commits only while the lease
is held.

The row of the lease decides, not the state of the trial: it has one holder at any time, by the database's own
clock, also while a worker is suspended; and who checks it locks it until the commit.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from optuna.storages._rdb import models
from optuna.study._constrained_optimization import _CONSTRAINTS_KEY
from optuna.trial import TrialState

from hpo.storage.artifacts import Attachment
from hpo.storage.dialects import insert_rows
from hpo.storage.fence import LeaseLostError, fenced
from hpo.storage.leases import Lease, leases, now
from hpo.storage.reports import REPORT_SECONDS, Reports

KEY_PREFIX = "trial:"
RETRIES_ATTRIBUTE = "retries"
# Of a trial that trains another one again, whose number it names: its value is no result of the study's own.
CONFIRMS_ATTRIBUTE = "confirms"
CHECKPOINT_ATTRIBUTE = "hpo:checkpoint"
# Whose result a finished trial has. A worker that lost the reply to its COMMIT finds its own token here.
FINISHED_BY_ATTRIBUTE = "hpo:finished_by"
UNFINISHED = (TrialState.WAITING, TrialState.RUNNING)

_TRIAL = models.TrialModel
_RUNS = (_TRIAL.trial_id == sa.bindparam("its")) & (_TRIAL.state == TrialState.RUNNING)
# Of every trial: to build them anew each time takes as long as the database does.
_PUT_BACK = sa.update(_TRIAL).where(_RUNS).values({_TRIAL.state: sa.bindparam("becomes")})
_ENDED = _PUT_BACK.values({_TRIAL._datetime_complete_utc: sa.bindparam("now")})


@dataclass(frozen=True)
class Claim:
    """A trial that this process alone trains.

    `retries` counts the workers that have lost it before, `taken_from` is the last of them; `checkpoint` is
    the name of the file from which training can go on.
    """

    trial_id: int
    study_id: int
    number: int
    lease: Lease
    retries: int = 0
    taken_from: str | None = None
    checkpoint: str | None = None
    reports: Reports = field(default_factory=Reports, compare=False)
    # Whether this process may have recorded a checkpoint.
    has_kept: threading.Event = field(default_factory=threading.Event, compare=False)

    def report(self, value: float, step: int, *, seconds: float = REPORT_SECONDS) -> None:
        """Report the value of a step: it is written with others, after so many seconds at the latest.

        Raises:
            LeaseLostError: another process may have the trial by now.
        """
        self.reports.add(step, value)
        if self.reports.are_due(seconds):
            with self._held():
                pass

    def fenced(self) -> AbstractContextManager[None]:
        """Inside, what Optuna writes in this thread is kept only if the trial is still this process's.

        Raises:
            LeaseLostError: it is not; nothing was written.
        """
        return fenced(self.lease)

    def describe(self, attributes: Mapping[str, Any], *, without: Sequence[str] = ()) -> None:
        """Set user attributes of the trial, and delete those named. Raises LeaseLostError."""
        own = models.TrialUserAttributeModel
        with self._held() as connection:
            self._upsert(connection, own, attributes)
            if without:
                gone = (own.trial_id == self.trial_id) & own.key.in_(without)
                connection.execute(sa.delete(own).where(gone))

    def keep_checkpoint(self, name: str) -> None:
        """Record that training can go on from the file of that name. Raises LeaseLostError."""
        self.has_kept.set()
        with self._held() as connection:
            self._upsert(connection, models.TrialSystemAttributeModel, {CHECKPOINT_ATTRIBUTE: name})

    def recorded_checkpoint(self) -> str | None:
        """The file from which training can go on, whoever has the trial by now; None if there is none."""
        attribute = models.TrialSystemAttributeModel
        own = (attribute.trial_id == self.trial_id) & (attribute.key == CHECKPOINT_ATTRIBUTE)
        with self.lease.engine.connect() as connection:
            text = connection.execute(sa.select(attribute.value_json).where(own)).scalar()
        return None if text is None else str(json.loads(text))

    def finish(
        self,
        state: TrialState,
        *,
        value: float | None = None,
        further: Sequence[float] = (),
        attributes: Mapping[str, Any] | None = None,
        attachments: Sequence[Attachment] = (),
        constraints: Mapping[str, float] | None = None,
    ) -> bool:
        """Record how the trial ended, whole and for good, and give it up.

        `value` is its first objective's, `further` are those of the others. `constraints`: how far it is from
        breaking each, as Optuna's `Trial.set_constraint` has it.

        False, and nothing is changed, if it is no longer this process's. Doing it again is harmless.
        """
        system: dict[str, Any] = {FINISHED_BY_ATTRIBUTE: self.lease.token}
        system |= {f"{_CONSTRAINTS_KEY}:{name}": value for name, value in (constraints or {}).items()}
        for attachment in attachments:
            key, meta = attachment.attribute
            system[key] = json.dumps(meta)
        with self.lease.engine.begin() as connection:
            if not self.lease.release_in(connection):
                return self._is_finished_by_this(connection)
            if ended := self._end(connection, state):
                self.reports.write_in(connection, self.trial_id)
                self._upsert(connection, models.TrialUserAttributeModel, attributes or {})
                self._upsert(connection, models.TrialSystemAttributeModel, system)
                if self.checkpoint is not None or self.has_kept.is_set():
                    self._forget_checkpoint(connection)
                if value is not None:
                    self._set_values(connection, [value, *further])
        self.reports.clear()
        return ended

    def requeue(self, attributes: Mapping[str, Any] | None = None) -> bool:
        """Put the trial back into the queue: the same trial, with what it has reported, and more attributes.

        False, and nothing is changed, if it is no longer this process's. Doing it again is harmless.
        """
        with self.lease.engine.begin() as connection:
            if not self.lease.release_in(connection):
                return False
            if ended := self._end(connection, TrialState.WAITING):
                # What cannot be written is no reason to keep the trial: it is trained again.
                with contextlib.suppress(sa.exc.SQLAlchemyError), connection.begin_nested():
                    self.reports.write_in(connection, self.trial_id)
                self._upsert(connection, models.TrialUserAttributeModel, attributes or {})
        self.reports.clear()
        return ended

    def _end(self, connection: sa.Connection, state: TrialState) -> bool:
        given = {"its": self.trial_id, "becomes": state}
        if state.is_finished():
            return connection.execute(_ENDED, given | {"now": utc_now()}).rowcount == 1
        return connection.execute(_PUT_BACK, given).rowcount == 1

    @contextlib.contextmanager
    def _held(self) -> Iterator[sa.Connection]:
        """A transaction of who holds the trial, which takes its reports along. Raises LeaseLostError."""
        with self.lease.engine.begin() as connection:
            if not self.lease.is_held_in(connection):
                raise LeaseLostError(self.lease.key)
            self.reports.write_in(connection, self.trial_id)
            yield connection
        self.reports.clear()

    def _upsert(self, connection: sa.Connection, model: Any, attributes: Mapping[str, Any]) -> None:
        upsert_attributes(connection, model, self.trial_id, attributes)

    def _set_values(self, connection: sa.Connection, values: Sequence[float]) -> None:
        rows = []
        for objective, value in enumerate(values):
            stored, kind = models.TrialValueModel.value_to_stored_repr(value)
            row = {"trial_id": self.trial_id, "objective": objective, "value": stored}
            rows.append(row | {"value_type": kind.name})
        otherwise = (
            "(trial_id, objective) DO UPDATE SET value = excluded.value, value_type = excluded.value_type"
        )
        insert_rows(connection, models.TrialValueModel.__tablename__, rows, otherwise=otherwise)

    def _forget_checkpoint(self, connection: sa.Connection) -> None:
        attribute = models.TrialSystemAttributeModel
        own = (attribute.trial_id == self.trial_id) & (attribute.key == CHECKPOINT_ATTRIBUTE)
        connection.execute(sa.delete(attribute).where(own))

    def _is_finished_by_this(self, connection: sa.Connection) -> bool:
        attribute = models.TrialSystemAttributeModel
        finished_by = sa.select(attribute.value_json).where(
            attribute.trial_id == self.trial_id, attribute.key == FINISHED_BY_ATTRIBUTE
        )
        text = connection.execute(finished_by).scalar()
        return text is not None and json.loads(text) == self.lease.token


def leased() -> sa.ColumnElement[bool]:
    """Whether the trial in question has a lease, be it one that is over: then hpo has claimed it."""
    return sa.exists().where(leases.c.key == key_of(models.TrialModel.trial_id))


def held(bind: sa.Engine | sa.Connection) -> sa.ColumnElement[bool]:
    """Whether somebody holds the lease of the trial in question."""
    own = leases.c.key == key_of(models.TrialModel.trial_id)
    return sa.exists().where(own, leases.c.expires >= now(bind))


def upsert_attributes(
    connection: sa.Connection, model: Any, trial_id: int, attributes: Mapping[str, Any]
) -> None:
    """Set attributes of a trial as Optuna does, all in one statement."""
    rows = [
        {"trial_id": trial_id, "key": key, "value_json": json.dumps(value)}
        for key, value in attributes.items()
    ]
    otherwise = "(trial_id, key) DO UPDATE SET value_json = excluded.value_json"
    insert_rows(connection, model.__tablename__, rows, otherwise=otherwise)


def key_of(trial_id: Any) -> sa.ColumnElement[str]:
    """The key of a trial's lease, in SQL."""
    return sa.literal(KEY_PREFIX) + sa.cast(trial_id, sa.String)


def trial_key(trial_id: int | str) -> str:
    """The key of a trial's lease."""
    return f"{KEY_PREFIX}{trial_id}"


def utc_now() -> datetime:
    """The time as Optuna stores it."""
    # As Optuna stores times: UTC, without saying so.
    return datetime.now(UTC).replace(tzinfo=None)
