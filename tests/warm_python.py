"""A Python that is warm already: `python -m hpo ...` is a fork of the server of tests.warm.

`sys.executable` of processes under test is a script that runs `CLIENT`: it hands its arguments, folder,
environment and standard streams to `serve`, hands on its signals, and ends as the fork ends, which is killed
if the script is. So workers and checks that hpo starts are processes of their own, and begin in milliseconds.
What else a Python is asked for begins cold.
"""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import runpy
import select
import selectors
import signal
import socket
import stat
import sys
import threading
import uuid
from collections.abc import Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

# Without `site`, as little as can be is imported.
CLIENT = """#!{python} -IS
import os, sys
if sys.argv[1:2] != ["-m"] or sys.argv[2].partition(".")[0] != "hpo":
    os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
import json, signal, socket
server = socket.socket(socket.AF_UNIX)
server.connect({address!r})
asked = json.dumps([sys.argv[2:], os.getcwd(), dict(os.environ)]).encode()
socket.send_fds(server, [len(asked).to_bytes(4, "little")], [0, 1, 2])
server.sendall(asked)
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
    if signal.getsignal(number) is not signal.SIG_IGN:
        signal.signal(number, lambda number, _: server.send(bytes([number])))
code = int.from_bytes(server.recv(4) or b"\\1\\0\\0\\0", "little", signed=True)
if code < 0:
    signal.signal(-code, signal.SIG_DFL) if -code not in (signal.SIGKILL, signal.SIGSTOP) else None
    os.kill(os.getpid(), -code)
sys.stdout = sys.stderr = None
os._exit(code)
"""


@contextlib.contextmanager
def warm_python(folder: Path, context: Any) -> Iterator[str]:
    """The path of such a Python, with a server that a context starts when it is first used."""
    # An abstract one, since a path may be 107 bytes at most.
    address = f"\0hpo-tests-{os.getpid()}-{uuid.uuid4().hex}"
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(address)
    listener.listen(64)
    server = context.Process(target=serve, args=(listener,))
    stopped, stop = os.pipe()

    def start() -> None:
        # Whoever connects waits for this, so that nobody uses the context at the same time.
        if listener in select.select([listener, stopped], [], [])[0]:
            server.start()

    starting = threading.Thread(target=start, daemon=True)
    starting.start()
    script = folder / "python"
    script.write_text(CLIENT.format(python=sys.executable, address=address))
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    try:
        yield str(script)
    finally:
        os.close(stop)
        starting.join()
        os.close(stopped)
        listener.close()
        if server.pid is not None:
            server.kill()
            server.join()


def serve(listener: socket.socket) -> None:
    """Fork a process for each connection, and tell how it has ended."""
    os.setsid()
    parent = os.getppid()
    running: dict[socket.socket, BaseProcess] = {}
    with selectors.DefaultSelector() as waiting:
        waiting.register(listener, selectors.EVENT_READ, None)
        while os.getppid() == parent:
            for key, _ in waiting.select(timeout=10):
                if key.fileobj is listener:
                    connection, _ = listener.accept()
                    process = _forked(connection, [listener, *running])
                    running[connection] = process
                    waiting.register(connection, selectors.EVENT_READ, connection)
                    waiting.register(process.sentinel, selectors.EVENT_READ, connection)
                    continue
                connection = key.data
                process = running[connection]
                if key.fileobj is connection:
                    numbers = connection.recv(16)
                    for number in numbers or [signal.SIGKILL]:
                        with contextlib.suppress(ProcessLookupError):
                            os.kill(process.pid or 0, number)
                    if numbers:
                        continue
                    # Its client is gone: only its end is waited for.
                    waiting.unregister(connection)
                    continue
                waiting.unregister(process.sentinel)
                process.join()
                with contextlib.suppress(KeyError):
                    waiting.unregister(connection)
                with contextlib.suppress(OSError):
                    connection.send((process.exitcode or 0).to_bytes(4, "little", signed=True))
                connection.close()
                del running[connection]
                process.close()


def _forked(connection: socket.socket, others: list[socket.socket]) -> BaseProcess:
    head, streams, _, _ = socket.recv_fds(connection, 4, 3)
    asked = b""
    size = int.from_bytes(head, "little")
    while len(asked) < size:
        asked += connection.recv(size - len(asked))
    arguments, folder, environment = json.loads(asked)
    process = multiprocessing.get_context("fork").Process(
        target=_run, args=(arguments, folder, environment, streams, [connection, *others])
    )
    process.start()
    for stream in streams:
        os.close(stream)
    return process


def _run(
    arguments: list[str],
    folder: str,
    environment: dict[str, str],
    streams: list[int],
    sockets: list[socket.socket],
) -> None:
    for each in sockets:
        each.close()
    os.setsid()
    become(folder, environment, streams)
    sys.argv = arguments
    runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)


def become(folder: str, environment: dict[str, str], streams: list[int]) -> None:
    """Give this fork a folder, an environment and standard streams of its own."""
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    # Opened anew: multiprocessing has closed the first, and the others are for what the server wrote to.
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", closefd=False, buffering=1)  # noqa: SIM115
