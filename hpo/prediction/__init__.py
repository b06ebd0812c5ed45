"""What a model in a file says of samples, be they arrays, images or rows of a table; its picture and file."""

from hpo.prediction.chart import chart
from hpo.prediction.predictions import Predictions, predict, predictions
from hpo.prediction.sheet import contact_sheet, is_drawn
from hpo.prediction.written import check_out, write

__all__ = [
    "Predictions",
    "chart",
    "check_out",
    "contact_sheet",
    "is_drawn",
    "predict",
    "predictions",
    "write",
]
