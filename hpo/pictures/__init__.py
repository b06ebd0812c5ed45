"""Small pictures in SVG: of a trial's learning curves, and of what it predicts; a page of a table.

A worker keeps them with a trial that is the best so far, and has milliseconds to draw one: so they are
templates, and plotly's figures are of `plots`. Imports data and tables, for numbers and names; all but the
names below is private.
"""

from hpo.pictures.svg import PICTURES, confusion_svg, curves_svg, predicted_svg
from hpo.pictures.table_page import table_page

__all__ = ["PICTURES", "confusion_svg", "curves_svg", "predicted_svg", "table_page"]
