"""What of a study's plan changes: trials that are withdrawn, attributes that say what it asks for.

Planners of several processes take turns: each holds the study's row, and looks again whether the study still
asks for what it planned by.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from optuna.distributions import distribution_to_json
from optuna.storages._rdb import models
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import orm

from hpo.storage.claims import key_of
from hpo.storage.fence import check_fences
from hpo.storage.leases import leases


@contextmanager
def in_turn(engine: sa.Engine, study_id: int) -> Iterator[orm.Session]:
    """A transaction that holds the study's row, as Optuna's do that number trials.

    Raises:
        KeyError: there is no such study.
    """
    with orm.Session(engine) as session, session.begin():
        check_fences(session.connection())
        models.StudyModel.find_or_raise_by_id(study_id, session, for_update=True)
        yield session


def has(session: orm.Session, study_id: int, attributes: Mapping[str, Any]) -> bool:
    """Whether a study has these user attributes."""
    own = models.StudyUserAttributeModel
    found = sa.select(own.key, own.value_json).where(own.study_id == study_id, own.key.in_(attributes))
    return {key: json.loads(text) for key, text in session.execute(found)} == attributes


def row(study_id: int, number: int, trial: FrozenTrial) -> Any:
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


def set_attribute(session: orm.Session, study_id: int, key: str, value: Any) -> None:
    """Set a user attribute of a study."""
    own = models.StudyUserAttributeModel
    row: Any = session.scalar(sa.select(own).where(own.study_id == study_id, own.key == key))
    if row is None:
        row = own(study_id=study_id, key=key)
        session.add(row)
    row.value_json = json.dumps(value)


def withdraw(session: orm.Session, study_id: int, *, first: int) -> int:
    """Remove the trials from number `first` on which nobody has begun; returns how many.

    Only the last ones of a study go, since Optuna counts trials to number the next: from the end downwards to
    the first that a worker has ever claimed, or that a person has enqueued or written something on.
    """
    trial = models.TrialModel
    # A worker that claims one of them at this moment is waited for: then it has begun.
    last = session.execute(
        sa.select(trial.trial_id, trial.state, trial._datetime_start_utc, _is_touched())
        .where(trial.study_id == study_id, trial.number >= first)
        .order_by(trial.number.desc())
        .with_for_update(of=trial)
    )
    gone = []
    for trial_id, state, started, is_touched in last:
        if state != TrialState.WAITING or started is not None or is_touched:
            break
        gone.append(trial_id)
    for table in reversed(models.BaseModel.metadata.sorted_tables):
        if "trial_id" in table.c and gone:
            # As literals: a database takes only so many parameters.
            among: Any = sa.bindparam("gone", gone, expanding=True, literal_execute=True)
            session.execute(sa.delete(table).where(table.c.trial_id.in_(among)))
    return len(gone)


def _is_touched() -> sa.ColumnElement[bool]:
    trial, attribute = models.TrialModel, models.TrialSystemAttributeModel
    is_leased = sa.exists().where(leases.c.key == key_of(trial.trial_id))
    return is_leased | sa.exists().where(attribute.trial_id == trial.trial_id)
