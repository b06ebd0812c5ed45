"""Arrays of people in files: an .npz with all of them, or an .npy for each."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hpo.data.archive import DAMAGE, Header, explain, member_names, read_arrays, read_header, read_npy_header
from hpo.data.catalog import KEYS
from hpo.data.naming import keys_of, saving
from hpo.errors import DataError

SHOWN_NAMES = 12
# In the name of an .npy file, what says that it has samples.
_X = re.compile(r"(?<![A-Za-z0-9])[xX](?![A-Za-z0-9])")


@dataclass(frozen=True)
class ArrayFiles:
    """The arrays of a data set, under `KEYS` of which those of the test part may be missing.

    `members`: by key the file, and of an .npz file the array's name in it. `form` is the files' suffix.
    """

    path: Path
    form: str
    members: Mapping[str, tuple[Path, str]]

    @property
    def has_test(self) -> bool:
        """Whether there is a test part, or some of it."""
        return bool({"x_test", "y_test"} & self.members.keys())

    def place(self, key: str) -> str:
        """An array, as a message has it: of an .npz file the file, and the array in it."""
        file, name = self.members[key]
        return f"{file} {name}".strip()

    def require_test(self) -> None:
        """Raises DataError if there is no test part, or only half of it."""
        if not self.has_test:
            names = [name or file.name for file, name in self.members.values()]
            raise DataError(str(self.path), "must have a test part", got=names, remedy=self._adding("x_test"))
        for key in ("x_test", "y_test"):
            if key not in self.members:
                remedy = self._adding(key)
                raise DataError(str(self.path), f"must hold an array {key}", remedy=remedy)

    def header(self, key: str) -> Header:
        """Shape and dtype of an array, which is not read. Raises DataError."""
        file, name = self.members[key]
        with _told(file):
            return read_header(file, name) if name else read_npy_header(file)

    def read(self, key: str) -> np.ndarray:
        """An array. Raises DataError."""
        file, name = self.members[key]
        with _told(file):
            if name:
                return read_arrays(file, [name])[name]
            found: np.ndarray = np.load(file, allow_pickle=False)
            return found

    def _adding(self, key: str) -> str:
        arrays = key if self.has_test else "x_test and y_test"
        return f"Add {arrays} to the file." if self.form == ".npz" else f"Save {arrays} beside it."


def npz_arrays(path: Path) -> ArrayFiles:
    """The arrays of an .npz file. Raises DataError if those of a training part are not in it."""
    with _told(path):
        names = member_names(path)
    keys = keys_of(names)
    for key in ("x_train", "y_train"):
        if key not in keys:
            shown = names[:SHOWN_NAMES] + ["..."] * (len(names) > SHOWN_NAMES)
            raise DataError(str(path), f"must hold an array {key}", got=shown, remedy=saving(path, names))
    return ArrayFiles(path, ".npz", {key: (path, keys[key]) for key in KEYS if key in keys})


def npy_arrays(path: Path) -> ArrayFiles:
    """The .npy file of samples and those beside it: of their targets, and of a test part.

    `x.npy` has its targets in `y.npy` and a test part in `x_test.npy` and `y_test.npy`; `mine_x_train.npy` in
    `mine_y_train.npy`, `mine_x_test.npy` and `mine_y_test.npy`.

    Raises:
        DataError: its name does not say that it has samples, or their targets are not beside it.
    """
    if not _X.search(path.stem):
        remedy = "Name it x.npy, and that of the targets y.npy; or save both in one .npz file."
        raise DataError(str(path), "must have x in its name, by which its targets are found", remedy=remedy)
    is_part = "train" in path.stem
    x_test = path.with_stem(path.stem.replace("train", "test") if is_part else f"{path.stem}_test")
    found = {"x_train": path, "y_train": _targets_of(path), "x_test": x_test, "y_test": _targets_of(x_test)}
    if not found["y_train"].is_file():
        remedy = f"Save them as {found['y_train']}, or both in one .npz file."
        raise DataError(str(path), "must have its targets in a file beside it", remedy=remedy)
    return ArrayFiles(path, ".npy", {key: (file, "") for key, file in found.items() if file.is_file()})


def _targets_of(path: Path) -> Path:
    """The file of the targets: of the name with y for x, small or capital."""
    names = [path.with_stem(_X.sub(letter, path.stem)) for letter in "yY"]
    return next((name for name in names if name.is_file()), names[0])


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except DataError:
        raise
    except PermissionError as error:
        raise DataError(str(path), "must be readable", got=explain(error)) from None
    except DAMAGE as error:
        remedy = f"Save it again with numpy.save{'z' * (path.suffix == '.npz')}."
        rule = f"must be a whole {path.suffix} file"
        raise DataError(str(path), rule, got=explain(error), remedy=remedy) from None
