"""Folders and buckets keep files alike; what cannot be used is one line."""

from __future__ import annotations

import errno
import hashlib

import pytest
from optuna.artifacts.exceptions import ArtifactNotFound

from hpo.errors import StorageError
from hpo.storage import passes
from hpo.storage.places import BucketPlace, FolderPlace, Place, place_at
from tests.command import quick
from tests.s3 import bucket, s3_server

__all__ = ["bucket", "s3_server"]


@pytest.fixture(params=["folder", "bucket", "prefix"])
def place(request, tmp_path, monkeypatch) -> Place:
    monkeypatch.chdir(tmp_path)
    if request.param == "folder":
        return FolderPlace(tmp_path / "artifacts")
    name = request.getfixturevalue("bucket")
    given = f"s3://{name}" if request.param == "bucket" else f"s3://{name}/some/{tmp_path.name}/"
    return place_at(given)


def test_a_file_is_written_read_listed_moved_and_removed(place):
    place.make()
    assert place.exists()
    place.write("a", b"one")
    place.write("a", b"two")
    place.write("b", b"")
    assert (place.read("a"), place.read("b")) == (b"two", b"")
    assert place.has("a")
    assert not place.has("c")
    ages = place.ages()
    assert {"a", "b"} <= ages.keys()
    assert all(-5 < ages[name] < 60 for name in "ab")
    place.move("a", "set-aside/a")
    assert not place.has("a")
    assert place.has("set-aside/a")
    assert "set-aside" not in place.ages()
    assert list(place.ages("set-aside")) == ["a"]
    place.move("set-aside/a", "a")
    assert place.read("a") == b"two"
    for name in "ab":
        place.remove(name)
    assert not place.ages().keys() & {"a", "b"}
    place.remove("a")
    with pytest.raises(FileNotFoundError):
        place.read("a")
    with pytest.raises(FileNotFoundError):
        place.move("a", "set-aside/a")


def test_optuna_reads_and_writes_the_same_files(place):
    place.write("a", b"ours")
    with place.store.open_reader("a") as file:
        assert file.read() == b"ours"
    with pytest.raises(ArtifactNotFound):
        place.store.open_reader("nothing")
    place.store.remove("a")
    assert not place.has("a")


def test_a_file_of_one_machine_is_found_on_another(place, tmp_path):
    file = place.path / "data" / "x.npz"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"bytes")
    place.share(file, "data/x.npz")
    if isinstance(place, BucketPlace):
        file.unlink()
    found = place.local("data/x.npz")
    assert found is not None
    assert hashlib.sha256(found.read_bytes()).digest() == hashlib.sha256(b"bytes").digest()
    assert place.local("data/y.npz") is None


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ("gs://bucket/x", "artifact folder: must be a folder, or in storage that speaks S3, but got 'gs://"),
        ("s3://", "artifact folder s3://: must name a bucket. Example: s3://BUCKET/PREFIX."),
        (
            "s3://no-such-bucket/x",
            "artifact folder s3://no-such-bucket/x: there is no bucket",
        ),
    ],
)
def test_an_address_that_is_none_is_one_line(given, line, bucket):
    with pytest.raises(StorageError) as caught:
        place_at(given).make()
    assert str(caught.value).startswith(line)


def test_without_the_extra_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(StorageError, match=r"needs the package boto3, .* 'hpo-studies\[s3\]'"):
        place_at("s3://bucket")


def test_what_is_out_of_reach_is_tried_again_and_what_is_refused_is_not(bucket, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setattr("hpo.storage.places.ATTEMPTS", 1)
    away = place_at(f"s3://{bucket}")
    with pytest.raises(OSError, match="Could not connect") as caught:
        away.write("a", b"")
    assert passes(caught.value)
    with pytest.raises(StorageError, match="cannot be used: Could not connect"):
        away.make()
    monkeypatch.undo()
    with pytest.raises(OSError, match="NoSuchBucket") as caught:
        place_at("s3://no-such-bucket").write("a", b"")
    assert not passes(caught.value)
    assert caught.value.errno == errno.ENOENT


def test_the_command_refuses_it_with_exit_code_2(tmp_path):
    refused = quick("list", folder=tmp_path, HPO_ARTIFACT_DIR="gs://bucket")
    assert refused.returncode == 2
    assert "Name a folder, or s3://BUCKET/PREFIX." in refused.stderr
