"""A crew: so many workers of one study, wherever an engine starts them, replaced when they die or grow."""

from __future__ import annotations

import contextlib
import itertools
import os
import socket
import sys
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TypeVar

from hpo.errors import HpoError, WorkerError
from hpo.registry import StoredStudy
from hpo.storage import Storage, passes, reason
from hpo.tables.numbers import counted
from hpo.trials import CHECKPOINT_SECONDS
from hpo.workers.engines import Engine, Handle, Log, WorkerOptions
from hpo.workers.engines.local import LocalEngine

POLL_SECONDS = 0.5
MEMORY_SECONDS = 2.0
# More losses than this within so many seconds are no accident.
MOST_LOSSES = 5
LOSS_SECONDS = 60.0

Result = TypeVar("Result")


def run_workers(
    study: StoredStudy,
    *,
    workers: int | None = None,
    timeout: float | None = None,
    max_worker_memory: float | None = None,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
    look: Callable[[], None] = lambda: None,
    log: Log | None = None,
    engine: Callable[[], Engine] = LocalEngine,
) -> None:
    """Run workers on the planned trials of a study; see `Study.run`.

    `look` is called about twice a second and at the end. On KeyboardInterrupt the workers finish their epoch
    and put their trials back, then it goes on up.

    Raises:
        HpoError: the engine or the storage is not for workers there, or for so many.
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
    with contextlib.closing(engine()) as started:
        asked = workers or started.capacity
        count = min(asked, planned)
        started.check(storage)
        _check_room(storage, count)
        if started.notice is not None:
            log(started.notice)

        def limit(count: int) -> float:
            return started.memory(count) if max_worker_memory is None else max_worker_memory * 1024**2

        # By what was asked for, not by what is left: results repeat bit for bit only with as many threads.
        threads = started.threads(asked)
        begun = f"{socket.gethostname()}-{os.getpid()}"
        options = WorkerOptions(begun, study.name, storage, threads, limit(count), checkpoint_seconds, log)
        # Of an earlier run.
        study.workers = None
        crew = _Crew(started, options, count=count)
        try:
            crew.work(
                left,
                look,
                partial(_scale, crew, study, left, limit),
                deadline=None if timeout is None else time.monotonic() + timeout,
            )
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


def _scale(crew: _Crew, study: StoredStudy, left: Callable[[], int], limit: Callable[[int], float]) -> None:
    """Let a crew have as many workers as somebody wants by now, each of which may take `limit` bytes.

    As at the begin, there are no more of them than trials.
    """
    wanted = study.workers
    if wanted is None or wanted == crew.asked:
        return
    count = min(wanted, left())
    try:
        _check_room(study.storage, count - crew.count)
    except HpoError as error:
        study.workers = None
        crew.log(str(error))
        return
    crew.asked = wanted
    if count != crew.count:
        crew.resize(count, limit(count))


class _Crew:
    """So many workers, each of which is replaced if it dies or grows beyond its memory."""

    def __init__(self, engine: Engine, options: WorkerOptions, *, count: int) -> None:
        self._engine, self._options, self.log = engine, options, options.log
        self._numbers = itertools.count(1)
        self._losses: deque[float] = deque()
        self._last_measured = time.monotonic()
        self._unreachable = False
        # As many as somebody wants; there are fewer if fewer trials are left.
        self.asked = count
        self._workers = [self._start() for _ in range(count)]
        # Who was told to go, as there are to be fewer.
        self._leaving: list[Handle] = []

    def work(
        self,
        left: Callable[[], int],
        look: Callable[[], None],
        resize: Callable[[], None],
        *,
        deadline: float | None,
    ) -> None:
        """Watch over the workers until they have ended; tell them to stop at the deadline."""
        stopping = False
        while any(worker.is_running or (worker.is_lost and not stopping) for worker in self._workers):
            self._outlasting(look)
            if not stopping and deadline is not None and time.monotonic() >= deadline:
                stopping = True
                self.stop()
            self._wait()
            if not stopping and self._is_idle(left):
                stopping = True
                self.stop()
            if not stopping:
                self._measure()
                self._replace(left)
                self._outlasting(resize)

    @property
    def count(self) -> int:
        """How many workers there are, without those that were told to go."""
        return len(self._workers)

    def resize(self, count: int, memory: float) -> None:
        """Have so many workers, each of which may take so many bytes: the first, and new ones."""
        self.log(f"{self._options.study}: {counted(count, 'worker')} in place of {self.count}")
        self._options = replace(self._options, memory=memory)
        self._workers, superfluous = self._workers[:count], self._workers[count:]
        for worker in superfluous:
            worker.stop()
        self._leaving += superfluous
        self._workers += [self._start() for _ in range(count - len(self._workers))]

    def _is_idle(self, left: Callable[[], int]) -> bool:
        """Whether the workers that still run wait for machines, and others have trained everything."""
        running = [worker for worker in self._workers if worker.is_running]
        return bool(running) and all(w.is_waiting for w in running) and self._outlasting(left) == 0

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
            for worker in (*self._workers, *self._leaving):
                worker.wait()
        except KeyboardInterrupt:
            for worker in (*self._workers, *self._leaving):
                worker.insist()
            for worker in (*self._workers, *self._leaving):
                worker.wait()

    def let_go(self) -> None:
        """Stop the workers that still run; wait for all and their last lines."""
        for worker in (*self._workers, *self._leaving):
            worker.release()
        for worker in (*self._workers, *self._leaving):
            worker.close()

    def _start(self) -> Handle:
        name = f"{self._options.name}-{next(self._numbers)}"
        return self._engine.start(replace(self._options, name=name))

    def _measure(self) -> None:
        if time.monotonic() - self._last_measured < MEMORY_SECONDS:
            return
        self._last_measured = time.monotonic()
        for worker in self._workers:
            if not worker.told and (used := worker.memory) > self._options.memory:
                self.log(
                    f"worker {worker.name} uses {used / 1024**2:,.0f} MiB, more than its"
                    f" {self._options.memory / 1024**2:,.0f}: replaced after its epoch"
                )
                worker.stop()

    def _wait(self) -> None:
        """Wait a moment, or until the first worker that still runs has ended."""
        running = next((worker for worker in self._workers if worker.is_running), None)
        if running is None:
            time.sleep(POLL_SECONDS)
        else:
            running.wait(POLL_SECONDS)

    def _replace(self, left: Callable[[], int]) -> None:
        for worker in [worker for worker in self._workers if worker.is_lost]:
            unfinished = self._outlasting(lambda name=worker.name: self._leave(name, left))  # type: ignore[misc]
            if unfinished is None:
                return  # until the storage answers
            worker.close()
            self._workers.remove(worker)
            if unfinished:
                if worker.is_full and not worker.told:
                    self.log(f"worker {worker.name} is full of programs: another one takes its place")
                else:
                    self._count_loss(worker, unfinished)
                self._workers.append(self._start())

    def _leave(self, name: str, left: Callable[[], int]) -> int:
        """Free the trials of a worker that has ended; returns how many are to train."""
        self._options.storage.expire_leases(name)
        return left()

    def _count_loss(self, worker: Handle, unfinished: int) -> None:
        how = "outgrew its memory" if worker.told else f"died ({worker.ending})"
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


def _check_room(storage: Storage, workers: int) -> None:
    """Raises HpoError for more workers than the database has connections for."""
    room = storage.room_for_workers()
    if room is not None and workers > room:
        rule = f"must be at most {room}, as many as {storage.place} has connections left for, 2 a worker"
        remedy = "Raise its max_connections, or put a pooler such as PgBouncer before it."
        raise HpoError("--workers", rule, got=workers, remedy=remedy)


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
