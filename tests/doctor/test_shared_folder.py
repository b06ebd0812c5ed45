"""Databases that share an artifact folder: what one of them repairs costs the others nothing."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState, create_trial

from hpo.doctor import Finding, examine
from hpo.storage import Storage
from hpo.storage.backup import backup
from tests.tiny_studies import execute

HOURS_AGO = time.time() - 7200
FOLDER = "hpo-artifacts"


def database(url: str, folder: Path) -> Storage:
    """One with a study as hpo makes them, of which a trial has finished and another has a checkpoint."""
    storage = Storage(url, artifact_dir=folder / FOLDER, create=True)
    study = optuna.create_study(study_name="study", storage=storage.optuna)
    for name in ("spec", "data_digest", "created"):
        study.set_user_attr(name, "")
    storage.add_trials(1, [create_trial(state=TrialState.WAITING)] * 3, after=0)
    finish(storage)
    claims = [storage.claim([1], owner="worker", seconds=60) for _ in range(2)]
    name = storage.artifacts.new_checkpoint()
    storage.artifacts.write(name, b"state")
    claims[1].keep_checkpoint(name)
    for claimed in claims:
        claimed.requeue()
    return storage


def finish(storage: Storage) -> None:
    claimed = storage.claim([1], owner="worker", seconds=60)
    attachment = storage.artifacts.attach("curves.csv", f"of {storage.url}, {claimed.number}".encode())
    assert claimed.finish(TrialState.COMPLETE, value=0.5, attachments=[attachment])


def of_the_version_before(storage: Storage) -> None:
    """Make the names of its files what they were when they told nothing of the database."""
    tag = f"{storage.identity}-"
    for path in storage.artifacts.path.iterdir():
        if tag in path.name:
            path.rename(path.with_name(path.name.replace(tag, "")))
    for column in ("key", "value_json"):
        execute(storage, f"UPDATE trial_system_attributes SET {column} = replace({column}, '{tag}', '')")
    execute(storage, "DROP TABLE hpo_identity")


def files(folder: Path) -> dict[str, bytes]:
    """Those of the artifact folder that are in their place, which are hours old from now on."""
    found = {path.name: path.read_bytes() for path in (folder / FOLDER).iterdir() if path.is_file()}
    for name in found:
        os.utime(folder / FOLDER / name, (HOURS_AGO, HOURS_AGO))
    return found


def look(storage: Storage, *, repair: bool = False) -> list[Finding]:
    return examine(storage.url, artifact_dir=storage.artifacts.path, repair=repair)


def set_all_aside(storage: Storage) -> None:
    """What the version before did to the files of another database."""
    aside = storage.artifacts.path / "set-aside"
    aside.mkdir()
    for path in list(storage.artifacts.path.iterdir()):
        if path.is_file():
            path.rename(aside / path.name)


@pytest.fixture
def pair(new_database: Callable[[], str], tmp_path: Path) -> list[Storage]:
    return [database(new_database(), tmp_path) for _ in range(2)]


@pytest.fixture
def alone(new_database: Callable[[], str], tmp_path: Path) -> Storage:
    return database(new_database(), tmp_path)


def test_a_file_s_name_says_of_which_database_it_is(pair, tmp_path):
    first, second = (storage.identity for storage in pair)
    assert first != second
    names = files(tmp_path)
    assert len(names) == 4
    for identity in (first, second):
        own = sorted(name for name in names if identity in name)
        assert len(own) == 2
        assert any(re.fullmatch(rf"[0-9a-f]{{64}}-{identity}-[0-9a-f]{{32}}", name) for name in own)
        assert any(re.fullmatch(rf"{identity}-[0-9a-f]{{32}}\.checkpoint", name) for name in own)


def test_each_database_leaves_the_files_of_the_other_alone(pair, tmp_path):
    before = files(tmp_path)
    for storage in pair:
        assert look(storage) == look(storage, repair=True) == []
    assert files(tmp_path) == before


def test_a_repair_sets_aside_its_own_orphans_alone(pair, tmp_path):
    first = pair[0]
    orphans = [storage.artifacts.attach("curves.csv", b"lost").artifact_id for storage in pair]
    before = files(tmp_path)
    assert [finding.place for finding in look(first, repair=True)] == [
        f"file {first.artifacts.path / orphans[0]}"
    ]
    del before[orphans[0]]
    assert files(tmp_path) == before
    assert [path.name for path in (tmp_path / FOLDER / "set-aside").iterdir()] == [orphans[0]]
    assert look(first) == []


def test_what_another_one_s_repair_had_set_aside_is_put_back_and_no_row_is_lost(pair, tmp_path):
    before, rows = files(tmp_path), [storage.rdb.get_all_trials(1) for storage in pair]
    set_all_aside(pair[0])
    for storage in pair:
        found = look(storage)
        assert [re.search(r"^its (artifact|checkpoint) .* lies in ", f.fault)[1] for f in found] == [
            "artifact",
            "checkpoint",
        ]
        assert look(storage) == found
        assert all(finding.repaired for finding in look(storage, repair=True))
        assert look(storage) == []
    assert files(tmp_path) == before
    after = [Storage(storage.url).rdb.get_all_trials(1) for storage in pair]
    assert [[t.system_attrs for t in own] for own in after] == [[t.system_attrs for t in own] for own in rows]


def test_a_row_goes_only_if_its_bytes_are_nowhere(alone, tmp_path):
    set_all_aside(alone)
    aside = alone.artifacts.path / "set-aside"
    for path in list(aside.iterdir()):
        if path.suffix != ".checkpoint":
            # As a second of the same name would be called.
            path.write_bytes(b"damaged")
        else:
            path.rename(path.with_name(f"{path.name}.{'0' * 32}"))
    faults = [finding.fault for finding in look(alone, repair=True)]
    assert "is not in" in faults[0]
    assert "lies in" in faults[1]
    assert [path.read_bytes() for path in aside.iterdir()] == [b"damaged"]
    assert look(alone) == []


def test_files_of_the_version_before_are_left_alone_if_a_neighbour_names_them(tmp_path):
    pair = [database(f"sqlite:///{tmp_path}/{name}.db", tmp_path) for name in ("a", "b")]
    for storage in pair:
        of_the_version_before(storage)
    before = files(tmp_path)
    for storage in pair:
        assert look(storage, repair=True) == []
    # Nobody can say whose this one is.
    (tmp_path / FOLDER / "stray").write_bytes(b"")
    before |= files(tmp_path)
    for storage in pair:
        (found,) = look(storage, repair=True)
        assert "may be of another one that uses this folder" in found.fault
        assert not found.repaired
    assert files(tmp_path) == before


def test_files_of_the_version_before_are_told_and_kept_where_another_database_s_are_seen(pair, tmp_path):
    of_the_version_before(pair[0])
    before = files(tmp_path)
    assert look(Storage(pair[0].url, artifact_dir=tmp_path / FOLDER), repair=True) == []
    found = look(pair[1], repair=True)
    assert not any(finding.repaired for finding in found)
    # A database in an SQLite file is seen, and what it names too.
    is_sqlite = pair[0].url.startswith("sqlite")
    assert len(found) == (0 if is_sqlite else 2)
    assert files(tmp_path) == before


def test_orphans_of_the_version_before_are_set_aside_where_nobody_else_is(alone, tmp_path):
    of_the_version_before(alone)
    (tmp_path / FOLDER / "stray").write_bytes(b"")
    files(tmp_path)
    (found,) = look(Storage(alone.url, artifact_dir=tmp_path / FOLDER), repair=True)
    assert (found.place, found.repaired) == (f"file {tmp_path / FOLDER / 'stray'}", True)


def test_a_copy_beside_its_original_leaves_alone_what_the_original_has_done_since(tmp_path):
    original = database(f"sqlite:///{tmp_path}/hpo.db", tmp_path)
    backup(tmp_path / "copy.db", original.url)
    copy = Storage(f"sqlite:///{tmp_path}/copy.db", artifact_dir=tmp_path / FOLDER)
    assert copy.identity == original.identity
    finish(original)
    original.artifacts.attach("curves.csv", b"an orphan of either")
    before = files(tmp_path)
    for storage in (original, copy):
        (found,) = look(storage, repair=True)
        assert not found.repaired
    assert files(tmp_path) == before


def test_what_a_copy_that_nobody_sees_sets_aside_comes_back(tmp_path):
    """A copy elsewhere takes what it does not know for its own orphans."""
    original = database(f"sqlite:///{tmp_path}/hpo.db", tmp_path)
    (elsewhere := tmp_path / "elsewhere").mkdir()
    backup(elsewhere / "copy.db", original.url)
    finish(original)
    before = files(tmp_path)
    # As on another machine, from where the original is not seen.
    artifacts = (tmp_path / FOLDER).rename(elsewhere / FOLDER)
    copy = Storage(f"sqlite:///{elsewhere}/copy.db", artifact_dir=artifacts)
    assert [finding.repaired for finding in look(copy, repair=True)] == [True]
    artifacts.rename(tmp_path / FOLDER)
    assert files(tmp_path) != before
    assert [finding.repaired for finding in look(original, repair=True)] == [True]
    assert files(tmp_path) == before


def test_a_database_of_the_version_before_gets_one_identity_from_all_who_ask(alone, crowd):
    of_the_version_before(alone)
    assert len(set(crowd(identity, alone.url))) == 1
    assert Storage(alone.url).identity == Storage(alone.url).identity


def identity(url: str, number: int) -> str:
    return Storage(url).identity
