"""Studies from Python: create, open, list, run, read, compare, export, and the final evaluation.

`Study` adds to what `registry` stores of a study what a person does with it. `candidates` are configurations
that have results; `final` and `promotion` make studies of the best of them, which `names` calls; `export`
trains a model again that its trial has not `kept`. `given` and `tried_models` take data and functions of a
Python program. Imports workers, progress, analysis and what is below; TensorFlow only to export. Beside the
names below only commands and reports use it, by module: `final`, `promotion`, `candidates`, `tables`.
"""

from hpo.registry import StudySummary
from hpo.studies.opening import create_study, list_studies, open_study
from hpo.studies.study import Study, compare_studies

__all__ = [
    "Study",
    "StudySummary",
    "compare_studies",
    "create_study",
    "list_studies",
    "open_study",
]
