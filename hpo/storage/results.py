"""What the trials of many studies have reached, in one query over all of them; and who trains them."""

from __future__ import annotations

import json
import math
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from optuna.storages._rdb import models
from optuna.trial import TrialState
from sqlalchemy.orm import aliased

from hpo.storage.claims import key_of
from hpo.storage.leases import leases, now

# A user attribute of a complete trial that breaks a constraint: its value is none that it could be chosen by.
INFEASIBLE_ATTRIBUTE = "infeasible"
NOT_FINITE = {"INF_POS": math.inf, "INF_NEG": -math.inf}


@dataclass(frozen=True, slots=True)
class TrialResult:
    """A trial that has begun, with the user attributes asked for (None: it lacks it).

    `value` is that of its first objective if it is complete and feasible, else None; times are in UTC.
    """

    number: int
    value: float | None
    started: datetime | None
    ended: datetime | None
    attributes: tuple[Any, ...]


def results(
    connection: sa.Connection, study_ids: Collection[int], attributes: tuple[str, ...]
) -> dict[int, list[TrialResult]]:
    """The trials of these studies that have begun, by study and number."""
    trial, value = models.TrialModel, models.TrialValueModel
    keys = (*attributes, INFEASIBLE_ATTRIBUTE)
    own = [aliased(models.TrialUserAttributeModel) for _ in keys]
    among: Any = sa.bindparam("among", list(study_ids), expanding=True, literal_execute=True)
    asked = (
        sa.select(
            trial.study_id,
            trial.number,
            # To make members of enumerations takes longer than all else.
            sa.cast(trial.state, sa.String),
            value.value,
            sa.cast(value.value_type, sa.String),
            trial._datetime_start_utc,
            trial._datetime_complete_utc,
            *(one.value_json for one in own),
        )
        .join(value, (value.trial_id == trial.trial_id) & (value.objective == 0), isouter=True)
        .where(trial.study_id.in_(among), trial.state != TrialState.WAITING)
        .order_by(trial.study_id, trial.number)
    )
    for one, key in zip(own, keys, strict=True):
        asked = asked.join(one, (one.trial_id == trial.trial_id) & (one.key == key), isouter=True)
    found: dict[int, list[TrialResult]] = {}
    for study_id, number, state, reached, kind, started, ended, *texts in connection.execute(asked):
        *given, infeasible = (None if text is None else json.loads(text) for text in texts)
        is_valued = state == TrialState.COMPLETE.name and not infeasible
        found.setdefault(study_id, []).append(
            TrialResult(
                number,
                NOT_FINITE.get(kind, reached) if is_valued else None,
                _utc(started),
                _utc(ended),
                tuple(given),
            )
        )
    return found


def feasible() -> sa.ColumnElement[bool]:
    """Whether the trial in question breaks no constraint."""
    own = models.TrialUserAttributeModel
    of_trial = (own.trial_id == models.TrialModel.trial_id) & (own.key == INFEASIBLE_ATTRIBUTE)
    return ~sa.exists().where(of_trial)


def holders(connection: sa.Connection) -> dict[int, list[str]]:
    """The workers that hold trials just now, by study."""
    trial = models.TrialModel
    held = (leases.c.key == key_of(trial.trial_id)) & (leases.c.expires >= now(connection))
    asked = (
        sa.select(trial.study_id, leases.c.owner)
        .join(leases, held)
        .where(trial.state == TrialState.RUNNING)
        .distinct()
        .order_by(trial.study_id, leases.c.owner)
    )
    found: dict[int, list[str]] = {}
    for study_id, owner in connection.execute(asked):
        found.setdefault(study_id, []).append(owner)
    return found


def _utc(stored: datetime | None) -> datetime | None:
    return None if stored is None else stored.replace(tzinfo=UTC)
