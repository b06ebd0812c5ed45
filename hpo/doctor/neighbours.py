"""Other databases that may use the same artifact folder: what they name is not this one's to judge."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from hpo.doctor.findings import Examination
from hpo.storage.dialects import to_read
from hpo.storage.engine import make_engine
from hpo.storage.identity import find_identity
from hpo.storage.inspection import is_of_optuna, named_files

MAGIC = b"SQLite format 3\0"


@dataclass(frozen=True)
class Neighbour:
    """Another database; `files` is what it names, None if it cannot be read now."""

    path: Path
    identity: str | None
    files: frozenset[str] | None


def neighbours(at: Examination) -> list[Neighbour]:
    """The databases in SQLite files beside this one's file, or beside the artifact folder."""
    own = Path(str(at.engine.url.database)).resolve() if at.is_sqlite else None
    folders = {at.folder.path.resolve().parent} | ({own.parent} if own else set())
    paths = [path for folder in sorted(folders) if folder.is_dir() for path in sorted(folder.iterdir())]
    return [found for path in paths if path.resolve() != own and _is_sqlite(path) for found in _read(path)]


def _is_sqlite(path: Path) -> bool:
    try:
        if not path.is_file():
            return False
        with path.open("rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError:
        return False


def _read(path: Path) -> Iterator[Neighbour]:
    """The database in a file, if it is one of Optuna's."""
    engine = make_engine(sa.URL.create("sqlite", database=str(path)).render_as_string())
    try:
        with to_read(engine).connect() as connection:
            if is_of_optuna(connection):
                yield Neighbour(path, find_identity(connection), frozenset(named_files(connection)))
    except sa.exc.SQLAlchemyError:
        yield Neighbour(path, None, None)
    finally:
        engine.dispose()
