"""The folder of what trials leave: artifacts, whose names carry their digests, and checkpoints."""

from __future__ import annotations

import hashlib
import json
import mimetypes
import os
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DEFAULT_ARTIFACT_DIR = "hpo-artifacts"
# Optuna's: a trial's attribute of this prefix and an artifact's id holds what the artifact is.
ARTIFACT_PREFIX = "artifacts:"
CHECKPOINT_SUFFIX = ".checkpoint"
# Optuna's readers take no further keys beside an artifact's, so the digest is part of its id.
_ID = re.compile(r"([0-9a-f]{64})-[0-9a-f]{32}")


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
    """Files that are either whole, on the disk, or not there."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def attach(self, filename: str, content: bytes) -> Attachment:
        """Keep a file. It is on the disk when this returns, so a row written after it never dangles."""
        artifact_id = f"{hashlib.sha256(content).hexdigest()}-{uuid.uuid4().hex}"
        self.write(artifact_id, content)
        return Attachment(artifact_id, filename)

    def write(self, name: str, content: bytes) -> None:
        """Write a file, or replace it."""
        self.path.mkdir(parents=True, exist_ok=True)
        temporary = self.path / f".{name}.{uuid.uuid4().hex}"
        try:
            with temporary.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self.path / name)
        finally:
            temporary.unlink(missing_ok=True)
        sync_folder(self.path)

    def remove(self, name: str) -> None:
        """Delete a file, if it is there."""
        (self.path / name).unlink(missing_ok=True)

    def is_intact(self, artifact_id: str) -> bool:
        """Whether a file has the digest in its name; True if its name has none.

        Raises:
            OSError: it is not there, or cannot be read.
        """
        named = _ID.fullmatch(artifact_id)
        with (self.path / artifact_id).open("rb") as file:
            return named is None or hashlib.file_digest(file, "sha256").hexdigest() == named[1]


def artifacts_at(path: Path | str | None) -> ArtifactFolder:
    """The folder at `path`, by default `HPO_ARTIFACT_DIR`, then `hpo-artifacts`."""
    return ArtifactFolder(Path(path or os.environ.get("HPO_ARTIFACT_DIR") or DEFAULT_ARTIFACT_DIR))


def artifacts_of(attributes: Mapping[str, Any]) -> dict[str, str]:
    """File names by artifact id, from the system attributes of a trial or study."""
    return {
        key.removeprefix(ARTIFACT_PREFIX): json.loads(value)["filename"]
        for key, value in attributes.items()
        if key.startswith(ARTIFACT_PREFIX)
    }


def new_checkpoint() -> str:
    """The name of a checkpoint's file."""
    return f"{uuid.uuid4().hex}{CHECKPOINT_SUFFIX}"


def sync_folder(path: Path) -> None:
    """Make the names of a folder's files durable."""
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
