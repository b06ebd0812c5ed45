"""Which trials a study wants, and with which hyperparameters.

`plan` compares a specification with the trials that there are and says what to add, `first_withdrawn` from
where on trials are to go; `suggest` gives a claimed trial its parameters, `hyperparameters_of` reads them;
`workload` says what all of it costs at the most. Imports `spec` and Optuna's public parts; the database's
side of a plan is `registry`'s and `storage`'s. How a configuration follows from a seed and an index stays
private.
"""

from hpo.search.distributions import (
    active,
    distributions,
    drawn_of,
    hyperparameters_of,
    suggest,
)
from hpo.search.dominance import RUNGS_ATTRIBUTE
from hpo.search.earlier import best_of
from hpo.search.earlier import rows as earlier_rows
from hpo.search.earlier import values_in as earlier_values
from hpo.search.encoding import decode, encode
from hpo.search.feasible import is_drawn, may_repeat
from hpo.search.front import dominates, hypervolume, losses_of, on_front, reference_of, volumes
from hpo.search.limits import Room, room
from hpo.search.marks import START_ATTRIBUTE, confirms, is_valued
from hpo.search.plan import first_withdrawn, plan
from hpo.search.pruners import make_pruner, may_prune
from hpo.search.race import Race, is_raced, race_of
from hpo.search.repeats import AS_ATTRIBUTE, REPEAT_ATTRIBUTE, is_answered, known_result, repeats, seeds_of
from hpo.search.shown import ShowingSampler, Views, known
from hpo.search.spent import epochs_spent, runs_of
from hpo.search.starts import missing_starts
from hpo.search.strategies import STRATEGIES, Strategy, make_sampler
from hpo.search.workload import Workload, workload

__all__ = [
    "AS_ATTRIBUTE",
    "REPEAT_ATTRIBUTE",
    "RUNGS_ATTRIBUTE",
    "START_ATTRIBUTE",
    "STRATEGIES",
    "Race",
    "Room",
    "ShowingSampler",
    "Strategy",
    "Views",
    "Workload",
    "active",
    "best_of",
    "confirms",
    "decode",
    "distributions",
    "dominates",
    "drawn_of",
    "earlier_rows",
    "earlier_values",
    "encode",
    "epochs_spent",
    "first_withdrawn",
    "hyperparameters_of",
    "hypervolume",
    "is_answered",
    "is_drawn",
    "is_raced",
    "is_valued",
    "known",
    "known_result",
    "losses_of",
    "make_pruner",
    "make_sampler",
    "may_prune",
    "may_repeat",
    "missing_starts",
    "on_front",
    "plan",
    "race_of",
    "reference_of",
    "repeats",
    "room",
    "runs_of",
    "seeds_of",
    "suggest",
    "volumes",
    "workload",
]
