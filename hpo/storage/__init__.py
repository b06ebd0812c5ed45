"""Where studies live: a relational database with Optuna's schema, a lease table, and a folder of artifacts.

Optuna decides what a trial is; a lease decides who trains it. All that goes around Optuna's public calls,
or depends on one kind of database, is in this package.
"""

from hpo.storage.artifacts import DEFAULT_ARTIFACT_DIR, ArtifactFolder, Attachment, new_checkpoint
from hpo.storage.bulk import BulkReadingStorage
from hpo.storage.claims import RETRIES_ATTRIBUTE, Claim, LeaseLostError
from hpo.storage.engine import DEFAULT_URL
from hpo.storage.handles import (
    last_step,
    set_system_attribute,
    storage_of,
    study_id,
    system_attributes,
    trial_id,
)
from hpo.storage.leased import LeasedTrial
from hpo.storage.leases import Lease, new_token
from hpo.storage.patience import Patience, passes, reason
from hpo.storage.storage import Storage, StudyRow

__all__ = [
    "DEFAULT_ARTIFACT_DIR",
    "DEFAULT_URL",
    "RETRIES_ATTRIBUTE",
    "ArtifactFolder",
    "Attachment",
    "BulkReadingStorage",
    "Claim",
    "Lease",
    "LeaseLostError",
    "LeasedTrial",
    "Patience",
    "Storage",
    "StudyRow",
    "last_step",
    "new_checkpoint",
    "new_token",
    "passes",
    "reason",
    "set_system_attribute",
    "storage_of",
    "study_id",
    "system_attributes",
    "trial_id",
]
