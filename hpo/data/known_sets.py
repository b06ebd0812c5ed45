"""The known sets in this machine's folder: fetched, checked and read."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np

from hpo.data.archive import DAMAGE, explain, read_arrays, write_arrays
from hpo.data.catalog import ENTRIES, KEYS, Arrays, Entry, mismatch, normalised
from hpo.data.sources import SOURCES, SourceError
from hpo.data.splits import stratified_split
from hpo.errors import DataError
from hpo.files import data_dir

Progress = Callable[[str, int, int | None], None]  # what, bytes done, bytes in total if known
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class KnownSet:
    """What is known of a set by name; `present` says whether it can be loaded without a download."""

    name: str
    summary: str
    sample_shape: tuple[int, ...]
    train_samples: int
    test_samples: int
    classes: int
    download_bytes: int
    present: bool


def known(*, data_dir: Path | None = None) -> list[KnownSet]:
    """The sets that can be asked for by name."""
    return [
        KnownSet(
            name=entry.name,
            summary=entry.summary,
            sample_shape=entry.sample_shape,
            train_samples=entry.train_samples,
            test_samples=entry.test_samples,
            classes=len(entry.class_names),
            download_bytes=entry.download_bytes,
            present=entry.name == "digits" or _file(entry.name, data_dir).exists(),
        )
        for entry in ENTRIES.values()
    ]


def fetch_known(name: str, folder: Path | None, progress: Progress | None) -> Path:
    """Makes sure that a known set is at hand and whole, and returns its file. Raises DataError."""
    if name == "digits":
        import sklearn.datasets

        return Path(sklearn.datasets.__file__).parent / "data" / "digits.csv.gz"
    path = _file(name, folder)
    if path.exists():
        _read_known(ENTRIES[name], path, KEYS)
        return path
    _check_writable(path.parent)
    write_arrays(path, _from_sources(ENTRIES[name], path, progress))
    log.info("%s: stored as %s", name, path)
    return path


def read_known(name: str, part: str, folder: Path | None) -> tuple[np.ndarray, np.ndarray]:
    """(x, y) of a part of a known set, fetched if need be, as uint8. Raises DataError."""
    if name == "digits":
        return _digits(part)
    path = _file(name, folder)
    if not path.exists():
        fetch_known(name, folder, None)
    x, y = _read_known(ENTRIES[name], path, (f"x_{part}", f"y_{part}")).values()
    return x, y


def _digits(part: str) -> tuple[np.ndarray, np.ndarray]:
    images, labels = _all_digits()
    train, test = stratified_split(labels, fraction=0.2, seed=0)
    chosen = train if part == "train" else test
    return images[chosen], labels[chosen]


@cache
def _all_digits() -> tuple[np.ndarray, np.ndarray]:
    """A compressed text, which takes 20 ms to read, for 115 kB to keep."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    return digits.images.astype(np.uint8), digits.target


def _read_known(entry: Entry, path: Path, keys: tuple[str, ...]) -> Arrays:
    remedy = f"Delete it and fetch {entry.name} again."
    try:
        arrays = normalised(read_arrays(path, keys))
    except PermissionError as error:
        raise DataError(str(path), "must be readable", got=explain(error)) from None
    except DAMAGE as error:
        raise DataError(str(path), "must be a whole .npz file", got=explain(error), remedy=remedy) from None
    if difference := mismatch(entry, arrays):
        raise DataError(str(path), f"must hold the known {entry.name} arrays", got=difference, remedy=remedy)
    return arrays


def _from_sources(entry: Entry, path: Path, progress: Progress | None) -> Arrays:
    failures = []
    for source in SOURCES[entry.name]:
        log.info("%s: trying %s", entry.name, source.what)
        report = partial(progress or _silent, f"{entry.name}: {source.what}")
        try:
            with tempfile.TemporaryDirectory(prefix="hpo-") as work:
                arrays = normalised(source.get(Path(work), report))
            if difference := mismatch(entry, arrays):
                raise SourceError(f"delivered {difference}")
            return arrays
        except DAMAGE as error:
            failures.append(f"{source.what}: {explain(error)}")
            log.info("%s: %s", entry.name, failures[-1])
    remedy = (
        f"Put {path.name} with x_train y_train x_test y_test into {path.parent}, "
        "or set HPO_DATA_DIR to the folder that has it."
    )
    raise DataError(
        f"data set {entry.name}", "a source must deliver it", got="; ".join(failures), remedy=remedy
    )


def _silent(_what: str, _done: int, _total: int | None) -> None:
    pass


def _file(name: str, folder: Path | None) -> Path:
    return (data_dir() if folder is None else Path(folder)) / f"{name}.npz"


def _check_writable(folder: Path) -> None:
    """Refuses before a long download what would fail after it."""
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK):
        raise DataError(str(folder), "must be a writable folder", remedy="Set HPO_DATA_DIR to one.")
