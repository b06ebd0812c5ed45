"""Claims: who trains a trial, and the writes that only its trainer may make.

Optuna decides what a trial is, a lease who trains it. Optuna's own calls know of no leases, and each commits
by itself. So here a claim, a result and a return to the queue are one transaction each on Optuna's tables,
together with the lease; and what goes through Optuna's calls (`fenced`) commits only while the lease is held.

The row of the lease decides, not the state of the trial: it has one holder at any time, by the database's own
clock, also while a worker is suspended; and who checks it locks it until the commit.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from optuna.storages._rdb import models
from optuna.trial import TrialState

from hpo.storage.artifacts import Attachment
from hpo.storage.dialects import insert_into
from hpo.storage.fence import LeaseLostError, fenced
from hpo.storage.leases import Lease, leases, now, take
from hpo.storage.reports import REPORT_SECONDS, Reports

RETRIES_ATTRIBUTE = "retries"
CHECKPOINT_ATTRIBUTE = "hpo:checkpoint"
# Whose result a finished trial has. A worker that lost the reply to its COMMIT finds its own token here.
FINISHED_BY_ATTRIBUTE = "hpo:finished_by"
UNFINISHED = (TrialState.WAITING, TrialState.RUNNING)


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
        attributes: Mapping[str, Any] | None = None,
        attachments: Sequence[Attachment] = (),
    ) -> bool:
        """Record how the trial ended, whole and for good, and give it up.

        False, and nothing is changed, if it is no longer this process's. Doing it again is harmless.
        """
        system = {FINISHED_BY_ATTRIBUTE: self.lease.token}
        for attachment in attachments:
            key, meta = attachment.attribute
            system[key] = json.dumps(meta)
        with self.lease.engine.begin() as connection:
            if not self.lease.is_held_in(connection):
                return self._is_finished_by_this(connection)
            if ended := self._end(connection, state, _datetime_complete_utc=_utc_now()):
                self.reports.write_in(connection, self.trial_id)
                self._upsert(connection, models.TrialUserAttributeModel, attributes or {})
                self._upsert(connection, models.TrialSystemAttributeModel, system)
                self._forget_checkpoint(connection)
                if value is not None:
                    self._set_value(connection, value)
            self.lease.release_in(connection)
        self.reports.clear()
        return ended

    def requeue(self, attributes: Mapping[str, Any] | None = None) -> bool:
        """Put the trial back into the queue: the same trial, with what it has reported, and more attributes.

        False, and nothing is changed, if it is no longer this process's. Doing it again is harmless.
        """
        with self.lease.engine.begin() as connection:
            if not self.lease.is_held_in(connection):
                return False
            if ended := self._end(connection, TrialState.WAITING):
                # What cannot be written is no reason to keep the trial: it is trained again.
                with contextlib.suppress(sa.exc.SQLAlchemyError), connection.begin_nested():
                    self.reports.write_in(connection, self.trial_id)
                self._upsert(connection, models.TrialUserAttributeModel, attributes or {})
            self.lease.release_in(connection)
        self.reports.clear()
        return ended

    def _end(self, connection: sa.Connection, state: TrialState, **columns: Any) -> bool:
        trial = models.TrialModel
        values = {trial.state: state} | {getattr(trial, name): value for name, value in columns.items()}
        running = (trial.trial_id == self.trial_id) & (trial.state == TrialState.RUNNING)
        return connection.execute(sa.update(trial).where(running).values(values)).rowcount == 1

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

    def _set_value(self, connection: sa.Connection, value: float) -> None:
        stored, kind = models.TrialValueModel.value_to_stored_repr(value)
        row = {"trial_id": self.trial_id, "objective": 0, "value": stored, "value_type": kind}
        connection.execute(sa.insert(models.TrialValueModel).values(row))

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


def claim_first(
    engine: sa.Engine,
    studies: Sequence[int],
    *,
    owner: str,
    seconds: float,
    token: str,
    deferred: Collection[int] = (),
) -> Claim | None:
    """Take the first trial of these studies that waits, or whose worker has lost it, and make it RUNNING.

    Of a study, those that were lost come first, the waiting ones with `deferred` ids last.
    Doing it again with the same token, after its reply was lost, finds the same trial.
    """
    # The trial's row is locked first, then the lease's; who holds a lease and ends its trial locks them the
    # other way round. No deadlock: `skip_locked` here and in `take` passes over what another one has.
    passed_over: list[int] = []
    while studies:
        with engine.begin() as connection:
            found = connection.execute(_first_free(connection, studies, token, passed_over, deferred)).first()
            if found is None:
                return None
            lease = Lease(engine, trial_key(found.trial_id), token, seconds)
            # PostgreSQL may have found it by an older view of the leases; the lease's own row decides.
            if take(connection, lease, owner=owner):
                return _begun(connection, found, lease)
            passed_over.append(found.trial_id)
    return None


def _begun(connection: sa.Connection, found: Any, lease: Lease) -> Claim:
    retries = json.loads(found.retries) if found.retries else 0
    if found.state == TrialState.WAITING:
        trial = models.TrialModel
        begun = {trial.state: TrialState.RUNNING, trial._datetime_start_utc: _utc_now()}
        connection.execute(sa.update(trial).where(trial.trial_id == found.trial_id).values(begun))
    elif found.token != lease.token:
        retries += 1
        counted = {RETRIES_ATTRIBUTE: retries}
        upsert_attributes(connection, models.TrialUserAttributeModel, found.trial_id, counted)
    return Claim(
        trial_id=found.trial_id,
        study_id=found.study_id,
        number=found.number,
        lease=lease,
        retries=retries,
        taken_from=found.owner,
        checkpoint=json.loads(found.checkpoint) if found.checkpoint else None,
    )


def _first_free(
    connection: sa.Connection,
    studies: Sequence[int],
    token: str,
    passed_over: Sequence[int],
    deferred: Collection[int],
) -> sa.Select[Any]:
    """The first trial that may be claimed, its row locked until the transaction ends."""
    trial = models.TrialModel
    own = leases.c.key == key_of(trial.trial_id)
    by_another = sa.exists().where(own, leases.c.expires >= now(connection), leases.c.token != token)
    waits = (trial.state == TrialState.WAITING) & ~by_another
    # Only what hpo has claimed has a lease that can run out. What runs without one is another program's.
    lost = (trial.state == TrialState.RUNNING) & leased() & ~by_another
    # The reply to this claim may have been lost: then it is the same trial, whatever else is free by now.
    own_already = sa.exists().where(own, leases.c.token == token)
    return (
        sa.select(
            trial.trial_id,
            trial.study_id,
            trial.number,
            trial.state,
            sa.select(leases.c.owner).where(own).scalar_subquery().label("owner"),
            sa.select(leases.c.token).where(own).scalar_subquery().label("token"),
            _attribute(models.TrialUserAttributeModel, RETRIES_ATTRIBUTE).label("retries"),
            _attribute(models.TrialSystemAttributeModel, CHECKPOINT_ATTRIBUTE).label("checkpoint"),
        )
        .where(trial.study_id.in_(studies), waits | lost)
        .where(trial.trial_id.not_in(passed_over))
        .order_by(~own_already, trial.study_id, _turn(deferred), trial.number)
        .limit(1)
        .with_for_update(of=trial, skip_locked=True)
    )


def _turn(deferred: Collection[int]) -> sa.ColumnElement[int]:
    """Which trials of a study come first: 0 for what was lost, 2 for what waits and is deferred."""
    trial = models.TrialModel
    lost: Any = (trial.state == TrialState.RUNNING, 0)
    if not deferred:
        return sa.case(lost, else_=1)
    # As literals: a database takes only so many parameters.
    among: Any = sa.bindparam("deferred", list(deferred), expanding=True, literal_execute=True)
    return sa.case(lost, (trial.trial_id.in_(among), 2), else_=1)


def _attribute(model: Any, key: str) -> sa.ScalarSelect[Any]:
    own = model.trial_id == models.TrialModel.trial_id
    return sa.select(model.value_json).where(own, model.key == key).scalar_subquery()


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
    if not attributes:
        return
    rows = [
        {"trial_id": trial_id, "key": key, "value_json": json.dumps(value)}
        for key, value in attributes.items()
    ]
    insert = insert_into(connection, model).values(rows)
    connection.execute(
        insert.on_conflict_do_update(
            index_elements=["trial_id", "key"], set_={"value_json": insert.excluded.value_json}
        )
    )


def key_of(trial_id: Any) -> sa.ColumnElement[str]:
    """The key of a trial's lease, in SQL."""
    return sa.literal("trial:") + sa.cast(trial_id, sa.String)


def trial_key(trial_id: int | str) -> str:
    """The key of a trial's lease."""
    return f"trial:{trial_id}"


def _utc_now() -> datetime:
    # As Optuna stores times: UTC, without saying so.
    return datetime.now(UTC).replace(tzinfo=None)
