"""Workers as tasks of a Ray cluster: each task runs one `hpo worker` and tells the crew what becomes of it.

Ray only starts them, where there are resources, and starts a task anew whose process has died; which trials
are trained is in the database. A task asks the board twice a second what is wanted of its worker: a cancelled
task would not hear of it as long as it waits for a process.
"""

from __future__ import annotations

import contextlib
import math
import os
import subprocess
import sys
import threading
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import psutil
import ray

from hpo.errors import HpoError
from hpo.storage import Storage
from hpo.workers.engines.contract import SHARED, Engine, Handle, WorkerOptions
from hpo.workers.engines.local import RELAY_SECONDS, relay
from hpo.workers.engines.ray_address import found_at, refusal, warning_about

POLL_SECONDS = 0.5
RETRIES = 3
# What a task hears: nothing, stop, stop at once, or that its crew has gone.
GO_ON, STOP, AT_ONCE = 0, 1, 2
LOOPBACK = "127.0.0.1"


class Board:
    """What a crew and the tasks of its workers tell each other. It ends with the crew's process."""

    def __init__(self) -> None:
        self._wanted: dict[str, int] = defaultdict(int)
        self._released: set[str] = set()
        self._begun: dict[str, int] = defaultdict(int)
        self._news: list[tuple[str, str, Any]] = []

    def begin(self, name: str) -> bool:
        """A worker is about to begin, for the first time or once more; returns whether it may."""
        if self._wanted[name] or name in self._released:
            return False
        self._begun[name] += 1
        self._news.append((name, "begun", self._begun[name]))
        return True

    def write(self, name: str, line: str) -> None:
        """A line of a worker."""
        self._news.append((name, "line", line))

    def look(self, name: str, memory: int) -> tuple[int, bool]:
        """What is wanted of a worker, and whether it is released; it uses so many bytes."""
        self._news.append((name, "memory", memory))
        return self._wanted[name], name in self._released

    def tell(self, name: str, wanted: int) -> bool:
        """Say what is wanted of a worker; returns whether it has begun."""
        self._wanted[name] = wanted
        return self._begun[name] > 0

    def release(self, name: str) -> bool:
        """Let go of a worker; returns whether it has begun."""
        self._released.add(name)
        return self._begun[name] > 0

    def news(self) -> list[tuple[str, str, Any]]:
        """What has been told since the last time."""
        news, self._news = self._news, []
        return news


def _task(board: Any, name: str, arguments: list[str], environment: dict[str, str]) -> int:
    """Run a worker to its end; returns its exit code."""
    if not ray.get(board.begin.remote(name)):
        return 0
    process = subprocess.Popen(
        [sys.executable, "-m", "hpo", "worker", *arguments],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | environment,
        start_new_session=True,
    )
    assert process.stdin is not None
    assert process.stderr is not None
    written = threading.Thread(
        target=relay, args=(process.stderr, lambda line: board.write.remote(name, line)), daemon=True
    )
    written.start()
    heard = GO_ON
    while process.poll() is None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(POLL_SECONDS)
        try:
            wanted, released = ray.get(board.look.remote(name, _memory(process.pid)))
        except ray.exceptions.RayError:  # the crew has gone: so does this, and its trial goes back
            wanted, released = heard, True
        while heard < wanted and process.poll() is None:
            heard += 1
            process.terminate()
        if released and not process.stdin.closed:
            process.stdin.close()
    written.join(RELAY_SECONDS)
    return process.returncode


def _memory(pid: int) -> int:
    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return 0


