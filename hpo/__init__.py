"""Declarative, restartable hyperparameter studies for Keras models on Optuna."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from hpo.versions import __version__ as __version__

if TYPE_CHECKING:
    from hpo.analysis import Comparison
    from hpo.errors import DataError, HpoError, SpecError, StorageError, StudyError, WorkerError
    from hpo.prediction import predict
    from hpo.spec import ComparisonSpec, SearchSpec, StudySpec
    from hpo.studies import Study, StudySummary, compare_studies, create_study, list_studies, open_study
    from hpo.training.fit import fit
    from hpo.trials import Trial

# Loaded at first use: TensorFlow alone takes seconds to import.
_HOMES = {
    "Comparison": "analysis",
    "ComparisonSpec": "spec",
    "DataError": "errors",
    "HpoError": "errors",
    "SearchSpec": "spec",
    "SpecError": "errors",
    "StorageError": "errors",
    "Study": "studies",
    "StudyError": "errors",
    "StudySpec": "spec",
    "StudySummary": "studies",
    "Trial": "trials",
    "WorkerError": "errors",
    "compare_studies": "studies",
    "create_study": "studies",
    "fit": "training.fit",
    "list_studies": "studies",
    "open_study": "studies",
    "predict": "prediction",
}

__all__ = [
    "Comparison",
    "ComparisonSpec",
    "DataError",
    "HpoError",
    "SearchSpec",
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
