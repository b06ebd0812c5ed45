"""Reading and writing .npz files."""

from __future__ import annotations

import struct
import tarfile
import tokenize
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import IO

import numpy as np

from hpo.data.catalog import Arrays
from hpo.errors import DataError
from hpo.files import whole_file

# What numpy, zipfile, tarfile, gzip, json and Pillow raise when bytes are damaged.
DAMAGE = (
    OSError,
    ValueError,
    KeyError,
    EOFError,
    RuntimeError,
    SyntaxError,
    MemoryError,
    OverflowError,
    struct.error,
    zlib.error,
    zipfile.BadZipFile,
    tarfile.TarError,
    tokenize.TokenError,
)
Header = tuple[tuple[int, ...], np.dtype]


def read_arrays(path: Path, keys: Iterable[str]) -> Arrays:
    """The arrays under `keys`, and no others. Raises one of `DAMAGE` if they cannot be read."""
    _require_zip(path)
    with np.load(path, allow_pickle=False) as archive:
        arrays = {key: archive[key] for key in keys}
    for key, array in arrays.items():
        if not isinstance(array, np.ndarray):  # numpy hands out other members as bytes
            raise ValueError(f"{key} is not an array")
    return arrays


def write_arrays(path: Path, arrays: Arrays) -> None:
    """Writes an .npz that is either whole or not there, whatever happens. Raises DataError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path, replace=True) as draft:
            np.savez(draft, **arrays)  # type: ignore[arg-type]
    except OSError as error:
        raise DataError(str(path), "must be writable", got=explain(error)) from None


def member_names(path: Path) -> list[str]:
    """The names of the arrays in an .npz file. Raises one of `DAMAGE`."""
    _require_zip(path)
    with zipfile.ZipFile(path) as archive:
        return sorted(name.removesuffix(".npy") for name in archive.namelist())


def read_header(path: Path, key: str) -> Header:
    """Shape and dtype of an array, which is not read. Raises one of `DAMAGE`."""
    with zipfile.ZipFile(path) as archive, archive.open(f"{key}.npy") as member:
        return _header(member)


def read_npy_header(path: Path) -> Header:
    """The same of an .npy file. Raises one of `DAMAGE`."""
    with path.open("rb") as file:
        return _header(file)


def _header(file: IO[bytes]) -> Header:
    old = np.lib.format.read_magic(file) == (1, 0)
    read = np.lib.format.read_array_header_1_0 if old else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file)
    return shape, dtype


def explain(error: BaseException) -> str:
    """The error in one short line."""
    text = " ".join(str(getattr(error, "strerror", None) or getattr(error, "reason", None) or error).split())
    return text[:160] or type(error).__name__


def _require_zip(path: Path) -> None:
    # numpy would take any other file for a pickle, and answer with advice to allow pickles.
    with path.open("rb") as file:
        if not zipfile.is_zipfile(file):
            raise zipfile.BadZipFile("no zip archive, or a truncated one")