class RayHandle(Handle):
    """A task of a worker; it may wait for resources."""

    def __init__(self, board: Any, options: WorkerOptions) -> None:
        super().__init__(options.name)
        self.options, self.attempt, self._memory = options, 0, 0
        self._board, self._wanted = board, GO_ON
        self._code: int | None = None
        self._task: Any = None

    def begin(self, resources: dict[str, float]) -> None:
        """Ask for the task."""
        options = self.options
        how: dict[str, Any] = {"name": f"hpo worker {options.name}", "max_retries": RETRIES, **resources}
        task: Any = ray.remote(**how)(_task)
        self._task = task.remote(self._board, options.name, options.arguments, options.environment)

    @property
    def exit_code(self) -> int | None:
        if self._code is None and ray.wait([self._task], timeout=0)[0]:
            try:
                self._code = ray.get(self._task)
            except ray.exceptions.TaskCancelledError:
                self._code = 0
            except ray.exceptions.RayError as error:
                self.last_line = str(error).strip().splitlines()[0]
                self._code = 1
        return self._code

    @property
    def is_waiting(self) -> bool:
        return self.attempt == 0 and self.is_running

    @property
    def memory(self) -> int:
        return self._memory if self.is_running else 0

    def insist(self) -> None:
        if self.is_running:
            self.told = True
            self._wanted = min(self._wanted + 1, AT_ONCE)
            self._hear_of(self._board.tell.remote(self.name, self._wanted))

    def wait(self, seconds: float | None = None) -> None:
        ray.wait([self._task], timeout=seconds)

    def release(self) -> None:
        self._hear_of(self._board.release.remote(self.name))

    def _hear_of(self, told: Any) -> None:
        """Withdraw a task that waits for resources: it cannot hear what it is told."""
        if not ray.get(told) and self.is_running:
            ray.cancel(self._task)

    def close(self) -> None:
        self.release()
        self.wait()

    def hear(self, kind: str, value: Any) -> None:
        """Take what its task has told."""
        if kind == "line":
            self.last_line = value
            self.options.log(value)
        elif kind == "memory":
            self._memory = value
        elif kind == "begun":
            self.attempt = value
            if value > 1:
                # Ray has started the task anew, since its process died; the trial it held is free.
                self.options.storage.expire_leases(self.name)
                self.options.log(f"worker {self.name} died: Ray has started it again")


class RayEngine(Engine):
    """Workers on a Ray cluster: one on this machine alone, or that at an address."""

    def __init__(self, address: str | None, *, cpus: float, gpus: float) -> None:
        self._address, self._cpus, self._gpus = address, cpus, gpus
        self._handles: dict[str, RayHandle] = {}
        try:
            _connect(address)
        except (ConnectionError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
            raise refusal(address or "local", error) from None
        self._board: Any = ray.remote(num_cpus=0)(Board).remote()
        self._ending = threading.Event()
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    @property
    def capacity(self) -> int:
        """See `Engine`: as many as the cluster has room for now."""
        have = ray.cluster_resources()
        fits = [have.get("CPU", 0.0) / self._cpus] if self._cpus else []
        fits += [have.get("GPU", 0.0) / self._gpus] if self._gpus else []
        return max(1, int(min(fits, default=1.0)))

    def threads(self, workers: int) -> int:
        """See `Engine`: the cores that each is given."""
        return max(1, int(self._cpus))

    def memory(self, workers: int) -> float:
        """See `Engine`: Ray itself ends what a machine has no memory for."""
        return math.inf

    def check(self, storage: Storage) -> None:
        """See `Engine`: machines share no SQLite file."""
        hosts = {node["NodeManagerAddress"] for node in ray.nodes() if node["Alive"]}
        if len(hosts) > 1 and storage.is_file:
            rule = f"is a file of this machine, and workers would run on {len(hosts)}"
            raise HpoError(storage.place, rule, remedy=SHARED)

    @property
    def notice(self) -> str | None:
        return None if self._address is None else warning_about(self._address)

    def start(self, options: WorkerOptions) -> RayHandle:
        handle = RayHandle(self._board, options)
        self._handles[options.name] = handle
        handle.begin({"num_cpus": self._cpus, "num_gpus": self._gpus})
        return handle

    def close(self) -> None:
        self._ending.set()
        self._listener.join()
        self._hear()
        ray.shutdown()

    def _listen(self) -> None:
        while not self._ending.wait(POLL_SECONDS):
            with contextlib.suppress(ray.exceptions.RayError):
                self._hear()

    def _hear(self) -> None:
        for name, kind, value in ray.get(self._board.news.remote()):
            self._handles[name].hear(kind, value)


def _connect(address: str | None) -> None:
    if address is not None:
        ray.init(address=found_at(address), log_to_driver=False, logging_level="ERROR", namespace="hpo")
        return
    with heard_on_loopback():
        ray.init(
            address="local",
            _node_ip_address=LOOPBACK,
            include_dashboard=False,
            log_to_driver=False,
            logging_level="ERROR",
            namespace="hpo",
        )


@contextlib.contextmanager
def heard_on_loopback() -> Iterator[None]:
    """Let a cluster that is started inside listen on the loopback interface alone.

    Ray takes the machine's own address in its place and then listens on all of them, though its servers know
    better: where their address is 127.0.0.1, they listen to this machine alone.
    """
    services = ray._private.services
    before = services.resolve_ip_for_localhost, services.get_node_ip_address
    services.resolve_ip_for_localhost = lambda address: address
    services.get_node_ip_address = lambda address=None: LOOPBACK
    try:
        yield
    finally:
        services.resolve_ip_for_localhost, services.get_node_ip_address = before
