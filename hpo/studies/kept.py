"""The model that a trial kept which was the best when it ended, to be had without training again."""

from __future__ import annotations

from optuna.trial import FrozenTrial

from hpo.registry import StoredStudy
from hpo.storage.artifacts import has_digest
from hpo.trials import MODEL_FILE, Trial


def kept_model(study: StoredStudy, frozen: FrozenTrial) -> tuple[bytes | None, str | None]:
    """The file of the model that a trial kept, and, if it kept one that is of no use, why."""
    artifact_id = study.storage.artifact(frozen, MODEL_FILE)
    if artifact_id is None:
        return None, None
    try:
        content = study.storage.artifacts.read(artifact_id)
    except FileNotFoundError:
        return None, "is gone"
    except OSError as error:
        return None, f"cannot be read: {error.strerror or error}"
    if not has_digest(content, artifact_id):
        return None, "is damaged"
    # As version 0.1 left it.
    if not Trial.of(study.spec, frozen).has_metrics_of_value(study.spec):
        return None, "is of its last epoch, and the trial is judged by its best"
    return content, None
