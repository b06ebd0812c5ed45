"""Each fault that `hpo doctor` knows, made for real, found and mended, on SQLite and PostgreSQL."""

from __future__ import annotations

import json
import os
import re
import shutil
import sqlite3
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import optuna
import pytest
import sqlalchemy as sa
from alembic import command
from optuna.artifacts import FileSystemArtifactStore, upload_artifact
from optuna.storages._rdb import models
from optuna.trial import TrialState

from hpo.doctor import Finding, examine
from hpo.errors import StorageError
from hpo.spec import loads
from hpo.storage import Claim, Storage
from hpo.storage.backup import backup
from hpo.studies import Study, create_study, open_study
from tests.command import SEARCH, quick
from tests.databases import new_storage

HOURS_AGO = time.time() - 7200


class Patient:
    """A storage to be examined.

    Its study has two finished trials, one that a worker trains, and one that waits. Beside it there is a
    study of plain Optuna, with a trial that runs without a lease, and an artifact that is elsewhere.
    """

    def __init__(self, url: str, folder: Path) -> None:
        self.url, self.folder = url, folder
        # On SQLite another program does not check foreign keys.
        self.engine = sa.create_engine(url, poolclass=sa.NullPool)

    @property
    def file(self) -> Path:
        """That of an SQLite database."""
        return Path(str(self.engine.url.database))

    @property
    def storage(self) -> Storage:
        return Storage(self.url, artifact_dir=self.folder)

    @property
    def study(self) -> Study:
        return open_study("search", storage=self.storage)

    @property
    def trials(self) -> dict[int, str]:
        """States of the study's trials by id, in the order of their numbers."""
        own = "SELECT study_id FROM studies WHERE study_name = 'search'"
        return dict(
            self.execute(f"SELECT trial_id, state FROM trials WHERE study_id = ({own}) ORDER BY number")
        )

    @property
    def ids(self) -> list[int]:
        return list(self.trials)

    @property
    def states(self) -> list[str]:
        return list(self.trials.values())

    @property
    def artifacts(self) -> list[Path]:
        """The files of the two curves, in no order."""
        return [path for path in self.folder.iterdir() if re.fullmatch(r"\w{64}-\w{16}-\w{32}", path.name)]

    @property
    def checkpoint(self) -> Path:
        (path,) = self.folder.glob("*.checkpoint")
        return path

    def execute(self, statement: str) -> list[Any]:
        """What another program does to the database."""
        with self.engine.begin() as connection:
            result = connection.execute(sa.text(statement))
            return list(map(tuple, result)) if result.returns_rows else []

    def claim(self, *, seconds: float = 3600.0) -> Claim:
        ((study_id,),) = self.execute("SELECT study_id FROM studies WHERE study_name = 'search'")
        found = self.storage.claim([study_id], owner="host-1", seconds=seconds)
        assert found is not None
        return found

    def look(self, *, repair: bool = False) -> list[Finding]:
        return examine(self.url, artifact_dir=self.folder, repair=repair)

    def dump(self) -> Any:
        """All that is in the database and in the folder."""
        tables = {}
        with self.engine.connect() as connection:
            for name in sa.inspect(connection).get_table_names():
                result = connection.exec_driver_sql(f"SELECT * FROM {name}")
                tables[name] = (list(result.keys()), sorted(map(repr, result)))
        files = {
            str(path.relative_to(self.folder)): path.read_bytes() if path.is_file() else None
            for path in self.folder.rglob("*")
        }
        return tables, files

    def heals(self) -> list[Finding]:
        """What is found. It is not touched until it is repaired, and is then found no more."""
        before = self.dump()
        found = self.look()
        assert self.dump() == before
        assert found
        assert not any(finding.repaired for finding in found)
        repaired = {(finding.place, finding.fault): finding for finding in self.look(repair=True)}
        for finding in found:
            after = repaired[finding.place, finding.fault]
            assert after.repaired
            assert after.remedy.removeprefix("done: ") == finding.remedy.removeprefix("with --repair: ")
        assert self.look() == []
        return found

    def heals_from(self, fault: str, *, place: str = "") -> None:
        (found,) = self.heals()
        assert re.search(place, found.place)
        assert re.search(fault, found.fault)

    def stays_ill(self, fault: str, remedy: str) -> None:
        """Nothing but this is found, which nothing mends: the repair changes nothing."""
        before = self.dump()
        (found,) = self.look()
        assert re.search(fault, found.fault)
        assert re.search(remedy, found.remedy)
        assert self.look(repair=True) == [found]
        assert self.dump() == before


