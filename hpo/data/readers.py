"""The kinds of data that a study may name, each with its reader; nothing else asks which kind it is."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from hpo.data.array_files import ArrayFiles, npy_arrays, npz_arrays
from hpo.data.bundled import BUNDLED, read_bundled, targets_of_bundled
from hpo.data.catalog import ENTRIES
from hpo.data.columns import Array
from hpo.data.dataset import Dataset, make_dataset
from hpo.data.functions import given_for, own_dataset
from hpo.data.image_folders import image_folder
from hpo.data.known_sets import read_known
from hpo.data.openml import check_openml, is_openml, read_openml
from hpo.data.own_files import read_labels, read_own
from hpo.data.splits import held_out
from hpo.data.table_sets import Part, TableSet
from hpo.data.tables import TableFile, is_table, read_table
from hpo.errors import DataError
from hpo.files import data_dir, expanded
from hpo.spec.own_code import SUFFIX
from hpo.tasks import TASKS

if TYPE_CHECKING:
    from hpo.data.labels import Learned
    from hpo.spec.parts import Data

# Keys of `Data` that say what to take of a table, and those that say how a CSV file is written.
OF_TABLES = ("target", "features", "drop", "categories", "weight", "group", "time", "test")
OF_CSV_FILES = ("separator", "decimal", "encoding")
OF_IMAGES = ("image_size",)
KEYS = (*OF_TABLES, *OF_CSV_FILES, *OF_IMAGES)


class Reader(ABC):
    """One kind of data. `keys`: those of `KEYS` that say something of it.

    `folder` is where known sets are kept, and what was made of others; None for `data_dir()`.
    """

    keys: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def matches(self, name: str) -> bool:
        """Whether a name is of this kind, be it there or not."""

    def check(self, name: str) -> None:  # noqa: B027
        """Raises DataError if it is certain that there are no such data; loads nothing."""

    @abstractmethod
    def load(self, data: Data, part: Part, *, task: str | None, folder: Path | None = None) -> Dataset:
        """A part. Raises DataError, also if there is no such part."""

    @abstractmethod
    def has_test(self, data: Data) -> bool:
        """Whether there is a test part. Raises DataError."""

    def parts(self, data: Data, *, task: str | None) -> tuple[Dataset, Dataset | None]:
        """The training part, and the test part if one is read with it, as a table's is."""
        return self.load(data, "train", task=task), None

    def labels(self, data: Data, *, task: str | None) -> tuple[Dataset, Dataset | None]:
        """As `parts`, for the targets: without samples where that helps; the test part is checked."""
        return self.parts(data, task=task)

    def test_digest(self, data: Data, *, task: str | None) -> str | None:
        """The digest of the test part; None if there is none."""
        return self.load(data, "test", task=task).digest if self.has_test(data) else None


class Known(Reader):
    """The sets that are recognised by their digests."""

    def matches(self, name: str) -> bool:
        return name in ENTRIES

    def load(self, data: Data, part: Part, *, task: str | None, folder: Path | None = None) -> Dataset:
        entry = ENTRIES[data.name]
        x, y = read_known(data.name, part, folder)
        return self._made(data.name, x, y, task, x_sha256=entry.digests.get(f"x_{part}", ""))

    def has_test(self, data: Data) -> bool:
        return True

    def labels(self, data: Data, *, task: str | None) -> tuple[Dataset, Dataset | None]:
        """As many as the set has, spread evenly over its classes, as they very nearly are."""
        entry = ENTRIES[data.name]
        y = np.arange(entry.train_samples) % len(entry.class_names)
        return self._made(data.name, np.zeros((len(y), 0)), y, task), None

    def test_digest(self, data: Data, *, task: str | None) -> str | None:
        """The one that is known, as the set is loaded only if it has it."""
        return ENTRIES[data.name].test_digest or super().test_digest(data, task=task)

    @staticmethod
    def _made(name: str, x: Array, y: Array, task: str | None, *, x_sha256: str = "") -> Dataset:
        entry = ENTRIES[name]
        names = entry.class_names
        made = make_dataset(
            name, x, y, classes=len(names), scale=entry.scale, class_names=names, x_sha256=x_sha256
        )
        return _as_task(made, task)


