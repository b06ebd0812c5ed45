"""Optuna's storage with trials read in bulk.

Optuna makes an object of SQLAlchemy's session of each row: 10 s for 5,000 trials of 50 epochs. Here each
table is one statement whose rows stay tuples. The trials are the same ones.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Collection, Iterable, Iterator
from datetime import UTC, datetime
from functools import cache, lru_cache
from itertools import chain, groupby
from operator import itemgetter
from typing import Any, NamedTuple

import sqlalchemy as sa
from optuna.distributions import BaseDistribution, json_to_distribution
from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage
from optuna.storages._rdb import models
from optuna.trial import FrozenTrial, TrialState

from hpo.storage.dialects import to_read

NOT_FINITE = {"INF_POS": math.inf, "INF_NEG": -math.inf, "NAN": math.nan}

PIECE = 2000
# The columns of what is asked for of one trial.
NAMES = ("place", "order", "name", "number", "text", "start", "complete")

Row = Any
Gather = Callable[[Iterable[Row]], Any]


class BulkReadingStorage(RDBStorage):
    """Optuna's storage; all of it that reads more than one trial comes through `_get_trials`."""

    def shown(self, attributes: dict[str, Any]) -> dict[str, Any]:
        """The user attributes that a trial has here, from those stored: a subclass may change them."""
        return attributes

    def _set_trial_param(
        self,
        trial_id: int,
        param_name: str,
        param_value_internal: float,
        distribution: BaseDistribution,
        previous_distribution: BaseDistribution | None,
    ) -> None:
        """See Optuna, which refuses choices unlike those of earlier trials: spaces here may grow."""
        super()._set_trial_param(
            trial_id, param_name, param_value_internal, distribution, previous_distribution=distribution
        )

    def get_trial(self, trial_id: int) -> FrozenTrial:
        """See Optuna, which asks six times; one that trains asks before each trial."""
        try:
            with to_read(self.engine).connect() as connection:
                rows = connection.execute(_one(), {"one": trial_id}).all()
        except sa.exc.SQLAlchemyError as error:
            raise StorageInternalError("The trial could not be read.") from error
        trial = _of_one(trial_id, rows)
        trial._user_attrs = self.shown(trial._user_attrs)
        return trial

    def _get_trials(
        self,
        study_id: int,
        states: Iterable[TrialState] | None,  # type: ignore[override]
        included_trial_ids: Collection[int],
        trial_id_greater_than: int,
    ) -> list[FrozenTrial]:
        """The trials of a study that are among `included_trial_ids` or newer than an id, by id.

        Raises:
            KeyError: there is no such study.
            StorageInternalError: the database cannot be read.
        """
        wanted = _wanted(study_id, states, included_trial_ids, trial_id_greater_than)
        try:
            with to_read(self.engine).connect() as connection:
                trials = _read(connection, study_id, wanted)
        except sa.exc.SQLAlchemyError as error:
            # As Optuna does.
            raise StorageInternalError("The trials could not be read.") from error
        for trial in trials:
            trial._user_attrs = self.shown(trial._user_attrs)
        return trials


def _read(connection: sa.Connection, study_id: int, wanted: sa.Select[Any]) -> list[FrozenTrial]:
    study = models.StudyModel.study_id
    if connection.execute(sa.select(study).where(study == study_id)).first() is None:
        raise KeyError(models.NOT_FOUND_MSG)
    # The trials first: what is finished here has all its rows in the tables below.
    trials = connection.execute(_trials(wanted)).all()
    if not trials:
        return []
    parts = [_by_trial(connection, rows, gather) for rows, gather in _tables(wanted)]
    return [_frozen(row, *(part.get(row.trial_id) for part in parts)) for row in trials]


def read_configurations(connection: sa.Connection, trial_ids: Collection[int]) -> list[FrozenTrial]:
    """Trials, by id, with their parameters and user attributes and nothing else of what they have."""
    wanted = sa.select(models.TrialModel.trial_id).where(_is_among(trial_ids))
    trials = connection.execute(_trials(wanted)).all()
    params = _by_trial(connection, _param_rows(wanted), _params)
    user = _by_trial(connection, _attribute_rows(models.TrialUserAttributeModel, wanted), _attributes)
    return [
        _frozen(row, None, params.get(row.trial_id), user.get(row.trial_id), None, None) for row in trials
    ]


