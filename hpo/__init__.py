"""Declarative, restartable hyperparameter studies for Keras models on Optuna."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hpo.compare import Comparison
    from hpo.errors import DataError, HpoError, SpecError, StorageError, StudyError, WorkerError
    from hpo.prediction import predict
    from hpo.spec import StudySpec
    from hpo.study import Study, StudySummary, compare_studies, create_study, list_studies, open_study
    from hpo.training import fit
    from hpo.trial import Trial

__version__ = "0.1.0"

# Loaded at first use: TensorFlow alone takes seconds to import.
_HOMES = {
    "Comparison": "compare",
    "DataError": "errors",
    "HpoError": "errors",
    "SpecError": "errors",
    "StorageError": "errors",
    "Study": "study",
    "StudyError": "errors",
    "StudySpec": "spec",
    "StudySummary": "study",
    "Trial": "trial",
    "WorkerError": "errors",
    "compare_studies": "study",
    "create_study": "study",
    "fit": "training",
    "list_studies": "study",
    "open_study": "study",
    "predict": "prediction",
}

__all__ = [
    "Comparison",
    "DataError",
    "HpoError",
    "SpecError",
    "StorageError",
    "Study",
    "StudyError",
    "StudySpec",
    "StudySummary",
    "Trial",
    "WorkerError",
    "compare_studies",
    "create_study",
    "fit",
    "list_studies",
    "open_study",
    "predict",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'hpo' has no attribute {name!r}")
    return getattr(importlib.import_module(f"hpo.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
