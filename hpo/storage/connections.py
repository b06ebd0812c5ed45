"""How many workers more a database has connections for."""

from __future__ import annotations

import sqlalchemy as sa

from hpo.storage.engine import CONNECTIONS

# Of the server, whatever stands before it. A role's or a database's own limit is -1 where there is none.
_FREE = sa.text("""
    SELECT current_setting('port')::int,
           least(current_setting('max_connections')::int
                   - current_setting('superuser_reserved_connections')::int
                   - (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'),
                 (SELECT nullif(rolconnlimit, -1) FROM pg_roles WHERE rolname = current_user)
                   - (SELECT count(*) FROM pg_stat_activity WHERE usename = current_user),
                 (SELECT nullif(datconnlimit, -1) FROM pg_database WHERE datname = current_database())
                   - (SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()))
""")
POSTGRESQL_PORT = 5432


def room_for_workers(engine: sa.Engine) -> int | None:
    """How many workers may still connect; None if nothing limits them, or a pooler does.

    PostgreSQL behind a pooler answers with a port that is not the URL's; it shares its connections out.
    """
    if engine.dialect.name == "sqlite":
        return None
    with engine.connect() as connection:
        port, free = connection.execute(_FREE).one()
    if port != (engine.url.port or POSTGRESQL_PORT):
        return None
    # This process may open the rest of its own.
    return max(0, (int(free) - (CONNECTIONS - 1)) // CONNECTIONS)
