"""A data set in memory, and a picture of it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hpo.data.catalog import sha256
from hpo.data.pixels import is_image_shape, pixels_of
from hpo.errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image

TILE = 64  # pixels: smaller images are enlarged by a whole factor to about this size
GAP = 2


@dataclass(frozen=True, eq=False)
class Dataset:
    """One part (training or test) of a data set; its arrays are read-only.

    `x`: (samples, *sample shape), uint8 or float32. `y`: (samples,), int64 class indices 0..classes-1.
    `scale`: what stored values are multiplied by before the model. `digest`: SHA-256 over shape, dtype
    and bytes of `x` and `y`. `class_names` is empty if unknown.
    """

    name: str
    x: np.ndarray
    y: np.ndarray
    classes: int
    scale: float
    digest: str
    class_names: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The classes' names, or their numbers."""
        return self.class_names or tuple(map(str, range(self.classes)))

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """Shape of one sample."""
        return self.x.shape[1:]


def make_dataset(
    name: str,
    x: np.ndarray,
    y: np.ndarray,
    *,
    classes: int,
    scale: float,
    class_names: tuple[str, ...] = (),
    x_sha256: str = "",
) -> Dataset:
    """A Dataset with its digest; `x_sha256` spares hashing an `x` whose bytes were just checked."""
    x, y = np.ascontiguousarray(x), np.ascontiguousarray(y, dtype=np.int64)
    parts = ((x, x_sha256 or sha256(x)), (y, sha256(y)))
    text = "".join(f"{array.dtype.str} {array.shape} {digest}\n" for array, digest in parts)
    x.setflags(write=False)
    y.setflags(write=False)
    digest = hashlib.sha256(text.encode()).hexdigest()
    return Dataset(name, x, y, classes, scale, digest, class_names)


def samples_picture(dataset: Dataset, *, rows: int = 10, columns: int = 10) -> Image:
    """A contact sheet: row k shows the first `columns` samples of class k, for the first `rows` classes.

    Raises DataError if samples are not images of shape (h, w), (h, w, 1) or (h, w, 3).
    """
    from PIL import Image

    shape = dataset.sample_shape
    if not is_image_shape(shape):
        rule = "a picture needs samples of shape (height, width) or (height, width, 3)"
        raise DataError(dataset.name, rule, got=shape)
    rows = min(rows, dataset.classes)
    chosen = [np.flatnonzero(dataset.y == label)[:columns] for label in range(rows)]
    factor = max(1, round(TILE / max(shape[:2])))
    height, width = shape[0] * factor + GAP, shape[1] * factor + GAP
    colours = shape[2:] if shape[2:] == (3,) else ()
    sheet = np.full((rows * height + GAP, columns * width + GAP, *colours), 255, np.uint8)
    pixels = pixels_of(dataset.x[np.concatenate(chosen)], dataset.scale)
    positions = ((row, column) for row, indices in enumerate(chosen) for column in range(len(indices)))
    for tile, (row, column) in zip(pixels, positions, strict=True):
        top, left = GAP + row * height, GAP + column * width
        enlarged = tile.repeat(factor, axis=0).repeat(factor, axis=1)
        sheet[top : top + height - GAP, left : left + width - GAP] = enlarged
    return Image.fromarray(sheet)
