"""A copy of a live database: one file, whole, of one moment, or no file."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import time
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from hpo.errors import StorageError
from hpo.files import check_new_file, new_file
from hpo.storage.engine import SQLITE_BUSY_SECONDS, checked, damaged, explained, located, masked
from hpo.storage.patience import is_damage

COUNTED = ("studies", "trials")
LOOK_SECONDS = 0.1


@dataclass(frozen=True)
class Backup:
    """A copy, and how much it holds."""

    file: Path
    studies: int
    trials: int


def backup(file: Path | str, url: str | None = None, *, seconds: float = SQLITE_BUSY_SECONDS) -> Backup:
    """Copy an SQLite database to a new file while workers write to it.

    Args:
        file: which must not be there yet.
        url: as in `Storage`.
        seconds: how long to wait for another program that has locked the database.

    Raises:
        HpoError: the file is there already, or cannot be made.
        StorageError: the database is not there, is damaged or is PostgreSQL.
    """
    file = Path(file)
    url, place = located(url)
    with explained(place):
        parsed = sa.make_url(checked(url, place=place, create=False))
    if parsed.get_backend_name() == "postgresql":
        address = masked(parsed.set(drivername="postgresql").render_as_string(hide_password=False))
        remedy = f"Use: pg_dump --format=custom --file={file} '{address}'."
        raise StorageError(place, "is copied by PostgreSQL's own program", remedy=remedy)
    check_new_file(file)
    with new_file(file) as draft:
        return Backup(file, *_copied(Path(str(parsed.database)), draft, place=place, seconds=seconds))


def _copied(source: Path, draft: Path, *, place: str, seconds: float) -> tuple[int, int]:
    """Copy and check; returns the numbers of studies and trials."""
    deadline = time.monotonic() + seconds

    def wait(status: int, _left: int, _total: int) -> None:
        # Left alone, Python's backup would go on for ever, and not heed Ctrl-C.
        if status in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED) and time.monotonic() > deadline:
            raise sqlite3.OperationalError("it is locked by another program")

    draft.touch(mode=0o600, exist_ok=False)
    try:
        with contextlib.closing(_open(source)) as live, contextlib.closing(sqlite3.connect(draft)) as copy:
            # All in one step: of one moment, and no writer makes it begin anew.
            live.backup(copy, progress=wait)
            said = copy.execute("PRAGMA integrity_check").fetchone()[0]
            counts = _counts(copy, place=place)
    except sqlite3.Error as error:
        if is_damage(error):
            raise damaged(place, error) from None
        raise StorageError(place, f"cannot be copied: {error}") from None
    if said != "ok":
        raise StorageError(place, "is damaged, and so is its copy", remedy="See: hpo doctor.")
    shutil.copymode(source, draft)
    return counts


def _open(source: Path) -> sqlite3.Connection:
    # Not mode=ro: the last reader to leave would leave the files of the write-ahead log behind.
    address = f"{source.absolute().as_uri()}?mode=rw"
    connection = sqlite3.connect(address, uri=True, timeout=LOOK_SECONDS)
    connection.execute("PRAGMA query_only = ON")
    return connection


def _counts(copy: sqlite3.Connection, *, place: str) -> tuple[int, int]:
    tables = {name for (name,) in copy.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if not tables.issuperset(COUNTED):
        rule = "must be a database of studies, and is another one"
        raise StorageError(place, rule, remedy="Name another file.")
    studies, trials = (copy.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in COUNTED)
    return studies, trials
