"""Which trial is claimed next: one that its worker has lost, or the first that waits.

Workers ask this before every trial, and many at the same time. So it costs as much however many trials wait
and however many have ended: what has no lease is found by an index in its order, and what was lost among the
leases, of which there are as many as trials in training. To sort 10,000 waiting trials by their leases took
800 ms a claim (PostgreSQL 18).
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from functools import cache
from operator import attrgetter
from typing import Any

import sqlalchemy as sa
from optuna.storages._rdb import models
from optuna.trial import TrialState

from hpo.storage.claims import (
    CHECKPOINT_ATTRIBUTE,
    KEY_PREFIX,
    RETRIES_ATTRIBUTE,
    Claim,
    trial_key,
    upsert_attributes,
    utc_now,
)
from hpo.storage.leases import Lease, clock, leases, take

_TRIAL = models.TrialModel
# Constants, not parameters: only so does a planner that has prepared a statement know what is asked for.
_WAITS = _TRIAL.state == sa.literal_column("'WAITING'")
_RUNS = _TRIAL.state == sa.literal_column("'RUNNING'")

_BEGUN = (
    sa.update(_TRIAL)
    .where(_TRIAL.trial_id == sa.bindparam("its"))
    .values({_TRIAL.state: TrialState.RUNNING, _TRIAL._datetime_start_utc: sa.bindparam("now")})
)
INDEX = "hpo_waiting"
# Of PostgreSQL: two sessions that create an index if it is not there may both find that it is not.
ADVISORY_KEY = 7240118


def has_index(connection: sa.Connection) -> bool:
    """Whether the trials that wait have their index; without it claims take longer, and do the same."""
    return bool(connection.dialect.has_index(connection, _TRIAL.__tablename__, INDEX))


def create_index(connection: sa.Connection) -> None:
    """Add the index of the trials that wait to a database that lacks it."""
    if connection.dialect.name != "sqlite":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(ADVISORY_KEY)))
    of = f"{_TRIAL.__tablename__} (study_id, number) WHERE state = '{TrialState.WAITING.name}'"
    connection.execute(sa.text(f"CREATE INDEX IF NOT EXISTS {INDEX} ON {of}"))


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
            over = _over(connection, token)
            found = _first_free(connection, studies, over, token, passed_over, deferred)
            if found is None:
                return None
            lease = Lease(engine, trial_key(found.trial_id), token, seconds)
            # It was found by an older view of the leases; the lease's own row decides.
            if take(connection, lease, owner=owner, may_be_held=found.state != TrialState.WAITING):
                return _begun(connection, found, lease, over.get(found.trial_id))
            passed_over.append(found.trial_id)
    return None


def _begun(connection: sa.Connection, found: Any, lease: Lease, over: Any) -> Claim:
    retries = json.loads(found.retries) if found.retries else 0
    if found.state == TrialState.WAITING:
        connection.execute(_BEGUN, {"its": found.trial_id, "now": utc_now()})
    elif over.token != lease.token:
        retries += 1
        counted = {RETRIES_ATTRIBUTE: retries}
        upsert_attributes(connection, models.TrialUserAttributeModel, found.trial_id, counted)
    return Claim(
        trial_id=found.trial_id,
        study_id=found.study_id,
        number=found.number,
        lease=lease,
        retries=retries,
        taken_from=None if over is None else over.owner,
        checkpoint=json.loads(found.checkpoint) if found.checkpoint else None,
    )


def _over(connection: sa.Connection, token: str) -> dict[int, Any]:
    """The leases of trials that are over, and that with this token, by the trials' ids."""
    rows = connection.execute(_leases_over(connection.dialect.name), {"own": token})
    return {int(row.key.removeprefix(KEY_PREFIX)): row for row in rows}


@cache
def _leases_over(dialect: str) -> sa.Select[Any]:
    of_trials = leases.c.key.startswith(KEY_PREFIX)
    is_over = (leases.c.expires < clock(dialect)) | (leases.c.token == sa.bindparam("own"))
    return sa.select(leases.c.key, leases.c.owner, leases.c.token).where(of_trials, is_over)


def _first_free(
    connection: sa.Connection,
    studies: Sequence[int],
    over: dict[int, Any],
    token: str,
    passed_over: Sequence[int],
    deferred: Collection[int],
) -> Any | None:
    """The first trial that may be claimed, its row locked until the transaction ends; None if none is."""

    def first(statement: sa.Select[Any], **given: Any) -> Any | None:
        given["passed_over"] = passed_over
        return connection.execute(statement, {"studies": list(studies), **given}).first()

    # The reply to this claim may have been lost: then it is the same trial, whatever else is free by now.
    own = [trial for trial, lease in over.items() if lease.token == token]
    if own and (found := first(_lost(), among=own)) is not None:
        return found
    lost = first(_lost(), among=list(over)) if over else None
    if lost is not None and (len(studies) == 1 or lost.study_id == min(studies)):
        return lost
    waiting = first(_waiting(but_deferred=bool(deferred)), deferred=list(deferred))
    last = None
    if deferred and (waiting is None or len(studies) > 1):
        last = first(_deferred(), among=list(deferred))
    # Of the first study, the first of these: `min` takes the first of equals.
    return min(filter(None, (lost, waiting, last)), key=attrgetter("study_id"), default=None)


@cache
def _lost() -> sa.Select[Any]:
    """Of these trials the first that runs. What runs without a lease that is over is another program's."""
    return _first(_RUNS, _TRIAL.trial_id.in_(_literals("among")))


@cache
def _waiting(*, but_deferred: bool) -> sa.Select[Any]:
    return _first(_WAITS, *[_TRIAL.trial_id.not_in(_literals("deferred"))] * but_deferred)


@cache
def _deferred() -> sa.Select[Any]:
    return _first(_WAITS, _TRIAL.trial_id.in_(_literals("among")))


def _first(*conditions: sa.ColumnElement[bool]) -> sa.Select[Any]:
    return (
        sa.select(
            _TRIAL.trial_id,
            _TRIAL.study_id,
            _TRIAL.number,
            _TRIAL.state,
            _attribute(models.TrialUserAttributeModel, RETRIES_ATTRIBUTE).label("retries"),
            _attribute(models.TrialSystemAttributeModel, CHECKPOINT_ATTRIBUTE).label("checkpoint"),
        )
        .where(_TRIAL.study_id.in_(sa.bindparam("studies", expanding=True)), *conditions)
        .where(_TRIAL.trial_id.not_in(sa.bindparam("passed_over", expanding=True)))
        .order_by(_TRIAL.study_id, _TRIAL.number)
        .limit(1)
        .with_for_update(of=_TRIAL, skip_locked=True)
    )


def _literals(name: str) -> Any:
    # As literals: a database takes only so many parameters.
    return sa.bindparam(name, expanding=True, literal_execute=True, type_=sa.Integer)


def _attribute(model: Any, key: str) -> sa.ScalarSelect[Any]:
    own = model.trial_id == _TRIAL.trial_id
    return sa.select(model.value_json).where(own, model.key == key).scalar_subquery()
