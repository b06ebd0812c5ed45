"""Data that people name to samples that a model takes, and what it says of them."""

from __future__ import annotations

import logging
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hpo.data import is_image_shape
from hpo.data.archive import DAMAGE, explain, read_arrays
from hpo.errors import DataError, HpoError
from hpo.files import expanded
from hpo.prediction.images import image_files, read_images
from hpo.training.device import prepare_tensorflow

if TYPE_CHECKING:
    import pandas as pd

    from hpo.models.file import Classifier

logger = logging.getLogger(__name__)

# The arrays of an .npz file that are tried, in this order, with those of their labels.
KEYS = (("x_test", "y_test"), ("x_train", "y_train"), ("x", "y"))
PROBABILITIES_SUM = 0.01  # how far from 1 the outputs of a sample may sum: half precision is this coarse

Array = np.ndarray[Any, Any]
Source = int | str
Data = Array | str | Path | Sequence[str | Path]


@dataclass(frozen=True, eq=False)
class Predictions:
    """Samples with the probabilities of their classes.

    `sources` are file names, or the samples' indices; `x`: (samples, *sample shape), as stored;
    `probabilities`: (samples, classes); `labels`: (samples,), None if they are not known. `scale` turns
    stored values into 0..1.
    """

    sources: Sequence[Source]
    x: Array
    labels: Array | None
    probabilities: Array
    class_names: tuple[str, ...]
    scale: float

    @property
    def classes(self) -> Array:
        """The most probable class of each sample."""
        best: Array = self.probabilities.argmax(axis=1)
        return best

    @property
    def correct(self) -> int | None:
        """How many samples are predicted as they are labelled; None without labels."""
        return None if self.labels is None else int((self.classes == self.labels).sum())

    @property
    def records(self) -> list[dict[str, Any]]:
        """A record a sample: source, class, probability, label if known, all `probabilities` by class."""
        names, classes = self.class_names, self.classes
        return [
            {"source": source, "class": names[best], "probability": row[best]}
            | ({} if self.labels is None else {"label": names[self.labels[index]]})
            | {"probabilities": dict(zip(names, row, strict=True))}
            for index, (source, best, row) in enumerate(
                zip(self.sources, classes.tolist(), self.probabilities.tolist(), strict=True)
            )
        ]


@dataclass(frozen=True, eq=False)
class _Samples:
    sources: Sequence[Source]
    x: Array
    labels: Array | None


def predict(model: Path | str, data: Data) -> pd.DataFrame:
    """Classes and probabilities of samples by a model that `Study.export` wrote, or another Keras classifier.

    Args:
        model: a .keras file.
        data: raw samples of shape (samples, *sample shape), an .npz file, or image files and folders of them.

    Returns:
        A row a sample, indexed by its source (file or index): `class`, `probability`, `label` if it is known,
        and `probabilities.NAME` of each class.

    Raises:
        HpoError: the model or the data cannot be read, or do not fit each other.
    """
    import pandas as pd

    return pd.json_normalize(predictions(model, data).records, sep=".").set_index("source")


def predictions(model: Path | str, data: Data) -> Predictions:
    """The same with the samples, and the probabilities as one array."""
    model = expanded(model)
    given = data if isinstance(data, np.ndarray) else _files(data)
    if not model.is_file():
        raise HpoError(str(model), "must be a model file, and does not exist")
    prepare_tensorflow(1)
    from hpo.models.file import load

    classifier = load(model)
    samples = _samples(given, classifier)
    probabilities = classifier.predict(samples.x)
    sums = probabilities.sum(axis=1)
    if not (probabilities.min() >= 0 and abs(sums - 1).max() <= PROBABILITIES_SUM):
        rule = "must be a classifier whose outputs are probabilities"
        raise HpoError(str(model), rule, remedy="Its last activation must be softmax.")
    return Predictions(
        samples.sources, samples.x, samples.labels, probabilities, classifier.class_names, classifier.scale
    )


