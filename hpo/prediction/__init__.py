"""What a model in a file says of samples: arrays, .npz files, images; and a picture of it."""

from hpo.prediction.predictions import Predictions, predict, predictions
from hpo.prediction.sheet import contact_sheet

__all__ = ["Predictions", "contact_sheet", "predict", "predictions"]
