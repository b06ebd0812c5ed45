"""Data that people name to samples that a model takes, and what it says of them."""

from __future__ import annotations

import logging
import math
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Union

import numpy as np

from hpo.data import is_image_shape, is_nested
from hpo.data.archive import DAMAGE, explain, read_arrays
from hpo.data.frames import is_frame
from hpo.data.tables import is_table
from hpo.errors import DataError, HpoError
from hpo.files import expanded
from hpo.prediction.fitting import fitting, inputs_of, labels_of
from hpo.prediction.images import image_files, read_images
from hpo.prediction.rows import table_of
from hpo.tasks import TASKS, Task
from hpo.training.device import prepare_tensorflow

if TYPE_CHECKING:
    import pandas as pd

    from hpo.models.file import Predictor

logger = logging.getLogger(__name__)

# The arrays of an .npz file that are tried, in this order, with those of their labels.
KEYS = (("x_test", "y_test"), ("x_train", "y_train"), ("x", "y"))
PROBABILITIES_SUM = 0.01  # how far from 1 the outputs of a sample may sum: half precision is this coarse

Array = np.ndarray[Any, Any]
Source = int | str
Data = Union[Array, str, Path, Sequence[str | Path], Mapping[str, Array], "pd.DataFrame"]
# Of what is said of a sample: shares that a record has in one mapping.
NESTED = "probabilities."


@dataclass(frozen=True, eq=False)
class Predictions:
    """Samples with what a model makes of them.

    `sources` are file names, or the samples' indices; `x`: (samples, *sample shape), as stored, None of a
    table; `outputs` and `labels`, what is known to be true, are as the task has them, the latter None if it
    is not known; `scale` turns stored values into 0..1. Of a table `frame` has its rows, and `labelled` which
    of these `labels` are of, None for all; `weight`, how much each of these counts, None for all alike.
    `target` are its columns that the model has learned, `apart` names that no prediction has.
    """

    sources: Sequence[Source]
    x: Array | None
    labels: Array | None
    outputs: Array
    class_names: tuple[str, ...]
    scale: float = 1.0
    task: Task = TASKS["multi-class"]
    frame: pd.DataFrame | None = None
    labelled: Array | None = None
    weight: Array | None = None
    apart: tuple[str, ...] = ()
    target: tuple[str, ...] = ()

    @property
    def probabilities(self) -> Array:
        """Of each class, (samples, classes), or label; of quantities their values."""
        shares = self.task.probabilities(self.outputs)
        return self.outputs if shares is None else shares

    @property
    def classes(self) -> Array:
        """The most probable class of each sample."""
        best: Array = self.probabilities.argmax(axis=1)
        return best

    @property
    def correct(self) -> int | None:
        """How many samples are of the class that is predicted; None if that is not known."""
        if self.labels is None or self.task.probabilities(self.outputs) is None:
            return None
        return int((self.classes[self.of_labels] == self.labels).sum())

    @property
    def of_labels(self) -> Array | slice:
        """Which samples `labels` are of."""
        return slice(None) if self.labelled is None else self.labelled

    @property
    def metrics(self) -> dict[str, float]:
        """The task's metrics of the samples whose targets are known, weighted as training was."""
        if self.labels is None:
            return {}
        known = self.labels, self.outputs[self.of_labels], self.weight
        return self.task.compared(*known) | self.task.measured(*known)

    @property
    def columns(self) -> dict[str, Array]:
        """What is said of each sample, a column each, with the label of samples in arrays if it is known.

        Beside a table's columns it has other names than these.
        """
        found = self.task.described(self.outputs, self.class_names)
        if self.frame is not None:
            taken = {*map(str, self.frame.columns), *self.apart}
            return {f"predicted.{name}" if name in taken else name: found[name] for name in found}
        if self.labels is None or self.task.probabilities(self.outputs) is None:
            return found
        names = np.array(self.class_names, dtype=object)
        first = dict(list(found.items())[:2])
        return first | {"label": names[self.labels]} | found

    @property
    def table(self) -> pd.DataFrame:
        """A row a sample: a table's own columns, or none, and `columns`; indexed by the sources."""
        import pandas as pd

        if self.frame is None:
            return pd.DataFrame(self.columns, index=pd.Index(self.sources, name="source"))
        said = pd.DataFrame(self.columns, index=self.frame.index)
        return pd.concat([self.frame, said], axis=1)

    @property
    def records(self) -> list[dict[str, Any]]:
        """A record a sample: source, then the values of `table`, all `probabilities` of an array by class."""
        if self.frame is None:
            return list(map(_record, self.sources, _rows(self.columns)))
        table = self.table
        return _rows({str(name): table[name].to_numpy() for name in table})


