"""What trials leave: artifacts, whose names carry their digests, and checkpoints, in one place.

Several databases may share a place: each file's name carries the identity of the database that it is of.
Artifacts are `DIGEST-IDENTITY-RANDOM`, checkpoints `IDENTITY-RANDOM.checkpoint`; earlier versions left the
identity out. Optuna's readers find an artifact by its id, which is the file's name, in one flat folder.
"""

from __future__ import annotations

import hashlib
import json
import mimetypes
import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpo.storage.places import Place

# Below the place of artifacts: what nobody takes for one.
DATA = "data"
# Optuna's: a trial's attribute of this prefix and an artifact's id holds what the artifact is.
ARTIFACT_PREFIX = "artifacts:"
CHECKPOINT_SUFFIX = ".checkpoint"
# Optuna's readers take no further keys beside an artifact's, so the digest is part of its id.
_ID = re.compile(r"([0-9a-f]{64})-(?:[0-9a-f]{16}-)?[0-9a-f]{32}")
_TAGGED = re.compile(r"(?:[0-9a-f]{64}-)?([0-9a-f]{16})-[0-9a-f]{32}(?:\.checkpoint)?")
_UNTAGGED = re.compile(r"[0-9a-f]{64}-[0-9a-f]{32}|[0-9a-f]{32}\.checkpoint")


@dataclass(frozen=True)
class Attachment:
    """An artifact whose file is on the disk, to be recorded with its trial's result."""

    artifact_id: str
    filename: str

    @property
    def attribute(self) -> tuple[str, dict[str, Any]]:
        """Key and value of the trial's system attribute, as Optuna's artifact store has it."""
        mimetype = mimetypes.guess_type(self.filename)[0] or "application/octet-stream"
        meta = {"filename": self.filename, "mimetype": mimetype, "encoding": None}
        return ARTIFACT_PREFIX + self.artifact_id, {"artifact_id": self.artifact_id, **meta}


class ArtifactFolder:
    """The files of a database's trials in their place; `identity` is asked for when one is named."""

    def __init__(self, place: Place, identity: Callable[[], str]) -> None:
        self.place, self._identity = place, identity

    @property
    def path(self) -> Path:
        """The folder of this machine, in which all is unless it is in a bucket."""
        return self.place.path

    @property
    def data(self) -> Path:
        """The folder of the data that people have given in Python, each file named by its digest."""
        return self.path / DATA

    def given_data(self, name: str) -> Path | None:
        """The file of given data of that name, brought to this machine if need be; None if there is none."""
        return self.place.local(f"{DATA}/{name}")

    def of_callbacks(self, study: str) -> Path:
        """The folder where callbacks of people's own write for a study, which may not be there."""
        return self.path / "callbacks" / f"{study}-{self._identity()[:8]}"

    def attach(self, filename: str, content: bytes) -> Attachment:
        """Keep a file. It is durable when this returns, so a row written after it never dangles."""
        artifact_id = f"{hashlib.sha256(content).hexdigest()}-{self._own_name()}"
        self.write(artifact_id, content)
        return Attachment(artifact_id, filename)

    def new_checkpoint(self) -> str:
        """A name for a checkpoint's file that no other has."""
        return self._own_name() + CHECKPOINT_SUFFIX

    def write(self, name: str, content: bytes) -> None:
        """Write a file, or replace it."""
        self.place.write(name, content)

    def read(self, name: str) -> bytes:
        """The content of a file. Raises OSError if it is not there, or cannot be read."""
        return self.place.read(name)

    def remove(self, name: str) -> None:
        """Delete a file, if it is there, and in the place itself."""
        # What some other program has written as a name may be a path out of it.
        if Path(name).name == name:
            self.place.remove(name)

    def is_intact(self, artifact_id: str) -> bool:
        """Whether a file has the digest in its name; True if its name has none.

        Raises:
            OSError: it is not there, or cannot be read.
        """
        return has_digest(self.read(artifact_id), artifact_id)

    def _own_name(self) -> str:
        return f"{self._identity()}-{uuid.uuid4().hex}"


def has_digest(content: bytes, artifact_id: str) -> bool:
    """Whether these bytes have the digest that an id begins with; True if it begins with none."""
    named = _ID.fullmatch(artifact_id)
    return named is None or hashlib.sha256(content).hexdigest() == named[1]


def identity_in(name: str) -> str | None:
    """The identity of the database that a file is of; None if its name carries none."""
    tagged = _TAGGED.fullmatch(name)
    return None if tagged is None else tagged[1]


def artifacts_of(attributes: Mapping[str, Any]) -> dict[str, str]:
    """File names by artifact id, from the system attributes of a trial or study."""
    return {
        key.removeprefix(ARTIFACT_PREFIX): json.loads(value)["filename"]
        for key, value in attributes.items()
        if key.startswith(ARTIFACT_PREFIX)
    }


def is_untagged(name: str) -> bool:
    """Whether a file is hpo's, of a version whose names did not tell the database."""
    return _UNTAGGED.fullmatch(name) is not None
