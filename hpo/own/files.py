"""Where the file of a study's function is on this machine."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
from collections.abc import Iterator
from pathlib import Path

from hpo.errors import ModelError
from hpo.files import data_dir
from hpo.spec.base import RuleError
from hpo.spec.own_code import SUFFIX, OwnCode, read_code

PUT_BACK = "Put that one back."


def own_file(code: OwnCode) -> tuple[Path, bytes]:
    """The file as it was when the study was made, and its content.

    It is where it was then, or else a file of its content in the current folder or in the data folder.

    Raises:
        ModelError: there is none, or it is another one by now.
    """
    path = Path(code.file)
    for place in _places(path):
        with contextlib.suppress(RuleError):
            content = read_code(place)
            if is_of(code, content):
                return place.resolve(), content
    try:
        read_code(path)
    except RuleError as broken:
        remedy = (
            f"Put it there, into the current folder or into {data_dir()}:"
            " a study's code is run from its file alone."
        )
        raise ModelError(str(path), broken.rule, remedy=remedy) from None
    raise ModelError(str(path), "differs from the file that the study was made with", remedy=PUT_BACK)


def _places(path: Path) -> Iterator[Path]:
    """Where a file may be on this machine: first those of its name."""
    folders = (Path(), data_dir())
    yield path
    yield from (folder / path.name for folder in folders)
    for folder in folders:
        with contextlib.suppress(OSError):
            yield from sorted(folder.glob(f"*{SUFFIX}"))


def is_of(code: OwnCode, content: bytes) -> bool:
    """Whether this is what the file held when the study was made."""
    return hashlib.sha256(content).hexdigest() == code.digest


def text_of(content: bytes) -> str:
    """The text of a Python file, as Python reads it."""
    try:
        return importlib.util.decode_source(content)
    except (SyntaxError, UnicodeDecodeError, LookupError):
        return content.decode(errors="replace")
