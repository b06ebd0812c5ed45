"""Data sets by name or path: known ones, and people's own files."""

from __future__ import annotations

import difflib
from pathlib import Path

import numpy as np

from hpo.data.catalog import ENTRIES
from hpo.data.dataset import Dataset, make_dataset
from hpo.data.known_sets import Progress, fetch_known, read_known
from hpo.data.own_files import has_test_part, read_labels, read_own
from hpo.errors import DataError
from hpo.files import expanded


def check_name(name: str) -> None:
    """Raises DataError unless `name` is a known set or an existing .npz file; loads nothing."""
    if name in ENTRIES:
        return
    if name.endswith(".npz"):
        if not _is_file(path := expanded(name)):
            remedy = f"It stands for {path}." if str(path) != name else ""
            raise DataError("data set", "must be an existing .npz file", got=name, remedy=remedy)
        return
    close = difflib.get_close_matches(name.lower(), ENTRIES, n=1)
    names = f"Known sets: {', '.join(ENTRIES)}. In a path ~ and $VARIABLE are replaced."
    remedy = f"Did you mean {close[0]!r}?" if close else names
    raise DataError("data set", "must be a known name or a path that ends with .npz", got=name, remedy=remedy)


def load_train(name: str, *, data_dir: Path | None = None) -> Dataset:
    """The training part of a known set, fetched if need be, or of a person's own .npz. Raises DataError.

    >>> digits = load_train("digits")
    >>> digits.x.shape, digits.x.dtype, digits.y.shape, digits.classes
    ((1437, 8, 8), dtype('uint8'), (1437,), 10)
    """
    return _load(name, "train", data_dir)


def load_test(name: str, *, data_dir: Path | None = None) -> Dataset:
    """The test part, with the training part's classes. Raises DataError, also if there is none."""
    return _load(name, "test", data_dir)


def digest_of_test(name: str) -> str | None:
    """The digest that `load_test` gives; None if there is no test part. Raises DataError if it is not right.

    Nothing is read of a known set, as it is loaded only if it has the digests that are known.
    """
    check_name(name)
    if name in ENTRIES:
        return ENTRIES[name].test_digest or load_test(name).digest
    return load_test(name).digest if has_test_part(expanded(name)) else None


def training_labels(name: str) -> np.ndarray:
    """The labels of a set's training part, without loading its samples or fetching it. Raises DataError.

    Those of a known set are as many as it has, spread evenly over its classes, as they very nearly are. Of a
    person's own file those of the test part are checked too.
    """
    check_name(name)
    if name in ENTRIES:
        entry = ENTRIES[name]
        return np.arange(entry.train_samples) % len(entry.class_names)
    path = expanded(name)
    if has_test_part(path):
        read_labels(path, "test")
    y, _ = read_labels(path, "train")
    return y


def fetch(name: str, *, data_dir: Path | None = None, progress: Progress | None = None) -> Path:
    """Makes sure that a set is at hand and whole, and returns its file.

    Downloads nothing if the file is there. Raises DataError if that file is damaged (it is left as it is)
    or no source delivers the set.
    """
    check_name(name)
    return fetch_known(name, data_dir, progress) if name in ENTRIES else expanded(name)


def _load(name: str, part: str, folder: Path | None) -> Dataset:
    check_name(name)
    if name not in ENTRIES:
        x, y, classes = read_own(expanded(name), part)
        return make_dataset(name, x, y, classes=classes, scale=1 / 255 if x.dtype == np.uint8 else 1.0)
    entry = ENTRIES[name]
    x, y = read_known(name, part, folder)
    return make_dataset(
        name,
        x,
        y,
        classes=len(entry.class_names),
        scale=entry.scale,
        class_names=entry.class_names,
        x_sha256=entry.digests.get(f"x_{part}", ""),
    )


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name that is too long
        return False
