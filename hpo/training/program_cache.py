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


def enable() -> None:
    """Let XLA keep its programs in the user's cache folder; before TensorFlow is imported.

    Leaves XLA alone where the user has set its flags, and where the folder cannot be written or the disk is
    nearly full: a program that XLA cannot keep it does not run either.
    """
    if _FLAGS in os.environ:
        return
    folder = _folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _forget_oldest(folder)
        if not os.access(folder, os.W_OK) or shutil.disk_usage(folder).free < MIN_FREE_BYTES:
            return
    except OSError:
        return
    os.environ[_FLAGS] = (
        f"--tf_xla_persistent_cache_directory={folder} --tf_xla_persistent_cache_device_types=CPU"
    )


def discard() -> bool:
    """Delete the kept programs, one of which may be damaged; False if none are kept for this process."""
    if str(_folder()) not in os.environ.get(_FLAGS, ""):
        return False
    files = _files(_folder())
    for file in files:
        file.unlink(missing_ok=True)
    return bool(files)


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
