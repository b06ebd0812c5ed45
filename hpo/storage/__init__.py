"""Where studies live: a relational database with Optuna's schema, three tables of ours, a place of artifacts.

Optuna decides what a trial is; a lease decides who trains it. A claim takes the lease of a trial in a small
table of the same database and makes the trial running, in one transaction. Whatever its worker then writes,
by Optuna's calls too, commits only while the lease is held; when it runs out, the next worker takes it and
goes on. So no clock, heartbeat or state of Optuna's decides: the row of the lease does, by the database's
clock. What runs without such a row is another program's.

Artifacts are in one of the `places`, a folder or a bucket; `sharing` knows whether workers of several
machines have the same one.

Imports `files` and `errors`. All that goes around Optuna's public calls, or depends on one kind of database,
is in here: `handles` has public names for what others need of it, `inspection` and `schema` are the doctor's.
"""

from hpo.storage.artifacts import DATA, ArtifactFolder, Attachment
from hpo.storage.begun import BegunTrial
from hpo.storage.bulk import BulkReadingStorage
from hpo.storage.cache import TrialCache
from hpo.storage.claims import CONFIRMS_ATTRIBUTE, RETRIES_ATTRIBUTE, Claim
from hpo.storage.engine import DEFAULT_URL
from hpo.storage.fence import LeaseLostError
from hpo.storage.handles import (
    last_step,
    quiet,
    set_system_attribute,
    storage_of,
    study_id,
    system_attributes,
    trial_id,
)
from hpo.storage.leased import LeasedTrial
from hpo.storage.leases import OWNER_LENGTH, Lease, new_token
from hpo.storage.pace import Pace
from hpo.storage.patience import Patience, passes, reason
from hpo.storage.places import DEFAULT_ARTIFACT_DIR, Place, place_at
from hpo.storage.results import INFEASIBLE_ATTRIBUTE, TrialResult
from hpo.storage.storage import Storage, StudyRow

__all__ = [
    "CONFIRMS_ATTRIBUTE",
    "DATA",
    "DEFAULT_ARTIFACT_DIR",
    "DEFAULT_URL",
    "INFEASIBLE_ATTRIBUTE",
    "OWNER_LENGTH",
    "RETRIES_ATTRIBUTE",
    "ArtifactFolder",
    "Attachment",
    "BegunTrial",
    "BulkReadingStorage",
    "Claim",
    "Lease",
    "LeaseLostError",
    "LeasedTrial",
    "Pace",
    "Patience",
    "Place",
    "Storage",
    "StudyRow",
    "TrialCache",
    "TrialResult",
    "last_step",
    "new_token",
    "passes",
    "place_at",
    "quiet",
    "reason",
    "set_system_attribute",
    "storage_of",
    "study_id",
    "system_attributes",
    "trial_id",
]
