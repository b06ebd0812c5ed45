"""Small pictures in SVG: of a trial's learning curves, and of what it predicts; a page of a table."""

from hpo.pictures.svg import PICTURES, confusion_svg, curves_svg, predicted_svg
from hpo.pictures.table_page import table_page

__all__ = ["PICTURES", "confusion_svg", "curves_svg", "predicted_svg", "table_page"]