class TableReader(Reader):
    """Tables, wherever they come from."""

    keys: ClassVar[tuple[str, ...]] = OF_TABLES

    @abstractmethod
    def table(self, data: Data, folder: Path | None = None) -> tuple[TableSet, Data]:
        """The table, and the data with the target that it has by itself, unless they name another one."""

    def load(self, data: Data, part: Part, *, task: str | None, folder: Path | None = None) -> Dataset:
        table, data = self.table(data, folder)
        (found,) = table.load(data, [part], task=task)
        return found

    def parts(self, data: Data, *, task: str | None) -> tuple[Dataset, Dataset | None]:
        """Both, of which the table is read once."""
        table, data = self.table(data)
        train, *test = table.load(data, ["train", "test"] if self.has_test(data) else ["train"], task=task)
        return train, test[0] if test else None

    def has_test(self, data: Data) -> bool:
        return data.test is not None


class Bundled(TableReader):
    """The tables that come with scikit-learn."""

    def matches(self, name: str) -> bool:
        return name in BUNDLED

    def table(self, data: Data, folder: Path | None = None) -> tuple[TableSet, Data]:
        name = data.name
        table = TableSet(name, lambda: TableFile(read_bundled(name)), _test_file(data))
        return table, _aimed(data, targets_of_bundled(name))


class OpenML(TableReader):
    """The sets of OpenML by their number."""

    def matches(self, name: str) -> bool:
        return is_openml(name)

    def check(self, name: str) -> None:
        check_openml(name)

    def table(self, data: Data, folder: Path | None = None) -> tuple[TableSet, Data]:
        frame, targets = read_openml(data.name, folder or data_dir())
        return TableSet(data.name, lambda: TableFile(frame), _test_file(data)), _aimed(data, targets)


class Table(TableReader):
    """Tables in files."""

    keys = (*OF_TABLES, *OF_CSV_FILES)

    def matches(self, name: str) -> bool:
        return is_table(name)

    def check(self, name: str) -> None:
        _check_file(name, "table")

    def table(self, data: Data, folder: Path | None = None) -> tuple[TableSet, Data]:
        path = found(data.name)
        return TableSet(str(path), partial(read_table, path, data), _test_file(data)), data


class ArraysReader(Reader):
    """Arrays in files."""

    suffix: ClassVar[str]

    @abstractmethod
    def files(self, path: Path) -> ArrayFiles:
        """The arrays that belong together. Raises DataError."""

    def matches(self, name: str) -> bool:
        return name.endswith(self.suffix)

    def check(self, name: str) -> None:
        _check_file(name, f"{self.suffix} file")

    def load(self, data: Data, part: Part, *, task: str | None, folder: Path | None = None) -> Dataset:
        own = read_own(self._files_of(data), part, task=task)
        return self._made(data.name, own.x, own.y, own.learned)

    def has_test(self, data: Data) -> bool:
        return self._files_of(data).has_test

    def labels(self, data: Data, *, task: str | None) -> tuple[Dataset, Dataset | None]:
        """No sample is read."""
        files = self._files_of(data)
        if files.has_test:
            read_labels(files, "test", task=task)
        y, learned = read_labels(files, "train", task=task)
        return self._made(data.name, np.zeros((len(y), 0)), y, learned), None

    def _files_of(self, data: Data) -> ArrayFiles:
        return self.files(found(data.name))

    @staticmethod
    def _made(name: str, x: Array, y: Array, learned: Learned) -> Dataset:
        return make_dataset(
            name,
            x,
            y,
            classes=len(learned.targets.names),
            scale=1 / 255 if x.dtype == np.uint8 else 1.0,
            class_names=learned.class_names,
            task=learned.targets.task,
            said=learned.targets.said,
        )


class Npz(ArraysReader):
    """All arrays in one file."""

    suffix = ".npz"

    def files(self, path: Path) -> ArrayFiles:
        return npz_arrays(path)


class Npy(ArraysReader):
    """A file for each array."""

    suffix = ".npy"

    def files(self, path: Path) -> ArrayFiles:
        return npy_arrays(path)


