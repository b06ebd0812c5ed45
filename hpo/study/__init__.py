"""Studies from Python: create, open, list, run, read."""

from hpo.study.registry import create_study, list_studies, open_study, served_studies
from hpo.study.study import CURVES_FILE, SPEC_ATTRIBUTE, Study, StudySummary

__all__ = [
    "CURVES_FILE",
    "SPEC_ATTRIBUTE",
    "Study",
    "StudySummary",
    "create_study",
    "list_studies",
    "open_study",
    "served_studies",
]
