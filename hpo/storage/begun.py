"""Who has begun which trials of a study, and which configurations its trials have."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any

import sqlalchemy as sa
from optuna.storages._rdb import models
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.orm import aliased

from hpo.storage.bulk import read_configurations
from hpo.storage.claims import key_of
from hpo.storage.leases import OWNER_LENGTH, clock, leases

WORKER_ATTRIBUTE = "worker"


@dataclass(frozen=True, slots=True)
class BegunTrial:
    """A trial that `worker` has begun.

    `ended` is when, by its worker's clock; None if it runs. What runs is `held` by its worker, or lost.
    """

    study_id: int
    trial_id: int
    worker: str
    ended: datetime | None
    held: bool


def begun_trials(connection: sa.Connection, studies: Sequence[int], *, since: datetime) -> list[BegunTrial]:
    """Of the first of these studies in which a trial waits, those that run or have ended since then.

    One query, since workers ask before each claim. None of another program's.
    """
    asked = _asked(connection.dialect.name)
    given = {"studies": list(studies), "since": since.astimezone(UTC).replace(tzinfo=None)}
    return [found for row in connection.execute(asked, given) if (found := _begun(row)) is not None]


@cache
def _asked(dialect: str) -> sa.Select[Any]:
    # To build it anew each time takes as long as the database does.
    trial, waiting = models.TrialModel, aliased(models.TrialModel)
    attribute = models.TrialUserAttributeModel
    among: Any = sa.bindparam("studies", expanding=True)
    waits = waiting.study_id.in_(among) & (waiting.state == TrialState.WAITING)
    first = sa.select(sa.func.min(waiting.study_id)).where(waits).scalar_subquery()
    ended = trial._datetime_complete_utc
    named = (attribute.trial_id == trial.trial_id) & (attribute.key == WORKER_ATTRIBUTE)
    return (
        sa.select(
            trial.study_id,
            trial.trial_id,
            ended.label("ended"),
            leases.c.owner,
            (leases.c.expires >= clock(dialect)).label("held"),
            attribute.value_json.label("worker"),
        )
        .join(leases, leases.c.key == key_of(trial.trial_id), isouter=True)
        .join(attribute, named, isouter=True)
        .where(trial.study_id == first)
        .where((trial.state == TrialState.RUNNING) | (ended >= sa.bindparam("since")))
    )


def _begun(row: Any) -> BegunTrial | None:
    # Of one that runs, the attribute may still name the worker that has lost it.
    told = None if row.worker is None else json.loads(row.worker)
    worker = row.owner if row.ended is None else told
    if not isinstance(worker, str):
        return None
    ended = None if row.ended is None else row.ended.replace(tzinfo=UTC)
    return BegunTrial(row.study_id, row.trial_id, worker[:OWNER_LENGTH], ended, bool(row.held))


def waiting_trials(connection: sa.Connection, study_id: int, *, after: int, limit: int) -> list[FrozenTrial]:
    """The next trials of a study that wait, after an id, at most `limit`, as configurations."""
    trial = models.TrialModel
    found = (
        sa.select(trial.trial_id)
        .where(trial.study_id == study_id, trial.state == TrialState.WAITING, trial.trial_id > after)
        .order_by(trial.trial_id)
        .limit(limit)
    )
    return configurations(connection, list(connection.execute(found).scalars()))


def configurations(connection: sa.Connection, trial_ids: Collection[int]) -> list[FrozenTrial]:
    """These trials, by id, with their parameters and user attributes and nothing else."""
    return read_configurations(connection, trial_ids) if trial_ids else []
