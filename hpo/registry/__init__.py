"""What a storage holds of studies: registered, extended, found, planned, stopped.

The life of a study: `register` stores its specification, `StoredStudy.plan` adds the trials that it still
lacks, workers train them, `stop` and `go_on` say whether they may. Imports storage, search and trials; trains
nothing and draws no conclusion.
"""

from hpo.registry.registration import (
    check_data,
    exists,
    find,
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
    StudySummary,
    is_ours,
    place_of,
    sources_of,
    summarise,
)

__all__ = [
    "CREATED_ATTRIBUTE",
    "SPEC_ATTRIBUTE",
    "STOPPED_ATTRIBUTE",
    "StoredStudy",
    "StudySummary",
    "check_data",
    "exists",
    "find",
    "is_ours",
    "place_of",
    "register",
    "scaling_of",
    "served_studies",
    "settled",
    "sources_of",
    "summaries",
    "summarise",
]
