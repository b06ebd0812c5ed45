"""What a trial can go on from when its worker stops or dies: a file beside its artifacts.

A checkpoint is a tree of dicts, lists, numbers, strings and arrays. It is stored as an .npz file whose member
`tree` is JSON, in which `{"array": "0"}` stands for the member of that name: nothing in it is executed.
"""

from __future__ import annotations

import io
import json
import logging
import time
from typing import Any, Protocol

import numpy as np

from hpo.data.archive import DAMAGE
from hpo.storage import ArtifactFolder, Claim, LeaseLostError, Patience

logger = logging.getLogger(__name__)

CHECKPOINT_SECONDS = 30.0


class Checkpoints(Protocol):
    """Where an objective keeps its state."""

    @property
    def due(self) -> bool:
        """Whether it is time to save again."""

    def load(self) -> dict[str, Any] | None:
        """What was saved last, by whichever worker; None to begin at the start."""

    def save(self, tree: dict[str, Any]) -> None:
        """Replace what was saved last."""


class TrialCheckpoints:
    """The checkpoint of one claimed trial, saved every so many seconds."""

    def __init__(
        self, folder: ArtifactFolder, claim: Claim, *, retry: Patience, seconds: float = CHECKPOINT_SECONDS
    ) -> None:
        self._folder, self._claim, self._retry, self._seconds = folder, claim, retry, seconds
        self._name = claim.checkpoint
        self._saved = time.monotonic()

    @property
    def due(self) -> bool:
        """Whether the last one is `seconds` old."""
        return time.monotonic() - self._saved >= self._seconds

    def load(self) -> dict[str, Any] | None:
        """The last one; None, and a warning, if its file is gone or damaged."""
        if self._name is None:
            return None
        try:
            tree: dict[str, Any] = loads(self._folder.read(self._name))
            return tree
        except DAMAGE as error:
            logger.warning("trial begins anew, since its checkpoint %s cannot be read: %s", self._name, error)
            return None

    def save(self, tree: dict[str, Any]) -> None:
        """Write a new file, then its row, then delete the former file. Training goes on without what fails.

        The row decides. So a worker that has lost the trial can neither replace what the next one has saved
        nor leave a file: each file is written once, and only the holder's row names it. It may have recorded
        its last one all the same, as it learns when the reply is lost for longer than the lease lasts: then
        the next worker goes on from that, and knows nothing of the former one.

        Raises:
            LeaseLostError: another worker may have the trial by now.
        """
        self._saved = time.monotonic()
        name, former = self._folder.new_checkpoint(), self._name
        try:
            self._folder.write(name, dumps(tree))
        except OSError as error:
            logger.warning("the checkpoint could not be written: %s", error.strerror)
            return
        try:
            self._retry(lambda: self._claim.keep_checkpoint(name))
        except LeaseLostError:
            named = self._retry(self._claim.recorded_checkpoint)
            for file in (name, former):
                if file is not None and file != named:
                    self._folder.remove(file)
            raise
        self._name = name
        if former is not None:
            self._folder.remove(former)

    def discard(self) -> None:
        """Delete the file of a trial that has finished."""
        if self._name is not None:
            self._folder.remove(self._name)


def dumps(tree: Any) -> bytes:
    """The bytes of a checkpoint."""
    arrays: dict[str, np.ndarray[Any, Any]] = {}

    def plain(value: Any) -> Any:
        if isinstance(value, np.ndarray | np.generic):
            name = str(len(arrays))
            arrays[name] = np.asarray(value)
            return {"array": name}
        raise TypeError(f"a checkpoint cannot hold {type(value)}")

    text = json.dumps(tree, default=plain)
    buffer = io.BytesIO()
    np.savez(buffer, tree=np.frombuffer(text.encode(), np.uint8), **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


def loads(content: bytes) -> Any:
    """The tree that `dumps` was given. Raises one of `DAMAGE`."""
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:

        def restored(value: dict[str, Any]) -> Any:
            return archive[value["array"]] if value.keys() == {"array"} else value

        return json.loads(archive["tree"].tobytes(), object_hook=restored)
