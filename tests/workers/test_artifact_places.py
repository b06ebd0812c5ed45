"""Workers whose artifacts would be found by nobody do not train; those of a bucket do all that others do."""

from __future__ import annotations

import re
import socket
from pathlib import Path

import numpy as np
import pytest

from hpo import create_study, open_study
from hpo.doctor import examine
from hpo.errors import StorageError
from hpo.storage import Storage
from tests.command import quick
from tests.dashboards import dashboard
from tests.s3 import bucket, s3_server
from tests.tiny_studies import (
    LONG,
    SEARCH,
    eventually,
    execute,
    new_studies,
    states,
    training,
    worker_of,
    worker_process,
)

__all__ = ["bucket", "s3_server"]


@pytest.fixture(scope="module")
def studies(new_postgresql, tmp_path_factory):
    """A study that one worker of this machine has begun, in PostgreSQL, and its folder."""
    folder = tmp_path_factory.mktemp("first")
    (study,) = new_studies(new_postgresql(), folder, SEARCH)
    worker_of(study).run(max_trials=1)
    return study, folder


@pytest.mark.long
def test_a_worker_of_another_machine_with_a_folder_of_its_own_is_refused_in_one_line(studies, tmp_path):
    study, folder = studies
    execute(study.storage, "UPDATE hpo_artifact_mark SET host = 'elsewhere'")
    try:
        refused = quick(
            *("worker", study.name, "--exit-when-idle"),
            folder=tmp_path,
            HPO_STORAGE=study.storage.url,
            HPO_ARTIFACT_DIR=str(tmp_path / "own"),
        )
        assert refused.returncode == 2
        line = (
            f"artifact folder {tmp_path}/own: must be where this database's workers keep artifacts,"
            f" {folder}/artifacts on elsewhere, and is another place."
            " Let all machines share one folder, or use S3: HPO_ARTIFACT_DIR=s3://BUCKET/PREFIX."
        )
        assert refused.stderr.splitlines()[-1] == line
        assert states(study).count("complete") == 1
        # And `hpo run` ends with the same line, after no worker was replaced.
        run = quick(
            *("resume", study.name, "--workers", "1"),
            folder=tmp_path,
            HPO_STORAGE=study.storage.url,
            HPO_ARTIFACT_DIR=str(tmp_path / "own"),
        )
        assert run.returncode == 1
        assert run.stderr.splitlines()[-1] == line
        # The same folder, by whatever name another machine calls it, is the same.
        (tmp_path / "mounted").symlink_to(folder / "artifacts")
        other = Storage(study.storage.url, artifact_dir=tmp_path / "mounted")
        worker_of(open_study(study.name, storage=other)).run(max_trials=1)
        assert states(study).count("complete") == 2
    finally:
        execute(study.storage, f"UPDATE hpo_artifact_mark SET host = '{socket.gethostname()}'")


@pytest.mark.slow
def test_a_folder_that_was_moved_on_the_first_machine_is_taken(studies, tmp_path):
    study, _ = studies
    moved = Storage(study.storage.url, artifact_dir=tmp_path / "moved")
    moved.confirm_artifacts()
    moved.confirm_artifacts()
    (mark,) = (tmp_path / "moved").glob(".hpo-place-*")
    assert (
        mark.name.removeprefix(".hpo-place-")
        == execute(study.storage, "SELECT mark FROM hpo_artifact_mark")[0][0]
    )


def test_a_place_that_is_lost_is_given_up_by_the_doctor(new_postgresql, tmp_path):
    (study,) = new_studies(new_postgresql(), tmp_path, SEARCH)
    study.storage.confirm_artifacts()
    execute(study.storage, "UPDATE hpo_artifact_mark SET host = 'elsewhere'")
    new = {"artifact_dir": tmp_path / "new"}
    with pytest.raises(StorageError, match="is another place"):
        Storage(study.storage.url, **new).confirm_artifacts()
    (finding,) = examine(study.storage.url, **new)
    assert finding.place == f"artifact folder {tmp_path}/new"
    assert finding.fault == f"is not that of this database's workers, {tmp_path}/artifacts on elsewhere"
    (finding,) = examine(study.storage.url, **new, repair=True)
    assert finding.repaired
    Storage(study.storage.url, **new).confirm_artifacts()
    assert list(examine(study.storage.url, **new)) == []


