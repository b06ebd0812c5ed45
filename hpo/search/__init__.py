"""Which trials a study wants, and with which hyperparameters.

`plan` compares a specification with the trials that there are and says what to add, `first_withdrawn` from
where on trials are to go; `suggest` gives a claimed trial its parameters, `hyperparameters_of` reads them;
`workload` says what all of it costs at the most. Imports `spec` and Optuna's public parts; the database's
side of a plan is `registry`'s and `storage`'s. How a configuration follows from a seed and an index stays
private.
"""

from hpo.search.distributions import decode, distributions, encode, hyperparameters_of, suggest
from hpo.search.front import hypervolume, losses_of, on_front, reference_of
from hpo.search.limits import Room, room
from hpo.search.plan import first_withdrawn, plan
from hpo.search.race import Race, confirms, is_raced, race_of
from hpo.search.samplers import make_pruner, make_sampler, may_prune
from hpo.search.workload import Workload, workload

__all__ = [
    "Race",
    "Room",
    "Workload",
    "confirms",
    "decode",
    "distributions",
    "encode",
    "first_withdrawn",
    "hyperparameters_of",
    "hypervolume",
    "is_raced",
    "losses_of",
    "make_pruner",
    "make_sampler",
    "may_prune",
    "on_front",
    "plan",
    "race_of",
    "reference_of",
    "room",
    "suggest",
    "workload",
]
