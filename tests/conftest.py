"""What test modules share. TensorFlow gets one thread, as in a worker, before anything imports it."""

from __future__ import annotations

import fcntl
import gc
import os
import pickle
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from hpo.data import data_dir
from tests.command import COMPARISON, SEARCH, Trained, hpo_on_terminal, quick
from tests.databases import (
    crowd,
    empty_database,
    empty_postgresql,
    new_database,
    new_postgresql,
    postgresql_server,
    storage,
    url,
)
from tests.forks import CONTEXT
from tests.tiny_studies import own_data
from tests.warm_python import warm_python

__all__ = [
    "crowd",
    "empty_database",
    "empty_postgresql",
    "new_database",
    "new_postgresql",
    "own_data",
    "postgresql_server",
    "storage",
    "url",
]

for name in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS"):
    os.environ.setdefault(name, "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

# A cold compile of a test's small network takes 0.16 s of a core in place of 0.77 (TensorFlow 2.21). What is
# proved of training holds of unoptimized programs too; `pytest -m slow` runs those that people get.
UNOPTIMIZED = (
    "--xla_backend_optimization_level=0 --xla_cpu_parallel_codegen_split_count=1"
    " --xla_cpu_use_fusion_emitters=false"
)


def pytest_configure(config: pytest.Config) -> None:
    """Before anything imports TensorFlow. Programs of this kind are kept apart from the user's."""
    gc.disable()
    if "not slow" not in config.option.markexpr or "PYTEST_XDIST_WORKER" in os.environ:
        return
    os.environ.setdefault("HPO_DATA_DIR", str(data_dir()))
    os.environ["XDG_CACHE_HOME"] = tempfile.mkdtemp(prefix="hpo-tests-")
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {UNOPTIMIZED}".strip()
    config.add_cleanup(lambda: shutil.rmtree(os.environ["XDG_CACHE_HOME"], ignore_errors=True))


# Files whose tests take long: were they the last ones, a process would wait for the other.
EARLY = (
    "benchmarks/test_training.py",
    "cli/test_cli.py",
    "dashboard/test_browser.py",
    "faults/test_faults.py",
    "models/test_families.py",
    "models/test_raw_inputs.py",
    "prediction/test_tables.py",
    "progress/test_progress.py",
    "report/test_tasks.py",
    "studies/test_export.py",
    "studies/test_final.py",
    "studies/test_own_models.py",
    "studies/test_tables.py",
    "tests/test_readme.py",
    "training/test_callbacks.py",
    "training/test_loops.py",
    "training/test_program_cache.py",
    "trials/test_checkpoints.py",
    "trials/test_tables.py",
    "workers/test_crew.py",
    "workers/test_worker.py",
)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """First the files that take long, then those with the most tests. What is long is not slow as well.

    Beyond the tests of the storage itself, what runs on both kinds of database is slow on the second.
    """
    for item in items:
        if "[postgresql" in item.name and item.path.name != "test_storage.py":
            item.add_marker(pytest.mark.slow)
    if config.option.markexpr == "slow":
        long = [item for item in items if item.get_closest_marker("long")]
        items[:] = [item for item in items if item not in long]
        config.hook.pytest_deselected(items=long)
    count = Counter(item.path for item in items)
    early = {item.path for item in items if "/".join(item.path.parts[-2:]) in EARLY}
    items.sort(key=lambda item: (item.path not in early, -count[item.path]))


def pytest_collection_finish(session: pytest.Session) -> None:
    """What was imported and collected is no garbage either; to look at all is seldom worth its time."""
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
    gc.enable()


@pytest.fixture(scope="module", autouse=True)
def _kept_out_of_sight() -> Iterator[None]:
    """What TensorFlow keeps of a module's networks is no garbage: to look through it takes half a second."""
    yield
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def _warm_python(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What hpo begins as processes of its own are forks of a warm interpreter."""
    with warm_python(tmp_path_factory.mktemp("warm"), CONTEXT) as path, pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "executable", path)
        yield


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A folder whose database holds a search and a comparison, both trained by `hpo run`.

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
    comparison = quick("run", "comparison.toml", "--workers", "1", folder=folder)
    return Trained(folder, search, comparison)
