"""The place beside the artifacts where a repair puts what it takes out: nothing is lost by it."""

from __future__ import annotations

import re
import time
import uuid
from pathlib import Path

from hpo.storage.artifacts import has_digest

SET_ASIDE = "set-aside"


def ages(folder: Path) -> dict[str, float]:
    """Seconds since each file of a folder was written, by its name; folders in it are left out."""
    now, found = time.time(), {}
    for path in folder.iterdir() if folder.exists() else ():
        if path.is_file() and not path.is_symlink():
            found[path.name] = now - path.stat().st_mtime
    return found


def is_in(folder: Path, name: str) -> bool:
    """Whether a file of that name is in the folder itself."""
    # What some other program has written as a name may be a path out of the folder.
    return Path(name).name == name and (folder / name).is_file()


def set_aside(folder: Path, name: str) -> bool:
    """Move a file where no program looks for it, beside what has been there before; False if it is gone."""
    target = folder / SET_ASIDE / name
    target.parent.mkdir(exist_ok=True)
    if target.exists():
        target = target.with_name(f"{name}.{uuid.uuid4().hex}")
    try:
        (folder / name).rename(target)
    except FileNotFoundError:
        return False
    return True


def aside(folder: Path, name: str) -> Path | None:
    """The file of that name that was set aside and is whole, if there is one."""
    if Path(name).name != name or not (folder / SET_ASIDE).is_dir():
        return None
    same = re.compile(re.escape(name) + r"(\.[0-9a-f]{32})?")
    for path in sorted((folder / SET_ASIDE).iterdir()):
        if same.fullmatch(path.name) and path.is_file() and has_digest(path, name):
            return path
    return None


def put_back(folder: Path, name: str) -> bool:
    """Move a file to where it was; False if it is no longer there, or if another has its place."""
    path = aside(folder, name)
    if path is None or is_in(folder, name):
        return False
    path.rename(folder / name)
    return True