def furnish(url: str, folder: Path) -> Patient:
    storage = new_storage(url, artifact_dir=folder)
    create_study(loads(SEARCH), storage=storage)
    patient = Patient(url, folder)
    for number in range(2):
        attachment = storage.artifacts.attach("curves.csv", f"epoch,loss\n{number},0.5\n".encode())
        assert patient.claim().finish(TrialState.COMPLETE, value=0.5, attachments=[attachment])
    running = patient.claim()
    name = storage.artifacts.new_checkpoint()
    storage.artifacts.write(name, b"state")
    running.keep_checkpoint(name)
    running.describe({"worker": "host-1"})
    foreign = optuna.create_study(study_name="foreign", storage=storage.optuna)
    foreign.ask()
    storage.rdb.set_study_system_attr(foreign._study_id, "artifacts:elsewhere", json.dumps({}))
    storage.engine.dispose()
    return patient


@pytest.fixture(scope="module")
def healthy(
    tmp_path_factory: pytest.TempPathFactory, new_postgresql: Callable[[], str]
) -> dict[str, Patient]:
    """One of each kind, to copy."""
    folder = tmp_path_factory.mktemp("healthy")
    return {
        "sqlite": furnish(f"sqlite:///{folder}/hpo.db", folder / "s"),
        "postgresql": furnish(new_postgresql(), folder / "p"),
    }


def copied(original: Patient, folder: Path) -> Patient:
    artifacts = shutil.copytree(original.folder, folder / "artifacts")
    parsed = original.engine.url
    if parsed.get_backend_name() == "sqlite":
        backup(folder / "hpo.db", original.url)
        return Patient(f"sqlite:///{folder}/hpo.db", artifacts)
    name = f"hpo_{uuid.uuid4().hex}"
    administrator = sa.create_engine(parsed.set(database="postgres"), isolation_level="AUTOCOMMIT")
    with administrator.connect() as connection:
        # PostgreSQL copies only what nobody uses.
        connection.exec_driver_sql(
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{parsed.database}'"
        )
        connection.exec_driver_sql(f"CREATE DATABASE {name} TEMPLATE {parsed.database}")
    administrator.dispose()
    return Patient(parsed.set(database=name).render_as_string(hide_password=False), artifacts)


@pytest.fixture(params=["sqlite", "postgresql"])
def patient(request: pytest.FixtureRequest, healthy: dict[str, Patient], tmp_path: Path) -> Patient:
    return copied(healthy[request.param], tmp_path)


@pytest.fixture
def file(healthy: dict[str, Patient], tmp_path: Path) -> Patient:
    """One that is an SQLite file."""
    return copied(healthy["sqlite"], tmp_path)


def age(path: Path) -> Path:
    os.utime(path, (HOURS_AGO, HOURS_AGO))
    return path


# ------------------------------------------------------------------------------------------- no fault


def test_nothing_is_found_in_a_healthy_storage_that_others_use_too(patient):
    before = patient.dump()
    assert patient.look() == []
    assert patient.look(repair=True) == []
    assert patient.dump() == before


def test_nothing_is_found_before_the_first_trial_has_made_the_folder(patient):
    study = patient.study
    study.storage.delete_study(study.id)
    shutil.rmtree(patient.folder)
    assert patient.look(repair=True) == []
    assert not patient.folder.exists()


