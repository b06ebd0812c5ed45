"""Where the file of a study's function is on this machine."""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Iterable, Iterator
from pathlib import Path

from hpo.errors import ModelError
from hpo.files import data_dir
from hpo.spec.base import RuleError
from hpo.spec.imports import home_of, imported
from hpo.spec.own_code import SUFFIX, OwnCode, digest_beside, read_code, sha256

PUT_BACK = "Put that one back."
# A file's name, and folders around it, by which it is looked for.
MOST_DEPTH = 3


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
            if is_of(place.resolve(), content, code):
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
    """Where a file may be on this machine: first those of its name, alone or below folders of theirs."""
    folders = (Path(), data_dir())
    yield path
    for folder in folders:
        for depth in range(1, MOST_DEPTH + 1):
            yield folder.joinpath(*path.parts[-depth:])
    for folder in folders:
        with contextlib.suppress(OSError):
            yield from sorted(folder.glob(f"*{SUFFIX}"))


def copy_code(codes: Iterable[OwnCode], folder: Path) -> None:
    """Copy a study's files, with those beside them that they import, to where `own_file` finds them.

    Raises:
        ModelError: one is not here, or is another one by now; or two of one name import others of one name.
    """
    for code in codes:
        path, content = own_file(code)
        home, _ = home_of(path)
        files = {file.relative_to(home): read_code(file) for file in imported(path, content).values()}
        files[path.relative_to(home)] = content
        for root in (folder, folder / home.name):
            if all(not (root / at).exists() or (root / at).read_bytes() == files[at] for at in files):
                break
        else:
            raise ModelError(str(path), "has the name of another file of the study", remedy="Rename one.")
        for at, text in files.items():
            (root / at).parent.mkdir(parents=True, exist_ok=True)
            (root / at).write_bytes(text)


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
