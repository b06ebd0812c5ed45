"""What test modules share. TensorFlow gets one thread, as in a worker, before anything imports it."""

from __future__ import annotations

import os

import pytest

from tests.command import COMPARISON, SEARCH, Trained, hpo, hpo_on_terminal
from tests.databases import crowd, empty_database, new_database, new_postgresql, postgresql_server, url
from tests.workers import own_data

__all__ = [
    "crowd",
    "empty_database",
    "new_database",
    "new_postgresql",
    "own_data",
    "postgresql_server",
    "url",
]

for name in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS"):
    os.environ.setdefault(name, "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A folder whose database holds a search and a comparison, both trained by `hpo run` with two workers."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "search.toml").write_text(SEARCH)
    (folder / "comparison.toml").write_text(COMPARISON)
    search = hpo_on_terminal("run", "search.toml", "--workers", "2", folder=folder, columns=60)
    comparison = hpo("run", "comparison.toml", "--workers", "2", folder=folder)
    return Trained(folder, search, comparison)
