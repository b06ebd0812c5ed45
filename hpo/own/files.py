"""Where the file of a study's function is on this machine."""

from __future__ import annotations

import contextlib
import importlib.util
from pathlib import Path

from hpo.errors import ModelError
from hpo.spec.base import RuleError
from hpo.spec.own_code import OwnCode, digest_beside, read_code, sha256

PUT_BACK = "Put that one back."


def own_file(code: OwnCode) -> tuple[Path, bytes]:
    """The file as it was when the study was made, and its content.

    It is where it was then, or else the file of its name and content in the current folder.

    Raises:
        ModelError: there is none, or it is another one by now.
    """
    path = Path(code.file)
    for place in (path, Path(path.name)):
        with contextlib.suppress(RuleError):
            content = read_code(place)
            if is_of(place.resolve(), content, code):
                return place.resolve(), content
    try:
        read_code(path)
    except RuleError as broken:
        remedy = "Put it there, or into the current folder: a study's code is run from its file alone."
        raise ModelError(str(path), broken.rule, remedy=remedy) from None
    raise ModelError(str(path), "differs from the file that the study was made with", remedy=PUT_BACK)


def is_of(path: Path, content: bytes, code: OwnCode) -> bool:
    """Whether a file holds what it did when the study was made, as those beside it do that it imports.

    Raises:
        RuleError: one of those cannot be read.
    """
    return sha256(content) == code.digest and code.beside in (None, digest_beside(path, content))


def text_of(content: bytes) -> str:
    """The text of a Python file, as Python reads it."""
    try:
        return importlib.util.decode_source(content)
    except (SyntaxError, UnicodeDecodeError, LookupError):
        return content.decode(errors="replace")
