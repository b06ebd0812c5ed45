"""The schema: Optuna's tables and two of ours, created whole or not at all; what a damaged one lacks."""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa
from optuna.storages import RDBStorage
from optuna.storages._rdb import models

from hpo.errors import StorageError
from hpo.files import whole_file
from hpo.storage import leases, queue
from hpo.storage.dialects import to_read
from hpo.storage.engine import as_template
from hpo.storage.handles import quiet
from hpo.storage.identity import give_identity

OPTUNA_TABLES = models.BaseModel.metadata.sorted_tables
TABLES = [*OPTUNA_TABLES, leases.leases]
# Where Alembic builds the next form of an SQLite table, before it takes the table's place.
DRAFT_PREFIX = "_alembic_tmp_"
REVISIONS = "alembic_version"
# Of PostgreSQL: who creates the schema holds it.
ADVISORY_KEY = 7240116
WAIT_SECONDS = 0.1


def create_schema(url: str) -> None:
    """Create what is missing, whole or not at all, however many processes ask for it at the same time.

    An SQLite file that is there is left as it is: it may be another program's.
    """
    parsed = sa.make_url(url)
    if parsed.get_backend_name() == "postgresql":
        _create_postgresql(url)
    elif not Path(str(parsed.database)).exists():
        _create_sqlite(Path(str(parsed.database)))


def check_schema(engine: sa.Engine, *, place: str, create: bool) -> None:
    """Raises StorageError unless the database is one of Optuna's; with `create` adds the table of leases."""
    # Readers need not wait for those who write.
    reading = to_read(engine)
    with reading.connect() as connection:
        is_of_optuna = connection.dialect.has_table(connection, "version_info")
        has_leases = connection.dialect.has_table(connection, leases.leases.name)
        has_index = is_of_optuna and queue.has_index(connection)
    if is_of_optuna and create and not has_index:
        _add_index(engine)
    if is_of_optuna and has_leases:
        return
    if is_of_optuna and create:
        with engine.begin() as connection:
            leases.create_table(connection)
        return
    if is_of_optuna:
        rule = f"lacks the table {leases.leases.name}, which studies of hpo need"
        raise StorageError(place, rule, remedy="Add it with: hpo doctor --repair.")
    if engine.dialect.name == "sqlite":
        rule = "must be a database of studies, and is another one"
        raise StorageError(place, rule, remedy="Name another file.")
    raise StorageError(place, "holds no study yet", remedy="Create one with: hpo run SPEC.")


def _add_index(engine: sa.Engine) -> None:
    """Add what makes claims fast to a database of an earlier version, if this user may."""
    with contextlib.suppress(sa.exc.ProgrammingError), engine.begin() as connection:
        queue.create_index(connection)


def create_tables(url: str) -> None:
    """Create what a database of studies lacks of Optuna's tables and ours, in several transactions."""
    # SQLite would give the number of a deleted study or trial to the next one, while workers and caches
    # still take it for the old one.
    for model in (models.StudyModel, models.TrialModel):
        model.__table__.dialect_options["sqlite"]["autoincrement"] = True
    rdb = RDBStorage(as_template(url))
    rdb.scoped_session.remove()
    with rdb.engine.begin() as connection:
        leases.create_table(connection)
        queue.create_index(connection)
        give_identity(connection)
    rdb.engine.dispose()


def _create_sqlite(path: Path) -> None:
    """Make the schema beside its place and link it there: nobody ever sees half of it."""
    # Somebody else may have put the same there meanwhile.
    with contextlib.suppress(FileExistsError), whole_file(path, replace=False) as draft:
        create_tables(sa.URL.create("sqlite", database=str(draft)).render_as_string())
        with contextlib.closing(sqlite3.connect(draft)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")


def _create_postgresql(url: str) -> None:
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    while True:
        # Who waits keeps no connection, of which a pooler has few, and no lock that outlives a transaction.
        with engine.begin() as connection:
            is_ours = sa.func.pg_try_advisory_xact_lock(ADVISORY_KEY)
            if connection.execute(sa.select(is_ours)).scalar_one():
                return create_tables(url)
        time.sleep(WAIT_SECONDS)


@dataclass(frozen=True)
class Schema:
    """The columns of each table that is there, the revisions in `alembic_version`, the tables with rows."""

    columns: dict[str, set[str]]
    revisions: set[str]
    filled: set[str]

    @property
    def missing(self) -> list[sa.Table]:
        """The tables that are not there, Optuna's and that of leases."""
        return [table for table in TABLES if table.name not in self.columns]

    @property
    def drafts(self) -> list[str]:
        """The tables that an interrupted upgrade has left."""
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
    def is_of_optuna(self) -> bool:
        """Whether it is one of Optuna's, be it half created."""
        if "version_info" in self.columns:
            return True
        return not self.lacking and any(table.name in self.columns for table in OPTUNA_TABLES)

    def children(self, table: sa.Table) -> list[str]:
        """The tables with rows that belong to rows of this one."""
        return [
            other.name
            for other in TABLES
            if other.name in self.filled and any(key.column.table is table for key in other.foreign_keys)
        ]


def read_schema(engine: sa.Engine) -> Schema:
    """What of the schema is there."""
    with engine.connect() as connection:
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
    return Schema(columns, revisions, filled)


def drop_table(engine: sa.Engine, name: str) -> None:
    """Drop a table, if it is there."""
    with engine.begin() as connection:
        connection.execute(sa.schema.DropTable(sa.Table(name, sa.MetaData()), if_exists=True))


def complete_schema(url: str) -> None:
    """Create what a database lacks that is known to be one of studies."""
    if sa.make_url(url).get_backend_name() == "postgresql":
        create_schema(url)
    else:
        # `create_schema` leaves an SQLite file that is there alone: it may be another program's.
        create_tables(url)


def upgrade_schema(url: str) -> None:
    """Bring an older Optuna's schema to that of the installed one."""
    rdb = RDBStorage(as_template(url), skip_compatibility_check=True)
    try:
        with _own_logging(), quiet():
            rdb.upgrade()
    finally:
        rdb.scoped_session.remove()
        rdb.engine.dispose()
    complete_schema(url)


@contextlib.contextmanager
def _own_logging() -> Iterator[None]:
    """Keeps Optuna's migrations from setting up the logging of a process that has not done so."""
    root, handler = logging.getLogger(), logging.NullHandler()
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)