def _record(source: Source, row: dict[str, Any]) -> dict[str, Any]:
    nested = {name: value for name, value in row.items() if name.startswith(NESTED)}
    record = {"source": source} | {name: value for name, value in row.items() if name not in nested}
    shares = {name.removeprefix(NESTED): value for name, value in nested.items()}
    return record | ({"probabilities": shares} if shares else {})


def _rows(columns: Mapping[str, Array]) -> list[dict[str, Any]]:
    """Columns as rows of JSON's values."""
    lists = [[_plain(value) for value in array.tolist()] for array in map(_as_objects, columns.values())]
    return [dict(zip(columns, row, strict=True)) for row in zip(*lists, strict=True)]


def _as_objects(array: Array) -> Array:
    return np.datetime_as_string(array, unit="s").astype(object) if array.dtype.kind == "M" else array


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return None if str(value) in ("NaT", "<NA>", "nan") else str(value)


@dataclass(frozen=True, eq=False)
class _Samples:
    sources: Sequence[Source]
    x: Array
    labels: Array | None


def predict(
    model: Path | str, data: Data, *, trust: bool = False, code: Path | str | None = None
) -> pd.DataFrame:
    """What a model that `Study.export` wrote, or another Keras classifier, makes of samples.

    Args:
        model: a .keras file.
        data: raw samples of shape (samples, *sample shape), an .npz file, image files and folders of them;
            for a model of tables a pandas or polars frame, or a file of a table; for one of several inputs a
            dict of arrays, or an .npz file, that has each by its name.
        trust: run the code that the model needs: of its Lambda layers, and of the person's file that has its
            layers. Without, no code is run that the file holds or names.
        code: that person's file; by default one of the name and content that the model tells of, beside the
            model, where it was when the model was trained, or in the current folder.

    Returns:
        A row a sample. Of classes: `class`, `probability`, `label` if it is known, and `probabilities.NAME`
        of each class; of labels: `labels` and the probabilities; of quantities the value of each. Rows of a
        table keep their own columns, before these, and what would have the name of one, or of a target, is
        `predicted.NAME`. Other samples are indexed by their source, file or index.

    Raises:
        HpoError: the model or the data cannot be read, or do not fit each other.
    """
    return predictions(model, data, trust=trust, code=code).table


def predictions(
    model: Path | str, data: Data, *, trust: bool = False, code: Path | str | None = None
) -> Predictions:
    """The same with the samples, and the outputs as one array."""
    model = expanded(model)
    is_held = isinstance(data, np.ndarray | Mapping) or is_frame(data)
    given: Any = data if is_held else _files(data)  # type: ignore[arg-type]
    if not model.is_file():
        raise HpoError(str(model), "must be a model file, and does not exist")
    if code is not None and not trust:
        rule = "is run only if it is trusted"
        raise HpoError(str(code), rule, remedy="Add --trust, in Python trust=True.")
    prepare_tensorflow(1)
    from hpo.models.file import load

    predictor = load(model, trust=trust, code=None if code is None else expanded(code))
    if not predictor.task.has_one_output:
        rule = "must be a model of one output, to say what it predicts"
        remedy = "Load it with keras.saving.load_model, and call its predict."
        raise HpoError(str(model), rule, got=f"outputs {', '.join(predictor.class_names)}", remedy=remedy)
    if isinstance(given, Mapping) and not is_nested(predictor.dtype):
        raise DataError("samples", "must be an array, as the model has one input", got=sorted(given))
    read = _of_several if is_nested(predictor.dtype) else _of_samples
    predicted = (_of_table if predictor.columns else read)(given, predictor)
    _check_outputs(str(model), predicted.outputs, predictor.task)
    return predicted


def _of_table(given: Any, predictor: Predictor) -> Predictions:
    table = table_of(given, predictor)
    known = table.known
    return Predictions(
        sources=range(1, len(table.frame) + 1),
        x=None,
        labels=None if known is None else known.y,
        outputs=predictor.predict_table(table.values),
        class_names=predictor.class_names,
        task=predictor.task,
        frame=table.frame,
        labelled=None if known is None else known.rows,
        weight=None if known is None else known.weight,
        apart=table.apart,
        target=predictor.target,
    )