# ------------------------------------------------------------------------------------- trials and leases


@pytest.mark.parametrize("lease", ["UPDATE hpo_leases SET expires = 0", "DELETE FROM hpo_leases"])
def test_a_trial_whose_worker_is_gone_goes_back_into_the_queue_and_goes_on(patient, lease):
    patient.execute(lease)
    patient.heals_from("is running, and its worker (host-1 )?is gone", place="trial 2 of study 'search'")
    assert patient.states == ["COMPLETE", "COMPLETE", "WAITING", "WAITING"]
    assert patient.execute("SELECT * FROM hpo_leases") == []
    again = patient.claim()
    assert (again.trial_id, again.checkpoint) == (patient.ids[2], patient.checkpoint.name)
    # That worker counts among those that the trial has lost.
    assert again.retries == 1


def test_a_trial_that_another_program_runs_is_told_and_left_to_it(patient):
    # It takes the one that waits, which has been planned by hpo, and makes one of its own.
    study = patient.study.optuna
    numbers = [study.ask().number for _ in range(2)]
    before = patient.dump()
    found = patient.look()
    assert [(finding.place, finding.repaired) for finding in found] == [
        (f"trial {number} of study 'search'", False) for number in numbers
    ]
    assert "another program may be training it" in found[0].fault
    assert "optuna tell --study-name search --trial-number 3 --state fail" in found[0].remedy
    assert patient.look(repair=True) == found
    assert patient.dump() == before
    # After a day what hpo has planned may be had back.
    patient.execute("UPDATE trials SET datetime_start = '2020-01-01' WHERE number >= 3")
    assert [finding.repaired for finding in patient.look(repair=True)] == [True, False]
    assert patient.states[3:] == ["WAITING", "RUNNING"]


def test_a_worker_whose_trial_was_put_back_has_lost_it(patient):
    claimed = patient.claim(seconds=0.0)
    time.sleep(0.01)
    patient.heals_from("is gone", place="trial 3")
    assert not claimed.lease.renew()
    assert not claimed.finish(TrialState.COMPLETE, value=1.0)
    assert patient.states[3] == "WAITING"


def test_leases_of_trials_that_are_gone_or_have_finished_are_deleted(patient):
    for key, expires in (("trial:12345", 0), (f"trial:{patient.ids[0]}", 1e12), ("create:search", 0)):
        patient.execute(f"INSERT INTO hpo_leases VALUES ('{key}', 'host-2', 'token', {expires})")
    assert {(finding.place, finding.fault) for finding in patient.heals()} == {
        ("lease trial:12345", "its trial is gone"),
        (f"lease trial:{patient.ids[0]}", "its trial has finished"),
    }
    left = {key for (key,) in patient.execute("SELECT key FROM hpo_leases")}
    assert left == {f"trial:{patient.ids[2]}", "create:search"}


def work(url: str, folder: str, number: int) -> tuple[int, list[Any]]:
    """One process repairs all the time, the others train; how many trials, and what was found or lost."""
    storage = Storage(url, artifact_dir=folder)
    study = open_study("search", storage=storage)
    if number == 0:
        found = []
        while any(not trial.state.is_finished() for trial in study.frozen_trials):
            found += examine(url, artifact_dir=folder, repair=True)
        return 0, [finding for finding in found if "is running" not in finding.fault]
    finished, lost = 0, []
    # That nothing can be claimed is not the end: the repair may hold the last trial just then.
    while storage.unfinished(study.id):
        if (claimed := storage.claim([study.id], owner=f"{number}", seconds=60)) is None:
            continue
        if not train(storage, claimed):
            lost.append(claimed.trial_id)
        finished += 1
    return finished, lost


