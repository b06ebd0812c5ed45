"""Where studies live: a relational database with Optuna's schema, a lease table, and a folder of artifacts.

Optuna decides what a trial is; a lease decides who trains it. All that goes around Optuna's public calls,
or depends on one kind of database, is in this package.
"""

from hpo.storage.leases import Lease
from hpo.storage.opening import DEFAULT_URL
from hpo.storage.storage import DEFAULT_ARTIFACT_DIR, Claim, Storage, StudyRow

__all__ = ["DEFAULT_ARTIFACT_DIR", "DEFAULT_URL", "Claim", "Lease", "Storage", "StudyRow"]
