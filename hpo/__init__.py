"""Declarative, restartable hyperparameter studies for Keras models on Optuna.

    study = hpo.create_study("study.toml")  # or a dict of the same keys, or hpo.StudySpec(...)
                                            # also with model=build, a function, and data=(x, y)
    study.run(workers=2)                    # trains what is left; study.stop() from another process
    study                                   # how far it is, in a notebook as a table
    study.best                              # hpo.Trial: value, params, metrics, curve ...
    study.trials()                          # pandas.DataFrame, a row a trial
    study.all_trials()                      # the same as hpo.Trial
    study.compare()                         # hpo.Comparison: arms or configurations, and verdicts
    study.plot("history")                   # a figure of the report, of plotly
    study.export("best.keras")              # then hpo.predict("best.keras", x)

    hpo.open_study(name)      hpo.list_studies()      hpo.compare_studies([study, other])
    hpo.fit(model, x, y)                    # any compiled Keras model, each epoch one program
    keys, build = hpo.from_keras_tuner(hypermodel)     # and keys = hpo.from_optuna(study)

Specifications: StudySpec SearchSpec ComparisonSpec. What is returned: Study StudySummary Trial Comparison.
Errors: HpoError, of which SpecError DataError ModelError StorageError StudyError are kinds; WorkerError.
More of each by help(hpo.Study), help(hpo.StudySpec) and so on, and of the commands by: hpo --help
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

from hpo.versions import __version__ as __version__

if TYPE_CHECKING:
    from hpo.analysis import Comparison
    from hpo.errors import DataError, HpoError, ModelError, SpecError, StorageError, StudyError, WorkerError
    from hpo.own import from_keras_tuner, from_optuna
    from hpo.prediction import predict
    from hpo.report.figures import plot
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
    "ModelError": "errors",
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
    "from_keras_tuner": "own",
    "from_optuna": "own",
    "list_studies": "studies",
    "open_study": "studies",
    "plot": "report.figures",
    "predict": "prediction",
}

__all__ = [
    "Comparison",
    "ComparisonSpec",
    "DataError",
    "HpoError",
    "ModelError",
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
    "from_keras_tuner",
    "from_optuna",
    "list_studies",
    "open_study",
    "plot",
    "predict",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'hpo' has no attribute {name!r}")
    return getattr(importlib.import_module(f"hpo.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    # `help(hpo)` asks in order to load all names, TensorFlow too, and to print them whole: 1,500 lines.
    return [] if sys._getframe(1).f_globals.get("__name__") == "inspect" else __all__
