"""Opening a database: which URLs are taken, the engine's settings, what its errors are called."""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import optuna
import sqlalchemy as sa
from sqlalchemy import orm

from hpo.errors import StorageError
from hpo.storage.bulk import BulkReadingStorage
from hpo.storage.fence import guard
from hpo.storage.patience import is_damage, is_tried_again, reason
from hpo.storage.revisions import check_revision

DEFAULT_URL = "sqlite:///hpo.db"
SQLITE_BUSY_SECONDS = 60.0
SQLITE_DRIVERS = ("sqlite", "sqlite+pysqlite")
# One for what trains or reads, one for the thread that keeps the lease.
CONNECTIONS = 2
SQLITE_POOL: dict[str, Any] = {"pool_size": CONNECTIONS, "max_overflow": 0}
# They rarely ask at the same moment, and the second is for that: a server has a hundred for all workers.
POSTGRESQL_POOL: dict[str, Any] = {"pool_size": 1, "max_overflow": CONNECTIONS - 1}
# A worker that is suspended inside a transaction would keep its locks, and so its trial, for good.
POSTGRESQL_OPTIONS: dict[str, Any] = {
    # No prepared statements: they save the server nothing that can be measured, and behind a pooler of
    # transactions (PgBouncer) the next one may be another server process's, which does not know them.
    "prepare_threshold": None,
    "connect_timeout": "10",
    # A server that is gone without a word would else be waited for for hours.
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "4",
    "tcp_user_timeout": "30000",
    "options": "-c idle_in_transaction_session_timeout=30s -c lock_timeout=30s",
}


def resolved(url: str) -> str:
    """The URL, or the first line of FILE for `@FILE`, which keeps a password out of the list of processes.

    Raises:
        StorageError: the file cannot be read.
    """
    if not url.startswith("@"):
        return url
    path = Path(url[1:]).expanduser()
    try:
        lines = path.read_text(encoding="utf-8").strip().splitlines()
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "it is no text"
        raise StorageError(f"storage @{path}", f"the file with the URL cannot be read: {why}") from None
    if not lines:
        raise StorageError(f"storage @{path}", "must be a file with a database URL, and is empty")
    return lines[0].strip()


def located(url: str | None) -> tuple[str, str]:
    """The URL of a storage, by default `HPO_STORAGE`, then `sqlite:///hpo.db`, and how messages name it.

    Raises:
        StorageError: the file with the URL cannot be read.
    """
    url = resolved(url or os.environ.get("HPO_STORAGE") or DEFAULT_URL)
    return url, f"storage {masked(url)}"


def masked(url: str) -> str:
    """The URL without its password, for messages."""
    try:
        parsed = sa.make_url(url)
    except (sa.exc.ArgumentError, ValueError):
        return re.sub(r"^(.*?//)?.*@", r"\1***@", url, flags=re.DOTALL)
    secrets = [key for key in parsed.query if "password" in key]
    if parsed.password is None and not secrets:
        return url
    return parsed.difference_update_query(secrets).render_as_string(hide_password=True)


def checked(url: str, *, place: str, create: bool) -> str:
    """The URL with its driver. Raises StorageError; creates nothing."""
    try:
        parsed = sa.make_url(url)
    except (sa.exc.ArgumentError, ValueError):
        remedy = "Example: sqlite:///hpo.db, or postgresql+psycopg://user@host/database."
        raise StorageError("storage", "must be a database URL", got=masked(url), remedy=remedy) from None
    if parsed.get_backend_name() == "postgresql":
        # Which driver stands behind the bare name depends on SQLAlchemy's version.
        if parsed.drivername == "postgresql":
            parsed = parsed.set(drivername="postgresql+psycopg")
    elif parsed.drivername in SQLITE_DRIVERS:
        _check_file(parsed, place=place, create=create)
    else:
        raise StorageError(place, "must be sqlite or postgresql", got=parsed.drivername)
    return parsed.render_as_string(hide_password=False)


def _check_file(url: sa.URL, *, place: str, create: bool) -> None:
    if url.database in (None, "", ":memory:") or url.query:
        rule = "must name a file, which workers can share, and nothing more"
        raise StorageError(place, rule, remedy=f"Example: {DEFAULT_URL}.")
    path = Path(str(url.database))
    if path.is_dir():
        raise StorageError(place, "must name a file, and this is a folder")
    if not path.parent.is_dir():
        raise StorageError(place, f"the folder {path.parent} does not exist", remedy="Create it first.")
    if path.exists() and path.stat().st_size == 0:
        # SQLite takes it for an empty database and would write to it.
        raise StorageError(place, "must be a database of studies, and is empty", remedy="Name another file.")
    needed = {"readable": os.R_OK} | ({"writable": os.W_OK} if create else {})
    for word, mode in needed.items():
        if path.exists() and not os.access(path, mode):
            remedy = f"Its permissions say who may: ls -l {path}."
            raise StorageError(place, f"must be a file that is {word} for you", remedy=remedy)
    if not path.exists() and not create:
        raise StorageError(place, "there is no such database", remedy="Create a study with: hpo run SPEC.")


