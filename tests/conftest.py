"""What test modules share. TensorFlow gets one thread, as in a worker, before anything imports it."""

from __future__ import annotations

import fcntl
import gc
import os
import pickle
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.command import COMPARISON, SEARCH, Trained, hpo, hpo_on_terminal
from tests.databases import crowd, empty_database, new_database, new_postgresql, postgresql_server, url
from tests.tiny_studies import own_data

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


@pytest.fixture(scope="module", autouse=True)
def _kept_out_of_sight() -> Iterator[None]:
    """What TensorFlow keeps of a module's networks is no garbage: to look through it takes half a second."""
    yield
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A folder whose database holds a search and a comparison, both trained by `hpo run` with two workers.

    The first of pytest's processes that needs it trains it for all of them: tests only read it.
    """
    is_one_of_several = "PYTEST_XDIST_WORKER" in os.environ
    shared = tmp_path_factory.getbasetemp().parent if is_one_of_several else tmp_path_factory.mktemp("shared")
    kept = shared / "trained.pickle"
    with (shared / "trained.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not kept.exists():
            kept.write_bytes(pickle.dumps(_trained(shared / "trained")))
        found: Trained = pickle.loads(kept.read_bytes())
        return found


def _trained(folder: Path) -> Trained:
    folder.mkdir()
    (folder / "search.toml").write_text(SEARCH)
    (folder / "comparison.toml").write_text(COMPARISON)
    search = hpo_on_terminal("run", "search.toml", "--workers", "2", folder=folder, columns=60)
    comparison = hpo("run", "comparison.toml", "--workers", "2", folder=folder)
    return Trained(folder, search, comparison)
