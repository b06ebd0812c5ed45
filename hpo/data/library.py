"""Data sets by name or path: known ones, which are fetched and checked, and people's own files."""

from __future__ import annotations

import difflib
import logging
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from hpo.data.archive import (
    DAMAGE,
    explain,
    has_test_part,
    read_arrays,
    read_labels,
    read_user,
    write_arrays,
)
from hpo.data.catalog import ENTRIES, KEYS, Arrays, Entry, mismatch, normalised
from hpo.data.dataset import Dataset, make_dataset
from hpo.data.sources import SOURCES, SourceError
from hpo.data.splits import check_split, stratified_split
from hpo.errors import DataError

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


def data_dir() -> Path:
    """The folder of downloaded sets: `HPO_DATA_DIR`, or the user's cache folder."""
    from platformdirs import user_cache_path

    given = os.environ.get("HPO_DATA_DIR")
    return Path(given).expanduser() if given else user_cache_path("hpo")


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


def check_name(name: str) -> None:
    """Raises DataError unless `name` is a known set or an existing .npz file; loads nothing."""
    if name in ENTRIES:
        return
    if name.endswith(".npz"):
        if not _is_file(name):
            raise DataError("data set", "must be an existing .npz file", got=name)
        return
    close = difflib.get_close_matches(name.lower(), ENTRIES, n=1)
    remedy = f"Did you mean {close[0]!r}?" if close else f"Known sets: {', '.join(ENTRIES)}."
    raise DataError("data set", "must be a known name or a path that ends with .npz", got=name, remedy=remedy)


def load_train(name: str, *, data_dir: Path | None = None) -> Dataset:
    """The training part of a known set, fetched if need be, or of a user's .npz. Raises DataError."""
    return _load(name, "train", data_dir)


def train_samples(name: str, *, fraction: float | None, folds: int | None, seed: int) -> int:
    """How many training samples a set has. Of a user's file the labels are read and split for a trial.

    Neither fetches a known set nor reads samples.

    Raises:
        DataError: the name is unknown, labels are no classes, a class is only in the test part, or some part
            of the split would lack a class.
    """
    check_name(name)
    if name in ENTRIES:
        return ENTRIES[name].train_samples
    y = read_labels(resolved(name)).y
    check_split(y, fraction=fraction, folds=folds, seed=seed)
    return len(y)


def samples_of_test_part(name: str) -> int | None:
    """How many samples the test part of a set has; None without one. Reads no samples, and fetches nothing.

    Raises:
        DataError: the name is unknown, or the labels of either part break a rule.
    """
    check_name(name)
    if name in ENTRIES:
        return ENTRIES[name].test_samples
    return read_labels(resolved(name)).test_samples


def digest_of_test_part(name: str, *, data_dir: Path | None = None) -> str | None:
    """The digest of the test part of a set; None if it has none. Raises DataError."""
    check_name(name)
    if name not in ENTRIES and not has_test_part(resolved(name)):
        return None
    return load_test(name, data_dir=data_dir).digest


def load_test(name: str, *, data_dir: Path | None = None) -> Dataset:
    """The test part, with the training part's classes. Raises DataError, also if there is none."""
    return _load(name, "test", data_dir)


def fetch(name: str, *, data_dir: Path | None = None, progress: Progress | None = None) -> Path:
    """Makes sure that a set is at hand and whole, and returns its file.

    Downloads nothing if the file is there. Raises DataError if that file is damaged (it is left as it is)
    or no source delivers the set.
    """
    check_name(name)
    if name not in ENTRIES:
        return resolved(name)
    if name == "digits":
        import sklearn.datasets

        return Path(sklearn.datasets.__file__).parent / "data" / "digits.csv.gz"
    path = _file(name, data_dir)
    if path.exists():
        _read_known(ENTRIES[name], path, KEYS)
        return path
    _check_writable(path.parent)
    write_arrays(path, _from_sources(ENTRIES[name], path, progress))
    log.info("%s: stored as %s", name, path)
    return path


def _load(name: str, part: str, folder: Path | None) -> Dataset:
    check_name(name)
    if name not in ENTRIES:
        x, y, classes = read_user(resolved(name), part)
        return make_dataset(name, x, y, classes=classes, scale=1 / 255 if x.dtype == np.uint8 else 1.0)
    entry = ENTRIES[name]
    if name == "digits":
        x, y = _digits(part)
    else:
        path = _file(name, folder)
        if not path.exists():
            fetch(name, data_dir=folder)
        x, y = _read_known(entry, path, (f"x_{part}", f"y_{part}")).values()
    return make_dataset(
        name,
        x,
        y,
        classes=len(entry.class_names),
        scale=entry.scale,
        class_names=entry.class_names,
        x_sha256=entry.digests.get(f"x_{part}", ""),
    )


def _digits(part: str) -> tuple[np.ndarray, np.ndarray]:
    from sklearn.datasets import load_digits

    digits = load_digits()
    train, test = stratified_split(digits.target, fraction=0.2, seed=0)
    chosen = train if part == "train" else test
    return digits.images[chosen].astype(np.uint8), digits.target[chosen]


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


def resolved(name: str) -> Path:
    """The path of a user's file: `~` and environment variables stand for what they are."""
    return Path(os.path.expandvars(name)).expanduser()


def _is_file(name: str) -> bool:
    try:
        return resolved(name).is_file()
    except (OSError, RuntimeError, ValueError):  # a name too long, a home folder nobody has
        return False


def _check_writable(folder: Path) -> None:
    """Refuses before a long download what would fail after it."""
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK):
        raise DataError(str(folder), "must be a writable folder", remedy="Set HPO_DATA_DIR to one.")
