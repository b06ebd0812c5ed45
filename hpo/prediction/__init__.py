"""What a model in a file says of samples: arrays, .npz files, images, tables; its picture, and a file of it."""

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