def _of_samples(given: Any, predictor: Predictor) -> Predictions:
    samples = _samples(given, predictor)
    return Predictions(
        sources=samples.sources,
        x=samples.x,
        labels=samples.labels,
        outputs=predictor.predict(samples.x),
        class_names=predictor.class_names,
        scale=predictor.scale,
        task=predictor.task,
    )


def _of_several(given: Any, predictor: Predictor) -> Predictions:
    x, labels, count = inputs_of(given, predictor)
    return Predictions(
        sources=range(count),
        x=None,
        labels=labels,
        outputs=predictor.predict(x),
        class_names=predictor.class_names,
        task=predictor.task,
    )


def _check_outputs(model: str, outputs: Array, task: Task) -> None:
    if (shares := task.probabilities(outputs)) is None:
        return
    if not (shares.min() >= 0 and abs(shares.sum(axis=1) - 1).max() <= PROBABILITIES_SUM):
        rule = "must be a classifier whose outputs are probabilities"
        raise HpoError(model, rule, remedy=f"Its last activation must be {task.activation}.")


def _files(data: str | Path | Sequence[str | Path]) -> list[Path]:
    """One .npz file, or image files. Raises DataError."""
    given = [expanded(path) for path in ([data] if isinstance(data, str | Path) else data)]
    if not given:
        raise DataError("data", "must be at least one file", got=0)
    for path in given:
        if not path.exists():
            raise DataError(str(path), "must be a file or a folder of images, and does not exist")
    archives = [path for path in given if _is_archive(path) or is_table(path.name)]
    if archives and len(given) > 1:
        kind = "an .npz file" if _is_archive(archives[0]) else "a table"
        raise DataError(str(archives[0]), f"{kind} must be the only data", got=f"{len(given)} files")
    return archives or [file for path in given for file in image_files(path)]


def _is_archive(path: Path) -> bool:
    return path.suffix.lower() == ".npz"


def _samples(given: Any, predictor: Predictor) -> _Samples:
    if is_frame(given) or (not isinstance(given, np.ndarray) and is_table(given[0].name)):
        place = "frame" if is_frame(given) else str(given[0])
        rule = "cannot be a table, as the model takes arrays"
        raise DataError(place, rule, remedy="Give it an .npz file with an array x.")
    if isinstance(given, np.ndarray):
        return _Samples(range(len(given)), fitting("samples", given, predictor), None)
    read = _of_archive if _is_archive(given[0]) else _of_images
    return read(given, predictor)


def _of_archive(files: Sequence[Path], predictor: Predictor) -> _Samples:
    """The test part of one .npz file, or else its training part, or `x`."""
    (path,) = files
    try:
        with zipfile.ZipFile(path) as archive:
            held = {name.removesuffix(".npy") for name in archive.namelist()}
        pair = next((pair for pair in KEYS if pair[0] in held), None)
        arrays = read_arrays(path, [key for key in pair or () if key in held])
    except DAMAGE as error:
        raise DataError(str(path), "must be a whole .npz file", got=explain(error)) from None
    if pair is None:
        wanted = ", ".join(x for x, _ in KEYS)
        raise DataError(str(path), f"must hold an array of samples ({wanted})", got=sorted(held))
    x = fitting(f"{path} {pair[0]}", arrays[pair[0]], predictor)
    return _Samples(range(len(x)), x, labels_of(f"{path} {pair[1]}", arrays, pair[1], len(x), predictor))


def _of_images(files: Sequence[Path], predictor: Predictor) -> _Samples:
    shape = predictor.sample_shape
    if not is_image_shape(shape):
        takes = " x ".join("any" if size is None else str(size) for size in shape)
        rule = f"cannot be an image, as a sample of this model is {takes} numbers"
        raise DataError(str(files[0]), rule, remedy="Give it an .npz file with an array x.")
    size = [size for size in shape if size is not None]
    pictures = read_images(files, size, scale=predictor.scale)
    if pictures.resized:
        first, others = pictures.resized[0], len(pictures.resized) - 1
        more = f" and {others} more" if others else ""
        logger.warning("%s%s: resized to %d x %d, the model's size", first, more, size[1], size[0])
    return _Samples([str(file) for file in files], pictures.x, None)
