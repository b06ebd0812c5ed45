"""A study through PgBouncer, as README has it set up: many workers, few connections of the server."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from hpo import open_study
from hpo.storage import Storage
from tests.command import hpo
from tests.tiny_studies import eventually, states

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(shutil.which("pgbouncer") is None, reason="pgbouncer is not installed"),
]

POOL, WORKERS = 3, 4
CONFIGURATION = """
[databases]
* = host={server} user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = {pool}
ignore_startup_parameters = options
"""
STUDY = """
name = "pooled"
kind = "search"
data = { name = "digits", validation = 0.2 }
trials = 12
confirm = false
sampler = { name = "random" }
pruner = { name = "median", min_epochs = 1 }
[params]
epochs = 3
hidden_units = [8]
[space]
learning_rate = { low = 1e-4, high = 1e-1, log = true }
"""


@pytest.fixture
def pooled(new_postgresql, tmp_path: Path) -> Iterator[tuple[str, sa.Engine]]:
    """The URL of a fresh database through a pooler, and what asks its server directly."""
    url = sa.make_url(new_postgresql())
    direct = sa.create_engine(url.set(query={**url.query, "application_name": "direct"}))
    with direct.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for name in ("idle_in_transaction_session_timeout", "lock_timeout"):
            connection.execute(sa.text(f"ALTER DATABASE {url.database} SET {name} = '30s'"))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    file = tmp_path / "pgbouncer.ini"
    file.write_text(CONFIGURATION.format(server=url.query["host"], port=port, pool=POOL))
    # Like the server it does not run as root, and the server's folder is for the server's user.
    user = Path(str(url.query["host"])).stat().st_uid if os.geteuid() == 0 else None
    pooler = subprocess.Popen(["pgbouncer", "-q", "/dev/stdin"], stdin=file.open(), user=user)
    try:
        eventually(lambda: socket.socket().connect_ex(("127.0.0.1", port)) == 0)
        yield f"postgresql+psycopg://postgres@127.0.0.1:{port}/{url.database}", direct
    finally:
        pooler.terminate()
        pooler.wait(30)
        direct.dispose()


def test_workers_train_by_fewer_connections_than_they_are(pooled, tmp_path):
    url, direct = pooled
    (tmp_path / "study.toml").write_text(STUDY)
    done = hpo(
        *("run", "study.toml", "--workers", str(WORKERS)),
        folder=tmp_path,
        HPO_STORAGE=url,
        HPO_ARTIFACT_DIR=str(tmp_path / "artifacts"),
    )
    assert done.returncode == 0, done.stderr
    study = open_study("pooled", storage=Storage(url, artifact_dir=tmp_path / "artifacts"))
    assert len(states(study)) == 12
    assert set(states(study)) <= {"complete", "pruned"}
    with direct.connect() as connection:
        there = sa.text(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name <> 'direct'"
        )
        assert 0 < connection.execute(there).scalar_one() <= POOL
