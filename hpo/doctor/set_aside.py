"""The place beside the artifacts where a repair puts what it takes out: nothing is lost by it."""

from __future__ import annotations

import re
import uuid
from pathlib import Path

from hpo.storage import Place
from hpo.storage.artifacts import has_digest

SET_ASIDE = "set-aside"


def is_in(place: Place, name: str) -> bool:
    """Whether a file of that name is in the place itself."""
    # What some other program has written as a name may be a path out of the folder.
    return Path(name).name == name and place.has(name)


def set_aside(place: Place, name: str) -> bool:
    """Move a file where no program looks for it, beside what has been there before; False if it is gone."""
    target = f"{SET_ASIDE}/{name}"
    if place.has(target):
        target += f".{uuid.uuid4().hex}"
    try:
        place.move(name, target)
    except FileNotFoundError:
        return False
    return True


def aside(place: Place, name: str) -> str | None:
    """The file of that name that was set aside and is whole, if there is one."""
    if Path(name).name != name:
        return None
    same = re.compile(re.escape(name) + r"(\.[0-9a-f]{32})?")
    for found in sorted(place.ages(SET_ASIDE)):
        if same.fullmatch(found) and has_digest(place.read(f"{SET_ASIDE}/{found}"), name):
            return f"{SET_ASIDE}/{found}"
    return None


def put_back(place: Place, name: str) -> bool:
    """Move a file to where it was; False if it is no longer there, or if another has its place."""
    found = aside(place, name)
    if found is None or is_in(place, name):
        return False
    place.move(found, name)
    return True
