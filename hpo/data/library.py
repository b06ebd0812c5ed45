"""Data sets by name or path: known ones, people's own arrays and tables."""

from __future__ import annotations

import difflib
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from hpo.data.bundled import BUNDLED, read_bundled, targets_of_bundled
from hpo.data.catalog import ENTRIES
from hpo.data.dataset import Dataset, make_dataset
from hpo.data.known_sets import Progress, data_dir, fetch_known, read_known
from hpo.data.own_files import has_test_part, read_labels, read_own
from hpo.data.table_sets import Part, TableSet
from hpo.data.tables import SUFFIXES, is_table, read_table
from hpo.errors import DataError
from hpo.files import expanded
from hpo.spec import Data
from hpo.tasks import TASKS

NAMES = (*ENTRIES, *BUNDLED)
# Keys of `Data` that say what to take of a table, and those that say how a CSV file is written.
OF_TABLES = ("target", "features", "drop", "categories", "weight", "group", "time", "test")
OF_CSV_FILES = ("separator", "decimal", "encoding")


def check_name(name: str) -> None:
    """Raises DataError unless `name` is a known set or an existing file of data; loads nothing."""
    if name in NAMES:
        return
    if name.endswith(".npz") or is_table(name):
        if not _is_file(path := _found(name)):
            remedy = f"It stands for {path}." if str(path) != name else ""
            if path.is_dir():
                raise DataError(name, "must be a file, but is a folder", remedy=remedy)
            kind = "table" if is_table(name) else ".npz file"
            raise DataError("data set", f"must be an existing {kind}", got=name, remedy=remedy)
        return
    close = difflib.get_close_matches(name.lower(), NAMES, n=1)
    names = f"Known sets: {', '.join(NAMES)}. In a path ~ and $VARIABLE are replaced."
    remedy = f"Did you mean {close[0]!r}?" if close else names
    rule = f"must be a known name or a path that ends with {' '.join(('.npz', *SUFFIXES))}"
    raise DataError("data set", rule, got=name, remedy=remedy)


def check_keys(data: Data) -> None:
    """Raises DataError for a key that says nothing of data of this kind."""
    check_name(data.name)
    used = [*(OF_TABLES if is_table_set(data.name) else ()), *(OF_CSV_FILES if is_table(data.name) else ())]
    for key in (*OF_TABLES, *OF_CSV_FILES):
        if getattr(data, key) is not None and key not in used:
            raise DataError(f"data.{key}", f"has no effect on {data.name}", got=getattr(data, key))


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
    return _load(_data_of(data), "train", task, data_dir)


def load_columns(data: Data) -> tuple[Dataset, list[str]]:
    """A table of which no target is known yet, and why columns of it are none. Raises DataError."""
    check_keys(data)
    table, data = _table_of(data)
    return table.without_target(data)


def load_test(data: Data | str, *, task: str | None = None, data_dir: Path | None = None) -> Dataset:
    """The test part, with the training part's classes. Raises DataError, also if there is none."""
    data = _data_of(data)
    if is_table_set(data.name) and data.test is None:
        remedy = "Set data.test to a file, or to the share of the rows that is set aside."
        raise DataError(data.name, "must have a test part", remedy=remedy)
    return _load(data, "test", task, data_dir)


def digest_of_test(data: Data | str, *, task: str | None = None) -> str | None:
    """The digest that `load_test` gives; None if there is no test part. Raises DataError if it is not right.

    Nothing is read of a known set, as it is loaded only if it has the digests that are known.
    """
    data = _data_of(data)
    check_name(data.name)
    if data.name in ENTRIES:
        return ENTRIES[data.name].test_digest or load_test(data).digest
    has_test = data.test is not None if is_table_set(data.name) else has_test_part(_found(data.name))
    return load_test(data, task=task).digest if has_test else None


def training_labels(data: Data | str, *, task: str | None = None) -> Dataset:
    """A set's training part for its targets: of arrays without the samples, which are not read or fetched.

    Those of a known set are as many as it has, spread evenly over its classes, as they very nearly are. Of a
    person's own file those of the test part are checked too. Raises DataError.
    """
    data = _data_of(data)
    check_keys(data)
    if is_table_set(data.name):
        if data.test is not None:
            load_test(data, task=task)
        return load_train(data, task=task)
    if data.name in ENTRIES:
        entry = ENTRIES[data.name]
        y, classes = np.arange(entry.train_samples) % len(entry.class_names), len(entry.class_names)
    else:
        path = _found(data.name)
        if has_test_part(path):
            read_labels(path, "test")
        y, classes = read_labels(path, "train")
    return _as_task(make_dataset(data.name, np.zeros((len(y), 0)), y, classes=classes, scale=1.0), task)


def fetch(name: str, *, data_dir: Path | None = None, progress: Progress | None = None) -> Path:
    """Makes sure that a set is at hand and whole, and returns its file.

    Downloads nothing if the file is there. Raises DataError if that file is damaged (it is left as it is)
    or no source delivers the set.
    """
    check_name(name)
    return fetch_known(name, data_dir, progress) if name in ENTRIES else _found(name)


def _data_of(data: Data | str) -> Data:
    return Data(name=data) if isinstance(data, str) else data


def is_table_set(name: str) -> bool:
    """Whether a name is that of a table, in a file or bundled."""
    return name in BUNDLED or is_table(name)


def _table_of(data: Data) -> tuple[TableSet, Data]:
    """The table of a name, and the data with the target that it has by itself."""
    if data.name in BUNDLED:
        target = data.target or targets_of_bundled(data.name)
        return TableSet(data.name, partial(read_bundled, data.name)), data.model_copy(
            update={"target": target}
        )
    path, test = _found(data.name), data.test
    read_test = partial(read_table, _found(test), data) if isinstance(test, str) else None
    return TableSet(str(path), partial(read_table, path, data), read_test), data


def _load(data: Data, part: Part, task: str | None, folder: Path | None) -> Dataset:
    check_keys(data)
    name = data.name
    if is_table_set(name):
        table, data = _table_of(data)
        return table.load(data, task=task, part=part)
    if name not in ENTRIES:
        x, y, classes = read_own(_found(name), part)
        scale = 1 / 255 if x.dtype == np.uint8 else 1.0
        return _as_task(make_dataset(name, x, y, classes=classes, scale=scale), task)
    entry = ENTRIES[name]
    x, y = read_known(name, part, folder)
    made = make_dataset(
        name,
        x,
        y,
        classes=len(entry.class_names),
        scale=entry.scale,
        class_names=entry.class_names,
        x_sha256=entry.digests.get(f"x_{part}", ""),
    )
    return _as_task(made, task)


def _as_task(dataset: Dataset, task: str | None) -> Dataset:
    """The same data for the task that is asked for. Raises DataError if they are not of it."""
    if task in (None, dataset.task_name):
        return dataset
    if task == "binary" and dataset.classes == 2:
        return replace(dataset, task_name=task)
    possible = " or ".join(name for name in TASKS if name == dataset.task_name)
    raise DataError(f"{dataset.name}: task", f"must be {possible} for its labels", got=task)


def _found(name: str) -> Path:
    """Where a file is: at its path or, on another machine, in the data folder by its name.

    That it is the same file is told by the digest of what is in it.
    """
    path = expanded(name)
    if not _is_file(path) and _is_file(elsewhere := data_dir() / path.name):
        return elsewhere
    return path


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name that is too long
        return False