def train(storage: Storage, claimed: Claim) -> bool:
    name = storage.artifacts.new_checkpoint()
    storage.artifacts.write(name, b"state")
    claimed.keep_checkpoint(name)
    if claimed.checkpoint is not None:
        storage.artifacts.remove(claimed.checkpoint)
    with claimed.fenced():
        storage.optuna.set_trial_intermediate_value(claimed.trial_id, 1, 0.5)
    attachment = storage.artifacts.attach("curves.csv", name.encode())
    done = claimed.finish(TrialState.COMPLETE, value=0.5, attachments=[attachment])
    storage.artifacts.remove(name)
    return done and claimed.lease.renew() is False


@pytest.mark.slow
def test_workers_that_train_meanwhile_are_not_disturbed(patient, crowd):
    study = patient.study
    study.storage.add_trials(study.id, [optuna.trial.create_trial(state=TrialState.WAITING)] * 20, after=4)
    for _ in range(9):
        patient.claim()
    patient.execute("UPDATE hpo_leases SET expires = 0")
    results = crowd(work, patient.url, str(patient.folder), count=3)
    assert sum(finished for finished, _ in results) == 22
    assert [found for _, found in results] == [[], [], []]
    assert set(patient.states) == {"COMPLETE"}
    retries = [trial.user_attrs.get("retries", 0) for trial in patient.study.frozen_trials]
    assert retries == [0, 0, *[1] * 10, *[0] * 12]
    assert patient.look() == []


# ------------------------------------------------------------------------------------------- files


def test_the_row_of_an_artifact_whose_file_is_gone_is_deleted(patient):
    gone = patient.artifacts[0]
    gone.unlink()
    patient.heals_from(f"its artifact curves.csv \\({gone.name}\\) is not in", place="trial [01] of study")


def test_the_row_of_a_study_s_artifact_whose_file_is_gone_is_deleted(patient, tmp_path):
    (tmp_path / "note.md").write_text("note")
    store = FileSystemArtifactStore(patient.folder)
    path, study = str(tmp_path / "note.md"), patient.study.optuna
    name = upload_artifact(artifact_store=store, file_path=path, study_or_trial=study)
    assert patient.look() == []
    (patient.folder / name).unlink()
    patient.heals_from(f"its artifact note.md \\({name}\\) is not in", place="^study 'search'$")


