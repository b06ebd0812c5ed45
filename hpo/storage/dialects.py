"""What SQLite and PostgreSQL say in the same words, and SQLAlchemy in two modules."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

Bind = TypeVar("Bind", sa.Engine, sa.Connection)


def to_read(bind: Bind) -> Bind:
    """The same for transactions that only read: they need not wait for those who write.

    Where each statement sees what is committed when it begins, as in PostgreSQL, one by itself needs no
    transaction, which would take the server two answers more.
    """
    if bind.dialect.name == "sqlite":
        return bind.execution_options(hpo_reading=True)
    return bind.execution_options(isolation_level="AUTOCOMMIT")


def insert_into(connection: sa.Connection, table: Any) -> Any:
    """An INSERT that may say what is done about a row that is there (`on_conflict_...`)."""
    return insert_of(connection.dialect.name, table)


def insert_of(dialect: str, table: Any) -> Any:
    """The same for a kind of database, in a statement that is kept."""
    return (sqlite if dialect == "sqlite" else postgresql).insert(table)


def insert_rows(
    connection: sa.Connection, table: str, rows: Sequence[dict[str, Any]], *, otherwise: str
) -> None:
    """Insert rows of the same columns in one statement; `otherwise` says what becomes of one that is there.

    As text: SQLAlchemy makes a statement of several rows anew each time, which takes three times as long as
    the database does.
    """
    if rows:
        given = {f"{name}{number}": value for number, row in enumerate(rows) for name, value in row.items()}
        connection.execute(_inserted(table, tuple(rows[0]), len(rows), otherwise), given)


@lru_cache(maxsize=256)
def _inserted(table: str, columns: tuple[str, ...], count: int, otherwise: str) -> sa.TextClause:
    values = ", ".join(f"({', '.join(f':{name}{number}' for name in columns)})" for number in range(count))
    return sa.text(f"INSERT INTO {table} ({', '.join(columns)}) VALUES {values} ON CONFLICT {otherwise}")
