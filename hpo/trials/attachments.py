"""The files that a finished trial leaves as artifacts: how they are named, written and read."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

CURVES_FILE = "curves.csv"
PREDICTIONS_FILE = "test-predictions.npz"
MODEL_FILE = "model.keras"


def curves_file(curves: Sequence[Mapping[str, Any]]) -> bytes:
    """The content of an artifact from which `Study.curves` reads: a row an epoch of a replicate."""
    import pandas as pd

    return pd.DataFrame(curves).to_csv(index=False).encode()


def predictions_file(probabilities: np.ndarray[Any, Any]) -> bytes:
    """The content of an artifact from which `Study.predictions` reads: (samples, classes), float32."""
    import numpy as np

    buffer = io.BytesIO()
    np.savez_compressed(buffer, probabilities=probabilities.astype(np.float32))
    return buffer.getvalue()
