"""Trials to comparisons: what arms have reached, verdicts on them, and the tables of both.

Knows records of trials and specifications, and no database. `verdicts` tests differences between paired runs,
`arms` are an arm's runs, `judgement` brings both together, `ranking` makes a `Comparison` of trials.
"""

from hpo.analysis.arms import ArmSummary
from hpo.analysis.comparison import Comparison
from hpo.analysis.confirmation import Confirmation, confirmation
from hpo.analysis.front import front_of
from hpo.analysis.headline import headline
from hpo.analysis.judgement import doubts
from hpo.analysis.ranking import DEFAULT_ALPHA, compare, rank, ranked_trials
from hpo.analysis.unmet import unmet
from hpo.analysis.verdicts import Verdict

__all__ = [
    "DEFAULT_ALPHA",
    "ArmSummary",
    "Comparison",
    "Confirmation",
    "Verdict",
    "compare",
    "confirmation",
    "doubts",
    "front_of",
    "headline",
    "rank",
    "ranked_trials",
    "unmet",
]
