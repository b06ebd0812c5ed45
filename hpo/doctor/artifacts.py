"""Faults between a database and its artifact folder: rows without files, files without rows, damage."""

from __future__ import annotations

import json
import re
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from optuna.storages._rdb import models

from hpo.doctor.findings import Examination, Finding
from hpo.registry import SPEC_ATTRIBUTE
from hpo.storage.artifacts import ARTIFACT_PREFIX
from hpo.storage.claims import CHECKPOINT_ATTRIBUTE, UNFINISHED, held

SET_ASIDE = "set-aside"
# A younger file may be that of a worker which is about to write the row.
ORPHAN_SECONDS = 3600.0
_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{32}", re.DOTALL)


@dataclass(frozen=True)
class _Row:
    """A row of the database that names a file; `itself` is the condition that only it meets.

    `ours`: of a study that hpo created. `held`: of a trial that a worker holds.
    """

    model: Any
    itself: sa.ColumnElement[bool]
    key: str
    value: Any
    place: str
    ours: bool
    trial_id: int | None = None
    finished: bool = False
    held: bool = False

    @property
    def is_checkpoint(self) -> bool:
        return self.key == CHECKPOINT_ATTRIBUTE

    @property
    def name(self) -> str:
        """The file's name."""
        return str(self.value) if self.is_checkpoint else self.key.removeprefix(ARTIFACT_PREFIX)

    @property
    def artifact(self) -> str:
        """What people call the artifact, and its file's name."""
        # Optuna stores it as JSON within JSON.
        meta = _parsed(self.value) if isinstance(self.value, str) else self.value
        called = meta.get("filename") if isinstance(meta, dict) else None
        return f"{called} ({self.name})" if called else self.name


def file_faults(at: Examination) -> Iterator[Finding]:
    """What rows and files say that the other does not."""
    rows = _rows(at)
    if (elsewhere := _wrong_folder(at, [row for row in rows if row.ours and not row.held])) is not None:
        yield elsewhere
        return
    for row in rows:
        if row.is_checkpoint:
            yield from _checkpoint_fault(at, row)
        elif row.ours:
            yield from _artifact_fault(at, row)
    yield from _orphans(at)


def of_hpo() -> sa.ColumnElement[bool]:
    """Whether hpo created the study in question."""
    own = models.StudyUserAttributeModel
    return sa.exists().where(own.study_id == models.StudyModel.study_id, own.key == SPEC_ATTRIBUTE)


def _rows(at: Examination) -> list[_Row]:
    with at.reading.connect() as connection:
        return [*_rows_of_studies(connection), *_rows_of_trials(connection)]


def _rows_of_studies(connection: sa.Connection) -> Iterator[_Row]:
    study, own = models.StudyModel, models.StudySystemAttributeModel
    found = (
        sa.select(own.key, own.value_json, study.study_id, study.study_name, of_hpo().label("ours"))
        .join(study, study.study_id == own.study_id)
        .where(own.key.startswith(ARTIFACT_PREFIX))
        .order_by(study.study_id, own.key)
    )
    for row in connection.execute(found):
        same = (own.key == row.key) & (own.value_json == row.value_json)
        yield _Row(
            model=own,
            itself=(own.study_id == row.study_id) & same,
            key=row.key,
            value=_parsed(row.value_json),
            place=f"study {row.study_name!r}",
            ours=row.ours,
        )


def _rows_of_trials(connection: sa.Connection) -> Iterator[_Row]:
    trial, study, own = models.TrialModel, models.StudyModel, models.TrialSystemAttributeModel
    found = (
        sa.select(own.key, own.value_json, trial.trial_id, trial.number, trial.state, study.study_name)
        .add_columns(of_hpo().label("ours"), held(connection).label("held"))
        .join(trial, trial.trial_id == own.trial_id)
        .join(study, study.study_id == trial.study_id)
        .where(own.key.startswith(ARTIFACT_PREFIX) | (own.key == CHECKPOINT_ATTRIBUTE))
        .order_by(trial.study_id, trial.number, own.key)
    )
    for row in connection.execute(found):
        same = (own.key == row.key) & (own.value_json == row.value_json)
        yield _Row(
            model=own,
            itself=(own.trial_id == row.trial_id) & same,
            key=row.key,
            value=_parsed(row.value_json),
            place=trial_place(row.number, row.study_name),
            ours=row.ours,
            trial_id=row.trial_id,
            finished=row.state not in UNFINISHED,
            held=row.held,
        )


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def trial_place(number: int, study: str) -> str:
    """A trial, as findings name it."""
    return f"trial {number} of study {study!r}"


