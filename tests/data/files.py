"""What the tests of data share."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest

from hpo.errors import DataError

FLOAT = np.zeros((6, 3), np.float32)
LABELS = np.array([0, 1, 2, 0, 1, 2])


def error_of(call, *arguments, **options) -> str:
    with pytest.raises(DataError) as caught:
        call(*arguments, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def save(path: Path, **arrays: np.ndarray) -> str:
    np.savez(path, **arrays)
    return str(path)


def spoil(path: Path, key: str) -> None:
    """Overwrites bytes in the middle of one array of an .npz file."""
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo(f"{key}.npy")
    with path.open("r+b") as file:
        file.seek(info.header_offset + 128 + info.compress_size // 2)
        file.write(b"\xa5\x5a\xa5\x5a")
