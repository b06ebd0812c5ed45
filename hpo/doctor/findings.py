"""What `hpo doctor` finds, what it looks at, and how it mends without disturbing a worker."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import optuna
import sqlalchemy as sa

from hpo.registry import SPEC_ATTRIBUTE
from hpo.storage import ArtifactFolder, reason
from hpo.storage.dialects import to_read
from hpo.storage.inspection import FileRow, file_rows

OWNER = "hpo doctor"
# What a database, a disk and Optuna's migrations raise; all else is a fault of ours.
FAILURES = (
    OSError,
    ValueError,
    RuntimeError,
    AssertionError,
    sa.exc.SQLAlchemyError,
    optuna.exceptions.OptunaError,
)


@dataclass(frozen=True)
class Finding:
    """A fault of a storage. `remedy` is what would mend it or, once it is `repaired`, what was done."""

    place: str
    fault: str
    remedy: str
    repaired: bool = False


@dataclass(frozen=True)
class Examination:
    """A database and its artifact folder while they are examined, and whether to repair them."""

    url: str
    place: str
    engine: sa.Engine
    folder: ArtifactFolder
    repair: bool

    @cached_property
    def reading(self) -> sa.Engine:
        """The engine for what only reads, for which no writer waits."""
        return to_read(self.engine)

    @property
    def is_sqlite(self) -> bool:
        """Whether the database is a file, whose pages and rows may contradict each other."""
        return self.engine.dialect.name == "sqlite"

    def file_rows(self) -> list[FileRow]:
        """The rows that name files, as they are now; `ours` are those of studies that hpo created."""
        return file_rows(self.reading, attribute=SPEC_ATTRIBUTE)

    def found(self, place: str, fault: str, *, cure: str, action: Callable[[], bool]) -> Iterator[Finding]:
        """A fault that `action` mends. None if, as `action` then says, it is no longer there."""
        if not self.repair:
            yield Finding(place, fault, f"with --repair: {cure}")
            return
        try:
            if action():
                yield Finding(place, fault, f"done: {cure}", repaired=True)
        except FAILURES as error:
            yield Finding(place, fault, f"--repair could not {cure}: {reason(error)}")


def trial_place(number: int, study: str) -> str:
    """A trial, as findings name it."""
    return f"trial {number} of study {study!r}"
