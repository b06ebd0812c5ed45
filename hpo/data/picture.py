"""The picture of a data set."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hpo.data.dataset import Dataset
from hpo.data.pixels import as_pixels, is_image_shape
from hpo.errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image

TILE = 64  # pixels: smaller images are enlarged by a whole factor to about this size
GAP = 2


def samples_picture(dataset: Dataset, *, rows: int = 10, columns: int = 10) -> Image:
    """A contact sheet: row k shows the first `columns` samples of class k, for the first `rows` classes.

    Raises DataError if samples are not images of shape (h, w), (h, w, 1) or (h, w, 3).
    """
    from PIL import Image

    shape = dataset.sample_shape
    if dataset.is_nested or not is_image_shape(shape):
        rule = "a picture needs samples of shape (height, width) or (height, width, 3)"
        raise DataError(dataset.name, rule, got=shape)
    rows = min(rows, dataset.classes)
    chosen = [np.flatnonzero(dataset.y == label)[:columns] for label in range(rows)]
    factor = max(1, round(TILE / max(shape[:2])))
    height, width = shape[0] * factor + GAP, shape[1] * factor + GAP
    colours = shape[2:] if shape[2:] == (3,) else ()
    sheet = np.full((rows * height + GAP, columns * width + GAP, *colours), 255, np.uint8)
    tiles = as_pixels(dataset.x[np.concatenate(chosen)], dataset.scale)
    positions = ((row, column) for row, indices in enumerate(chosen) for column in range(len(indices)))
    for tile, (row, column) in zip(tiles, positions, strict=True):
        top, left = GAP + row * height, GAP + column * width
        enlarged = tile.repeat(factor, axis=0).repeat(factor, axis=1)
        sheet[top : top + height - GAP, left : left + width - GAP] = enlarged
    return Image.fromarray(sheet)
