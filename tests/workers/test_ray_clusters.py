"""Real Ray clusters of this machine alone: jobs, what they show to others, and addresses that are none."""

from __future__ import annotations

import json
import os
import secrets
import socket
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from hpo import open_study
from hpo.errors import HpoError
from hpo.storage import Storage
from hpo.workers.engines import EngineOptions, make_engine
from hpo.workers.ray_jobs import places
from tests import ray_cluster
from tests.command import COLD_PYTHON, hpo
from tests.tiny_studies import eventually, leases, states, training

pytestmark = pytest.mark.long

PASSWORD = "pass-" + secrets.token_hex(8)
LAYERS = """
import keras

dense = keras.layers.Dense
"""
MODEL = """
import keras
from my_layers import dense

def build(units=8, *, input_shape, outputs):
    return keras.Sequential([keras.Input(input_shape), keras.layers.Flatten(), dense(units), dense(outputs)])
"""
STUDY = """
name = "{name}"
kind = "comparison"
model = {{ file = "{model}" }}
data = {{ name = "digits" }}
seeds = 2
[params]
epochs = {epochs}
[[arms]]
name = "slow"
units = 8
[[arms]]
name = "fast"
units = 16
"""


@pytest.fixture(scope="module")
def cluster() -> Iterator[dict[str, str]]:
    """A cluster that asks for a token, which the commands here have."""
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    path = f"{Path(COLD_PYTHON).parent}{os.pathsep}{os.environ['PATH']}"
    with ray_cluster.cluster(PATH=path, **token) as found:
        yield found | token


def written(folder: Path, name: str, *, epochs: int) -> None:
    (folder / "my_layers.py").write_text(LAYERS)
    (folder / "my_model.py").write_text(MODEL)
    (folder / f"{name}.toml").write_text(STUDY.format(name=name, model="my_model.py", epochs=epochs))


def variables(cluster: dict[str, str], folder: Path) -> dict[str, str]:
    tokens = {name: value for name, value in cluster.items() if name.startswith("RAY_")}
    return tokens | {"HPO_ARTIFACT_DIR": str(folder / "artifacts"), "PYTHONPATH": ray_cluster.PATHS}


def answers(cluster: dict[str, str], *paths: str) -> str:
    """What the dashboard says to whoever asks for these."""
    texts = []
    for path in paths:
        request = urllib.request.Request(cluster["jobs"] + path)
        request.add_header("Authorization", f"Bearer {cluster['RAY_AUTH_TOKEN']}")
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                texts.append(response.read().decode(errors="replace"))
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{path}: {error.read()!r}") from None
    return "\n".join(texts)


def test_a_job_trains_a_study_with_its_own_model_and_shows_nobody_the_password(
    cluster, new_postgresql, tmp_path
):
    url = new_postgresql().replace("postgres@", f"postgres:{PASSWORD}@")
    secret = tmp_path / "url"
    secret.write_text(url)
    secret.chmod(0o600)
    written(tmp_path, "job", epochs=60)
    how = variables(cluster, tmp_path)
    refused = hpo("submit", "job.toml", "--address", cluster["jobs"], folder=tmp_path, HPO_STORAGE=url, **how)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr.startswith(
        "--storage: has a password, which all who may look at the cluster's jobs"
    )

    arguments = ("--address", cluster["jobs"], "--storage", f"@{secret}", "--workers", "2")
    done = hpo("submit", "job.toml", *arguments, folder=tmp_path, **how)
    assert done.returncode == 0, done.stderr
    job = done.stdout.strip()
    assert job.startswith("hpo-job-")
    assert "hpo watch job" in done.stderr
    # They go with the job: where the study has them, they are no more.
    for name in ("my_model.py", "my_layers.py"):
        (tmp_path / name).unlink()
    study = open_study("job", storage=Storage(url, artifact_dir=tmp_path / "artifacts"))
    eventually(lambda: len(training(study)) > 0)
    shown = answers(
        cluster,
        *("/api/jobs/", f"/api/jobs/{job}", f"/api/jobs/{job}/logs", "/nodes?view=summary"),
        *(f"/api/v0/{kind}?detail=1&limit=1000" for kind in ("tasks", "actors", "workers", "runtime_envs")),
    )
    assert job in shown
    assert PASSWORD not in shown
    commands = [" ".join(process.info["cmdline"] or ()) for process in psutil.process_iter(["cmdline"])]
    assert any("hpo worker" in command for command in commands)
    assert not any(PASSWORD in command for command in commands)
    eventually(lambda: states(study) == ["complete"] * 4)
    eventually(lambda: json.loads(answers(cluster, f"/api/jobs/{job}"))["status"] == "SUCCEEDED", within=60)
    # Ray keeps the files of a job where all users read them: a password that went with them would be read.
    session = Path("/tmp/ray/session_latest")
    (file,) = (session / "runtime_resources" / "working_dir_files").glob("_ray_pkg_*/my_model.py")
    assert file.stat().st_mode & 0o004
    logs = session / "logs"
    assert not any(PASSWORD.encode() in path.read_bytes() for path in logs.rglob("*") if path.is_file())


