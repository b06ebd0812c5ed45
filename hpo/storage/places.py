"""Where the files of artifacts are: in a folder, or in a bucket of S3-compatible storage.

Each is one of Optuna's own artifact stores, with what these cannot do: tell what there is, and move.
"""

from __future__ import annotations

import contextlib
import errno
import importlib.util
import io
import os
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

from optuna.artifacts import Boto3ArtifactStore, FileSystemArtifactStore
from optuna.artifacts._protocol import ArtifactStore
from optuna.artifacts.exceptions import ArtifactNotFound

from hpo.errors import StorageError
from hpo.files import whole_file

DEFAULT_ARTIFACT_DIR = "hpo-artifacts"
EXAMPLE = "Name a folder, or s3://BUCKET/PREFIX."
# Seconds of S3: a worker that trains must not wait for long, since it tries again.
CONNECT_SECONDS, READ_SECONDS, ATTEMPTS = 5, 60, 3
# What S3 says when nothing is amiss but the moment.
PASSING = frozenset({"InternalError", "RequestTimeout", "ServiceUnavailable", "SlowDown", "Throttling"})


class Place(ABC):
    """Files by name, either whole or not there. A name may stand below one folder, as `set-aside/NAME`.

    `path`: a folder of this machine, for what is no artifact. Every method raises FileNotFoundError for a
    file that is not there, and OSError for what is out of reach.
    """

    path: Path

    @property
    @abstractmethod
    def given(self) -> str:
        """As other processes are told of it: `HPO_ARTIFACT_DIR`."""

    @property
    @abstractmethod
    def store(self) -> ArtifactStore:
        """As Optuna's."""

    @abstractmethod
    def __str__(self) -> str:
        """As messages name it."""

    @abstractmethod
    def make(self) -> None:
        """Make it, if it is not there. Raises StorageError if it cannot be used."""

    def check(self) -> None:  # noqa: B027
        """Raises StorageError if it is known beforehand that nothing can be written."""

    @abstractmethod
    def exists(self) -> bool:
        """Whether it is there."""

    @abstractmethod
    def write(self, name: str, content: bytes) -> None:
        """Write a file, or replace it; it is durable when this returns."""

    @abstractmethod
    def read(self, name: str) -> bytes:
        """The content of a file."""

    @abstractmethod
    def remove(self, name: str) -> None:
        """Delete a file, if it is there."""

    @abstractmethod
    def has(self, name: str) -> bool:
        """Whether there is a file of that name."""

    @abstractmethod
    def move(self, name: str, to: str) -> None:
        """Give a file another name."""

    @abstractmethod
    def ages(self, folder: str = "") -> dict[str, float]:
        """Seconds since each file was written, by its name; folders are left out."""

    @abstractmethod
    def share(self, file: Path, name: str) -> None:
        """Let other machines find a file of `path`, by `local`."""

    @abstractmethod
    def local(self, name: str) -> Path | None:
        """A file of this machine with what `name` has; None if there is none."""

    def called(self, name: str) -> str:
        """A file, as messages name it."""
        return f"{self}/{name}"


