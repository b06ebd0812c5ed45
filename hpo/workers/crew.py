"""Local workers: child processes that share the cores, replaced when they die or grow."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, TypeVar

import psutil

from hpo.errors import WorkerError
from hpo.registry import StoredStudy
from hpo.storage import Storage, passes, reason
from hpo.tables.numbers import counted

POLL_SECONDS = 0.5
MEMORY_SECONDS = 2.0
RELAY_SECONDS = 5.0
# More losses than this within so many seconds are no accident.
MOST_LOSSES = 5
LOSS_SECONDS = 60.0
# With this exit code a worker of a crew says that it can train nothing of what is left: another one would
# not either.
CANNOT_TRAIN = 3
# With this one, that it has come near to its memory, and has ended between two trials.
IS_FULL = 4
# What workers may have together of the machine's memory; one that grows beyond its part is replaced.
MEMORY_SHARE = 0.8
CGROUP_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))

Log = Callable[[str], None]
Result = TypeVar("Result")


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


def run_workers(
    study: StoredStudy,
    *,
    workers: int | None,
    timeout: float | None,
    max_worker_memory: float | None,
    checkpoint_seconds: float,
    look: Callable[[], None],
    log: Log | None,
) -> None:
    """Run workers on the planned trials of a study; see `Study.run`.

    `look` is called about twice a second and at the end. On KeyboardInterrupt the workers finish their epoch
    and put their trials back, then it goes on up.

    Raises:
        WorkerError: workers died again and again, or cannot train the study.
    """
    log, storage = _without_repeats(log or _to_stderr), study.storage

    def left() -> int:
        return len(storage.unfinished(study.id))

    if elsewhere := len(storage.running_elsewhere(study.id)):
        log(f"{study.name}: another program runs {counted(elsewhere, 'trial')}, which hpo leaves alone")
    planned = left()
    if planned == 0:
        return
    asked = workers or cores()
    count = min(asked, planned)
    limit = memory() * MEMORY_SHARE / count if max_worker_memory is None else max_worker_memory * 1024**2
    # By what was asked for, not by what is left: results repeat to the last bit only with as many threads.
    threads = max(1, cores() // asked)
    options = ["--threads", str(threads), "--checkpoint-seconds", str(checkpoint_seconds)]
    options += ["--max-memory", str(max(1.0, limit / 1024**2))]
    crew = _Crew(storage, [study.name, *options], count=count, memory=limit, log=log)
    try:
        crew.work(left, look, deadline=None if timeout is None else time.monotonic() + timeout)
    except KeyboardInterrupt:
        crew.log("Stopping after this epoch. Ctrl-C again stops at once.")
        crew.stop()
        crew.wait_or_insist()
        raise
    finally:
        crew.let_go()
    look()
    if crew.cannot_train is not None and left():
        raise WorkerError(crew.cannot_train)


class _Worker:
    """A child process, and the thread that hands on what it writes."""

    def __init__(self, arguments: Sequence[str], storage: Storage, log: Log) -> None:
        environment = os.environ | {
            "HPO_STORAGE": storage.given,
            "HPO_ARTIFACT_DIR": str(storage.artifacts.path.resolve()),
        }
        options = ["--exit-when-idle", "--stop-on-end-of-input"]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "hpo", "worker", *arguments, *options],
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            # Ctrl-C must reach the parent alone, which tells each worker once: told twice, it ends at once.
            start_new_session=True,
        )
        # As the worker calls itself.
        self.name = f"{socket.gethostname()}-{self.process.pid}"
        self.told = False
        self.last_line = ""
        assert self.process.stderr is not None

        def keep(line: str) -> None:
            self.last_line = line
            log(line)

        self._relay = threading.Thread(target=_relay, args=(self.process.stderr, keep), daemon=True)
        self._relay.start()

    @property
    def runs(self) -> bool:
        return self.process.poll() is None

    @property
    def bytes(self) -> int:
        """Resident memory; 0 of a worker that has ended."""
        try:
            return int(psutil.Process(self.process.pid).memory_info().rss)
        except psutil.Error:
            return 0

    @property
    def is_lost(self) -> bool:
        """Whether it has ended before its work: it died, or had to make room for another one."""
        return not self.runs and (self.told or self.process.returncode not in (0, CANNOT_TRAIN))

    @property
    def is_full(self) -> bool:
        """Whether it has ended to make room for another one, between two trials."""
        return not self.runs and self.process.returncode == IS_FULL

    @property
    def cannot_train(self) -> bool:
        """Whether it has ended because what is left cannot be trained, as its last line says."""
        return not self.runs and self.process.returncode == CANNOT_TRAIN

    def stop(self) -> None:
        """Let it put its trial back after its epoch; it may have been told to already."""
        if not self.told:
            self.insist()

    def insist(self) -> None:
        """As `stop`; one that has been told ends at once."""
        if self.runs:
            self.told = True
            self.process.terminate()

    def let_go(self) -> None:
        """Close its input, which stops it if it still runs."""
        assert self.process.stdin is not None
        self.process.stdin.close()

    def join(self) -> None:
        """Wait for its end and its last lines."""
        self.process.wait()
        self._relay.join(RELAY_SECONDS)


class _Crew:
    """So many workers, each of which is replaced if it dies or grows beyond `memory` bytes."""

    def __init__(
        self, storage: Storage, arguments: Sequence[str], *, count: int, memory: float, log: Log
    ) -> None:
        self._storage, self._arguments, self._memory, self.log = storage, arguments, memory, log
        self._losses: deque[float] = deque()
        self._last_measured = time.monotonic()
        self._unreachable = False
        self._workers = [self._start() for _ in range(count)]

    def work(self, left: Callable[[], int], look: Callable[[], None], *, deadline: float | None) -> None:
        """Watch over the workers until they have ended; tell them to stop at the deadline."""
        stopping = False
        while any(worker.runs or (worker.is_lost and not stopping) for worker in self._workers):
            self._outlasting(look)
            if not stopping and deadline is not None and time.monotonic() >= deadline:
                stopping = True
                self.stop()
            self._wait()
            if not stopping:
                self._measure()
                self._replace(left)

    @property
    def cannot_train(self) -> str | None:
        """Why a worker has ended before all trials had; None if none has."""
        return next((worker.last_line for worker in self._workers if worker.cannot_train), None)

    def stop(self) -> None:
        """Tell every worker to put its trial back after its epoch."""
        for worker in self._workers:
            worker.stop()

    def wait_or_insist(self) -> None:
        """Wait for workers that were told to stop; a second Ctrl-C ends them at once."""
        try:
            for worker in self._workers:
                worker.process.wait()
        except KeyboardInterrupt:
            for worker in self._workers:
                worker.insist()
            for worker in self._workers:
                worker.process.wait()

    def let_go(self) -> None:
        """Stop the workers that still run; wait for all and their last lines."""
        for worker in self._workers:
            worker.let_go()
        for worker in self._workers:
            worker.join()

    def _start(self) -> _Worker:
        return _Worker(self._arguments, self._storage, self.log)

    def _measure(self) -> None:
        if time.monotonic() - self._last_measured < MEMORY_SECONDS:
            return
        self._last_measured = time.monotonic()
        for worker in self._workers:
            if not worker.told and (used := worker.bytes) > self._memory:
                self.log(
                    f"worker {worker.name} uses {used / 1024**2:,.0f} MiB, more than its"
                    f" {self._memory / 1024**2:,.0f}: replaced after its epoch"
                )
                worker.stop()

    def _wait(self) -> None:
        """Wait a moment, or until the first worker that still runs has ended."""
        running = next((worker.process for worker in self._workers if worker.runs), None)
        if running is None:
            time.sleep(POLL_SECONDS)
            return
        with contextlib.suppress(subprocess.TimeoutExpired):
            running.wait(POLL_SECONDS)

    def _replace(self, left: Callable[[], int]) -> None:
        for worker in [worker for worker in self._workers if worker.is_lost]:
            unfinished = self._outlasting(lambda name=worker.name: self._leave(name, left))  # type: ignore[misc]
            if unfinished is None:
                return  # until the storage answers
            worker.let_go()
            worker.join()
            self._workers.remove(worker)
            if unfinished:
                if worker.is_full and not worker.told:
                    self.log(f"worker {worker.name} is full of programs: another one takes its place")
                else:
                    self._count_loss(worker, unfinished)
                self._workers.append(self._start())

    def _leave(self, name: str, left: Callable[[], int]) -> int:
        """Free the trials of a worker that has ended; returns how many are to train."""
        self._storage.expire_leases(name)
        return left()

    def _count_loss(self, worker: _Worker, unfinished: int) -> None:
        how = "outgrew its memory" if worker.told else f"died ({_ending(worker.process.returncode)})"
        now = time.monotonic()
        self._losses.append(now)
        while self._losses[0] < now - LOSS_SECONDS:
            self._losses.popleft()
        if len(self._losses) > MOST_LOSSES:
            raise WorkerError(
                f"{len(self._losses)} workers were lost in {LOSS_SECONDS:.0f} s, the last one {how};"
                f" trials left: {unfinished}"
            )
        self.log(f"worker {worker.name} {how}: another one takes its place")

    def _outlasting(self, action: Callable[[], Result]) -> Result | None:
        """What an action on the storage returns; None, said once, while the storage does not answer."""
        try:
            result = action()
        except Exception as error:
            if not passes(error):
                raise
            if not self._unreachable:
                self.log(f"the storage does not answer, waiting for it: {reason(error)}")
            self._unreachable = True
            return None
        self._unreachable = False
        return result


def _ending(code: int) -> str:
    return f"exit code {code}" if code >= 0 else signal.Signals(-code).name


def _relay(stream: IO[bytes], log: Log) -> None:
    with stream:
        for line in stream:
            log(line.decode(errors="replace").rstrip())


def _without_repeats(log: Log) -> Log:
    """Several workers tell of the same fault in the same line: it is handed on once in a row."""
    last = ""

    def hand_on(line: str) -> None:
        nonlocal last
        # A traceback may have lines alike, which are indented or empty.
        if line != last or not line[:1].strip():
            last = line
            log(line)

    return hand_on


def _to_stderr(line: str) -> None:
    print(line, file=sys.stderr)
