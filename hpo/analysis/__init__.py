"""Trials to comparisons: what arms have reached, and verdicts on them."""

from hpo.analysis.arms import DEFAULT_ALPHA, compare
from hpo.analysis.comparison import ArmSummary, Comparison, Verdict
from hpo.analysis.judging import doubts

__all__ = ["DEFAULT_ALPHA", "ArmSummary", "Comparison", "Verdict", "compare", "doubts"]
