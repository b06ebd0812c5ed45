"""User attributes of studies, each read in one statement."""

from __future__ import annotations

import json
from typing import Any

import sqlalchemy as sa
from optuna.storages._rdb import models

_STUDY, _OWN = models.StudyModel, models.StudyUserAttributeModel


def studies_with(connection: sa.Connection, attribute: str, *, without: str) -> list[int]:
    """Ids of the studies that have one user attribute and lack another, or have it as null."""

    def has(key: str) -> sa.ColumnElement[bool]:
        set_ = (_OWN.key == key) & (_OWN.value_json != "null")
        return sa.exists().where(_OWN.study_id == _STUDY.study_id, set_)

    found = sa.select(_STUDY.study_id).where(has(attribute), ~has(without))
    return list(connection.execute(found.order_by(_STUDY.study_id)).scalars())


def study_attribute(connection: sa.Connection, study_id: int, key: str) -> Any:
    """One user attribute of a study; None if it has none."""
    found = sa.select(_OWN.value_json).where(_OWN.study_id == study_id, _OWN.key == key)
    text = connection.execute(found).scalar()
    return None if text is None else json.loads(text)


def study_attributes(connection: sa.Connection, study_id: int) -> dict[str, Any] | None:
    """The user attributes of a study; None if there is no such study."""
    found = (
        sa.select(_OWN.key, _OWN.value_json)
        .select_from(_STUDY)
        .join(_OWN, _OWN.study_id == _STUDY.study_id, isouter=True)
        .where(_STUDY.study_id == study_id)
    )
    rows = connection.execute(found).all()
    return {key: json.loads(text) for key, text in rows if key is not None} if rows else None
