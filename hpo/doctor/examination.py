"""The examination of a storage, and the repair of what dead processes and other programs left in it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import sqlalchemy as sa
from optuna.storages._rdb import models
from optuna.trial import TrialState

from hpo.doctor.artifacts import file_faults, of_hpo, trial_place
from hpo.doctor.findings import Examination, Finding
from hpo.doctor.schema import OPTUNA_TABLES, damage, schema_faults
from hpo.storage import engine as opening
from hpo.storage.artifacts import artifacts_at
from hpo.storage.claims import RETRIES_ATTRIBUTE, UNFINISHED, held, key_of, upsert_attributes
from hpo.storage.leases import leases


def examine(
    url: str | None = None, *, artifact_dir: Path | str | None = None, repair: bool = False
) -> list[Finding]:
    """Every fault of a storage; with `repair`, what can be mended is.

    Workers may train meanwhile: what one of them holds is left to it. Without `repair` nothing is changed.
    Where the file or the schema is at fault, and stays so, nothing else can be examined.

    Args:
        url: as in `Storage`.
        artifact_dir: as in `Storage`.
        repair: mend what can be mended.

    Raises:
        StorageError: the database cannot be opened, is not there, or is another program's.
    """
    url, place = opening.located(url)
    folder = artifacts_at(artifact_dir)
    with opening.explained(place):
        url = opening.checked(url, place=place, create=False)
        engine = opening.make_engine(url)
        try:
            return list(_faults(Examination(url, place, engine, folder, repair)))
        finally:
            engine.dispose()


def _faults(at: Examination) -> Iterator[Finding]:
    for check in (damage, schema_faults):
        found = list(check(at))
        yield from found
        if not all(finding.repaired for finding in found):
            return
    for check in (_rows_without_parent, _stale_trials, _leases_of_no_use, file_faults):
        yield from check(at)


def _stale_trials(at: Examination) -> Iterator[Finding]:
    """Trials of hpo's studies that run, and that no worker holds."""
    trial, study = models.TrialModel, models.StudyModel
    own = sa.select(leases.c.owner).where(leases.c.key == key_of(trial.trial_id)).scalar_subquery()
    with at.reading.connect() as connection:
        found = connection.execute(
            sa.select(trial.trial_id, trial.number, study.study_name, own.label("owner"))
            .join(study, study.study_id == trial.study_id)
            .where(trial.state == TrialState.RUNNING, of_hpo(), ~held(connection))
            .order_by(trial.study_id, trial.number)
        ).all()
    for row in found:
        place = trial_place(row.number, row.study_name)
        fault = f"is running, and its worker {row.owner or ''}".rstrip() + " is gone"
        action = partial(_put_back, at, row.trial_id)
        yield from at.found(place, fault, cure="put it back into the queue", action=action)


def _put_back(at: Examination, trial_id: int) -> bool:
    trial, attribute = models.TrialModel, models.TrialUserAttributeModel
    running = (trial.trial_id == trial_id) & (trial.state == TrialState.RUNNING)
    with at.alone(trial_id) as connection:
        if connection is None:
            return False
        waits = sa.update(trial).where(running).values({trial.state: TrialState.WAITING})
        if connection.execute(waits).rowcount == 0:
            return False
        # It has lost a worker. A trial that ends every worker is given up after some; here too it counts.
        lost = sa.select(attribute.value_json).where(
            attribute.trial_id == trial_id, attribute.key == RETRIES_ATTRIBUTE
        )
        retries = json.loads(connection.execute(lost).scalar() or "0")
        upsert_attributes(connection, attribute, trial_id, {RETRIES_ATTRIBUTE: retries + 1})
        return True


def _leases_of_no_use(at: Examination) -> Iterator[Finding]:
    """Leases of trials that are gone or have finished."""
    trial = models.TrialModel
    with at.reading.connect() as connection:
        found = connection.execute(
            sa.select(leases.c.key, leases.c.token, trial.state)
            .outerjoin(trial, key_of(trial.trial_id) == leases.c.key)
            .where(leases.c.key.startswith("trial:"), trial.state.is_(None) | trial.state.not_in(UNFINISHED))
            .order_by(leases.c.key)
        ).all()
    for row in found:
        fault = "its trial is gone" if row.state is None else "its trial has finished"
        same = (leases.c.key == row.key) & (leases.c.token == row.token)
        yield from at.found(f"lease {row.key}", fault, cure="delete it", action=partial(_delete, at, same))


def _delete(at: Examination, same: sa.ColumnElement[bool]) -> bool:
    with at.engine.begin() as connection:
        return connection.execute(leases.delete().where(same)).rowcount == 1


def _rows_without_parent(at: Examination) -> Iterator[Finding]:
    """Rows of an SQLite file that another program has left without their trial or study."""
    if at.engine.dialect.name != "sqlite":
        return
    with at.reading.connect() as connection:
        found = _parentless(connection)
    if found:
        tables = ", ".join(sorted({table for table, _ in found}))
        fault = f"rows whose trial or study is gone: {len(found)}"
        action = partial(_delete_parentless, at)
        yield from at.found(f"tables {tables}", fault, cure="delete them", action=action)


def _parentless(connection: sa.Connection) -> set[tuple[str, int]]:
    """Table and row number of each."""
    return {
        (table.name, row[1])
        for table in OPTUNA_TABLES
        for row in connection.exec_driver_sql(f'PRAGMA foreign_key_check("{table.name}")')
    }


def _delete_parentless(at: Examination) -> bool:
    with at.engine.begin() as connection:
        # A trial that goes takes its rows along, but only in the next turn.
        connection.exec_driver_sql("PRAGMA defer_foreign_keys = ON")
        while found := _parentless(connection):
            for table, number in found:
                connection.exec_driver_sql(f'DELETE FROM "{table}" WHERE rowid = ?', (number,))
    return True
