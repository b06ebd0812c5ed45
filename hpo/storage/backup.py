"""A copy of a live database: one file, whole, of one moment, or no file."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from hpo.errors import StorageError
from hpo.storage import engine as opening
from hpo.storage.artifacts import sync_folder

COUNTED = ("studies", "trials")
LOOK_SECONDS = 0.1


@dataclass(frozen=True)
class Backup:
    """A copy, and how much it holds."""

    file: Path
    studies: int
    trials: int


def backup(
    file: Path | str, url: str | None = None, *, seconds: float = opening.SQLITE_BUSY_SECONDS
) -> Backup:
    """Copy an SQLite database to a new file while workers write to it.

    Args:
        file: which must not be there yet.
        url: as in `Storage`.
        seconds: how long to wait for another program that has locked the database.

    Raises:
        StorageError: the database is not there, is damaged or is PostgreSQL, or the file cannot be made.
    """
    file = Path(file)
    url, place = opening.located(url)
    with opening.explained(place):
        parsed = sa.make_url(opening.checked(url, place=place, create=False))
    if parsed.get_backend_name() == "postgresql":
        address = opening.masked(parsed.set(drivername="postgresql").render_as_string(hide_password=False))
        remedy = f"Use: pg_dump --format=custom --file={file} '{address}'."
        raise StorageError(place, "is copied by PostgreSQL's own program", remedy=remedy)
    _check_target(file)
    draft = file.with_name(f".hpo-{uuid.uuid4().hex}")
    try:
        made = _copied(Path(str(parsed.database)), draft, place=place, seconds=seconds)
        # Unlike a rename, a link never replaces a file that somebody has put there meanwhile.
        os.link(draft, file)
        sync_folder(file.parent)
        return Backup(file, *made)
    except FileExistsError:
        raise _taken(file) from None
    except OSError as error:
        raise StorageError(f"backup {file}", f"cannot be written: {error.strerror}") from None
    finally:
        for leftover in file.parent.glob(f"{draft.name}*"):
            leftover.unlink()


def _check_target(file: Path) -> None:
    if file.is_dir():
        raise StorageError(f"backup {file}", "must name a file, and this is a folder")
    if not file.parent.is_dir():
        rule = f"the folder {file.parent} does not exist"
        raise StorageError(f"backup {file}", rule, remedy="Create it first.")
    if os.path.lexists(file):
        raise _taken(file)


def _taken(file: Path) -> StorageError:
    return StorageError(f"backup {file}", "is there already, and is kept", remedy="Name another file.")


def _copied(source: Path, draft: Path, *, place: str, seconds: float) -> tuple[int, int]:
    """Copy, check and make durable; returns the numbers of studies and trials."""
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
        raise StorageError(place, f"cannot be copied: {error}") from None
    if said != "ok":
        raise StorageError(place, "is damaged, and so is its copy", remedy="See: hpo doctor.")
    shutil.copymode(source, draft)
    with draft.open("rb") as written:
        os.fsync(written.fileno())
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
