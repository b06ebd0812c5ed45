"""A trained model as a .keras file that also says where it comes from, in its member `hpo.json`."""

from __future__ import annotations

import contextlib
import json
import logging
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np
from keras.src.utils import python_utils
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hpo.data import Column, CsvForm, flat, is_nested
from hpo.errors import HpoError, ModelError
from hpo.models.needs import Needs, needs_of
from hpo.models.preparation import input_names
from hpo.own import is_of, own_file, own_names
from hpo.spec import OwnCode
from hpo.spec.base import RuleError
from hpo.spec.own_code import read_code
from hpo.tasks import TASKS, Task

logger = logging.getLogger(__name__)

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


class Code(BaseModel):
    """The function of a person's own that has built a model: in which file; `OwnCode` has its digests."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    file: str
    function: str
    digest: str
    beside: str | None = None

    def at(self, file: str) -> OwnCode:
        """The same function of a file that may be elsewhere."""
        return OwnCode(file=file, function=self.function, digest=self.digest, beside=self.beside)


class Card(BaseModel):
    """What a model is: the training run it comes from, and the samples it takes.

    `scale` is what the model multiplies stored values by; `metrics` are those of its weights. `arm` and
    `fold` are None where there are none. `class_names` are of classes, labels or quantities, as `task` has
    them; `columns` are a table's, which the model takes as they are, `target` its columns that were learned,
    `weight` the one that said how much each row counted, None without, and `csv` how its file is written,
    None of others. `code` is what has built it, if that is a person's own. Of several inputs, `sample_shape`
    and `dtype` are nested as they are; of several outputs `class_names` are their names.
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
    weight: str | None = None
    csv: CsvForm | None = None
    code: Code | None = None
    versions: dict[str, str]


@dataclass(frozen=True, eq=False)
class Predictor:
    """A loaded model. `dtype` is that of the samples it was trained on, None if that is not known.

    `sample_shape` has None for a dimension of any size; `scale` turns stored values into 0..1. `class_names`
    are of classes, labels or quantities. Of several inputs `sample_shape` and `dtype` are nested as they are.
    One that takes a table has its `columns`, those that were its `target` and its `weight`, and how its file
    is written, `csv`, as its card.
    """

    model: keras.Model
    sample_shape: Any
    class_names: tuple[str, ...]
    scale: float
    dtype: Any
    task: Task = TASKS["multi-class"]
    columns: tuple[Column, ...] = ()
    target: tuple[str, ...] = ()
    weight: str | None = None
    csv: CsvForm | None = None

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
    """Write the model with its card. Keras reads the file as any other.

    Raises:
        ModelError: Keras cannot write a layer of a person's own.
    """
    try:
        model.save(path)
    except OSError:
        raise
    except Exception as error:  # whatever a get_config of theirs raises
        rule, remedy = "cannot be written by Keras", "Give its classes a get_config."
        raise ModelError(model.name, rule, got=_said(error), remedy=remedy) from error
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(CARD_MEMBER, card.model_dump_json(indent=2))


def model_bytes(model: keras.Model, card: Card) -> bytes:
    """What `save` writes."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"model{SUFFIX}"
        save(model, card, path)
        return path.read_bytes()


def load(path: Path, *, trust: bool = False, code: Path | None = None) -> Predictor:
    """The model in a .keras file. Loading runs no code of the file's, nor any that it names.

    A file without a card is taken too if it is a classifier, with one input and as many outputs as classes:
    these are then named by their indices, and pixels are 0..255 if the model rescales or normalizes them,
    else 0..1.

    Args:
        path: the file.
        trust: run what it needs: its Lambda layers, and the person's file that has its classes.
        code: that file; by default one of the name and content that the card tells: beside the model, where
            it was, or in the current folder.

    Raises:
        HpoError: the file cannot be read, or holds something else.
        ModelError: the person's file is needed, and is not there or does not run.
    """
    card, needs = _card(path), needs_of(path)
    defined = _names(path, card, needs, code) if trust else {}
    if needs.has_lambdas:
        _show_to_lambdas(defined)
    try:
        # Not compiled: a loss of somebody's own is no reason to refuse.
        model = keras.saving.load_model(
            path, custom_objects=defined or None, compile=False, safe_mode=not trust
        )
    except Exception as error:  # whatever a damaged or hostile file makes Keras raise
        raise _cannot_load(path, card, needs, error, trust=trust) from None
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
        card.weight,
        card.csv,
    )


def _cannot_load(path: Path, card: Card | None, needs: Needs, error: Exception, *, trust: bool) -> HpoError:
    if trust:
        return HpoError(str(path), "must be a Keras model that can be loaded", got=_said(error))
    rule = "must be a Keras model that needs no code of its own"
    if not needs:
        return HpoError(str(path), rule, got=_said(error))
    file = f" of {Path(card.code.file).name}" if needs.names and card is not None and card.code else ""
    remedy = "If you trust that code, run it: --trust, or trust=True in Python."
    return HpoError(str(path), rule, got=f"{needs}{file}", remedy=remedy)


def _names(path: Path, card: Card | None, needs: Needs, code: Path | None) -> dict[str, Any]:
    """What the person's file defines, if the model needs it."""
    made = None if card is None else card.code
    if code is not None:
        return own_names(code.resolve(), _given(code, made))
    if not needs or made is None:
        return {}
    name = Path(made.file).name
    for place in (str(path.parent / name), made.file):
        with contextlib.suppress(ModelError):
            known = own_file(made.at(place))
            return own_names(*known)
    if not needs.names:
        return {}
    rule = f"needs {name} as it was when the model was trained, which is neither beside it nor at {made.file}"
    raise ModelError(str(path), rule, remedy="Name the file: --code FILE, or code= in Python.")


def _given(code: Path, made: Code | None) -> bytes:
    try:
        content = read_code(code)
        is_same = made is None or is_of(code.resolve(), content, made.at(str(code)))
    except RuleError as broken:
        raise ModelError(str(code), broken.rule) from None
    if not is_same:
        logger.warning("%s: differs from the file that the model was made with", code)
    return content


def _show_to_lambdas(names: dict[str, Any]) -> None:
    """Let the functions of Lambda layers see what the file defines: Keras keeps their code without it."""
    seen = vars(python_utils)
    for name, value in names.items():
        seen.setdefault(name, value)


def _said(error: Exception) -> str:
    """What Keras says, on one line, without what it repeats of the file."""
    return " ".join(str(error).split())[:SHOWN] or type(error).__name__


def _is_of(card: Card, model: Any) -> bool:
    """Whether a model takes and gives what its card says."""
    if card.task not in TASKS:
        return False
    inputs, outputs = getattr(model, "inputs", None), getattr(model, "outputs", None)
    if card.code is not None and isinstance(model, keras.Model) and not hasattr(model, "inputs"):
        # A subclass of Model, of which nothing is known before it is called.
        return not card.columns
    if not inputs or not outputs:
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
        raise HpoError(str(path), "must be a whole .keras file", got=_said(error)) from None


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