def test_a_row_that_names_a_file_outside_of_the_folder_is_deleted_and_the_file_kept(file, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("secret")
    storage = file.storage
    for name in (str(secret), "../secret"):
        storage.rdb.set_trial_system_attr(file.ids[3], f"artifacts:{name}", json.dumps({"filename": "f"}))
    assert len(file.heals()) == 2
    assert secret.read_text() == "secret"


def test_the_row_of_a_checkpoint_whose_file_is_gone_is_deleted_unless_a_worker_has_it(patient):
    patient.checkpoint.unlink()
    assert patient.look() == []
    patient.execute("DELETE FROM hpo_leases")
    assert [finding.fault.split(" ")[1] for finding in patient.heals()] == ["running,", "checkpoint"]
    assert patient.claim().checkpoint is None


def test_the_checkpoint_of_a_trial_that_has_finished_is_deleted(patient):
    patient.execute("DELETE FROM hpo_leases")
    patient.study.optuna.tell(2, 0.5)
    patient.heals_from("has finished, and still has the checkpoint", place="trial 2")
    assert not list(patient.folder.glob("*.checkpoint"))


def test_a_damaged_artifact_is_set_aside_and_its_row_deleted(patient):
    path = patient.artifacts[0]
    content = bytearray(path.read_bytes())
    content[3] ^= 1
    path.write_bytes(content)
    patient.heals_from(f"its artifact curves.csv \\({path.name}\\) is damaged")
    assert not path.exists()
    assert (patient.folder / "set-aside" / path.name).read_bytes() == content


def test_files_that_no_row_names_are_set_aside_once_they_are_old(patient):
    (patient.folder / "set-aside").mkdir()
    for name in ("young", "old", ".gitignore", "set-aside/old"):
        (patient.folder / name).write_text(name)
    for name in ("old", ".gitignore"):
        age(patient.folder / name)
    # Of a study of plain Optuna, and so named.
    age(patient.artifacts[0]).with_name("elsewhere").write_text("")
    age(patient.folder / "elsewhere")
    patient.heals_from("no row of this database names it", place=f"^file {patient.folder}/old$")
    assert {path.name for path in patient.folder.iterdir()} >= {"young", ".gitignore", "elsewhere"}
    assert sorted(p.read_text() for p in (patient.folder / "set-aside").iterdir()) == ["old", "set-aside/old"]


def test_what_a_killed_writer_left_is_deleted_once_it_is_old(file):
    for name in ("a", "b"):
        (file.folder / f".{name}.checkpoint.{uuid.uuid4().hex}").write_text("half")
    left = age(next(file.folder.glob(".a*")))
    file.heals_from("a process that was killed", place=re.escape(str(left)))
    assert [path.name[:2] for path in file.folder.glob(".*")] == [".b"]
    assert not (file.folder / "set-aside").exists()


@pytest.mark.parametrize("other", [True, False], ids=["of another database", "missing"])
def test_a_wrong_artifact_folder_is_told_and_nothing_is_repaired_by_it(file, tmp_path, other):
    file.folder = tmp_path / "wrong"
    if other:
        file.folder.mkdir()
        (file.folder / "file").write_text("another database's")
        age(file.folder / "file")
    file.stays_ill("does not exist" if not other else "not one of the 2", "HPO_ARTIFACT_DIR")


def test_what_cannot_be_repaired_is_told_and_left_as_it_was(file):
    path = file.artifacts[0]
    path.write_text("another")
    (file.folder / "set-aside").write_text("a file where a folder should be")
    before = file.dump()
    (found,) = file.look(repair=True)
    assert not found.repaired
    assert "could not move" in found.remedy
    assert "File exists" in found.remedy
    assert file.dump() == before


# ---------------------------------------------------------------------------------------- rows and schema


@pytest.mark.parametrize(
    ("statement", "tables"),
    [
        ("DELETE FROM trials WHERE number = 1", "trial_params?, trial_system_attributes"),
        ("DELETE FROM studies WHERE study_name = 'search'", "study_directions, .*trials$"),
    ],
)
def test_rows_whose_trial_or_study_is_gone_are_deleted(file, statement, tables):
    file.execute(statement)
    (found, *_) = file.heals()
    assert re.search(tables, found.place)
    with closing(sqlite3.connect(file.file)) as connection:
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    assert len(optuna.load_study(study_name="foreign", storage=file.url).trials) == 1


@pytest.mark.parametrize(
    ("statement", "lacks"),
    [
        ("DROP TABLE hpo_leases", "the table hpo_leases$"),
        ("DROP TABLE trial_heartbeats", "the table trial_heartbeats$"),
        ("DROP TABLE version_info", "the table version_info$"),
        ("DELETE FROM version_info", "the version that created it$"),
        ("DELETE FROM alembic_version", "its revision$"),
        ("DROP TABLE alembic_version", "its revision$"),
    ],
)
def test_what_the_schema_lacks_is_created(patient, statement, lacks):
    patient.execute(statement)
    (found,) = patient.heals()
    assert re.search(f"it lacks {lacks}", found.fault)
    assert patient.states[:2] == ["COMPLETE", "COMPLETE"]
    assert patient.storage.rdb.get_current_version() == patient.storage.rdb.get_head_version()


def test_a_creation_that_was_interrupted_is_completed(tmp_path):
    url = f"sqlite:///{tmp_path}/hpo.db"
    patient = Patient(url, tmp_path / "artifacts")
    patient.folder.mkdir()
    metadata = models.BaseModel.metadata
    metadata.create_all(patient.engine, tables=metadata.sorted_tables[:1])
    with pytest.raises(StorageError):
        patient.storage  # noqa: B018
    patient.heals_from("it lacks the table version_info, .*the table hpo_leases, its revision")
    assert patient.storage.overview() == []


def old(url: str) -> None:
    """A database as Optuna 2.6 has left it, with a study of one trial."""
    config = Storage(url, create=True).rdb._version_manager._create_alembic_config()
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        metadata = sa.MetaData()
        metadata.reflect(connection)
        metadata.drop_all(connection)
        for kind in () if engine.dialect.name == "sqlite" else sa.inspect(connection).get_enums():
            connection.exec_driver_sql(f"DROP TYPE {kind['name']}")
    command.upgrade(config, "v2.6.0.a")
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            # Optuna's migrations leave this out there; who began with a later Optuna has it.
            connection.exec_driver_sql("ALTER TYPE trialstate ADD VALUE 'WAITING'")
        for statement in (
            "INSERT INTO version_info VALUES (1, 12, '2.6.0')",
            "INSERT INTO studies VALUES (1, 'old')",
            "INSERT INTO study_directions VALUES (1, 'MINIMIZE', 1, 0)",
            "INSERT INTO trials (trial_id, number, study_id, state) VALUES (1, 0, 1, 'COMPLETE')",
            "INSERT INTO trial_values (trial_id, objective, value) VALUES (1, 0, 0.25)",
        ):
            connection.exec_driver_sql(statement)
    engine.dispose()


def test_the_schema_of_an_older_optuna_is_upgraded(new_database, tmp_path):
    patient = Patient(new_database(), tmp_path / "artifacts")
    patient.folder.mkdir()
    old(patient.url)
    with pytest.raises(StorageError, match="lacks the table hpo_leases"):
        patient.storage.rdb  # noqa: B018
    patient.heals_from("is of revision v2.6.0.a, older than Optuna")
    assert patient.storage.acquire("key", owner="test", seconds=1) is not None
    assert optuna.load_study(study_name="old", storage=patient.storage.optuna).best_value == 0.25


def test_what_an_interrupted_upgrade_left_is_dropped(file):
    file.execute("CREATE TABLE _alembic_tmp_trials (trial_id INTEGER)")
    file.heals_from("is left of an upgrade", place="^table _alembic_tmp_trials$")


def test_an_upgrade_that_fails_is_told(file):
    file.execute("UPDATE alembic_version SET version_num = 'v1.2.0.a'")
    (found,) = file.look(repair=True)
    assert not found.repaired
    assert "--repair could not upgrade it" in found.remedy
    assert "number" in found.remedy


@pytest.mark.parametrize(
    ("statement", "fault", "remedy"),
    [
        ("UPDATE alembic_version SET version_num = 'v99'", "v99 is unknown to Optuna", "a newer Optuna"),
        ("INSERT INTO alembic_version VALUES ('v3.0.0.a')", "several revisions", "restore a backup"),
        ("ALTER TABLE studies RENAME COLUMN study_name TO x", "no column studies.study_name", "a backup"),
        (
            "DROP TABLE trials CASCADE",
            "the table trials is gone, to which rows of .*trial_params",
            "a backup",
        ),
        (
            "ALTER TABLE hpo_leases RENAME TO _alembic_tmp_hpo_leases",
            "_alembic_tmp_hpo_leases may hold its rows",
            "a backup",
        ),
    ],
    ids=["unknown revision", "several revisions", "no column", "no table", "no table but a draft"],
)
def test_a_schema_that_cannot_be_repaired_is_left_as_it_is(patient, statement, fault, remedy):
    if patient.url.startswith("sqlite"):
        statement = statement.removesuffix(" CASCADE")
    patient.execute(statement)
    patient.stays_ill(fault, remedy)


def test_a_damaged_page_is_told(file):
    path = file.file
    content = bytearray(path.read_bytes())
    with closing(sqlite3.connect(path)) as connection:
        size = connection.execute("PRAGMA page_size").fetchone()[0]
        page = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'trials'").fetchone()[0]
    start = (page - 1) * size
    content[start : start + 16] = b"\xff" * 16
    path.write_bytes(content)
    (found,) = file.look(repair=True)
    assert (found.place, found.remedy, found.repaired) == ("database file", "restore a backup", False)
    assert "is damaged: " in found.fault
    assert path.read_bytes() == content


# ---------------------------------------------------------------------------------------------- bad input


def no_database(folder: Path) -> Iterator[tuple[str, str]]:
    (folder / "text.db").write_text("no database, and longer than a header " * 20)
    with closing(sqlite3.connect(folder / "other.db")) as connection:
        connection.execute("CREATE TABLE studies (patient TEXT)")
    yield f"sqlite:///{folder}/missing.db", "there is no such database"
    yield f"sqlite:///{folder}/text.db", "file is not a database"
    yield f"sqlite:///{folder}/other.db", "must be a database of studies"
    yield "rubbish", "must be a database URL"
    yield "postgresql+psycopg://nobody:secret@localhost:1/none", "cannot be used: "


def test_what_is_no_storage_is_refused_in_one_line_and_left_as_it_is(tmp_path):
    cases = list(no_database(tmp_path))
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    for url, rule in cases:
        with pytest.raises(StorageError, match=rule) as caught:
            examine(url, repair=True)
        assert "secret" not in str(caught.value)
        assert "\n" not in str(caught.value)
    done = quick("doctor", "--repair", folder=tmp_path, HPO_STORAGE=url)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"{caught.value}\n"
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_an_empty_postgresql_database_is_refused(new_postgresql):
    with pytest.raises(StorageError, match="holds no study yet"):
        examine(new_postgresql(), repair=True)


# -------------------------------------------------------------------------------------------- command line


def doctor(patient: Patient, *options: str) -> Any:
    variables = {"HPO_STORAGE": patient.url, "HPO_ARTIFACT_DIR": str(patient.folder)}
    return quick("doctor", *options, folder=patient.folder.parent, **variables)


def test_the_command_says_what_it_finds_and_what_it_did(patient):
    done = doctor(patient)
    assert (done.returncode, done.stdout) == (0, "")
    assert re.fullmatch(r"No fault found in storage \S+\.\n", done.stderr)
    patient.execute("DELETE FROM hpo_leases")
    patient.artifacts[0].unlink()
    for options, code, word, end in [
        ([], 1, "With --repair", r"2 faults in storage \S+\.\n"),
        (["--repair"], 0, "Done", r"2 faults in storage \S+, 2 of them repaired\.\n"),
    ]:
        done = doctor(patient, *options)
        assert done.returncode == code
        assert "trial 2 of study 'search'" in done.stdout
        assert done.stdout.count(word) == 2
        assert re.fullmatch(end, done.stderr)
    assert doctor(patient).returncode == 0


def test_programs_get_whole_findings(file):
    assert json.loads(doctor(file, "--format", "json").stdout) == []
    assert doctor(file, "--format", "csv").stdout == "place,fault,remedy,repaired\n"
    name = file.artifacts[0].name
    (file.folder / name).unlink()
    done = doctor(file, "--format", "json")
    assert done.returncode == 1
    (found,) = json.loads(done.stdout)
    assert found.keys() == {"place", "fault", "remedy", "repaired"}
    assert name in found["fault"]
    assert found["repaired"] is False
    (found,) = json.loads(doctor(file, "--repair", "--format", "json").stdout)
    assert found["repaired"] is True


def test_faults_that_remain_are_an_exit_code_even_if_others_were_repaired(file, tmp_path):
    file.execute("DELETE FROM hpo_leases")
    file.folder = tmp_path / "missing"
    done = doctor(file, "--repair")
    assert done.returncode == 1
    assert "2 faults" in done.stderr
    assert ", 1 of them repaired." in done.stderr