def test_many_first_workers_agree_on_one_place(new_postgresql, crowd, tmp_path):
    url = new_postgresql()
    Storage(url, create=True)
    assert sorted(crowd(_confirmed, url, str(tmp_path), count=4)) == [False, False, False, True]


def _confirmed(url: str, folder: str, number: int) -> bool:
    """Whether this one of several machines, each with a folder of its own, may keep artifacts."""
    socket.gethostname = lambda: f"machine-{number}"
    try:
        Storage(url, artifact_dir=Path(folder) / str(number)).confirm_artifacts()
    except StorageError:
        return False
    return True


@pytest.mark.long
def test_a_study_lives_in_a_bucket_from_its_first_checkpoint_to_its_end(bucket, tmp_path, monkeypatch):
    import boto3

    place = f"s3://{bucket}/studies"
    client = boto3.client("s3")

    def keys() -> list[str]:
        found = client.list_objects_v2(Bucket=bucket).get("Contents", ())
        return [entry["Key"] for entry in found]

    monkeypatch.chdir(tmp_path)
    url = f"sqlite:///{tmp_path}/hpo.db"
    storage = Storage(url, artifact_dir=place, create=True)
    rows = np.random.default_rng(0).random((200, 4), np.float32)
    study = create_study(
        LONG | {"seeds": 1, "data": {}}, storage=storage, data=(rows, (rows.sum(axis=1) > 2).astype(int))
    )
    (given,) = keys()
    assert re.fullmatch(r"studies/data/[0-9a-f]{64}\.npz", given)
    # As another machine, which has neither the data nor the folder.
    for path in (tmp_path / "hpo-artifacts" / "data").iterdir():
        path.unlink()
    variables = {"HPO_STORAGE": url, "HPO_ARTIFACT_DIR": place}
    with worker_process(storage, study.name, "--checkpoint-seconds", "0", "--exit-when-idle") as worker:
        eventually(lambda: any(key.endswith(".checkpoint") for key in keys()) and bool(training(study)))
        worker.kill()
        worker.wait(30)
    execute(storage, "UPDATE hpo_leases SET expires = 0")
    done = quick("resume", study.name, "--workers", "1", folder=tmp_path, **variables)
    assert done.returncode == 0, done.stderr
    assert states(study) == ["complete"] * 2
    assert sum(trial.retries for trial in study.all_trials) == 1
    # One may have been written by the killed worker before its row.
    assert len([key for key in keys() if key.endswith(".checkpoint")]) <= 1
    assert all(len(study.curves(number)) for number in (0, 1))

    exported = quick("export", study.name, "--out", "best.keras", folder=tmp_path, **variables)
    assert (exported.returncode, exported.stderr.count("trained again")) == (0, 0), exported.stderr
    assert quick("report", study.name, "--out", "report", folder=tmp_path, **variables).returncode == 0
    assert "has no learning curves" not in (tmp_path / "report" / "report.md").read_text()

    with dashboard(tmp_path, **variables) as running:
        shown = running.json(f"/api/studies/{study.id}?after=0")["trials"][0]
        (kept,) = (a["artifact_id"] for a in shown["artifacts"] if a["filename"] == "curves.csv")
        address = f"/artifacts/{study.id}/{shown['trial_id']}/{kept}"
        assert running.get(address).text.startswith("seed,fold,epoch,")
        client.delete_object(Bucket=bucket, Key=f"studies/{kept}")
        assert running.get(address).status == 404

    # Lost, and damaged.
    (finding,) = examine(url, artifact_dir=place)
    assert finding.fault.endswith(f"is not in {place}")
    assert all(f.repaired for f in examine(url, artifact_dir=place, repair=True))
    names = [key for key in keys() if re.search(r"/[0-9a-f]{64}-", key)]
    client.put_object(Bucket=bucket, Key=names[0], Body=b"other bytes")
    assert "its digest is another one" in examine(url, artifact_dir=place)[0].fault
    assert all(f.repaired for f in examine(url, artifact_dir=place, repair=True))
    assert names[0].replace("studies/", "studies/set-aside/") in keys()
    assert list(examine(url, artifact_dir=place)) == []
    assert quick("backup", "copy.db", folder=tmp_path, **variables).returncode == 0

    deleted = quick("delete", study.name, "--yes", folder=tmp_path, **variables)
    assert deleted.returncode == 0, deleted.stderr
    left = [key for key in keys() if "set-aside" not in key and not key.endswith(".checkpoint")]
    assert left == [given]
