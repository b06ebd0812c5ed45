"""What a storage holds of studies: registered, extended, found, planned, stopped.

The life of a study: `register` stores its specification, `StoredStudy.plan` adds the trials that it still
lacks, workers train them, `stop` and `go_on` say whether they may. Of people's own code the text is kept with
the study, to be shown; before anything is trained by it, its files must still be the same. Imports storage,
search and trials; trains nothing and draws no conclusion.
"""

from hpo.registry.code import CODE_ATTRIBUTE, check_code, has_same_code, shown, state_of
from hpo.registry.finding import find
from hpo.registry.registration import (
    check_data,
    exists,
    register,
    scaling_of,
    served_studies,
    settled,
    summaries,
)
from hpo.registry.stored import (
    CREATED_ATTRIBUTE,
    SPEC_ATTRIBUTE,
    STOPPED_ATTRIBUTE,
    StoredStudy,
    is_ours,
    place_of,
    sources_of,
    summarise,
)
from hpo.registry.summary import StudySummary

__all__ = [
    "CODE_ATTRIBUTE",
    "CREATED_ATTRIBUTE",
    "SPEC_ATTRIBUTE",
    "STOPPED_ATTRIBUTE",
    "StoredStudy",
    "StudySummary",
    "check_code",
    "check_data",
    "exists",
    "find",
    "has_same_code",
    "is_ours",
    "place_of",
    "register",
    "scaling_of",
    "served_studies",
    "settled",
    "shown",
    "sources_of",
    "state_of",
    "summaries",
    "summarise",
]
