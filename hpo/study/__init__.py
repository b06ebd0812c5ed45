"""Studies from Python: create, open, list, run, read."""

from hpo.study.registry import create_study, list_studies, open_study, served_studies
from hpo.study.study import (
    CURVES_FILE,
    PREDICTIONS_FILE,
    SPEC_ATTRIBUTE,
    Study,
    StudySummary,
    compare_studies,
    is_ours,
    predictions_file,
)

__all__ = [
    "CURVES_FILE",
    "PREDICTIONS_FILE",
    "SPEC_ATTRIBUTE",
    "Study",
    "StudySummary",
    "compare_studies",
    "create_study",
    "is_ours",
    "list_studies",
    "open_study",
    "predictions_file",
    "served_studies",
]
