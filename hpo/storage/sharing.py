"""Whether the machines on which a database's workers run have one place of artifacts.

The first worker of a database writes a file of a random name, the mark, into its place, and then a row with
it. Who finds the row and not the file has another place. On the machine of that first worker this is a folder
that was moved or lost, and gets the mark; on another one it is a folder that is not shared: checkpoints and
models that are written there would be found by nobody. A file of a fixed name would be found in both folders
once each machine had been the first, and a copy of a folder is as good as the folder.
"""

from __future__ import annotations

import secrets
import socket

import sqlalchemy as sa

from hpo.errors import StorageError
from hpo.storage.identity import ADVISORY_KEY
from hpo.storage.places import Place

# One row, whose key is 1. `place`: as it is called on the machine `host`.
marks = sa.Table(
    "hpo_artifact_mark",
    sa.MetaData(),
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("mark", sa.String(32), nullable=False),
    sa.Column("host", sa.String(255), nullable=False),
    sa.Column("place", sa.Text, nullable=False),
)
# Hidden: no reader of artifacts takes it for one.
PREFIX = ".hpo-place-"
REMEDY = "Let all machines share one folder, or use S3: HPO_ARTIFACT_DIR=s3://BUCKET/PREFIX."


def confirm(engine: sa.Engine, place: Place) -> None:
    """Raises StorageError if workers elsewhere have another place; OSError if it cannot be used.

    An SQLite file is one machine's.
    """
    place.check()
    if engine.dialect.name == "sqlite":
        return
    with engine.begin() as connection:
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(ADVISORY_KEY)))
        connection.execute(sa.schema.CreateTable(marks, if_not_exists=True))
        found = connection.execute(sa.select(marks)).first()
        mark = secrets.token_hex(16) if found is None else found.mark
        if found is not None and place.has(PREFIX + mark):
            return
        if found is not None and found.host != socket.gethostname():
            theirs = f"{found.place} on {found.host}"
            rule = f"must be where this database's workers keep artifacts, {theirs}, and is another place"
            raise StorageError(f"artifact folder {place}", rule, remedy=REMEDY)
        place.write(PREFIX + mark, b"")
        if found is None:
            row = {"id": 1, "mark": mark, "host": socket.gethostname(), "place": place.given}
            connection.execute(marks.insert().values(row))


def elsewhere(engine: sa.Engine, place: Place) -> str | None:
    """Where workers have another place, by this database; None if they have none, or this one."""
    with engine.connect() as connection:
        if not connection.dialect.has_table(connection, marks.name):
            return None
        found = connection.execute(sa.select(marks)).first()
    return None if found is None or place.has(PREFIX + found.mark) else f"{found.place} on {found.host}"


def forget(engine: sa.Engine) -> None:
    """Let the next worker's place be the database's."""
    with engine.begin() as connection:
        connection.execute(marks.delete())
