"""Measurements in processes of their own, with so many threads, that begin together."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

ROOT = Path(__file__).parents[3]
_READY = "ready to be measured"
_THREADS = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")
# What a shell may have set and what would change what is measured.
_OTHERS = ("TF_XLA_FLAGS", "XLA_FLAGS", "HPO_STORAGE", "HPO_ARTIFACT_DIR")


class MeasurementError(Exception):
    """A process that was measured has failed."""


def environment(*, threads: int | None = None, root: Path = ROOT, **more: str) -> dict[str, str]:
    """This one, with the modules below `root`; without `threads` each program takes those of its choice."""
    kept = {name: value for name, value in os.environ.items() if name not in _THREADS + _OTHERS}
    limits = {} if threads is None else dict.fromkeys(_THREADS, str(threads))
    return kept | limits | {"PYTHONPATH": str(root), "TF_CPP_MIN_LOG_LEVEL": "3"} | more


def measured(module: str, *arguments: str, threads: int | None, processes: int = 1) -> list[dict[str, float]]:
    """What a module of this package says of its work, in each of so many processes that begin together.

    Raises MeasurementError.
    """
    with contextlib.ExitStack() as stack:
        running = []
        for _ in range(processes):
            errors = stack.enter_context(tempfile.TemporaryFile("w+"))
            running.append((stack.enter_context(_started(module, arguments, threads, errors)), errors))
        for process, errors in running:
            assert process.stdout is not None
            if not any(line.strip() == _READY for line in process.stdout):
                raise _failed(process.wait(), module, errors)
        for process, _ in running:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
        return [_said(process, module, errors) for process, errors in running]


def begin() -> None:
    """In a measurement, once it has warmed up: goes on when all that are measured with it have, too."""
    print(f"\n{_READY}", flush=True)
    sys.stdin.readline()


def say(**figures: float) -> None:
    """In a measurement, at its end: what it has found."""
    print(f"\n{json.dumps(figures)}", flush=True)


def timed(command: list[str], *, folder: Path, env: dict[str, str]) -> tuple[float, str]:
    """Wall seconds of a whole command in a folder, and what it prints. Raises MeasurementError."""
    started = time.perf_counter()
    done = subprocess.run(
        command, cwd=folder, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    seconds = time.perf_counter() - started
    if done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip() or "it says nothing").splitlines()[-1]
        raise MeasurementError(f"{' '.join(command[1:])}: ended with code {done.returncode}: {said}")
    return seconds, done.stdout


@contextlib.contextmanager
def _started(
    module: str, arguments: tuple[str, ...], threads: int | None, errors: IO[str]
) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", f"{__package__}.{module}", *arguments]
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment(threads=threads),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=errors,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def _said(process: subprocess.Popen[str], module: str, errors: IO[str]) -> dict[str, float]:
    output, _ = process.communicate()
    if process.returncode != 0:
        raise _failed(process.returncode, module, errors)
    return dict(json.loads(output.strip().splitlines()[-1]))


def _failed(code: int, module: str, errors: IO[str]) -> MeasurementError:
    errors.seek(0)
    said = (errors.read().strip() or "it says nothing").splitlines()[-1]
    return MeasurementError(f"{module}: ended with code {code}: {said}")
