"""Small pictures in SVG: of a trial's learning curves and confusion matrix; a page of a table."""

from hpo.pictures.svg import confusion_svg, curves_svg
from hpo.pictures.table_page import table_page

__all__ = ["confusion_svg", "curves_svg", "table_page"]
