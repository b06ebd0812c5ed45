"""PNG and JPEG files as samples of a given shape."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hpo.data.images import SUFFIXES, is_image_file, open_image
from hpo.errors import DataError


@dataclass(frozen=True, eq=False)
class Pictures:
    """Images in one array of shape (images, *sample shape), float32; `resized` are those of another size."""

    x: np.ndarray[Any, Any]
    resized: tuple[Path, ...]


def image_files(path: Path) -> list[Path]:
    """The image files of a folder, by name; a file as it is. Raises DataError if there is none."""
    if path.is_file():
        if not is_image_file(path):
            raise DataError(str(path), f"must be an .npz file, a table or an image ({' '.join(SUFFIXES)})")
        return [path]
    files = sorted(file for file in path.iterdir() if is_image_file(file) and file.is_file())
    if not files:
        raise DataError(str(path), f"must be a folder with images ({' '.join(SUFFIXES)}) in it")
    return files


def read_images(files: Sequence[Path], shape: Sequence[int], *, scale: float) -> Pictures:
    """Images as a model takes them: gray or RGB by its channels, of its size, 0..1 divided by `scale`.

    Raises:
        DataError: a file is no image, or damaged.
    """
    from PIL.Image import Resampling

    size = (shape[1], shape[0])
    mode = "RGB" if len(shape) == 3 and shape[2] == 3 else "L"
    pixels, resized = [], []
    for file in files:
        image = open_image(file).convert(mode)
        if image.size != size:
            resized.append(file)
            image = image.resize(size, Resampling.LANCZOS)
        pixels.append(np.asarray(image))
    stored = np.stack(pixels) / 255 / scale
    return Pictures(stored.astype(np.float32).reshape(-1, *shape), tuple(resized))
