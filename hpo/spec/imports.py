"""The files that a Python file imports from beside it, told from its text: nothing is run.

They are as much of a person's model as the file that a study names, so its digest covers them.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from importlib.machinery import PathFinder
from pathlib import Path

# Of the files that are beside one, as many as somebody may have written for a model.
MOST_FILES = 200
# Folders that are in sys.path for people's files alone.
_LOOKED_IN: set[str] = set()


def home_of(path: Path) -> tuple[Path, str]:
    """The folder that a file's imports begin with, and the package that it is in, empty without one."""
    folder, names = path.parent, list[str]()
    while (folder / "__init__.py").is_file():
        names.insert(0, folder.name)
        folder = folder.parent
    return folder, ".".join(names)


def look_in(home: Path) -> None:
    """Let Python take modules from this folder, before those of other people's files and after all others."""
    if str(home) in _LOOKED_IN:
        sys.path.remove(str(home))
    elif str(home) in sys.path:
        return
    _LOOKED_IN.add(str(home))
    first = next((at for at, place in enumerate(sys.path) if place in _LOOKED_IN), len(sys.path))
    sys.path.insert(first, str(home))


def imported(path: Path, content: bytes) -> dict[str, Path]:
    """The files beside `path` that it imports, or that those import, by the names of their modules, in order.

    What Python would take from elsewhere, be it of its own library or installed, is none of them. A file that
    cannot be read or is no Python imports nothing: running it says so.
    """
    path = path.resolve()
    home, package = home_of(path)
    found: dict[str, Path] = {}
    left = [(content, package)]
    while left and len(found) < MOST_FILES:
        text, inside = left.pop()
        for name in _names(text, inside):
            file = _file(home, name)
            if file is None or name in found or file.samefile(path) or not _is_from(home, name):
                continue
            found[name] = file
            within = name if file.name == "__init__.py" else name.rpartition(".")[0]
            left.append((_bytes(file), within))
    return dict(sorted(found.items()))


def _names(text: bytes, package: str) -> Iterator[str]:
    """The modules that a file of a package may import, those around them first."""
    try:
        nodes = list(ast.walk(ast.parse(text)))
    except (SyntaxError, ValueError, RecursionError):
        return
    for node in nodes:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _chain(alias.name)
        elif isinstance(node, ast.ImportFrom):
            around = package.split(".")[: len(package.split(".")) + 1 - node.level] if node.level else []
            module = ".".join([*filter(None, around), *([node.module] if node.module else [])])
            yield from _chain(module)
            for alias in node.names:
                yield f"{module}.{alias.name}" if module else alias.name


def _chain(name: str) -> Iterator[str]:
    """A module and the packages around it, outermost first.

    >>> list(_chain("a.b.c"))
    ['a', 'a.b', 'a.b.c']
    """
    parts = name.split(".")
    for end in range(1, len(parts) + 1):
        if all(parts):
            yield ".".join(parts[:end])


def _file(home: Path, name: str) -> Path | None:
    """The file of a module below a folder; None if there is none."""
    place = home.joinpath(*name.split("."))
    for file in (place / "__init__.py", place.with_name(f"{place.name}.py")):
        if file.is_file():
            return file
    return None


def _is_from(home: Path, name: str) -> bool:
    """Whether Python would take a module from this folder, if it is one to `look_in`."""
    top = name.partition(".")[0]
    if top in sys.stdlib_module_names:
        return False
    spec = PathFinder.find_spec(top, [place for place in sys.path if place not in _LOOKED_IN])
    if spec is None:
        return True
    places = [spec.origin] if spec.origin else list(spec.submodule_search_locations or ())
    return any(Path(place).resolve().is_relative_to(home.resolve()) for place in places)


def _bytes(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError:
        return b""
