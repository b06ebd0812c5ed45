"""Workers as child processes on this machine."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO

import psutil

from hpo.workers.engines.contract import Engine, Handle, Log, WorkerOptions

RELAY_SECONDS = 5.0
# What workers may have together of the machine's memory; one that grows beyond its part is replaced.
MEMORY_SHARE = 0.8
CGROUP_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def memory() -> int:
    """Bytes of memory that this process may use: the machine's, or its container's if that has less."""
    total = int(psutil.virtual_memory().total)
    for path in CGROUP_LIMITS:
        try:
            total = min(total, int(path.read_text()))
        except (OSError, ValueError):  # no such file, or "max"
            continue
    return total


class LocalHandle(Handle):
    """A child process, and the thread that hands on what it writes."""

    def __init__(self, options: WorkerOptions) -> None:
        super().__init__(options.name)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "hpo", "worker", *options.arguments],
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=os.environ | options.environment,
            # Ctrl-C must reach the parent alone, which tells each worker once: told twice, it ends at once.
            start_new_session=True,
        )
        assert self.process.stderr is not None

        def keep(line: str) -> None:
            self.last_line = line
            options.log(line)

        self._relay = threading.Thread(target=relay, args=(self.process.stderr, keep), daemon=True)
        self._relay.start()

    @property
    def exit_code(self) -> int | None:
        return self.process.poll()

    @property
    def memory(self) -> int:
        try:
            return int(psutil.Process(self.process.pid).memory_info().rss)
        except psutil.Error:
            return 0

    def insist(self) -> None:
        if self.is_running:
            self.told = True
            self.process.terminate()

    def wait(self, seconds: float | None = None) -> None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(seconds)

    def release(self) -> None:
        # Its input ends.
        assert self.process.stdin is not None
        self.process.stdin.close()

    def close(self) -> None:
        self.release()
        self.process.wait()
        self._relay.join(RELAY_SECONDS)


class LocalEngine(Engine):
    """The crew of one machine."""

    @property
    def capacity(self) -> int:
        return cores()

    def threads(self, workers: int) -> int:
        return max(1, cores() // workers)

    def memory(self, workers: int) -> float:
        return memory() * MEMORY_SHARE / workers

    def start(self, options: WorkerOptions) -> LocalHandle:
        return LocalHandle(options)


def relay(stream: IO[bytes], log: Log) -> None:
    """Hand on each line, until there are no more."""
    with stream:
        for line in stream:
            log(line.decode(errors="replace").rstrip())
