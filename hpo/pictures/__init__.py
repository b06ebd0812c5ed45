"""Small pictures that a worker draws of a trial, in SVG: of its learning curves and its confusion matrix."""

from hpo.pictures.svg import confusion_svg, curves_svg

__all__ = ["confusion_svg", "curves_svg"]
