"""The code of people's own that a study names: its text, kept to be shown, and whether it is still the same.

Nothing is ever run from what is kept.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from pathlib import Path

from hpo.errors import CodeError, ModelError
from hpo.own import PUT_BACK, own_file, text_of
from hpo.spec import FinalSpec, OwnCode, StudySpec
from hpo.spec.base import RuleError
from hpo.spec.imports import imported
from hpo.spec.own_code import read_code

# Of a study: the text of each of its files, by the key that names the file.
CODE_ATTRIBUTE = "own_code"
MOST_LINES = 20
# Characters of the files beside one that are kept to be shown; their digest covers all.
MOST_KEPT = 1024**2
ACCEPT = "--accept-code"
# What would act on a terminal, or hide a part of a text.
CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")


def texts_of(spec: StudySpec) -> dict[str, str]:
    """The text of each file that a study names, by its key, and of those that it imports from beside it.

    Those are at `beside(key, module)`, as far as all of them are not too long to be kept.

    Raises:
        ModelError: a file is not there, or is not the one that the specification was made with.
    """
    found: dict[str, str] = {}
    for key, code in spec.own_code.items():
        found |= _texts(key, *own_file(code))
    return found


def beside(key: str, module: str = "") -> str:
    """Where the text of a module stands that the file of a key imports; how those of all modules begin."""
    return f"{key}: {module}"


def _texts(key: str, path: Path, content: bytes) -> dict[str, str]:
    found, left = {key: text_of(content)}, MOST_KEPT
    for module, file in imported(path, content).items():
        text = text_of(read_code(file))
        left -= len(text)
        if left >= 0:
            found[beside(key, module)] = text
    return found


def check_code(place: str, spec: StudySpec, kept: Mapping[str, str], *, accept: str = ACCEPT) -> None:
    """Raises CodeError unless the files that a study names are, on this machine, those it was made with.

    `kept` are their texts, as far as they are known; `accept` is what takes them as they are now.
    """
    for key, code in spec.own_code.items():
        try:
            own_file(code)
        except ModelError as error:
            raise _changed(place, spec, key, kept, remedy=error.remedy, accept=accept) from None


def check_same(
    place: str, old: StudySpec, new: StudySpec, kept: Mapping[str, str], *, same_data: bool
) -> None:
    """Raises CodeError if a study is asked for with other code than it was made with.

    `same_data`: what gives its data gives the same.
    """
    for key, code in old.own_code.items():
        other = new.own_code.get(key)
        if other is not None and not code.has_same_text(other) and not (same_data and key == "data"):
            raise _changed(place, new, key, kept, remedy=PUT_BACK)


def state_of(code: OwnCode) -> str:
    """Whether this machine has the file as it was when the study was made, in words."""
    try:
        own_file(code)
    except ModelError:
        return "changed here since" if Path(code.file).is_file() else "not on this machine"
    return "the same on this machine"


def has_same_code(spec: StudySpec, stored: StudySpec) -> bool:
    """Whether two studies were made with the same files and functions."""
    mine, its = spec.own_code, stored.own_code
    return mine.keys() == its.keys() and all(code.is_same_as(its[key]) for key, code in mine.items())


def shown(text: str) -> str:
    """A text of somebody's without what a terminal would act on, or that would hide a part of it."""
    return CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _changed(
    place: str, spec: StudySpec, key: str, kept: Mapping[str, str], *, remedy: str, accept: str = ACCEPT
) -> CodeError:
    """What to say of a file that is not the study's; `remedy` is for one that cannot be read."""
    path = Path(spec.own_code[key].file)
    try:
        now = _texts(key, path, read_code(path))
    except RuleError as broken:
        return CodeError(f"{place}: {path}", broken.rule, remedy=remedy)
    name, diff = path.name, list[str]()
    if key in kept:
        of_key = [
            known for known in dict.fromkeys([*kept, *now]) if known == key or known.startswith(beside(key))
        ]
        other = next((known for known in of_key if kept.get(known) != now.get(known)), key)
        name = path.name if other == key else other.removeprefix(beside(key))
        diff = _diff(kept.get(other, ""), now.get(other, ""), name)
    rule = f"{name} has changed since the study was made"
    if diff:
        more, less = (sum(line.startswith(sign) for line in diff[2:]) for sign in "+-")
        rule += f" (+{more} -{less} lines)"
    # A final evaluation is of the code that its configurations were chosen with.
    new = "" if isinstance(spec, FinalSpec) else f", or start a new study of it as it is now: {accept}"
    made = CodeError(place, rule, remedy=f"Put it back{new}.")
    hidden = len(diff) - MOST_LINES
    made.diff = tuple([*diff[:MOST_LINES], f"and {hidden} lines more"] if hidden > 0 else diff)
    return made


def _diff(old: str, new: str, name: str) -> list[str]:
    before, after = (shown(text).splitlines() for text in (old, new))
    return list(difflib.unified_diff(before, after, f"{name} of the study", f"{name} now", lineterm="", n=2))
