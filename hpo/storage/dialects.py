"""What SQLite and PostgreSQL say in the same words, and SQLAlchemy in two modules."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite


def insert_into(connection: sa.Connection, table: Any) -> Any:
    """An INSERT that may say what is done about a row that is there (`on_conflict_...`)."""
    return (sqlite if connection.dialect.name == "sqlite" else postgresql).insert(table)
