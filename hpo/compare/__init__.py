"""Trials to comparisons: what arms have reached, and verdicts on them."""

from hpo.compare.arms import DEFAULT_ALPHA, compare
from hpo.compare.comparison import ArmSummary, Comparison, Verdict
from hpo.compare.judging import doubts

__all__ = ["DEFAULT_ALPHA", "ArmSummary", "Comparison", "Verdict", "compare", "doubts"]
