"""Leases: exclusive rights that end by themselves when their owner dies."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from functools import cache
from typing import Any

import sqlalchemy as sa

from hpo.storage.dialects import insert_of

OWNER_LENGTH = 128

leases = sa.Table(
    "hpo_leases",
    sa.MetaData(),
    sa.Column("key", sa.String(128), primary_key=True),
    sa.Column("owner", sa.String(OWNER_LENGTH), nullable=False),
    sa.Column("token", sa.String(32), nullable=False),
    sa.Column("expires", sa.Double, nullable=False),
)

ROWS = {"preserve_rowcount": True}
# Of every commit that is fenced: to build it anew each time takes as long as the database does.
_HELD = (
    sa.select(leases.c.token)
    .where(leases.c.key == sa.bindparam("key"), leases.c.token == sa.bindparam("token"))
    .with_for_update()
)
_RELEASED = leases.delete().where(leases.c.key == sa.bindparam("its"), leases.c.token == sa.bindparam("own"))


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
            self.release_in(connection)

    def is_held_in(self, connection: sa.Connection) -> bool:
        """Whether the key is still this lease's, and stays so until the transaction ends."""
        return connection.execute(_HELD, {"key": self.key, "token": self.token}).first() is not None

    def release_in(self, connection: sa.Connection) -> bool:
        """Give the key up as part of a transaction; whether it was still this lease's until then."""
        return connection.execute(_RELEASED, {"its": self.key, "own": self.token}).rowcount == 1

    def _held(self) -> sa.ColumnElement[bool]:
        return (leases.c.key == self.key) & (leases.c.token == self.token)


def create_table(connection: sa.Connection) -> None:
    """Add the table of leases to a database that lacks it."""
    connection.execute(sa.schema.CreateTable(leases, if_not_exists=True))


def new_token() -> str:
    """What tells one holder of a key from all others, earlier and later."""
    return uuid.uuid4().hex


def acquire(engine: sa.Engine, key: str, *, owner: str, seconds: float) -> Lease | None:
    """Take the lease of `key` if nobody holds it or it has expired."""
    lease = Lease(engine, key, new_token(), seconds)
    with engine.begin() as connection:
        return lease if take(connection, lease, owner=owner) else None


def take(connection: sa.Connection, lease: Lease, *, owner: str, may_be_held: bool = True) -> bool:
    """As part of a transaction make `lease` the holder of its key, unless somebody else holds it.

    Nor while another transaction has the lease's row. To wait for it would be a deadlock: whoever holds a
    lease locks first the lease and then its trial, whoever takes one first the trial. Of a trial that waits
    nobody holds a lease, which is not asked for then.
    """
    if may_be_held and connection.dialect.name == "postgresql" and _is_locked(connection, lease.key):
        return False
    given = {
        "key": lease.key,
        "owner": owner[:OWNER_LENGTH],
        "token": lease.token,
        "seconds": lease.seconds,
    }
    # Otherwise not every driver counts the rows of an INSERT.
    taken = connection.execute(_taken(connection.dialect.name), given, execution_options=ROWS)
    return taken.rowcount == 1


@cache
def _taken(dialect: str) -> Any:
    """The lease, unless somebody else holds its key. Of every claim: see `_HELD`."""
    insert = insert_of(dialect, leases).values(
        key=sa.bindparam("key"),
        owner=sa.bindparam("owner"),
        token=sa.bindparam("token"),
        expires=clock(dialect) + sa.bindparam("seconds", type_=sa.Double),
    )
    return insert.on_conflict_do_update(
        index_elements=["key"],
        set_={name: insert.excluded[name] for name in ("owner", "token", "expires")},
        where=(leases.c.expires < clock(dialect)) | (leases.c.token == sa.bindparam("token")),
    )


def _is_locked(connection: sa.Connection, key: str) -> bool:
    row = sa.select(leases.c.key).where(leases.c.key == key)
    locked_by_us = connection.execute(row.with_for_update(skip_locked=True)).first()
    return locked_by_us is None and connection.execute(row).first() is not None


def now(bind: sa.Engine | sa.Connection) -> sa.ColumnElement[float]:
    """Seconds since 1970 by the database's clock, the one clock that all workers share."""
    return clock(bind.dialect.name)


def clock(dialect: str) -> sa.ColumnElement[float]:
    """The same for a kind of database, in a statement that is kept."""
    if dialect == "sqlite":
        return sa.literal_column("(julianday('now') - 2440587.5) * 86400.0", sa.Double)
    return sa.literal_column("extract(epoch from clock_timestamp())", sa.Double)
