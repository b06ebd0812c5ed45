"""User attributes of studies, each read in one statement."""

from __future__ import annotations

import json
from typing import Any

import sqlalchemy as sa
from optuna.storages._rdb import models

_STUDY, _OWN = models.StudyModel, models.StudyUserAttributeModel


def _has(key: str) -> sa.ColumnElement[bool]:
    is_set = (_OWN.key == sa.bindparam(key)) & (_OWN.value_json != "null")
    return sa.exists().where(_OWN.study_id == _STUDY.study_id, is_set)


# Workers ask before each trial: to build these anew each time takes as long as the database does.
_WITH = sa.select(_STUDY.study_id).where(_has("has"), ~_has("lacks")).order_by(_STUDY.study_id)
_ALL = (
    sa.select(_OWN.key, _OWN.value_json)
    .select_from(_STUDY)
    .join(_OWN, _OWN.study_id == _STUDY.study_id, isouter=True)
    .where(_STUDY.study_id == sa.bindparam("study"))
)


def studies_with(connection: sa.Connection, attribute: str, *, without: str) -> list[int]:
    """Ids of the studies that have one user attribute and lack another, or have it as null."""
    return list(connection.execute(_WITH, {"has": attribute, "lacks": without}).scalars())


def study_attribute(connection: sa.Connection, study_id: int, key: str) -> Any:
    """One user attribute of a study; None if it has none."""
    found = sa.select(_OWN.value_json).where(_OWN.study_id == study_id, _OWN.key == key)
    text = connection.execute(found).scalar()
    return None if text is None else json.loads(text)


def study_attributes(connection: sa.Connection, study_id: int) -> dict[str, Any] | None:
    """The user attributes of a study; None if there is no such study."""
    rows = connection.execute(_ALL, {"study": study_id}).all()
    return {key: json.loads(text) for key, text in rows if key is not None} if rows else None