class Images(Reader):
    """A folder of images by class."""

    keys = OF_IMAGES

    def matches(self, name: str) -> bool:
        return name.endswith(("/", os.sep)) or (bool(name) and _is_folder(found(name)))

    def check(self, name: str) -> None:
        if not _is_folder(path := found(name)):
            raise DataError("data set", "must be an existing folder", got=name, remedy=_standing(name, path))

    def load(self, data: Data, part: Part, *, task: str | None, folder: Path | None = None) -> Dataset:
        images = image_folder(found(data.name))
        y = images.labels(part)
        x = images.pixels(part, size=data.image_size, kept=folder or data_dir())
        return self._made(data.name, x, y, images.names, task)

    def has_test(self, data: Data) -> bool:
        return image_folder(found(data.name)).has_test

    def labels(self, data: Data, *, task: str | None) -> tuple[Dataset, Dataset | None]:
        """Those that the folders say; no image is read."""
        images = image_folder(found(data.name))
        y = images.labels("train")
        return self._made(data.name, np.zeros((len(y), 0)), y, images.names, task), None

    @staticmethod
    def _made(name: str, x: Array, y: Array, names: tuple[str, ...], task: str | None) -> Dataset:
        made = make_dataset(name, x, y, classes=len(names), scale=1 / 255, class_names=names)
        return _as_task(made, task)


class OwnFunction(Reader):
    """What a function of a person's own gives; `name` is its file."""

    keys = ("test",)

    def matches(self, name: str) -> bool:
        return name.endswith(SUFFIX)

    def check(self, name: str) -> None:
        _check_file(name, "Python file")

    def load(self, data: Data, part: Part, *, task: str | None, folder: Path | None = None) -> Dataset:
        parts = given_for(data)
        if part == "test" and "test" in parts:
            return own_dataset(data, parts["train"], task, test=parts["test"])
        whole = own_dataset(data, parts["train"], task)
        if data.test is None:
            if part == "test":
                assert data.code is not None
                raise DataError(
                    str(data.code), "must return a test part too", remedy="Or set data.test to a share."
                )
            return whole
        assert isinstance(data.test, float)
        kept, aside = held_out(whole, data, fraction=data.test)
        return whole.part(kept if part == "train" else aside)

    def has_test(self, data: Data) -> bool:
        return data.test is not None or "test" in given_for(data)


READERS: tuple[Reader, ...] = (
    Known(),
    Bundled(),
    OpenML(),
    Npz(),
    Npy(),
    Table(),
    OwnFunction(),
    Images(),
)


def found(name: str) -> Path:
    """Where a file or folder is: at its path or, on another machine, in the data folder by its name.

    That it is the same is told by the digest of what is in it.
    """
    path = expanded(name)
    if path.name and not _is_there(path) and _is_there(elsewhere := data_dir() / path.name):
        return elsewhere
    return path


def _test_file(data: Data) -> Callable[[Sequence[str]], TableFile] | None:
    """What reads a test part that is a file of its own."""
    if not isinstance(data.test, str):
        return None
    path = found(data.test)
    return lambda text: read_table(path, data, text=text)


def _aimed(data: Data, targets: tuple[str, ...]) -> Data:
    """The data with the target that a table has by itself, unless a study names another one."""
    return data if data.target else data.model_copy(update={"target": targets})


def _as_task(dataset: Dataset, task: str | None) -> Dataset:
    """The same classes for the task that is asked for. Raises DataError if they are not of it."""
    if task in (None, dataset.task_name):
        return dataset
    if task == "binary" and dataset.classes == 2:
        return replace(dataset, task_name=task)
    possible = " or ".join(name for name in TASKS if name == dataset.task_name)
    raise DataError(f"{dataset.name}: task", f"must be {possible} for its labels", got=task)


def _check_file(name: str, kind: str) -> None:
    path = found(name)
    if _is_folder(path):
        raise DataError(name, "must be a file, but is a folder", remedy=_standing(name, path))
    if not _is_file(path):
        raise DataError("data set", f"must be an existing {kind}", got=name, remedy=_standing(name, path))


def _standing(name: str, path: Path) -> str:
    return f"It stands for {path}." if str(path) != name.rstrip("/") else ""


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name that is too long
        return False


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:
        return False


def _is_there(path: Path) -> bool:
    return _is_file(path) or _is_folder(path)