@cache
def _one() -> sa.CompoundSelect[Any]:
    """All rows of one trial: the table's place among `_frozen`'s arguments, an order, and what it has."""
    trial, step = models.TrialModel, models.TrialIntermediateValueModel
    value, param = models.TrialValueModel, models.TrialParamModel
    user, system = models.TrialUserAttributeModel, models.TrialSystemAttributeModel
    no_number, no_text = sa.cast(sa.null(), sa.Double), sa.cast(sa.null(), sa.String)
    no_time = sa.cast(sa.null(), sa.DateTime)

    def rows(place: int, model: Any, order: Any, name: Any, number: Any, text: Any, *times: Any) -> Any:
        columns = sa.literal_column(str(place)), order, name, number, text, *(times or (no_time, no_time))
        labelled = [column.label(label) for column, label in zip(columns, NAMES, strict=True)]
        return sa.select(*labelled).where(model.trial_id == sa.bindparam("one"))

    times = trial._datetime_start_utc, trial._datetime_complete_utc
    return sa.union_all(
        rows(0, trial, trial.number, _text(trial.state), no_number, no_text, *times),
        rows(1, value, value.objective, _text(value.value_type), value.value, no_text),
        rows(2, param, param.param_id, param.param_name, param.param_value, param.distribution_json),
        rows(3, user, user.trial_user_attribute_id, user.key, no_number, user.value_json),
        rows(4, system, system.trial_system_attribute_id, system.key, no_number, system.value_json),
        rows(5, step, step.step, _text(step.intermediate_value_type), step.intermediate_value, no_text),
    )


def _of_one(trial_id: int, rows: Iterable[Row]) -> FrozenTrial:
    """The trial of the rows that `_one` finds. Raises KeyError if there are none."""
    found = {place: list(own) for place, own in groupby(sorted(rows, key=itemgetter(0, 1)), itemgetter(0))}
    if 0 not in found:
        raise KeyError(models.NOT_FOUND_MSG)
    (trial,) = found[0]
    of = _Head(trial_id, trial.order, TrialState[trial.name], trial.start, trial.complete)

    def part(place: int, gather: Gather, *columns: str) -> Any:
        own = found.get(place)
        asked = itemgetter(*(NAMES.index(name) for name in ("order", *columns)))
        return own and gather((trial_id, *asked(row)) for row in own)

    return _frozen(
        of,
        part(1, _values, "number", "name"),
        part(2, _params, "name", "number", "text"),
        part(3, _attributes, "name", "text"),
        part(4, _attributes, "name", "text"),
        part(5, _steps, "number", "name"),
    )


class _Head(NamedTuple):
    """The row of a trial itself."""

    trial_id: int
    number: int
    state: TrialState
    start: datetime | None
    complete: datetime | None


def _wanted(
    study_id: int, states: Iterable[TrialState] | None, included: Collection[int], newer_than: int
) -> sa.Select[Any]:
    trial = models.TrialModel
    wanted = sa.select(trial.trial_id).where(trial.study_id == study_id)
    if states is not None:
        wanted = wanted.where(trial.state.in_(list(states)))
    if newer_than < 0:
        return wanted
    return wanted.where((trial.trial_id > newer_than) | _is_among(included))


def _is_among(trial_ids: Collection[int]) -> sa.ColumnElement[bool]:
    # As literals: a database takes only so many parameters.
    among: Any = sa.bindparam("among", list(trial_ids), expanding=True, literal_execute=True)
    return models.TrialModel.trial_id.in_(among)


def _trials(wanted: sa.Select[Any]) -> sa.Select[Any]:
    trial = models.TrialModel
    return (
        sa.select(
            trial.trial_id,
            trial.number,
            trial.state,
            trial._datetime_start_utc.label("start"),
            trial._datetime_complete_utc.label("complete"),
        )
        .where(trial.trial_id.in_(wanted))
        .order_by(trial.trial_id)
    )


