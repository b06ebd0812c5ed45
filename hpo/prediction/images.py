"""PNG and JPEG files as samples of a given shape."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hpo.data.archive import DAMAGE, explain
from hpo.errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image

SUFFIXES = (".png", ".jpg", ".jpeg")
FORMATS = ("PNG", "JPEG")


@dataclass(frozen=True, eq=False)
class Pictures:
    """Images in one array of shape (images, *sample shape), float32; `resized` are those of another size."""

    x: np.ndarray[Any, Any]
    resized: tuple[Path, ...]


def image_files(path: Path) -> list[Path]:
    """The image files of a folder, by name; a file as it is. Raises DataError if there is none."""
    if path.is_file():
        if path.suffix.lower() not in SUFFIXES:
            raise DataError(str(path), f"must be an .npz file, a table or an image ({' '.join(SUFFIXES)})")
        return [path]
    files = sorted(file for file in path.iterdir() if file.suffix.lower() in SUFFIXES and file.is_file())
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
        image = _opened(file).convert(mode)
        if image.size != size:
            resized.append(file)
            image = image.resize(size, Resampling.LANCZOS)
        pixels.append(np.asarray(image))
    stored = np.stack(pixels) / 255 / scale
    return Pictures(stored.astype(np.float32).reshape(-1, *shape), tuple(resized))


def _opened(file: Path) -> Image:
    """The image upright, with 8 bits a channel, on white where it is transparent."""
    from PIL import Image, ImageOps

    try:
        with Image.open(file, formats=FORMATS) as opened:
            image = ImageOps.exif_transpose(opened)
            if image.mode.startswith("I"):  # 16 bits, which Pillow would cut off at 255
                return Image.fromarray((np.asarray(image) // 257).astype(np.uint8))
            if not image.has_transparency_data:
                return image.convert("RGB" if image.mode == "P" else image.mode)
            ground = Image.new("RGBA", image.size, "white")
            return Image.alpha_composite(ground, image.convert("RGBA")).convert("RGB")
    except (*DAMAGE, Image.DecompressionBombError) as error:
        raise DataError(str(file), "must be a whole PNG or JPEG image", got=explain(error)) from None
