"""Small pictures that a worker draws of a trial, in SVG: of its learning curves, and of what it predicts."""

from hpo.pictures.svg import PICTURES, confusion_svg, curves_svg, predicted_svg

__all__ = ["PICTURES", "confusion_svg", "curves_svg", "predicted_svg"]
