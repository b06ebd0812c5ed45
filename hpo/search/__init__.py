"""Which trials a study wants: the plan, configurations, samplers and pruners.

`plan` compares a specification with the trials that there are; the database's side of it is in `storage`.
"""

from hpo.search.distributions import decode, distributions, encode, hyperparameters_of, suggest
from hpo.search.plan import plan
from hpo.search.samplers import make_pruner, make_sampler
from hpo.search.workload import Workload, workload

__all__ = [
    "Workload",
    "decode",
    "distributions",
    "encode",
    "hyperparameters_of",
    "make_pruner",
    "make_sampler",
    "plan",
    "suggest",
    "workload",
]
