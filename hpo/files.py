"""Files that are whole or not there; those that people name for a result are checked before the work.

And the folder in which a machine has what studies need.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hpo.errors import HpoError


def expanded(path: str | Path) -> Path:
    """A path with `~` and `$VARIABLE` as a shell reads them; one that exists as it is written stays so.

    >>> expanded("$HOME/x.npz") == expanded("~/x.npz") == Path.home() / "x.npz"
    True
    """
    # Unlike Path.expanduser, this leaves the home folder of nobody as it is.
    return Path(path if os.path.lexists(path) else os.path.expanduser(os.path.expandvars(path)))  # noqa: PTH111


def data_dir() -> Path:
    """This machine's folder of data sets and of people's code: `HPO_DATA_DIR`, or the user's cache folder."""
    from platformdirs import user_cache_path

    given = os.environ.get("HPO_DATA_DIR")
    return expanded(given) if given else user_cache_path("hpo")


def check_new_file(path: Path, *, suffix: str | None = None, force: bool | None = None) -> None:
    """Refuse, before work that would be lost, what `new_file` could not write.

    `force` is None where a file that is there is never replaced.

    Raises:
        HpoError: another suffix, no such folder, a folder that cannot be written to, or, without `force`, a
            file that is there already.
    """
    if suffix is not None and path.suffix != suffix:
        raise HpoError(str(path), f"must end in {suffix}")
    if path.is_dir():
        raise HpoError(str(path), "must name a file, and this is a folder")
    if not path.parent.is_dir():
        raise HpoError(str(path), f"the folder {path.parent} does not exist", remedy="Create it first.")
    if not os.access(path.parent, os.W_OK):
        raise HpoError(str(path), f"the folder {path.parent} must be writable")
    if not force and os.path.lexists(path):
        raise _taken(path, force)


# What SQLite adds to the name of a database for the files beside it.
DATABASE_SUFFIXES = ("-wal", "-shm", "-journal")


@contextmanager
def whole_file(path: Path, *, replace: bool) -> Iterator[Path]:
    """A draft of `path` beside it, with its suffix, which takes its place, durably, when the block ends well.

    The draft is gone in any case, with the files that SQLite keeps beside a database.

    Raises:
        FileExistsError: without `replace`, somebody has put a file there.
        OSError: it cannot be written.
    """
    draft = path.with_name(f".hpo-{uuid.uuid4().hex}{path.suffix}")
    try:
        yield draft
        with draft.open("rb") as written:
            os.fsync(written.fileno())
        if replace:
            draft.replace(path)
        else:
            # Unlike a rename, a link never replaces a file.
            os.link(draft, path)
        _sync_folder(path.parent)
    finally:
        for suffix in ("", *DATABASE_SUFFIXES):
            draft.with_name(draft.name + suffix).unlink(missing_ok=True)


@contextmanager
def new_file(path: Path, *, force: bool | None = None) -> Iterator[Path]:
    """A draft of a file that a person has named, which takes its place when the block ends well.

    `force` is None where a file that is there is never replaced.

    Raises:
        HpoError: it cannot be written, or, without `force`, somebody has put a file there meanwhile.
    """
    try:
        with whole_file(path, replace=bool(force)) as draft:
            yield draft
    except FileExistsError:
        raise _taken(path, force) from None
    except OSError as error:
        raise HpoError(str(path), f"cannot be written: {error.strerror or error}") from None


def _sync_folder(path: Path) -> None:
    """Make the names of a folder's files durable."""
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _taken(path: Path, force: bool | None) -> HpoError:
    remedy = "Name another file." if force is None else "Name another file, or add --force."
    return HpoError(str(path), "is there already, and is kept", remedy=remedy)
