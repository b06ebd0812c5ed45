"""What becomes of a study's stored parameters when its space grows.

Optuna keeps with each parameter the distribution that it was drawn from, refuses other choices in a study
that has some, and leaves out of its importances and of what its samplers draw together whatever has had two
distributions (optuna#2328, #2199). So what is stored is drawn from the grown space: the values are the same,
the number of a choice is that of the new list, and what was fixed is a parameter of all that have any.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from optuna.distributions import BaseDistribution, distribution_to_json, json_to_distribution
from optuna.storages._rdb import models
from optuna.trial import TrialState
from sqlalchemy import orm


def grow(
    session: orm.Session,
    study_id: int,
    space: Mapping[str, BaseDistribution],
    constants: Mapping[str, Any],
) -> None:
    """Make all parameters of a study some of `space`; `constants` are what trials had without saying."""
    param, trial = models.TrialParamModel, models.TrialModel
    of_study = param.trial_id.in_(sa.select(trial.trial_id).where(trial.study_id == study_id))
    for name, distribution in space.items():
        text = distribution_to_json(distribution)
        kept = sa.select(param.param_value, param.distribution_json).distinct()
        for value, old in session.execute(kept.where(of_study, param.param_name == name)).all():
            if old == text:
                continue
            now = distribution.to_internal_repr(json_to_distribution(old).to_external_repr(value))
            is_it = (param.param_name == name, param.param_value == value, param.distribution_json == old)
            changed: dict[Any, Any] = {param.param_value: now, param.distribution_json: text}
            session.execute(sa.update(param).where(of_study, *is_it).values(changed))
    for name, value in constants.items():
        if (found := space.get(name)) is not None:
            _fill(session, study_id, name, found.to_internal_repr(value), distribution_to_json(found))


def _fill(session: orm.Session, study_id: int, name: str, value: float, text: str) -> None:
    """Give a parameter to all trials of a study that have parameters, or have ended, and lack it."""
    param, trial = models.TrialParamModel, models.TrialModel
    has_any = sa.exists().where(param.trial_id == trial.trial_id)
    lacks = ~sa.exists().where(param.trial_id == trial.trial_id, param.param_name == name)
    asked = sa.select(trial.trial_id).where(
        trial.study_id == study_id, lacks, has_any | (trial.state != TrialState.WAITING)
    )
    for trial_id in session.scalars(asked).all():
        row = param(trial_id=trial_id, param_name=name, param_value=value, distribution_json=text)
        session.add(row)
