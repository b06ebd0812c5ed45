"""Curves, comparisons, trials and arrays to plotly figures.

Draws what others have computed: knows no database, and computes no statistics. All but the names below is
private.
"""

from hpo.plots.answers import FIGURES, Answers
from hpo.plots.arms import Result, differences, learning_curves, times
from hpo.plots.confusion import confusion
from hpo.plots.contours import contours
from hpo.plots.dots import most_dots
from hpo.plots.frame import Style, styles
from hpo.plots.front import front
from hpo.plots.history import history
from hpo.plots.pruning import pruning
from hpo.plots.searches import MOST_LINES, importances, parallel_coordinates, slices

__all__ = [
    "FIGURES",
    "MOST_LINES",
    "Answers",
    "Result",
    "Style",
    "confusion",
    "contours",
    "differences",
    "front",
    "history",
    "importances",
    "learning_curves",
    "most_dots",
    "parallel_coordinates",
    "pruning",
    "slices",
    "styles",
    "times",
]
