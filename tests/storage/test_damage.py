"""A database that is damaged, before it is opened or in the midst of work, is told in one line."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from hpo import StudySpec, create_study
from hpo.errors import StorageError
from hpo.storage import Storage
from tests.command import SEARCH, quick
from tests.tiny_studies import TPE, worker_of

SAID = "storage sqlite:///hpo.db: must be a whole database, but got 'database disk image is malformed'. Put a"
COMMANDS = (
    "list",
    "create search.toml",
    "resume search",
    "show search",
    "compare search",
    "report search --out report",
    "worker --exit-when-idle",
    "dashboard --port 0 --no-browser",
    "backup copy.db",
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A database with a study of which nothing is trained."""
    folder = tmp_path_factory.mktemp("whole")
    (folder / "search.toml").write_text(SEARCH)
    quick("create", "search.toml", folder=folder)
    with closing(sqlite3.connect(folder / "hpo.db")) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return (folder / "hpo.db").read_bytes()


def truncated(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def garbage_in_pages(path: Path) -> None:
    """All but the first one, which says that it is a database."""
    content = path.read_bytes()
    path.write_bytes(content[:4096] + bytes(range(1, 251)) * ((len(content) - 4096) // 250))


def no_database(path: Path) -> None:
    path.write_bytes(b"no database, and longer than its header" * 9)


def log_of_another(path: Path) -> None:
    """A write-ahead log beside it that belongs to another database."""
    other = path.with_name("other.db")
    with closing(sqlite3.connect(other)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE t (a)")
        connection.commit()
        shutil.copy(f"{other}-wal", f"{path}-wal")


def unreadable(path: Path) -> None:
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("root may read anything")


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (truncated, SAID),
        (garbage_in_pages, SAID),
        (no_database, "must be a database of studies, but got 'file is not a database'. Name another file"),
        (log_of_another, "must be a database of studies, and is another one. Name another file."),
        (unreadable, "must be a file that is readable for you. Its permissions say who may: ls -l hpo.db."),
    ],
)
def test_a_database_that_cannot_be_read_is_told_in_one_line(
    whole: bytes, tmp_path: Path, damage: Callable[[Path], None], said: str
) -> None:
    (tmp_path / "hpo.db").write_bytes(whole)
    damage(tmp_path / "hpo.db")
    done = quick("list", folder=tmp_path)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert said in done.stderr


def test_every_command_tells_it(whole: bytes, tmp_path: Path) -> None:
    (tmp_path / "search.toml").write_text(SEARCH)
    (tmp_path / "hpo.db").write_bytes(whole)
    garbage_in_pages(tmp_path / "hpo.db")
    told = {}
    for command in COMMANDS:
        done = quick(*command.split(), folder=tmp_path)
        told[command] = (done.returncode, done.stderr.count("\n"), done.stderr.startswith(SAID))
    assert told == dict.fromkeys(COMMANDS, (2, 1, True))


class Spoiling:
    """Trains a trial by damaging the database below it."""

    def __init__(self, storage: Storage, path: Path) -> None:
        self._storage, self._path = storage, path

    def __call__(self, trial: Any, *_: Any, **__: Any) -> Any:
        # What a connection has read it does not read again.
        self._storage.engine.dispose()
        Path(f"{self._path}-wal").unlink(missing_ok=True)
        garbage_in_pages(self._path)
        trial.set_user_attr("a", 1)

    def make_room(self) -> None:
        """Nothing is kept."""


def test_damage_in_the_midst_of_a_trial_ends_the_worker(tmp_path: Path) -> None:
    path = tmp_path / "hpo.db"
    storage = Storage(f"sqlite:///{path}", artifact_dir=tmp_path / "artifacts", create=True)
    study = create_study(StudySpec(**TPE), storage=storage)
    worker = worker_of(study, runner=lambda _: Spoiling(storage, path))
    with pytest.raises(StorageError, match="must be a whole database, but got 'database disk image is"):
        worker.run()
