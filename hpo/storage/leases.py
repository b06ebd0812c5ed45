"""Leases: exclusive rights that end by themselves when their owner dies."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

leases = sa.Table(
    "hpo_leases",
    sa.MetaData(),
    sa.Column("key", sa.String(128), primary_key=True),
    sa.Column("owner", sa.String(128), nullable=False),
    sa.Column("token", sa.String(32), nullable=False),
    sa.Column("expires", sa.Double, nullable=False),
)


@dataclass(frozen=True)
class Lease:
    """The exclusive right to a key, until it expires by the database's clock."""

    engine: sa.Engine
    key: str
    token: str
    seconds: float

    def renew(self) -> bool:
        """Extend the lease by its length from now; False if somebody else has it, or nobody."""
        with self.engine.begin() as connection:
            extended = leases.update().where(self._held()).values(expires=now(self.engine) + self.seconds)
            return connection.execute(extended).rowcount == 1

    def release(self) -> None:
        """Give the key up."""
        with self.engine.begin() as connection:
            connection.execute(leases.delete().where(self._held()))

    def _held(self) -> sa.ColumnElement[bool]:
        return (leases.c.key == self.key) & (leases.c.token == self.token)


def create_table(connection: sa.Connection) -> None:
    """Add the table of leases to a database that lacks it."""
    connection.execute(sa.schema.CreateTable(leases, if_not_exists=True))


def acquire(engine: sa.Engine, key: str, *, owner: str, seconds: float) -> Lease | None:
    """Take the lease of `key` if nobody holds it or it has expired."""
    row = {"key": key, "owner": owner, "token": uuid.uuid4().hex}
    insert: Any = (sqlite if engine.dialect.name == "sqlite" else postgresql).insert(leases)
    insert = insert.values(**row, expires=now(engine) + seconds)
    upsert = insert.on_conflict_do_update(
        index_elements=["key"],
        set_={name: insert.excluded[name] for name in ("owner", "token", "expires")},
        where=leases.c.expires < now(engine),
    )
    with engine.begin() as connection:
        # Otherwise not every driver counts the rows of an INSERT.
        counted = connection.execution_options(preserve_rowcount=True)
        taken = counted.execute(upsert).rowcount == 1
    return Lease(engine, key, row["token"], seconds) if taken else None


def now(engine: sa.Engine) -> sa.ColumnElement[float]:
    """Seconds since 1970 by the database's clock, the one clock that all workers share."""
    if engine.dialect.name == "sqlite":
        return sa.literal_column("(julianday('now') - 2440587.5) * 86400.0", sa.Double)
    return sa.literal_column("extract(epoch from clock_timestamp())", sa.Double)
