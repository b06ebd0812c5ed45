"""Faults of the database itself: damaged pages, an interrupted creation or upgrade of the schema."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from functools import partial

import optuna
import sqlalchemy as sa

from hpo.doctor.findings import Examination, Finding
from hpo.storage import reason
from hpo.storage.revisions import revisions_of_optuna
from hpo.storage.schema import (
    DRAFT_PREFIX,
    Schema,
    check_schema,
    complete_schema,
    drop_table,
    read_schema,
    upgrade_schema,
)

SQLITE_CORRUPT = 11
RESTORE = "restore a backup"


def damage(at: Examination) -> Iterator[Finding]:
    """Pages of an SQLite file that contradict each other."""
    if not at.is_sqlite:
        return
    try:
        with at.reading.connect() as connection:
            said = connection.exec_driver_sql("PRAGMA integrity_check").scalars().all()
    except sa.exc.DatabaseError as error:
        if not isinstance(error.orig, sqlite3.Error) or error.orig.sqlite_errorcode & 0xFF != SQLITE_CORRUPT:
            raise
        said = [reason(error)]
    if said != ["ok"]:
        lines = [line for text in said for line in text.splitlines() if not line.startswith("***")] or said
        more = f" (and {len(lines) - 1} more)" if len(lines) > 1 else ""
        yield Finding("database file", f"is damaged: {lines[0]}{more}", RESTORE)


def schema_faults(at: Examination) -> Iterator[Finding]:
    """Tables, columns and revisions that are not those of the installed Optuna, and of hpo.

    Raises:
        StorageError: the database is another program's, or is empty.
    """
    schema = read_schema(at.reading)
    if not schema.is_of_optuna:
        check_schema(at.reading, place=at.place, create=False)
    known, head = revisions_of_optuna()
    if unknown := schema.revisions - known:
        fault = f"its revision {', '.join(sorted(unknown))} is unknown to Optuna {optuna.__version__}"
        yield Finding("schema", fault, "install a newer Optuna: pip install --upgrade optuna")
    elif lost := [*_lost(schema, is_old=bool(schema.revisions - {head}))]:
        yield Finding("schema", "; ".join(lost), RESTORE)
    else:
        yield from _left_drafts(at, schema)
        yield from _old(at, schema, head) if schema.revisions - {head} else _incomplete(at, schema)


def _lost(schema: Schema, *, is_old: bool) -> Iterator[str]:
    """What no repair brings back."""
    if len(schema.revisions) > 1:
        yield f"it has several revisions at once: {', '.join(sorted(schema.revisions))}"
    for table in schema.missing:
        # To create it, empty, would make rows of others rows without a parent.
        if children := schema.children(table):
            yield f"the table {table.name} is gone, to which rows of {', '.join(children)} belong"
        elif DRAFT_PREFIX + table.name in schema.columns:
            yield f"the table {table.name} is gone; {DRAFT_PREFIX}{table.name} may hold its rows"
    if schema.lacking and not is_old:
        yield f"there is no column {', '.join(schema.lacking)}"


def _left_drafts(at: Examination, schema: Schema) -> Iterator[Finding]:
    for name in schema.drafts:
        fault = "is left of an upgrade that was interrupted"
        yield from at.found(f"table {name}", fault, cure="drop it", action=partial(_drop, at, name))


def _old(at: Examination, schema: Schema, head: str) -> Iterator[Finding]:
    fault = f"is of revision {', '.join(schema.revisions)}, older than Optuna {optuna.__version__}"
    cure = f"upgrade it to {head}"
    yield from at.found("schema", fault, cure=cure, action=partial(_upgrade, at.url))


def _incomplete(at: Examination, schema: Schema) -> Iterator[Finding]:
    lacks = [f"the table {table.name}" for table in schema.missing]
    if not schema.revisions:
        lacks.append("its revision")
    if "version_info" in schema.columns and "version_info" not in schema.filled:
        lacks.append("the version that created it")
    if lacks:
        fault = f"its creation or an upgrade was interrupted, it lacks {', '.join(lacks)}"
        yield from at.found("schema", fault, cure="create what it lacks", action=partial(_complete, at.url))


def _drop(at: Examination, name: str) -> bool:
    drop_table(at.engine, name)
    return True


def _complete(url: str) -> bool:
    complete_schema(url)
    return True


def _upgrade(url: str) -> bool:
    upgrade_schema(url)
    return True
