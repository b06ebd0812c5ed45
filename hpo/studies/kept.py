"""The model that a trial kept which was the best when it ended, to be had without training again."""

from __future__ import annotations

from pathlib import Path

from optuna.trial import FrozenTrial

from hpo.registry import StoredStudy
from hpo.trials import MODEL_FILE, Trial


def kept_model(study: StoredStudy, frozen: FrozenTrial) -> tuple[Path | None, str | None]:
    """The file of the model that a trial kept, and, if it kept one that is of no use, why."""
    path = study.storage.artifact(frozen, MODEL_FILE)
    if path is None:
        return None, None
    fault = _fault(study, Trial.of(study.spec, frozen), path)
    return (path, None) if fault is None else (None, fault)


def _fault(study: StoredStudy, trial: Trial, path: Path) -> str | None:
    try:
        if not study.storage.artifacts.is_intact(path.name):
            return "is damaged"
    except FileNotFoundError:
        return "is gone"
    except OSError as error:
        return f"cannot be read: {error.strerror or error}"
    # As version 0.1 left it.
    if not trial.has_metrics_of_value(study.spec):
        return "is of its last epoch, and the trial is judged by its best"
    return None
