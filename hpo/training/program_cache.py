"""Compiled programs kept on the disk, so that the next worker loads in a quarter of the time to compile.

XLA keeps them, by the program's fingerprint; here is where, for which machine, how much of it, and which of
them are damaged. XLA does not check what it loads: with a damaged one it either fails, in one of many ways
that seldom name the file ("Read less bytes than requested", "Serialized cache key does not match", "st_name
is past the end of the string table"), or runs it, and an illegal instruction ends the process (2 of 15
programs with 300 bytes of noise). So the checksum of each is noted when it has been written, and compared
before XLA begins: 30 ms for 74 MB. One without a checksum is of a process that was killed, or of version 0.1.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import shutil
import zlib
from importlib.metadata import version
from pathlib import Path

MAX_BYTES = 512 * 1024**2
MIN_FREE_BYTES = 2 * MAX_BYTES
_FLAGS = "TF_XLA_FLAGS"
# A line for each program: its file's name and CRC-32. To append a line is atomic, so workers can share it.
_CHECKSUMS = "checksums"


class ProgramCache:
    """The programs that this process keeps and loads, in a folder that it shares with others."""

    def __init__(self) -> None:
        self._folder: Path | None = None
        self._noted: set[str] = set()

    def open(self) -> dict[str, str]:
        """The environment in which XLA keeps its programs in the user's cache folder; it is read once.

        Empty where the user has set XLA's flags, and where the folder cannot be written or the disk is nearly
        full: a program that XLA cannot keep it does not run either.
        """
        if _FLAGS in os.environ:
            return {}
        folder = _user_folder()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            _forget_oldest(folder)
            if not os.access(folder, os.W_OK) or shutil.disk_usage(folder).free < MIN_FREE_BYTES:
                return {}
        except OSError:
            return {}
        self._folder = folder
        self.discard_damaged()
        self._noted = {file.name for file in _programs(folder)}
        directory = f"--tf_xla_persistent_cache_directory={folder}"
        return {_FLAGS: f"{directory} --tf_xla_persistent_cache_device_types=CPU"}

    @property
    def is_open(self) -> bool:
        """Whether programs are kept for this process."""
        return self._folder is not None

    def note(self) -> None:
        """Note the checksums of programs that have been written since the last call."""
        if self._folder is None:
            return
        with contextlib.suppress(OSError):
            for file in _programs(self._folder):
                if file.name not in self._noted:
                    self._noted.add(file.name)
                    line = f"{file.name} {_checksum(file)}\n"
                    with (self._folder / _CHECKSUMS).open("a", encoding="utf-8") as checksums:
                        checksums.write(line)

    def discard_damaged(self) -> bool:
        """Delete the programs that are not known to be as they were written; whether there were any."""
        if self._folder is None:
            return False
        noted = _noted(self._folder)
        damaged = [file for file in _programs(self._folder) if _is_damaged(file, noted)]
        self._delete(damaged)
        return bool(damaged)

    def discard(self) -> None:
        """Delete every program: one of them is of no use, and nothing tells which."""
        if self._folder is not None:
            self._delete(_programs(self._folder))

    def _delete(self, files: list[Path]) -> None:
        for file in files:
            # The next one of that name is another one.
            self._noted.discard(file.name)
            with contextlib.suppress(OSError):
                file.unlink(missing_ok=True)


CACHE = ProgramCache()


def _is_damaged(file: Path, noted: dict[str, str]) -> bool:
    """Whether it is not what was noted of it; if another worker has deleted it, it is no more."""
    with contextlib.suppress(OSError):
        return _checksum(file) != noted.get(file.name)
    return False


def _noted(folder: Path) -> dict[str, str]:
    with contextlib.suppress(OSError):
        lines = (folder / _CHECKSUMS).read_text(encoding="utf-8", errors="replace").splitlines()
        return dict(line.split(" ", 1) for line in lines if " " in line)
    return {}


def _checksum(file: Path) -> str:
    return f"{zlib.crc32(file.read_bytes()):08x}"


def _user_folder() -> Path:
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
    files = sorted(_programs(folder), key=lambda file: file.stat().st_mtime, reverse=True)
    kept = 0
    for file in files:
        kept += file.stat().st_size
        if kept > MAX_BYTES:
            file.unlink(missing_ok=True)


def _programs(folder: Path) -> list[Path]:
    return [file for file in folder.glob("*.pb") if file.is_file()]
