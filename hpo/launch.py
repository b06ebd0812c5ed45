"""Local workers: child processes that share the cores, watched until the study is done."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import IO

from hpo.errors import WorkerError
from hpo.storage import Storage

POLL_SECONDS = 0.5
RELAY_SECONDS = 5.0

Process = subprocess.Popen[bytes]


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_workers(
    storage: Storage,
    study: str,
    *,
    left: Callable[[], int],
    workers: int | None,
    timeout: float | None,
    look: Callable[[], None],
    log: Callable[[str], None] | None,
) -> None:
    """Run workers on the planned trials of the study of that name; see `Study.run`.

    `left` counts the trials that are not finished; `look` is called about twice a second and at the end.
    On KeyboardInterrupt the workers finish their epoch and put their trials back, then it goes on up.
    """
    planned = left()
    if planned == 0:
        return
    count = min(workers or cores(), planned)
    threads = max(1, cores() // count)
    deadline = None if timeout is None else time.monotonic() + timeout
    started = [_start(storage, study, threads, log or _to_stderr) for _ in range(count)]
    processes = [process for process, _ in started]
    try:
        stopped = _watch_over(processes, deadline, look)
    except KeyboardInterrupt:
        (log or _to_stderr)("Stopping after this epoch. Ctrl-C again stops at once.")
        _terminate(processes)
        _wait_or_insist(processes)
        raise
    finally:
        _let_go(started)
    look()
    # What is told to stop before it can listen ends by the signal.
    harmless = (0, -signal.SIGTERM) if stopped else (0,)
    died = [process.returncode for process in processes if process.returncode not in harmless]
    if died and (lost := left()):
        codes = ", ".join(str(code) for code in died)
        raise WorkerError(f"{len(died)} of {count} workers died (exit codes {codes}) and left {lost} trials")


def _watch_over(processes: Sequence[Process], deadline: float | None, look: Callable[[], object]) -> bool:
    """Wait for all workers to end, telling them to stop at the deadline; returns whether they were told."""
    stopped = False
    while any(process.poll() is None for process in processes):
        look()
        if not stopped and deadline is not None and time.monotonic() >= deadline:
            stopped = True
            _terminate(processes)
        _wait(processes, POLL_SECONDS)
    return stopped


def _start(
    storage: Storage, study: str, threads: int, log: Callable[[str], None]
) -> tuple[Process, threading.Thread]:
    environment = os.environ | {
        "HPO_STORAGE": storage.url,
        "HPO_ARTIFACT_DIR": str(storage.artifact_dir.resolve()),
    }
    options = ["--exit-when-idle", "--stop-on-end-of-input", "--threads", str(threads)]
    process = subprocess.Popen(
        [sys.executable, "-m", "hpo", "worker", study, *options],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
        # Ctrl-C must reach the parent alone, which tells each worker once: a second signal ends it at once.
        start_new_session=True,
    )
    assert process.stderr is not None
    relay = threading.Thread(target=_relay, args=(process.stderr, log), daemon=True)
    relay.start()
    return process, relay


def _let_go(started: Sequence[tuple[Process, threading.Thread]]) -> None:
    """Close the workers' input, which stops those that still run; wait for them and their last lines."""
    for process, _ in started:
        assert process.stdin is not None
        process.stdin.close()
    for process, relay in started:
        process.wait()
        relay.join(RELAY_SECONDS)


def _relay(stream: IO[bytes], log: Callable[[str], None]) -> None:
    with stream:
        for line in stream:
            log(line.decode(errors="replace").rstrip())


def _to_stderr(line: str) -> None:
    print(line, file=sys.stderr)


def _terminate(processes: Sequence[Process]) -> None:
    for process in processes:
        if process.poll() is None:
            process.terminate()


def _wait(processes: Sequence[Process], seconds: float) -> None:
    """Wait so long, or until the first process that still runs has ended."""
    running = next((process for process in processes if process.poll() is None), None)
    if running is not None:
        try:
            running.wait(seconds)
        except subprocess.TimeoutExpired:
            return


def _wait_or_insist(processes: Sequence[Process]) -> None:
    """Wait for workers that were told to stop; a second Ctrl-C ends them at once."""
    try:
        for process in processes:
            process.wait()
    except KeyboardInterrupt:
        _terminate(processes)
        for process in processes:
            process.wait()
