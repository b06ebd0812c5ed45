"""Processes forked from a server that has imported what they need: they begin in milliseconds.

To import TensorFlow takes 3 s of a core, what else commands need one more. A fork has its own environment,
folder, standard streams and signals. It differs from a process that begins cold in that TensorFlow is there
before `hpo` prepares it, so that it keeps no compiled programs.
"""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from multiprocessing.reduction import DupFd
from pathlib import Path
from typing import IO, Any

from tests.warm_python import become

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["tests.warm"])


class Forked:
    """`hpo` with these arguments, to be used as a process that `subprocess.Popen` has started."""

    def __init__(
        self,
        arguments: Sequence[str | Path],
        *,
        cwd: Path | str = ".",
        env: Mapping[str, str],
        stdin: int | None = None,
        stdout: int | IO[str] = subprocess.DEVNULL,
        stderr: int | IO[str] = subprocess.DEVNULL,
        cores: set[int] | None = None,
        python: str | None = None,
    ) -> None:
        """`python` is what it begins other processes with: as a rule a warm one, see tests.warm_python."""
        self.args = [str(argument) for argument in arguments]
        self.stdout, out = _stream(stdout)
        self.stderr, err = _stream(stderr)
        streams = (os.open(os.devnull, os.O_RDONLY) if stdin is None else os.dup(stdin), out, err)
        how = (self.args, os.fspath(cwd), dict(env), cores, python or sys.executable)
        self._process = CONTEXT.Process(target=_run, args=(*how, _Inherited(streams)), daemon=False)
        self._process.start()
        for stream in streams:
            os.close(stream)
        assert self._process.pid is not None
        self.pid: int = self._process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        if self._process.exitcode is None:
            assert timeout is not None
            raise subprocess.TimeoutExpired(self.args, timeout)
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self._process.terminate()

    def kill(self) -> None:
        self._process.kill()

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """What it has written to its pipes until its end."""
        texts = {}

        def read(name: str, stream: IO[str]) -> None:
            texts[name] = stream.read()
            stream.close()

        open_ones = {"out": self.stdout, "err": self.stderr}
        threads = [
            threading.Thread(target=read, args=(name, stream), daemon=True)
            for name, stream in open_ones.items()
            if stream is not None and not stream.closed
        ]
        for thread in threads:
            thread.start()
        self.wait(timeout)
        for thread in threads:
            thread.join(timeout)
            if thread.is_alive():
                assert timeout is not None
                raise subprocess.TimeoutExpired(self.args, timeout)
        return texts.get("out", ""), texts.get("err", "")


class _Inherited(tuple[int, ...]):
    """Descriptors that the forked process gets copies of."""

    __slots__ = ()

    def __reduce__(self) -> tuple[Any, ...]:
        return tuple, ([DupFd(descriptor) for descriptor in self],)


def _stream(given: int | IO[str]) -> tuple[IO[str] | None, int]:
    """Our end of a pipe, if one is asked for, and the descriptor that the process is to have."""
    if given == subprocess.PIPE:
        reading, writing = os.pipe()
        return os.fdopen(reading, encoding="utf-8"), writing
    if given == subprocess.DEVNULL:
        return None, os.open(os.devnull, os.O_WRONLY)
    return None, os.dup(given if isinstance(given, int) else given.fileno())


def _run(
    arguments: list[str],
    folder: str,
    environment: dict[str, str],
    cores: set[int] | None,
    python: str,
    streams: Any,
) -> None:
    if cores is not None:
        os.sched_setaffinity(0, cores)
    become(folder, environment, [stream.detach() for stream in streams])
    sys.executable = python
    sys.argv = ["hpo", *arguments]
    from hpo.cli import main

    main()