def _tables(wanted: sa.Select[Any]) -> Iterator[tuple[sa.Select[Any], Gather]]:
    """What `_frozen` takes: rows of a table, sorted by trial, and what they make of those of one trial."""
    value, step = models.TrialValueModel, models.TrialIntermediateValueModel
    yield _rows(value, wanted, value.objective, value.value, _text(value.value_type)), _values
    yield _param_rows(wanted), _params
    for attribute in (models.TrialUserAttributeModel, models.TrialSystemAttributeModel):
        yield _attribute_rows(attribute, wanted), _attributes
    yield (
        _rows(step, wanted, step.step, step.intermediate_value, _text(step.intermediate_value_type)),
        _steps,
    )


def _param_rows(wanted: sa.Select[Any]) -> sa.Select[Any]:
    param = models.TrialParamModel
    return _rows(param, wanted, param.param_id, param.param_name, param.param_value, param.distribution_json)


def _attribute_rows(attribute: Any, wanted: sa.Select[Any]) -> sa.Select[Any]:
    key: Any = sa.inspect(attribute).primary_key[0]
    return _rows(attribute, wanted, key, attribute.key, attribute.value_json)


def _rows(model: Any, wanted: sa.Select[Any], order: Any, *columns: Any) -> sa.Select[Any]:
    return (
        sa.select(model.trial_id, order, *columns)
        .where(model.trial_id.in_(wanted))
        .order_by(model.trial_id, order)
    )


def _text(column: Any) -> Any:
    # To make an enumeration's members of hundreds of thousands of rows takes longer than all else.
    return sa.cast(column, sa.String)


def _by_trial(connection: sa.Connection, rows: sa.Select[Any], gather: Gather) -> dict[int, Any]:
    # In pieces: to keep all rows would have Python look for garbage among them again and again.
    found = chain.from_iterable(connection.execute(rows).partitions(PIECE))
    return {trial_id: gather(own) for trial_id, own in groupby(found, key=itemgetter(0))}


def _values(rows: Iterable[Row]) -> list[float]:
    return [NOT_FINITE.get(kind, value) for _, _, value, kind in rows]


def _steps(rows: Iterable[Row]) -> dict[int, float]:
    return {step: NOT_FINITE.get(kind, value) for _, step, value, kind in rows}


def _params(rows: Iterable[Row]) -> tuple[dict[str, Any], dict[str, BaseDistribution]]:
    own = [(name, value, _distribution(text)) for _, _, name, value, text in rows]
    return (
        {name: distribution.to_external_repr(value) for name, value, distribution in own},
        {name: distribution for name, _, distribution in own},
    )


def _attributes(rows: Iterable[Row]) -> dict[str, Any]:
    own = [(key, text) for _, _, key, text in rows]
    # One call: there are many, and small.
    values = json.loads(f"[{','.join([text for _, text in own])}]")
    return {key: value for (key, _), value in zip(own, values, strict=True)}


def _frozen(
    trial: Row,
    values: list[float] | None,
    params: tuple[dict[str, Any], dict[str, BaseDistribution]] | None,
    user_attributes: dict[str, Any] | None,
    system_attributes: dict[str, Any] | None,
    steps: dict[int, float] | None,
) -> FrozenTrial:
    values_of_params, distributions = params or ({}, {})
    return FrozenTrial(
        number=trial.number,
        state=trial.state,
        value=None,
        values=values,
        datetime_start=_local(trial.start),
        datetime_complete=_local(trial.complete),
        params=values_of_params,
        distributions=distributions,
        user_attrs=user_attributes or {},
        system_attrs=system_attributes or {},
        intermediate_values=steps or {},
        trial_id=trial.trial_id,
    )


@lru_cache(maxsize=1024)
def _distribution(text: str) -> BaseDistribution:
    return json_to_distribution(text)


def _local(stored: datetime | None) -> datetime | None:
    """A time as trials have it, local without saying so, from UTC without saying so."""
    return None if stored is None else stored.replace(tzinfo=UTC).astimezone().replace(tzinfo=None)