def _wrong_folder(at: Examination, rows: Sequence[_Row]) -> Finding | None:
    """A folder that is not this database's. A repair would delete every row, and move others' files."""
    folder, names = at.folder.path, {row.name for row in rows}
    if not names or any(_is_there(at, name) for name in names):
        return None
    if not folder.exists():
        fault = f"does not exist, and the database names {_files_of(len(names))} in it"
    elif any(not name.startswith(".") for name in _ages(folder)):
        fault = f"has files, and not one of the {len(names)} that the database names"
    else:
        return None
    if not any(_is_still_named(at, row) for row in rows):
        return None
    remedy = "name the right one with HPO_ARTIFACT_DIR; if it is lost, put an empty one in its place"
    return Finding(f"artifact folder {folder}", fault, remedy)


def _checkpoint_fault(at: Examination, row: _Row) -> Iterator[Finding]:
    # A worker that has the trial knows the name, and writes the file again.
    if row.held or row.trial_id is None:
        return
    if row.finished:
        fault = f"has finished, and still has the checkpoint {row.name}"
        cure = "delete the checkpoint and its row"
        yield from at.found(row.place, fault, cure=cure, action=partial(_forget_checkpoint, at, row))
    elif not _is_there(at, row.name) and _is_still_named(at, row):
        fault = f"its checkpoint {row.name} is not in {at.folder.path}"
        cure = "delete the row, so that the trial begins anew"
        action = partial(_delete_alone, at, row, row.trial_id)
        yield from at.found(row.place, fault, cure=cure, action=action)


def _artifact_fault(at: Examination, row: _Row) -> Iterator[Finding]:
    if not _is_there(at, row.name):
        # Whoever deletes an artifact deletes its row first: what is still named is missing.
        if _is_still_named(at, row):
            fault = f"its artifact {row.artifact} is not in {at.folder.path}"
            yield from at.found(row.place, fault, cure="delete the row", action=partial(_delete, at, row))
        return
    try:
        if at.folder.is_intact(row.name):
            return
    except FileNotFoundError:
        return
    except OSError as error:
        fault = f"its artifact {row.artifact} cannot be read: {error.strerror}"
        yield Finding(row.place, fault, "make the file readable, or delete it")
        return
    fault = f"its artifact {row.artifact} is damaged: its digest is another one"
    cure = f"move the file to {at.folder.path / SET_ASIDE}, and delete the row"
    yield from at.found(row.place, fault, cure=cure, action=partial(_retire, at, row))


def _orphans(at: Examination) -> Iterator[Finding]:
    # First the files: whatever a worker adds from now on is not among them.
    ages = _ages(at.folder.path)
    named = {row.name for row in _rows(at)}
    for name, age in sorted(ages.items()):
        path = at.folder.path / name
        if name in named or age < ORPHAN_SECONDS or not path.exists():
            continue
        if _TEMPORARY.fullmatch(name):
            fault = "was being written by a process that was killed"
            yield from at.found(f"file {path}", fault, cure="delete it", action=partial(_remove, at, name))
        elif not name.startswith("."):
            fault = "no row of this database names it; it may be another database's"
            cure = f"move it to {at.folder.path / SET_ASIDE}"
            yield from at.found(f"file {path}", fault, cure=cure, action=partial(_set_aside, at, name))


def _ages(folder: Path) -> dict[str, float]:
    """Seconds since each file of a folder was written, by its name; folders in it are left out."""
    now, found = time.time(), {}
    for path in folder.iterdir() if folder.exists() else ():
        if path.is_file() and not path.is_symlink():
            found[path.name] = now - path.stat().st_mtime
    return found


def _is_there(at: Examination, name: str) -> bool:
    # What some other program has written as a name may be a path out of the folder.
    return Path(name).name == name and (at.folder.path / name).is_file()


def _is_still_named(at: Examination, row: _Row) -> bool:
    with at.reading.connect() as connection:
        return connection.execute(sa.select(row.model.key).where(row.itself)).first() is not None


def _files_of(count: int) -> str:
    return "1 file" if count == 1 else f"{count} files"


def _delete(at: Examination, row: _Row) -> bool:
    with at.engine.begin() as connection:
        return connection.execute(sa.delete(row.model).where(row.itself)).rowcount == 1


def _delete_alone(at: Examination, row: _Row, trial_id: int) -> bool:
    with at.alone(trial_id) as connection:
        if connection is None or _is_there(at, row.name):
            return False
        return connection.execute(sa.delete(row.model).where(row.itself)).rowcount == 1


def _forget_checkpoint(at: Examination, row: _Row) -> bool:
    deleted = _delete(at, row)
    if deleted and _is_there(at, row.name):
        at.folder.remove(row.name)
    return deleted


def _retire(at: Examination, row: _Row) -> bool:
    return _set_aside(at, row.name) and _delete(at, row)


def _remove(at: Examination, name: str) -> bool:
    at.folder.remove(name)
    return True


def _set_aside(at: Examination, name: str) -> bool:
    """Move a file where nothing looks for it, beside what has been there before; False if it is gone."""
    target = at.folder.path / SET_ASIDE / name
    target.parent.mkdir(exist_ok=True)
    if target.exists():
        target = target.with_name(f"{name}.{uuid.uuid4().hex}")
    try:
        (at.folder.path / name).rename(target)
    except FileNotFoundError:
        return False
    return True
