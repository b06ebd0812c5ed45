"""Studies from Python: create, open, list, run, read, compare, export, and the final evaluation."""

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
