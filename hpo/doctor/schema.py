"""Faults of the database itself: damaged pages, an interrupted creation or upgrade of the schema."""

from __future__ import annotations

import contextlib
import logging
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import optuna
import sqlalchemy as sa
from alembic.script import ScriptDirectory
from optuna.storages import RDBStorage, _rdb
from optuna.storages._rdb import models

from hpo.doctor.findings import Examination, Finding
from hpo.storage import engine as opening
from hpo.storage.leases import leases
from hpo.storage.patience import reason

SQLITE_CORRUPT = 11
REVISIONS = "alembic_version"
# Where Alembic builds the next form of an SQLite table, before it takes the table's place.
DRAFT_PREFIX = "_alembic_tmp_"
RESTORE = "restore a backup"
OPTUNA_TABLES = models.BaseModel.metadata.sorted_tables
TABLES = [*OPTUNA_TABLES, leases]


@dataclass(frozen=True)
class _Schema:
    """The columns of each table that is there, the revisions in `alembic_version`, the tables with rows."""

    columns: dict[str, set[str]]
    revisions: set[str]
    filled: set[str]

    @property
    def missing(self) -> list[sa.Table]:
        return [table for table in TABLES if table.name not in self.columns]

    @property
    def drafts(self) -> list[str]:
        return sorted(name for name in self.columns if name.startswith(DRAFT_PREFIX))

    @property
    def lacking(self) -> list[str]:
        """The columns that tables should have and have not."""
        return [
            f"{table.name}.{column.name}"
            for table in TABLES
            for column in table.columns
            if table.name in self.columns and column.name not in self.columns[table.name]
        ]

    @property
    def is_optuna_s(self) -> bool:
        """Whether it is one of Optuna's, be it half created."""
        if "version_info" in self.columns:
            return True
        return not self.lacking and any(table.name in self.columns for table in OPTUNA_TABLES)


def damage(at: Examination) -> Iterator[Finding]:
    """Pages of an SQLite file that contradict each other."""
    if at.engine.dialect.name != "sqlite":
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
    schema = _read(at)
    if not schema.is_optuna_s:
        opening.check_schema(at.reading, place=at.place, create=False)
    known, head = _revisions_of_optuna()
    if unknown := schema.revisions - known:
        fault = f"its revision {', '.join(sorted(unknown))} is unknown to Optuna {optuna.__version__}"
        yield Finding("schema", fault, "install a newer Optuna: pip install --upgrade optuna")
    elif lost := [*_lost(schema, is_old=bool(schema.revisions - {head}))]:
        yield Finding("schema", "; ".join(lost), RESTORE)
    else:
        yield from _left_drafts(at, schema)
        yield from _old(at, schema, head) if schema.revisions - {head} else _incomplete(at, schema)


def _read(at: Examination) -> _Schema:
    with at.reading.connect() as connection:
        tables = sa.inspect(connection).get_multi_columns()
        columns = {name: {column["name"] for column in own} for (_, name), own in tables.items()}
        revisions: set[str] = set()
        if REVISIONS in columns:
            found = sa.select(sa.column("version_num", sa.String)).select_from(sa.table(REVISIONS))
            revisions = set(connection.execute(found).scalars())
        filled = {
            table.name
            for table in TABLES
            if table.name in columns
            and connection.execute(sa.select(sa.literal(1)).select_from(table).limit(1)).first()
        }
    return _Schema(columns, revisions, filled)


@cache
def _revisions_of_optuna() -> tuple[set[str], str]:
    """All revisions that the installed Optuna knows, and the last."""
    script = ScriptDirectory(str(Path(_rdb.__file__).with_name("alembic")))
    head = script.get_current_head()
    assert head is not None
    return {revision.revision for revision in script.walk_revisions()}, head


def _lost(schema: _Schema, *, is_old: bool) -> Iterator[str]:
    """What no repair brings back."""
    if len(schema.revisions) > 1:
        yield f"it has several revisions at once: {', '.join(sorted(schema.revisions))}"
    for table in schema.missing:
        # To create it, empty, would make rows of others rows without a parent.
        children = [
            other.name
            for other in TABLES
            if other.name in schema.filled and any(key.column.table is table for key in other.foreign_keys)
        ]
        if children:
            yield f"the table {table.name} is gone, to which rows of {', '.join(children)} belong"
        elif DRAFT_PREFIX + table.name in schema.columns:
            yield f"the table {table.name} is gone; {DRAFT_PREFIX}{table.name} may hold its rows"
    if schema.lacking and not is_old:
        yield f"there is no column {', '.join(schema.lacking)}"


def _left_drafts(at: Examination, schema: _Schema) -> Iterator[Finding]:
    for name in schema.drafts:
        fault = "is left of an upgrade that was interrupted"
        yield from at.found(f"table {name}", fault, cure="drop it", action=partial(_drop, at, name))


def _old(at: Examination, schema: _Schema, head: str) -> Iterator[Finding]:
    fault = f"is of revision {', '.join(schema.revisions)}, older than Optuna {optuna.__version__}"
    cure = f"upgrade it to {head}"
    yield from at.found("schema", fault, cure=cure, action=partial(_upgrade, at.url))


def _incomplete(at: Examination, schema: _Schema) -> Iterator[Finding]:
    lacks = [f"the table {table.name}" for table in schema.missing]
    if not schema.revisions:
        lacks.append("its revision")
    if "version_info" in schema.columns and "version_info" not in schema.filled:
        lacks.append("the version that created it")
    if lacks:
        fault = f"its creation or an upgrade was interrupted, it lacks {', '.join(lacks)}"
        yield from at.found("schema", fault, cure="create what it lacks", action=partial(_complete, at.url))


def _drop(at: Examination, name: str) -> bool:
    with at.engine.begin() as connection:
        connection.execute(sa.schema.DropTable(sa.Table(name, sa.MetaData()), if_exists=True))
    return True


def _complete(url: str) -> bool:
    if sa.make_url(url).get_backend_name() == "postgresql":
        opening.create_schema(url)
    else:
        # What is public leaves an SQLite file that is there alone: it may be another program's.
        opening.create_tables(url)
    return True


def _upgrade(url: str) -> bool:
    rdb = RDBStorage(opening.as_template(url), skip_compatibility_check=True)
    try:
        with _own_logging():
            rdb.upgrade()
    finally:
        rdb.scoped_session.remove()
        rdb.engine.dispose()
    return _complete(url)


@contextlib.contextmanager
def _own_logging() -> Iterator[None]:
    """Keeps Optuna's migrations from setting up the logging of a process that has not done so."""
    root, handler = logging.getLogger(), logging.NullHandler()
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)
