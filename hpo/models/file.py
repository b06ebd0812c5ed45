"""A trained model as a .keras file that also says where it comes from, in its member `hpo.json`."""

from __future__ import annotations

import json
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hpo.data import Column, flat, is_nested
from hpo.errors import HpoError
from hpo.models.preparation import input_names
from hpo.tasks import TASKS, Task

SUFFIX = ".keras"
# Of a card; what an earlier version wrote lacks the task and the columns, and is of classes and arrays.
FORMAT = 2
CARD_MEMBER = "hpo.json"
MAX_CARD_BYTES = 2**26
BATCH = 256
CELLS = 50_000  # of a table that are predicted at once
SHOWN = 160  # characters of what Keras says of a file that it cannot load

Array = np.ndarray[Any, Any]
Kind = Literal["uint8", "float32", "int32", "int64"]


class Card(BaseModel):
    """What a model is: the training run it comes from, and the samples it takes.

    `scale` is what the model multiplies stored values by; `metrics` are those of its weights. `arm` and
    `fold` are None where there are none. `class_names` are of classes, labels or quantities, as `task` has
    them; `columns` are a table's, which the model takes as they are, and `target` its columns that were
    learned. Of several inputs, `sample_shape` and `dtype` are nested as they are; of several outputs
    `class_names` are their names.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    # Version 0.1 wrote none, and the same.
    format: int = 1
    study: str
    trial: int
    arm: str | None
    seed: int
    fold: int | None
    hyperparameters: dict[str, Any]
    metrics: dict[str, float]
    data: str
    data_digest: str
    class_names: tuple[str, ...]
    sample_shape: tuple[int, ...] | dict[str, tuple[int, ...]] | tuple[tuple[int, ...], ...]
    dtype: Kind | dict[str, Kind] | tuple[Kind, ...]
    scale: float = Field(gt=0, allow_inf_nan=False)
    task: str = "multi-class"
    columns: tuple[Column, ...] = ()
    target: tuple[str, ...] = ()
    versions: dict[str, str]


@dataclass(frozen=True, eq=False)
class Predictor:
    """A loaded model. `dtype` is that of the samples it was trained on, None if that is not known.

    `sample_shape` has None for a dimension of any size; `scale` turns stored values into 0..1. `class_names`
    are of classes, labels or quantities. Of several inputs `sample_shape` and `dtype` are nested as they are.
    One that takes a table has its `columns`, and those that were its
    `target`.
    """

    model: keras.Model
    sample_shape: Any
    class_names: tuple[str, ...]
    scale: float
    dtype: Any
    task: Task = TASKS["multi-class"]
    columns: tuple[Column, ...] = ()
    target: tuple[str, ...] = ()

    def predict(self, x: Any) -> Array:
        """Outputs as the task has them, (samples, outputs), float32, of samples as they are stored."""
        outputs: Array = self.model.predict(x, batch_size=BATCH, verbose=0)
        return outputs

    def predict_table(self, values: Sequence[Array]) -> Array:
        """The same of a table's columns, in their order, as `hpo.data.columns.raw` has them."""
        import tensorflow as tf

        # Keras takes text as tensors alone.
        given = {
            name: tf.constant(array) if array.dtype == object else array
            for name, array in zip(input_names(self.columns), values, strict=True)
        }
        batch = max(BATCH, CELLS // len(self.columns))
        outputs: Array = self.model.predict(given, batch_size=batch, verbose=0)
        return outputs


def save(model: keras.Model, card: Card, path: Path) -> None:
    """Write the model with its card. Keras reads the file as any other."""
    model.save(path)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(CARD_MEMBER, card.model_dump_json(indent=2))


def model_bytes(model: keras.Model, card: Card) -> bytes:
    """What `save` writes."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"model{SUFFIX}"
        save(model, card, path)
        return path.read_bytes()


def load(path: Path) -> Predictor:
    """The model in a .keras file. Loading runs no code of the file's.

    A file without a card is taken too if it is a classifier, with one input and as many outputs as classes:
    these are then named by their indices, and pixels are 0..255 if the model rescales or normalizes them,
    else 0..1.

    Raises:
        HpoError: the file cannot be read, or holds something else.
    """
    card = _card(path)
    try:
        # Not compiled: a loss of somebody's own is no reason to refuse.
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # whatever a damaged or hostile file makes Keras raise
        said = " ".join(str(error).split())[:SHOWN] or type(error).__name__
        raise HpoError(str(path), "must be a Keras model that needs no code of its own", got=said) from None
    if card is None:
        shape, classes = _check(path, model)
        names = tuple(str(index) for index in range(classes))
        return Predictor(model, shape, names, 1 / 255 if _rescales(model) else 1.0, None)
    if not _is_of(card, model):
        raise HpoError(str(path), f"{CARD_MEMBER} in it is of another model")
    return Predictor(
        model,
        card.sample_shape,
        card.class_names,
        card.scale,
        card.dtype,
        TASKS[card.task],
        card.columns,
        card.target,
    )


def _is_of(card: Card, model: Any) -> bool:
    """Whether a model takes and gives what its card says."""
    inputs, outputs = getattr(model, "inputs", None), getattr(model, "outputs", None)
    if not inputs or not outputs or card.task not in TASKS:
        return False
    has_one_output = TASKS[card.task].has_one_output
    if len(outputs) != (1 if has_one_output else len(card.class_names)):
        return False
    if has_one_output and tuple(outputs[0].shape) != (None, TASKS[card.task].units(len(card.class_names))):
        return False
    if card.columns:
        return {given.name for given in inputs} == set(input_names(card.columns))
    given = sorted(str(tuple(one.shape[1:])) for one in inputs)
    return given == sorted(
        map(str, flat(card.sample_shape) if is_nested(card.dtype) else [card.sample_shape])
    )


def _card(path: Path) -> Card | None:
    if path.suffix != SUFFIX:
        raise HpoError(str(path), f"must be a model file that ends in {SUFFIX}")
    try:
        with zipfile.ZipFile(path) as archive:
            if CARD_MEMBER not in archive.namelist():
                return None
            with archive.open(CARD_MEMBER) as member:
                content = json.loads(member.read(MAX_CARD_BYTES))
            if isinstance(content, dict) and content.get("format", 1) not in range(1, FORMAT + 1):
                rule = f"{CARD_MEMBER} in it must be of format {FORMAT} or less"
                raise HpoError(str(path), rule, got=content["format"], remedy="Update hpo.")
            return Card.model_validate(content)
    except HpoError:
        raise
    except OSError as error:
        raise HpoError(str(path), f"cannot be read: {error.strerror or error}") from None
    except ValidationError as error:
        where = ".".join(map(str, error.errors()[0]["loc"]))
        raise HpoError(str(path), f"{CARD_MEMBER} in it is damaged at {where or 'its start'}") from None
    except Exception as error:  # zipfile, zlib and json each have their own of a damaged file
        said = " ".join(str(error).split())[:SHOWN] or type(error).__name__
        raise HpoError(str(path), "must be a whole .keras file", got=said) from None


def _check(path: Path, model: Any) -> tuple[tuple[int | None, ...], int]:
    """Sample shape and number of classes of a model with one input and a vector of outputs."""
    inputs, outputs = getattr(model, "inputs", None), getattr(model, "outputs", None)
    if not inputs or not outputs or len(inputs) != 1 or len(outputs) != 1:
        raise HpoError(str(path), "must be a model with one input and one output")
    shape = tuple(outputs[0].shape)
    if len(shape) != 2 or shape[1] is None or shape[1] < 2:
        raise HpoError(str(path), "must be a classifier with an output for each class", got=shape)
    return tuple(inputs[0].shape[1:]), shape[1]


def _rescales(model: keras.Model) -> bool:
    kinds = (keras.layers.Rescaling, keras.layers.Normalization)
    return any(isinstance(layer, kinds) for layer in model.layers)
