"""Curves, comparisons, trials and arrays to plotly figures.

Draws what others have computed: knows no database, and computes no statistics. All but the names below is
private.
"""

from hpo.plots.answers import FIGURES, Answers
from hpo.plots.arms import Result, differences, learning_curves, times
from hpo.plots.confusion import confusion
from hpo.plots.frame import Style, styles
from hpo.plots.searches import history, importances, parallel_coordinates, slices

__all__ = [
    "FIGURES",
    "Answers",
    "Result",
    "Style",
    "confusion",
    "differences",
    "history",
    "importances",
    "learning_curves",
    "parallel_coordinates",
    "slices",
    "styles",
    "times",
]
