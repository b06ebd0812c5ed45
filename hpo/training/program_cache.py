"""Compiled programs kept on the disk, so that the next worker loads in a quarter of the time to compile.

XLA keeps them, by the program's fingerprint; here is where, for which machine, and how much of it.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import shutil
from importlib.metadata import version
from pathlib import Path

MAX_BYTES = 512 * 1024**2
MIN_FREE_BYTES = 2 * MAX_BYTES
_FLAGS = "TF_XLA_FLAGS"


# Where this process keeps its programs: XLA reads its flags once.
_kept_in: Path | None = None


def flags() -> dict[str, str]:
    """Environment variables with which XLA keeps its programs in the user's cache folder.

    They must be set while TensorFlow is imported and makes its devices. None where the user has set XLA's
    flags, and where the folder cannot be written or the disk is nearly full: a program that XLA cannot keep
    it does not run either.
    """
    global _kept_in
    if _FLAGS in os.environ:
        return {}
    folder = _folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _forget_oldest(folder)
        for file in _files(folder):
            _forget_access(file)
        if not os.access(folder, os.W_OK) or shutil.disk_usage(folder).free < MIN_FREE_BYTES:
            return {}
    except OSError:
        return {}
    _kept_in = folder
    device = "--tf_xla_persistent_cache_device_types=CPU"
    return {_FLAGS: f"--tf_xla_persistent_cache_directory={folder} {device}"}


def discard_read() -> None:
    """Delete the kept programs that this process has read, one of which is damaged.

    XLA's errors do not name the file. Where the disk does not record when files are read, all are deleted.
    """
    files = [] if _kept_in is None else _files(_kept_in)
    read = [file for file in files if _was_read(file)]
    for file in read or files:
        file.unlink(missing_ok=True)


def _forget_access(file: Path) -> None:
    with contextlib.suppress(OSError):
        os.utime(file, ns=(0, file.stat().st_mtime_ns))


def _was_read(file: Path) -> bool:
    try:
        return file.stat().st_atime > 0
    except OSError:  # another worker has deleted it
        return False


def _folder() -> Path:
    """Machine code runs only where it was made: a folder for each TensorFlow and kind of processor."""
    from platformdirs import user_cache_path

    processor = hashlib.sha256(f"{platform.machine()} {_processor_features()}".encode()).hexdigest()[:12]
    return user_cache_path("hpo") / "programs" / f"{version('tensorflow')}-{processor}"


def _processor_features() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith(("flags", "Features")):
                return line
    return platform.processor()


def _forget_oldest(folder: Path) -> None:
    files = sorted(_files(folder), key=lambda file: file.stat().st_mtime, reverse=True)
    kept = 0
    for file in files:
        kept += file.stat().st_size
        if kept > MAX_BYTES:
            file.unlink(missing_ok=True)


def _files(folder: Path) -> list[Path]:
    return [file for file in folder.glob("*") if file.is_file()] if folder.is_dir() else []
