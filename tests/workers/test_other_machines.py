"""What a study or an engine needs, and a machine has not or has otherwise: data, code, Ray, one database."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import numpy as np
import pytest

from hpo import HpoError, Study, StudySpec, create_study
from hpo.errors import WorkerError
from hpo.spec import to_toml
from hpo.storage import Storage
from tests.command import hpo
from tests.marks import often
from tests.tiny_studies import SEARCH, states, worker_of

MODEL = """
import keras

def build(units=4, *, input_shape, outputs):
    dense = keras.layers.Dense
    return keras.Sequential([keras.Input(input_shape), dense(units), dense(outputs)])
"""
ROWS = np.random.default_rng(0).random((60, 3), np.float32)


def written(path: Path, *, seed: int = 0) -> Path:
    np.savez(path, x_train=ROWS, y_train=np.random.default_rng(seed).permutation(np.arange(60) % 2))
    return path


@pytest.fixture
def studies(tmp_path, monkeypatch):
    """A study of a person's data and model, of which this machine has neither any more, and another one."""
    made, elsewhere = tmp_path / "made", tmp_path / "here"
    made.mkdir()
    elsewhere.mkdir()
    storage = Storage(f"sqlite:///{tmp_path}/hpo.db", artifact_dir=tmp_path / "artifacts", create=True)
    (made / "model.py").write_text(MODEL)
    own = {
        "name": "own",
        "kind": "search",
        "data": {"name": str(written(made / "mine.npz"))},
        "model": {"file": str(made / "model.py")},
        "trials": 1,
        "params": {"epochs": 1},
        "space": {"units": [2, 4]},
    }
    found = [create_study(own, storage=storage), create_study(SEARCH | {"trials": 1}, storage=storage)]
    (made / "mine.npz").unlink()
    (made / "model.py").unlink()
    monkeypatch.setenv("HPO_DATA_DIR", str(elsewhere))
    monkeypatch.chdir(tmp_path)
    return found


def refused(*studies: Study, caplog: pytest.LogCaptureFixture) -> str:
    """Why a worker leaves the first of these studies alone, while it trains the others."""
    caplog.clear()
    with caplog.at_level(logging.WARNING), pytest.raises(WorkerError):
        worker_of(*studies).run(exit_when_idle=True)
    assert [states(study) for study in studies] == [["waiting"], ["complete"]]
    (line,) = {record.message for record in caplog.records if "cannot be trained" in record.message}
    return line


@pytest.mark.long
def test_what_another_machine_has_in_its_data_folder_is_used_if_its_digest_is_the_study_s(
    studies, tmp_path, caplog
):
    own, _ = studies
    here, name = tmp_path / "here", tmp_path / "made" / "mine.npz"
    assert f"must be an existing .npz file, but got '{name}'" in refused(*studies, caplog=caplog)
    written(here / "mine.npz", seed=1)
    line = "must be the data that the study began with, and has changed since"
    assert f"data {name}: {line}" in refused(*studies, caplog=caplog).replace(str(here), str(name.parent))
    written(here / "mine.npz")
    model = tmp_path / "made" / "model.py"
    (here / "model.py").write_text(MODEL.replace("units=4", "units=5"))
    assert f"{model}: there is no such file" in refused(*studies, caplog=caplog)
    # By whatever name.
    (here / "model-2.py").write_text(MODEL)
    worker_of(own).run(exit_when_idle=True)
    assert states(own) == ["complete"]


@pytest.mark.parametrize(
    "arguments",
    often(
        [("run", "s.toml", "--engine", "ray")],
        [("run", "s.toml", "--engine", "ray"), ("submit", "s.toml", "--address", "http://127.0.0.1:9")],
    ),
)
def test_without_the_extra_ray_is_one_line(arguments, tmp_path):
    (tmp_path / "s.toml").write_text(to_toml(StudySpec(**SEARCH)))
    # As if it were not installed: an interpreter finds nothing of that name.
    (tmp_path / "sitecustomize.py").write_text(
        "import importlib.util as util\n"
        "find = util.find_spec\n"
        "util.find_spec = lambda name, *more: None if name == 'ray' else find(name, *more)\n"
    )
    paths = f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    done = hpo(*arguments, folder=tmp_path, PYTHONPATH=paths)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].endswith(
        ": needs the package ray, which is not installed. pip install 'hpo-studies[ray]'"
    )
    assert not (tmp_path / "hpo.db").exists()


@pytest.mark.long
def test_an_sqlite_file_is_not_for_workers_of_several_machines(studies, monkeypatch):
    from hpo.workers.engines import ray_core

    engine = object.__new__(ray_core.RayEngine)
    nodes = [{"Alive": True, "NodeManagerAddress": f"10.0.0.{number}"} for number in (1, 2)]
    monkeypatch.setattr(ray_core.ray, "nodes", lambda: nodes)
    with pytest.raises(HpoError) as caught:
        engine.check(studies[0].storage)
    assert str(caught.value) == (
        f"{studies[0].storage.place}: is a file of this machine, and workers would run on 2."
        " Use PostgreSQL: postgresql+psycopg://user@host/database."
    )
    monkeypatch.setattr(ray_core.ray, "nodes", lambda: nodes[:1])
    engine.check(studies[0].storage)