@contextlib.contextmanager
def explained(place: str) -> Iterator[None]:
    """Turns what a database, its driver or Optuna raise into a StorageError."""
    try:
        yield
    except ImportError as error:
        remedy = "Install it with: pip install 'hpo-studies[postgres]'."
        raise StorageError(place, f"its driver is not installed ({error})", remedy=remedy) from None
    except (sa.exc.SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
        cause = error.__cause__ if isinstance(error, optuna.exceptions.StorageInternalError) else error
        if is_damage(original := getattr(cause, "orig", None)):
            raise damaged(place, original) from error
        # Whoever waits for the database must see what it was.
        raise StorageError(place, f"cannot be used: {reason(error)}") from error
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise StorageError(place, f"cannot be used: {why}") from None
    except (RuntimeError, AssertionError) as error:
        why = str(error).split(". ")[0].rstrip(".")
        raise StorageError(place, f"is of another version of Optuna: {why}") from None


def tell_damage(engine: sa.Engine, *, place: str) -> None:
    """Let whatever finds the database damaged, at any time, raise a StorageError that says so in a line."""

    def tell(context: sa.engine.ExceptionContext) -> None:
        if is_damage(context.original_exception):
            raise damaged(place, context.original_exception)

    sa.event.listen(engine, "handle_error", tell)


def damaged(place: str, error: BaseException | None) -> StorageError:
    """What is said of a database whose driver has raised this error."""
    if getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_NOTADB:
        remedy = "Name another file, or put a backup in its place."
        return StorageError(place, "must be a database of studies", got=str(error), remedy=remedy)
    remedy = "Put a backup in its place, without the -wal of another file; hpo doctor says what is damaged."
    return StorageError(place, "must be a whole database", got=str(error), remedy=remedy)


def make_engine(url: str) -> sa.Engine:
    """An engine whose transactions are exclusive from their begin (SQLite) and survive lost connections."""
    parsed = sa.make_url(url)
    if parsed.get_backend_name() != "sqlite":
        settings = {key: value for key, value in POSTGRESQL_OPTIONS.items() if key not in parsed.query}
        engine = sa.create_engine(url, connect_args=settings, **POSTGRESQL_POOL)
        sa.event.listen(engine, "checkout", partial(_ask, engine.dialect))
        return engine
    engine = sa.create_engine(url, connect_args={"timeout": SQLITE_BUSY_SECONDS}, **SQLITE_POOL)
    sa.event.listen(engine, "connect", _set_up_sqlite)
    sa.event.listen(engine, "begin", _begin_immediate)
    return engine


def _ask(dialect: sa.Dialect, connection: Any, record: Any, _proxy: Any) -> None:
    """SQLAlchemy's `pool_pre_ping`, but not where what fails is tried again: of 20 transactions a trial."""
    is_new = record.info.setdefault("used", False) is False
    record.info["used"] = True
    if is_new or is_tried_again():
        return
    try:
        dialect.do_ping(connection)
    except dialect.loaded_dbapi.Error as error:
        raise sa.exc.InvalidatePoolError from error


def _set_up_sqlite(connection: Any, _record: Any) -> None:
    # The driver would begin transactions by itself, too late: see _begin_immediate.
    connection.isolation_level = None
    connection.execute("PRAGMA foreign_keys = ON")
    # With a write-ahead log FULL makes every commit durable, NORMAL only the last checkpoint.
    connection.execute("PRAGMA synchronous = FULL")


def _begin_immediate(connection: sa.Connection) -> None:
    # Optuna reads a trial's state and then writes it. A deferred transaction takes the write lock only at
    # the write, so two workers read WAITING and both take the trial, or one fails with "database is locked".
    reading = connection.get_execution_options().get("hpo_reading", False)
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")


def optuna_storage(
    url: str, engine: sa.Engine, kind: type[BulkReadingStorage] = BulkReadingStorage
) -> BulkReadingStorage:
    """Optuna's storage on an engine of ours, whose sessions heed `Claim.fenced`."""
    rdb = kind(as_template(url), skip_table_creation=True, skip_compatibility_check=True)
    check_revision(rdb)
    rdb.scoped_session.remove()
    rdb.engine.dispose()
    rdb.engine = engine
    sessions = orm.sessionmaker(bind=engine)
    guard(sessions)
    rdb.scoped_session = orm.scoped_session(sessions)
    return rdb


def as_template(url: str) -> str:
    """The URL for Optuna, which formats URLs."""
    return url.replace("{", "{{").replace("}", "}}")
