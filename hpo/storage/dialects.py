"""What SQLite and PostgreSQL say in the same words, and SQLAlchemy in two modules."""

from __future__ import annotations

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
    return (sqlite if connection.dialect.name == "sqlite" else postgresql).insert(table)
