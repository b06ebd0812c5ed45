"""Faults between a database and its artifact folder: rows without files, files without rows, damage."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import partial

from hpo.doctor.findings import OWNER, Examination, Finding, trial_place
from hpo.doctor.neighbours import neighbours
from hpo.doctor.set_aside import SET_ASIDE, aside, is_in, put_back, set_aside
from hpo.storage.artifacts import identity_in, is_untagged
from hpo.storage.identity import find_identity
from hpo.storage.inspection import FileRow, alone, delete_row, is_there
from hpo.storage.sharing import elsewhere, forget

# A younger file may be that of a worker which is about to write the row.
ORPHAN_SECONDS = 3600.0
# `whole_file`'s drafts; before it they had the name of the file in theirs.
_DRAFT = re.compile(r"\.hpo-[0-9a-f]{32}(\..*)?|\..+\.[0-9a-f]{32}", re.DOTALL)


def file_faults(at: Examination) -> Iterator[Finding]:
    """What rows and files say that the other does not."""
    rows = at.file_rows()
    if (elsewhere := _wrong_folder(at, [row for row in rows if row.ours and not row.held])) is not None:
        yield elsewhere
        return
    yield from _mark_fault(at)
    for row in rows:
        if row.is_checkpoint:
            yield from _checkpoint_fault(at, row)
        else:
            yield from _artifact_fault(at, row)
    yield from _orphans(at)


def _wrong_folder(at: Examination, rows: Sequence[FileRow]) -> Finding | None:
    """A folder that is not this database's. A repair would delete every row, and move others' files."""
    folder, names = at.folder.place, {row.name for row in rows}
    if not names or any(is_in(folder, name) or aside(folder, name) for name in names):
        return None
    if not folder.exists():
        fault = f"does not exist, and the database names {_files_of(len(names))} in it"
    elif any(not name.startswith(".") for name in folder.ages()):
        fault = f"has files, and not one of the {len(names)} that the database names"
    else:
        return None
    if not any(is_there(at.reading, row) for row in rows):
        return None
    remedy = "name the right one with HPO_ARTIFACT_DIR; if it is lost, put an empty one in its place"
    return Finding(f"artifact folder {folder}", fault, remedy)


def _mark_fault(at: Examination) -> Iterator[Finding]:
    if (other := elsewhere(at.reading, at.folder.place)) is None:
        return
    fault = f"is not that of this database's workers, {other}"
    cure = "if that is lost, let the next worker's be the database's"
    yield from at.found(f"artifact folder {at.folder.place}", fault, cure=cure, action=partial(_forget, at))


def _forget(at: Examination) -> bool:
    forget(at.engine)
    return True


def _checkpoint_fault(at: Examination, row: FileRow) -> Iterator[Finding]:
    # A worker that has the trial has its state, and saves it again.
    if row.held or row.trial_id is None:
        return
    if row.finished:
        fault = f"has finished, and still has the checkpoint {row.name}"
        cure = "delete the checkpoint and its row"
        yield from at.found(_place(row), fault, cure=cure, action=partial(_forget_checkpoint, at, row))
    elif is_in(at.folder.place, row.name) or not is_there(at.reading, row):
        return
    elif aside(at.folder.place, row.name):
        yield from _set_aside_fault(at, row, f"its checkpoint {row.name}")
    else:
        fault = f"its checkpoint {row.name} is not in {at.folder.place}"
        cure = "delete the row, so that the trial begins anew"
        action = partial(_delete_alone, at, row, row.trial_id)
        yield from at.found(_place(row), fault, cure=cure, action=action)


def _artifact_fault(at: Examination, row: FileRow) -> Iterator[Finding]:
    if is_in(at.folder.place, row.name):
        if row.ours:
            yield from _damage(at, row)
    # Whoever deletes an artifact deletes its row first: what is still named is missing.
    elif not is_there(at.reading, row):
        return
    elif aside(at.folder.place, row.name):
        yield from _set_aside_fault(at, row, f"its artifact {_called(row)}")
    # Those of plain Optuna's studies may be in a folder of their own.
    elif row.ours:
        fault = f"its artifact {_called(row)} is not in {at.folder.place}"
        yield from at.found(_place(row), fault, cure="delete the row", action=partial(_delete, at, row))


def _set_aside_fault(at: Examination, row: FileRow, what: str) -> Iterator[Finding]:
    fault = f"{what} lies in {at.folder.place.called(SET_ASIDE)}"
    action = partial(put_back, at.folder.place, row.name)
    yield from at.found(_place(row), fault, cure="put it back", action=action)


def _damage(at: Examination, row: FileRow) -> Iterator[Finding]:
    try:
        if at.folder.is_intact(row.name):
            return
    except FileNotFoundError:
        return
    except OSError as error:
        fault = f"its artifact {_called(row)} cannot be read: {error.strerror}"
        yield Finding(_place(row), fault, "make the file readable, or delete it")
        return
    fault = f"its artifact {_called(row)} is damaged: its digest is another one"
    cure = f"move the file to {at.folder.place.called(SET_ASIDE)}, and delete the row"
    yield from at.found(_place(row), fault, cure=cure, action=partial(_retire, at, row))


def _orphans(at: Examination) -> Iterator[Finding]:
    # First the files: whatever a worker adds from now on is not among them.
    found = at.folder.place.ages()
    named = {row.name for row in at.file_rows()}
    old = [name for name, age in sorted(found.items()) if age >= ORPHAN_SECONDS and name not in named]
    for name in old:
        if _DRAFT.fullmatch(name) and is_in(at.folder.place, name):
            fault = "was being written by a process that was killed"
            action = partial(_remove, at, name)
            yield from at.found(
                f"file {at.folder.place.called(name)}", fault, cure="delete it", action=action
            )
    unnamed = [name for name in old if not name.startswith(".") and is_in(at.folder.place, name)]
    if unnamed:
        yield from _unnamed(at, unnamed, named=named, folder=set(found))


def _unnamed(
    at: Examination, unnamed: Sequence[str], *, named: set[str], folder: set[str]
) -> Iterator[Finding]:
    """Files that no row names, of those that are this database's, or may be."""
    with at.reading.connect() as connection:
        own = find_identity(connection)
    others = neighbours(at)
    elsewhere = {name for other in others for name in other.files or ()}
    # A copy of this database has its identity, and other files since; an unread one may be such a copy.
    is_copied = any(other.files is None or (own and other.identity == own) for other in others)
    is_shared = (
        bool(others)
        or any(identity_in(name) not in (None, own) for name in folder)
        # This database has none from before names told it, and another one has.
        or (any(map(is_untagged, unnamed)) and not any(map(is_untagged, named)))
    )
    for name in unnamed:
        tag = identity_in(name)
        if name in elsewhere or tag not in (None, own):
            continue
        place = f"file {at.folder.place.called(name)}"
        if is_shared if tag is None else is_copied:
            fault = "no row of this database names it; it may be of another one that uses this folder"
            yield Finding(place, fault, "delete it if none does")
        else:
            fault, cure = (
                "no row of this database names it",
                f"move it to {at.folder.place.called(SET_ASIDE)}",
            )
            action = partial(set_aside, at.folder.place, name)
            yield from at.found(place, fault, cure=cure, action=action)


