"""What a model in a file says of samples, be they arrays, images or rows of a table; its picture and file.

Knows no study and no database: what it has to know of a model is in the file's card. `images` and `rows`
read samples, `fitting` brings them to the model's form, `predictions` holds the answers, `chart` and `sheet`
draw them, `written` writes them. Imports models, training, data and pictures, and TensorFlow once there is
something to predict. All but the names below is private.
"""

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