def _files(data: str | Path | Sequence[str | Path]) -> list[Path]:
    """One .npz file, or image files. Raises DataError."""
    given = [expanded(path) for path in ([data] if isinstance(data, str | Path) else data)]
    if not given:
        raise DataError("data", "must be at least one file", got=0)
    for path in given:
        if not path.exists():
            raise DataError(str(path), "must be a file or a folder of images, and does not exist")
    archives = [path for path in given if _is_archive(path)]
    if archives and len(given) > 1:
        raise DataError(str(archives[0]), "an .npz file must be the only data", got=f"{len(given)} files")
    return archives or [file for path in given for file in image_files(path)]


def _is_archive(path: Path) -> bool:
    return path.suffix.lower() == ".npz"


def _samples(given: Array | Sequence[Path], classifier: Classifier) -> _Samples:
    if isinstance(given, np.ndarray):
        return _Samples(range(len(given)), _fitting("samples", given, classifier), None)
    read = _of_archive if _is_archive(given[0]) else _of_images
    return read(given, classifier)


def _of_archive(files: Sequence[Path], classifier: Classifier) -> _Samples:
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
    x = _fitting(f"{path} {pair[0]}", arrays[pair[0]], classifier)
    return _Samples(range(len(x)), x, _labels(f"{path} {pair[1]}", arrays, pair[1], len(x), classifier))


def _fitting(place: str, x: Array, classifier: Classifier) -> Array:
    """The samples, if they are what the model takes. Raises DataError."""
    wanted = classifier.sample_shape
    fits = x.ndim == len(wanted) + 1
    if not fits or any(need not in (None, size) for need, size in zip(wanted, x.shape[1:], strict=True)):
        shape = ", ".join("any" if size is None else str(size) for size in wanted)
        raise DataError(place, f"samples must have the model's shape ({shape})", got=x.shape[1:])
    if not len(x):
        raise DataError(place, "must hold at least one sample", got=0)
    if x.dtype.kind not in "biuf":
        raise DataError(place, "must be an array of real numbers", got=str(x.dtype))
    # Not whatever can be cast: numbers of another type are mostly of another range.
    if classifier.dtype is not None and (x.dtype == np.uint8) != (classifier.dtype == "uint8"):
        rule = f"must be {classifier.dtype}, as the model was trained on"
        remedy = f"If it has the same range, convert it with x.astype('{classifier.dtype}')."
        raise DataError(place, rule, got=str(x.dtype), remedy=remedy)
    x = x if x.dtype == np.uint8 else x.astype(np.float32)
    if not np.isfinite(x).all():
        raise DataError(place, "values must be finite in float32")
    return x


def _labels(
    place: str, arrays: Mapping[str, Array], key: str, count: int, classifier: Classifier
) -> Array | None:
    if key not in arrays:
        return None
    y, classes = arrays[key], len(classifier.class_names)
    if y.dtype.kind not in "iu" or y.size != count:
        raise DataError(place, "must be a class index for each sample", got=(str(y.dtype), y.shape))
    if y.min() < 0 or y.max() >= classes:
        raise DataError(place, f"labels must be 0..{classes - 1}", got=(int(y.min()), int(y.max())))
    return y.reshape(-1).astype(np.int64)


def _of_images(files: Sequence[Path], classifier: Classifier) -> _Samples:
    shape = classifier.sample_shape
    if not is_image_shape(shape):
        takes = " x ".join("any" if size is None else str(size) for size in shape)
        rule = f"cannot be an image, as a sample of this model is {takes} numbers"
        raise DataError(str(files[0]), rule, remedy="Give it an .npz file with an array x.")
    size = [size for size in shape if size is not None]
    pictures = read_images(files, size, scale=classifier.scale)
    if pictures.resized:
        first, others = pictures.resized[0], len(pictures.resized) - 1
        more = f" and {others} more" if others else ""
        logger.warning("%s%s: resized to %d x %d, the model's size", first, more, size[1], size[0])
    return _Samples([str(file) for file in files], pictures.x, None)
