"""Data sets by name or path: known ones, people's own arrays, tables and images."""

from __future__ import annotations

import difflib
from pathlib import Path

from hpo.data.bundled import BUNDLED
from hpo.data.catalog import ENTRIES
from hpo.data.dataset import Dataset
from hpo.data.known_sets import Progress, fetch_known
from hpo.data.readers import KEYS, READERS, Reader, TableReader, found
from hpo.data.table_sets import TableSet
from hpo.data.tables import SUFFIXES
from hpo.data.targets import SEVERAL
from hpo.errors import DataError
from hpo.spec import Data

NAMES = (*ENTRIES, *BUNDLED)


def check_name(name: str) -> None:
    """Raises DataError unless `name` is a known set or existing data of a known kind; loads nothing."""
    _reader(name).check(name)


def check_keys(data: Data, task: str | None = None) -> None:
    """Raises DataError for a key, or a task, that says nothing of data of this kind."""
    check_name(data.name)
    used = _reader(data.name).keys
    for key in KEYS:
        if getattr(data, key) is not None and key not in used:
            raise DataError(f"data.{key}", f"has no effect on {data.name}", got=getattr(data, key))
    if task == SEVERAL and data.code is None:
        rule = "is of several outputs, which data have that a person's function gives"
        raise DataError("task", rule, got=task)


def load_train(data: Data | str, *, task: str | None = None, data_dir: Path | None = None) -> Dataset:
    """The training part of the data that a study names, fetched if need be. Raises DataError.

    `task` is what is to be learned of them, by default what their targets say. A name alone stands for data
    of which nothing else is said.

    >>> digits = load_train("digits")
    >>> digits.x.shape, digits.x.dtype, digits.y.shape, digits.classes
    ((1437, 8, 8), dtype('uint8'), (1437,), 10)
    >>> wine = load_train("wine")
    >>> wine.x.shape, wine.names, wine.task_name
    ((178, 13), ('class_0', 'class_1', 'class_2'), 'multi-class')
    """
    data = _checked(data, task)
    return _reader(data.name).load(data, "train", task=task, folder=data_dir)


def load_parts(data: Data | str, *, task: str | None = None) -> tuple[Dataset, Dataset | None]:
    """The training part, and of a table its test part too, if it has one; the table is read once.

    The test part of arrays and images, which may be much, is for `load_test`. Raises DataError.
    """
    data = _checked(data)
    return _reader(data.name).parts(data, task=task)


def is_table_set(name: str) -> bool:
    """Whether a name is that of a table. Raises DataError if it is that of no data."""
    return isinstance(_reader(name), TableReader)


def has_target(data: Data) -> bool:
    """Whether it is known what to predict of a table. Raises DataError."""
    return bool(_table_of(data)[1].target)


def load_columns(data: Data) -> tuple[Dataset, list[str]]:
    """A table of which no target is known yet, and why columns of it are none. Raises DataError."""
    table, data = _table_of(data)
    return table.without_target(data)


def _table_of(data: Data) -> tuple[TableSet, Data]:
    check_keys(data)
    reader = _reader(data.name)
    assert isinstance(reader, TableReader)
    return reader.table(data)


def load_test(data: Data | str, *, task: str | None = None, data_dir: Path | None = None) -> Dataset:
    """The test part, with the training part's classes. Raises DataError, also if there is none."""
    data = _checked(data, task)
    reader = _reader(data.name)
    if "test" in reader.keys and data.code is None and not reader.has_test(data):
        remedy = "Set data.test to a file, or to the share of the rows that is set aside."
        raise DataError(data.name, "must have a test part", remedy=remedy)
    return reader.load(data, "test", task=task, folder=data_dir)


def has_test(data: Data | str) -> bool:
    """Whether there is a test part. Raises DataError."""
    data = _checked(data)
    return _reader(data.name).has_test(data)


def digest_of_test(data: Data | str, *, task: str | None = None) -> str | None:
    """The digest that `load_test` gives; None if there is no test part. Raises DataError if it is not right.

    Nothing is read of a known set, as it is loaded only if it has the digests that are known.
    """
    data = _checked(data, task)
    return _reader(data.name).test_digest(data, task=task)


def load_labels(data: Data | str, *, task: str | None = None) -> tuple[Dataset, Dataset | None]:
    """As `load_parts`, for the targets: of arrays and images without the samples, which are not read.

    Those of a known set are as many as it has, spread evenly over its classes, as they very nearly are. Of a
    person's own files those of the test part are checked too. Raises DataError.
    """
    data = _checked(data, task)
    return _reader(data.name).labels(data, task=task)


def fetch(name: str, *, data_dir: Path | None = None, progress: Progress | None = None) -> Path:
    """Makes sure that a set is at hand and whole, and returns its file.

    Downloads nothing if the file is there. Raises DataError if that file is damaged (it is left as it is)
    or no source delivers the set.
    """
    check_name(name)
    return fetch_known(name, data_dir, progress) if name in ENTRIES else found(name)


def _checked(data: Data | str, task: str | None = None) -> Data:
    if isinstance(data, str):
        check_name(data)
        return Data(name=data)
    check_keys(data, task)
    return data


def _reader(name: str) -> Reader:
    """What reads data of this name. Raises DataError if there is no such kind."""
    for reader in READERS:
        if reader.matches(name):
            return reader
    close = difflib.get_close_matches(name.lower(), NAMES, n=1)
    names = f"Known sets: {', '.join(NAMES)}. In a path ~ and $VARIABLE are replaced."
    remedy = f"Did you mean {close[0]!r}?" if close else names
    suffixes = " ".join((".npz", ".npy", *SUFFIXES))
    rule = f"must be a known name, openml:ID, a folder of images or a path that ends with {suffixes}"
    raise DataError("data set", rule, got=name, remedy=remedy)
