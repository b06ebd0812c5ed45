"""The files that a finished trial leaves as artifacts: how they are named, written and read."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

CURVES_FILE = "curves.csv"
PREDICTIONS_FILE = "test-predictions.npz"
MODEL_FILE = "model.keras"
VALIDATION_FILE = "validation.npz"
# Of all replicates together: 20,000 rows of 10 classes are 0.8 MB.
MOST_ROWS = 20_000


def curves_file(curves: Sequence[Mapping[str, Any]]) -> bytes:
    """The content of an artifact from which `Study.curves` reads: a row an epoch of a replicate."""
    import pandas as pd

    return pd.DataFrame(curves).to_csv(index=False).encode()


def predictions_file(probabilities: np.ndarray[Any, Any]) -> bytes:
    """The content of an artifact from which `Study.predictions` reads: (samples, outputs), float32."""
    import numpy as np

    buffer = io.BytesIO()
    np.savez_compressed(buffer, probabilities=probabilities.astype(np.float32))
    return buffer.getvalue()


@dataclass(frozen=True, eq=False)
class Validated:
    """Validation samples of a trial's replicates, one after another, and what the models made of them.

    `y` and `outputs` are as the task has them. `seed`, `fold` (-1 without folds) and `row`, the sample's
    place in the training data, have shape (samples,), as has `weight`, how much each counts, None for all
    alike. `names` are those of classes, labels or quantities; `total` is how many samples the replicates
    validated in all, of which these were chosen evenly.
    """

    y: np.ndarray[Any, Any]
    outputs: np.ndarray[Any, Any]
    seed: np.ndarray[Any, Any]
    fold: np.ndarray[Any, Any]
    row: np.ndarray[Any, Any]
    names: tuple[str, ...]
    total: int
    weight: np.ndarray[Any, Any] | None = None


def shown_places(samples: int, *, replicates: int) -> np.ndarray[Any, Any]:
    """Which of a replicate's validation samples are kept: at most its share of `MOST_ROWS`, evenly.

    >>> shown_places(5, replicates=4), shown_places(30_000, replicates=4)[[0, 1, -1]]
    (array([0, 1, 2, 3, 4]), array([    0,     6, 29999]))
    """
    import numpy as np

    most = max(1, MOST_ROWS // replicates)
    return np.linspace(0, samples - 1, min(samples, most)).round().astype(np.int64)


def validation_file(validated: Validated) -> bytes:
    """The content of an artifact from which `Study.validated` reads."""
    import numpy as np

    buffer = io.BytesIO()
    arrays: dict[str, Any] = {field.name: getattr(validated, field.name) for field in fields(Validated)}
    np.savez_compressed(buffer, **{name: value for name, value in arrays.items() if value is not None})
    return buffer.getvalue()


def read_validation(content: bytes) -> Validated:
    """What `validation_file` wrote. Raises ValueError, KeyError or BadZipFile if it is not right."""
    import numpy as np

    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        # Earlier versions wrote no weights.
        wanted = [f.name for f in fields(Validated) if f.name != "weight" or f.name in archive]
        found = {name: archive[name] for name in wanted}
    found["names"], found["total"] = tuple(found["names"].tolist()), int(found["total"])
    return Validated(**found)