def test_a_job_ends_when_its_study_is_stopped(cluster, tmp_path):
    written(tmp_path, "stopped", epochs=3000)
    how = variables(cluster, tmp_path) | {"HPO_STORAGE": f"sqlite:///{tmp_path}/hpo.db"}
    done = hpo("submit", "stopped.toml", "--address", cluster["jobs"], folder=tmp_path, **how)
    assert done.returncode == 0, done.stderr
    study = open_study("stopped", storage=Storage(how["HPO_STORAGE"], artifact_dir=tmp_path / "artifacts"))
    eventually(lambda: len(training(study)) > 0)
    assert hpo("stop", "stopped", folder=tmp_path, **how).returncode == 0
    status = f"/api/jobs/{done.stdout.strip()}"
    eventually(lambda: json.loads(answers(cluster, status))["status"] == "SUCCEEDED", within=60)
    assert leases(study.storage) == 0
    assert "running" not in states(study)


def test_a_cluster_that_asks_for_no_token_is_said_to_be_open(tmp_path):
    for name in ("sent", "run"):
        written(tmp_path, name, epochs=1)
    path = f"{Path(COLD_PYTHON).parent}{os.pathsep}{os.environ['PATH']}"
    mode = {"RAY_AUTH_MODE": "disabled"}
    how = variables(mode, tmp_path) | {"HPO_STORAGE": f"sqlite:///{tmp_path}/hpo.db"}
    with ray_cluster.cluster(PATH=path, **mode) as found:
        for place, command in {
            found["jobs"]: ("submit", "sent.toml", "--address", found["jobs"], "--workers", "1"),
            found["gcs"]: ("run", "run.toml", "--engine", "ray", "--address", found["gcs"], "--workers", "1"),
        }.items():
            done = hpo(*command, folder=tmp_path, **how)
            assert done.returncode == 0, done.stderr
            said = "runs whatever anybody who reaches it sends: it asks for no token"
            assert f"Ray at {place} {said}" in " ".join(done.stderr.split())
        storage = Storage(how["HPO_STORAGE"], artifact_dir=tmp_path / "artifacts")
        assert states(open_study("run", storage=storage)) == ["complete"] * 4
        sent = open_study("sent", storage=storage)
        eventually(lambda: states(sent) == ["complete"] * 4, within=90)


def test_what_no_job_can_be_made_of_is_one_line_and_nothing_is_created(cluster, tmp_path, monkeypatch):
    written(tmp_path, "none", epochs=1)
    how = variables(cluster, tmp_path)
    for address, line, more in (
        ("http://127.0.0.1:9", "--address http://127.0.0.1:9: no Ray's job API listens there.", {}),
        (
            "ray://h:1",
            "--address: must be http://HOST:PORT, of a cluster's dashboard, but got 'ray://h:1'.",
            {},
        ),
        (cluster["jobs"], "does not take the job: Authentication", {"RAY_AUTH_TOKEN": "0" * 64}),
    ):
        started = time.monotonic()
        refused = hpo("submit", "none.toml", "--address", address, folder=tmp_path, **how | more)
        assert refused.returncode == 2
        assert line in refused.stderr.splitlines()[-1]
        assert time.monotonic() - started < 30
    assert not (tmp_path / "hpo.db").exists()
    # Ray reads a process's token once, and here it may be another cluster's.
    elsewhere = SimpleNamespace(url="http://192.0.2.77:8265", is_here=False)
    with pytest.raises(HpoError, match="is a file of this machine, and workers run at http://"):
        places("sqlite:///hpo.db", elsewhere)
    monkeypatch.delenv("HPO_ARTIFACT_DIR", raising=False)
    with pytest.raises(HpoError, match="HPO_ARTIFACT_DIR: must be set: a folder that"):
        places("postgresql+psycopg://user@host/database", elsewhere)


def test_a_ray_of_another_version_is_one_line(cluster, tmp_path):
    written(tmp_path, "old", epochs=1)
    (tmp_path / "sitecustomize.py").write_text(
        (Path(ray_cluster.__file__).parent / "loopback" / "sitecustomize.py").read_text()
        + "\nimport ray\nray.__version__ = '2.59.1'\n"
    )
    how = variables(cluster, tmp_path)
    how["PYTHONPATH"] = f"{tmp_path}{os.pathsep}{how['PYTHONPATH']}"
    arguments = ("--engine", "ray", "--address", cluster["gcs"])
    refused = hpo("run", "old.toml", *arguments, folder=tmp_path, **how)
    assert refused.returncode == 2
    python = sys.version.split()[0]
    assert refused.stderr.splitlines()[-1] == (
        f"engine ray: address {cluster['gcs']}: must be a cluster of Ray 2.59.1 and Python {python}, and"
        f" is of Ray 2.60.0 and Python {python}. Install the cluster's here, or start it with this one's."
    )


def test_an_address_where_no_ray_listens_is_told_in_seconds_and_nothing_is_created(tmp_path):
    written(tmp_path, "away", epochs=1)
    refused = hpo("run", "away.toml", "--engine", "ray", "--address", "127.0.0.1:9", folder=tmp_path)
    assert (refused.returncode, (tmp_path / "hpo.db").exists()) == (2, False)
    assert "engine ray: address 127.0.0.1:9: no Ray listens there. Start one there" in refused.stderr
    with socket.create_server(("127.0.0.1", 0)) as silent:
        for address, rule in (
            ("127.0.0.1:9", "no Ray listens there"),
            (f"127.0.0.1:{silent.getsockname()[1]}", "no Ray listens there"),
            ("nowhere", "must be auto, or HOST:PORT of a Ray cluster"),
        ):
            started = time.monotonic()
            with pytest.raises(HpoError, match=rule):
                make_engine("ray", EngineOptions(address))
            assert time.monotonic() - started < 10