class FolderPlace(Place):
    """A folder, which machines may share."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def given(self) -> str:
        return str(self.path.resolve())

    @property
    def store(self) -> ArtifactStore:
        return FileSystemArtifactStore(self.path)

    def __str__(self) -> str:
        return str(self.path)

    def make(self) -> None:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(f"artifact folder {self}", f"cannot be made: {error.strerror}") from None

    def exists(self) -> bool:
        return self.path.exists()

    def write(self, name: str, content: bytes) -> None:
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path, replace=True) as draft:
            draft.write_bytes(content)

    def read(self, name: str) -> bytes:
        return (self.path / name).read_bytes()

    def remove(self, name: str) -> None:
        (self.path / name).unlink(missing_ok=True)

    def has(self, name: str) -> bool:
        return (self.path / name).is_file()

    def move(self, name: str, to: str) -> None:
        (self.path / to).parent.mkdir(exist_ok=True)
        (self.path / name).rename(self.path / to)

    def ages(self, folder: str = "") -> dict[str, float]:
        now, found, inside = time.time(), {}, self.path / folder
        for path in inside.iterdir() if inside.is_dir() else ():
            if path.is_file() and not path.is_symlink():
                found[path.name] = now - path.stat().st_mtime
        return found

    def share(self, file: Path, name: str) -> None:
        """See `Place`: it is in the folder already."""

    def local(self, name: str) -> Path | None:
        return self.path / name if self.has(name) else None


class BucketPlace(Place):
    """Objects of a bucket whose keys have a prefix. boto3 finds address and credentials in its own ways."""

    def __init__(self, bucket: str, prefix: str) -> None:
        self._bucket, self._prefix = bucket, f"{prefix}/" if prefix else ""
        self.path = Path(DEFAULT_ARTIFACT_DIR)

    @property
    def given(self) -> str:
        return f"s3://{self._bucket}/{self._prefix}".rstrip("/")

    @cached_property
    def _client(self) -> Any:
        import boto3  # takes a third of a second
        from botocore.config import Config

        retries = {"mode": "standard", "total_max_attempts": ATTEMPTS}
        how = Config(connect_timeout=CONNECT_SECONDS, read_timeout=READ_SECONDS, retries=retries)
        with self._reached():
            return boto3.client("s3", config=how)

    @cached_property
    def store(self) -> ArtifactStore:
        return _PrefixedStore(self._bucket, self._client, self._prefix)

    def __str__(self) -> str:
        return self.given

    def make(self) -> None:
        try:
            with self._reached():
                self._client.head_bucket(Bucket=self._bucket)
        except FileNotFoundError:
            rule = f"there is no bucket {self._bucket!r}"
            raise StorageError(f"artifact folder {self}", rule, remedy="Create it first.") from None
        except OSError as error:
            remedy = (
                "AWS_ENDPOINT_URL says where it is, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY who you are."
            )
            rule = f"cannot be used: {error.strerror}"
            raise StorageError(f"artifact folder {self}", rule, remedy=remedy) from None

    def check(self) -> None:
        self.make()

    def exists(self) -> bool:
        return True

    def write(self, name: str, content: bytes) -> None:
        with self._reached():
            self.store.write(name, io.BytesIO(content))

    def read(self, name: str) -> bytes:
        with self._reached(), contextlib.closing(self.store.open_reader(name)) as body:
            return body.read()

    def remove(self, name: str) -> None:
        with self._reached():
            self.store.remove(name)

    def has(self, name: str) -> bool:
        try:
            with self._reached():
                self._client.head_object(Bucket=self._bucket, Key=self._prefix + name)
        except FileNotFoundError:
            return False
        return True

    def move(self, name: str, to: str) -> None:
        source = {"Bucket": self._bucket, "Key": self._prefix + name}
        with self._reached():
            self._client.copy(source, self._bucket, self._prefix + to)
        self.remove(name)

    def ages(self, folder: str = "") -> dict[str, float]:
        start = self._prefix + (f"{folder}/" if folder else "")
        with self._reached():
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=start, Delimiter="/"
            )
            objects = [found for page in pages for found in page.get("Contents", ())]
        return {o["Key"].removeprefix(start): time.time() - o["LastModified"].timestamp() for o in objects}

    def share(self, file: Path, name: str) -> None:
        with self._reached():
            self._client.upload_file(str(file), self._bucket, self._prefix + name)

    def local(self, name: str) -> Path | None:
        if not self.has(name):
            return None
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path, replace=True) as draft, self._reached():
            self._client.download_file(self._bucket, self._prefix + name, str(draft))
        return path

    @contextlib.contextmanager
    def _reached(self) -> Iterator[None]:
        """What boto3 raises, as the error that a file would be."""
        from boto3.exceptions import Boto3Error
        from botocore.exceptions import BotoCoreError, ClientError, ConnectionError, HTTPClientError

        try:
            yield
        except ArtifactNotFound:
            raise FileNotFoundError(errno.ENOENT, "it is not there") from None
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code", "")
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
            if status == 404:
                raise FileNotFoundError(errno.ENOENT, f"it is not there ({code})") from error
            number = errno.EIO if code in PASSING or status >= 500 else errno.EACCES
            raise OSError(number, f"the storage answers {code or status}") from error
        except (BotoCoreError, Boto3Error) as error:
            number = errno.ETIMEDOUT if isinstance(error, HTTPClientError | ConnectionError) else errno.EACCES
            raise OSError(number, str(error).splitlines()[0].rstrip(".")) from error


class _PrefixedStore(Boto3ArtifactStore):
    """Optuna's store, whose ids are whole keys, below a prefix."""

    def __init__(self, bucket: str, client: Any, prefix: str) -> None:
        super().__init__(bucket, client)
        self._prefix = prefix

    def open_reader(self, artifact_id: str) -> Any:
        return super().open_reader(self._prefix + artifact_id)

    def write(self, artifact_id: str, content_body: Any) -> None:
        super().write(self._prefix + artifact_id, content_body)

    def remove(self, artifact_id: str) -> None:
        super().remove(self._prefix + artifact_id)


def _bucket_place(address: str) -> Place:
    bucket, _, prefix = address.partition("/")
    place = f"artifact folder s3://{address}"
    if not bucket:
        raise StorageError(place, "must name a bucket", remedy="Example: s3://BUCKET/PREFIX.")
    if importlib.util.find_spec("boto3") is None:
        rule = "needs the package boto3, which is not installed"
        raise StorageError(place, rule, remedy="pip install 'hpo-studies[s3]'")
    return BucketPlace(bucket, prefix.strip("/"))


SCHEMES: dict[str, Callable[[str], Place]] = {"s3": _bucket_place}


def place_at(given: Path | str | None) -> Place:
    """The place that `given` names, by default `HPO_ARTIFACT_DIR`, then the folder `hpo-artifacts`.

    Raises:
        StorageError: it is an address of another kind, or what it needs is not installed.
    """
    given = given or os.environ.get("HPO_ARTIFACT_DIR") or DEFAULT_ARTIFACT_DIR
    scheme, separator, address = str(given).partition("://")
    if not separator or isinstance(given, Path):
        return FolderPlace(Path(given))
    if scheme not in SCHEMES:
        rule = "must be a folder, or in storage that speaks S3"
        raise StorageError("artifact folder", rule, got=str(given), remedy=EXAMPLE)
    return SCHEMES[scheme](address)
