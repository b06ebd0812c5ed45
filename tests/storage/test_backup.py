"""`hpo backup`: copies of a live database that are whole, of one moment, or not there."""

from __future__ import annotations

import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState, create_trial

from hpo.errors import HpoError, StorageError
from hpo.storage import Storage
from hpo.storage.backup import Backup, backup
from tests.command import HPO, environment, quick
from tests.tiny_studies import eventually

# Each turn adds a trial and an attribute of it, in one transaction.
WRITER = """
import sys
import optuna
from hpo.storage import Storage

storage = Storage(sys.argv[1])
study = optuna.load_study(study_name="study", storage=storage.optuna)
for number in range(1_000_000):
    trial = optuna.trial.create_trial(state=optuna.trial.TrialState.WAITING, user_attrs={"own": number})
    assert storage.add_trials(study._study_id, [trial], after=number)
"""


@pytest.fixture
def source(url: str) -> Path:
    """A database with a study and two trials."""
    storage = Storage(url)
    study = optuna.create_study(study_name="study", storage=storage.optuna)
    storage.add_trials(study._study_id, [create_trial(state=TrialState.WAITING)] * 2, after=0)
    storage.engine.dispose()
    return Path(url.removeprefix("sqlite:///"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "copies"
    path.mkdir()
    return path


@contextmanager
def writing(url: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process that adds trials all the time."""
    process = subprocess.Popen([sys.executable, "-c", WRITER, url])
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def pragma(path: Path, name: str) -> str:
    with closing(sqlite3.connect(path)) as connection:
        value: str = connection.execute(f"PRAGMA {name}").fetchone()[0]
        return value


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def trials(path: Path) -> int:
    (study,) = Storage(f"sqlite:///{path}").overview()
    return sum(study.counts.values())


def test_a_copy_is_one_file_with_all_that_the_database_holds(source, folder):
    file = folder / "copy.db"
    before = names(source.parent)
    assert backup(file, f"sqlite:///{source}") == Backup(file, studies=1, trials=2)
    assert names(folder) == ["copy.db"]
    assert names(source.parent) == before
    with closing(sqlite3.connect(source)) as live, closing(sqlite3.connect(file)) as copy:
        assert list(copy.iterdump()) == list(live.iterdump())


@pytest.mark.parametrize("mode", ["wal", "delete"])
def test_a_copy_has_the_journal_mode_and_the_permissions_of_its_source(source, folder, mode):
    pragma(source, f"journal_mode = {mode}")
    source.chmod(0o640)
    backup(folder / "copy.db", f"sqlite:///{source}")
    assert names(folder) == ["copy.db"]
    assert (folder / "copy.db").stat().st_mode & 0o777 == 0o640
    assert pragma(folder / "copy.db", "journal_mode") == mode


@pytest.mark.slow
def test_copies_are_whole_while_a_process_writes_all_the_time(url, folder):
    optuna.create_study(study_name="study", storage=Storage(url).optuna)
    held = []
    with writing(url) as writer:
        eventually(lambda: trials(Path(url.removeprefix("sqlite:///"))) > 0)
        for number in range(6):
            made = backup(folder / f"{number}.db", url)
            held.append(made.trials)
            time.sleep(0.05)
        assert writer.poll() is None
    assert held == sorted(held)
    assert held[0] < held[-1]
    for number, count in enumerate(held):
        path = folder / f"{number}.db"
        assert pragma(path, "integrity_check") == "ok"
        with closing(sqlite3.connect(path)) as connection:
            assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
            own = connection.execute("SELECT value_json FROM trial_user_attributes").fetchall()
        # Of one moment: every trial has what was written with it.
        assert sorted(int(text) for (text,) in own) == list(range(count))
        assert trials(path) == count


def test_a_copy_holds_what_was_written_by_a_process_that_was_killed(url, folder):
    optuna.create_study(study_name="study", storage=Storage(url).optuna)
    source = Path(url.removeprefix("sqlite:///"))
    with writing(url):
        eventually(lambda: trials(source) > 3)
    assert backup(folder / "copy.db", url).trials > 3


@contextmanager
def locked(source: Path) -> Iterator[None]:
    """Another program has the whole database for itself, which it can only without a write-ahead log."""
    pragma(source, "journal_mode = delete")
    with closing(sqlite3.connect(source, isolation_level=None)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        yield


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_backup_that_is_ended_leaves_no_file_of_the_name(source, folder, how):
    arguments = ["backup", str(folder / "copy.db"), "--storage", f"sqlite:///{source}"]
    with locked(source):
        process = subprocess.Popen([*HPO, *arguments], env=environment(), stderr=subprocess.DEVNULL)
        eventually(lambda: bool(names(folder)))
        process.send_signal(how)
        assert process.wait(30) != 0
    assert "copy.db" not in names(folder)
    if how == signal.SIGINT:
        assert names(folder) == []
    assert backup(folder / "copy.db", f"sqlite:///{source}").trials == 2


def test_a_backup_waits_for_who_has_locked_the_database_and_not_for_ever(source, folder):
    with locked(source):
        with pytest.raises(StorageError, match="is locked by another program"):
            backup(folder / "copy.db", f"sqlite:///{source}", seconds=0.2)
        assert names(folder) == []
    assert backup(folder / "copy.db", f"sqlite:///{source}", seconds=0.2).trials == 2


# ---------------------------------------------------------------------------------------------- bad input


def refused(file: Path, url: str) -> str:
    with pytest.raises(HpoError) as caught:
        backup(file, url)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_what_is_there_is_never_overwritten(source, folder):
    url = f"sqlite:///{source}"
    for name in ("file", "source.db"):
        (folder / name).write_text("precious")
    (folder / "link").symlink_to("nowhere")
    for name in ("file", "link"):
        assert "is there already, and is kept. Name another file." in refused(folder / name, url)
    assert "is there already" in refused(source, url)
    assert (folder / "file").read_text() == "precious"
    assert names(folder) == ["file", "link", "source.db"]


def test_a_place_that_cannot_be_written_is_refused(source, folder):
    url = f"sqlite:///{source}"
    assert "this is a folder" in refused(folder, url)
    assert "does not exist. Create it first." in refused(folder / "none" / "copy.db", url)
    # Where not even root may create a file.
    assert re.search("must be writable|cannot be written: ", refused(Path("/proc/copy.db"), url))
    assert names(folder) == []


def test_what_is_no_database_of_studies_is_refused(source, folder):
    (folder.parent / "text.db").write_text("no database, and longer than a header " * 20)
    with closing(sqlite3.connect(folder.parent / "other.db")) as connection:
        connection.execute("CREATE TABLE something (else_ TEXT)")
    for url, rule in [
        (f"sqlite:///{folder.parent}/none.db", "there is no such database"),
        (f"sqlite:///{folder.parent}/text.db", "of studies, but got 'file is not a database'"),
        (f"sqlite:///{folder.parent}/other.db", "must be a database of studies, and is another one"),
        ("rubbish", "must be a database URL"),
    ]:
        assert rule in refused(folder / "copy.db", url)
    assert names(folder) == []
    assert not (folder.parent / "none.db").exists()


def test_a_damaged_database_is_refused(source, folder):
    with closing(sqlite3.connect(source)) as connection:
        size = connection.execute("PRAGMA page_size").fetchone()[0]
        page = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'trials'").fetchone()[0]
    content = bytearray(source.read_bytes())
    content[(page - 1) * size : (page - 1) * size + 16] = b"\xff" * 16
    source.write_bytes(content)
    assert "damaged" in refused(folder / "copy.db", f"sqlite:///{source}")
    assert names(folder) == []


def test_for_postgresql_its_own_program_is_named(folder):
    url = "postgresql+psycopg://me:secret@db/hpo?host=/tmp"
    said = refused(folder / "copy.db", url)
    assert f"Use: pg_dump --format=custom --file={folder / 'copy.db'} 'postgresql://me:***@db/hpo" in said
    assert names(folder) == []


# -------------------------------------------------------------------------------------------- command line


def test_the_command_says_what_the_copy_holds_and_what_is_left_to_copy(source, folder):
    done = quick("backup", "copy.db", folder=folder, HPO_STORAGE=f"sqlite:///{source}")
    assert (done.returncode, done.stdout) == (0, "")
    first, second = done.stderr.splitlines()
    assert first == "Wrote copy.db: 1 study, 2 trials."
    assert "copy hpo-artifacts now" in second
    assert trials(folder / "copy.db") == 2


def test_the_command_refuses_in_one_line(source, folder):
    variables = {"HPO_STORAGE": f"sqlite:///{source}"}
    (folder / "copy.db").write_text("precious")
    done = quick("backup", "copy.db", folder=folder, **variables)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "copy.db: is there already, and is kept. Name another file.\n"
    assert quick("backup", folder=folder, **variables).returncode == 2