def _place(row: FileRow) -> str:
    return f"study {row.study!r}" if row.trial is None else trial_place(row.trial, row.study)


def _called(row: FileRow) -> str:
    return f"{row.filename} ({row.name})" if row.filename else row.name


def _files_of(count: int) -> str:
    return "1 file" if count == 1 else f"{count} files"


def _is_nowhere(at: Examination, name: str) -> bool:
    return not is_in(at.folder.place, name) and aside(at.folder.place, name) is None


def _delete(at: Examination, row: FileRow) -> bool:
    with at.engine.begin() as connection:
        return _is_nowhere(at, row.name) and delete_row(connection, row)


def _delete_alone(at: Examination, row: FileRow, trial_id: int) -> bool:
    with alone(at.engine, trial_id, owner=OWNER) as connection:
        return connection is not None and _is_nowhere(at, row.name) and delete_row(connection, row)


def _forget_checkpoint(at: Examination, row: FileRow) -> bool:
    with at.engine.begin() as connection:
        deleted = delete_row(connection, row)
    if deleted and is_in(at.folder.place, row.name):
        at.folder.remove(row.name)
    return deleted


def _retire(at: Examination, row: FileRow) -> bool:
    if not set_aside(at.folder.place, row.name):
        return False
    with at.engine.begin() as connection:
        return delete_row(connection, row)


def _remove(at: Examination, name: str) -> bool:
    at.folder.remove(name)
    return True
