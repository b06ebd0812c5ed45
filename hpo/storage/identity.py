"""What tells one database from all others: the files of an artifact folder that it shares carry it.

A copy of a database has the identity of the original: the files that both name are of both.
"""

from __future__ import annotations

import secrets

import sqlalchemy as sa

from hpo.storage.dialects import insert_into

# One row, whose key is 1.
identities = sa.Table(
    "hpo_identity",
    sa.MetaData(),
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("identity", sa.String(16), nullable=False),
)
# Of PostgreSQL: two sessions that create a table if it is not there may both find that it is not.
ADVISORY_KEY = 7240117


def find_identity(connection: sa.Connection) -> str | None:
    """The database's identity: 16 hexadecimal digits; None of one that an earlier version has made."""
    if not connection.dialect.has_table(connection, identities.name):
        return None
    found: str | None = connection.execute(sa.select(identities.c.identity)).scalar()
    return found


def give_identity(connection: sa.Connection) -> str:
    """The database's identity, made if it has none: the same for all who ask at the same time."""
    if connection.dialect.name != "sqlite":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(ADVISORY_KEY)))
    connection.execute(sa.schema.CreateTable(identities, if_not_exists=True))
    insert = insert_into(connection, identities).values(id=1, identity=secrets.token_hex(8))
    connection.execute(insert.on_conflict_do_nothing())
    identity = find_identity(connection)
    assert identity is not None
    return identity
