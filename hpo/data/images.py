"""PNG and JPEG files as pixels."""

from __future__ import annotations

from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np

from hpo.data.archive import DAMAGE, explain
from hpo.errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image

SUFFIXES = (".png", ".jpg", ".jpeg")
FORMATS = ("PNG", "JPEG")
# Of EXIF's orientations those that swap height and width, and the tag that has them.
_SWAPPED, _ORIENTATION = (5, 6, 7, 8), 0x0112


def is_image_file(path: Path) -> bool:
    """Whether a file is an image by its name."""
    return path.suffix.lower() in SUFFIXES


def open_image(file: Path) -> Image:
    """The image upright, with 8 bits a channel, on white where it is transparent.

    Raises:
        DataError: the file is no image, or damaged.
    """
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
        raise _damaged(file, error) from None


def image_size(file: Path, content: IO[bytes]) -> tuple[int, int]:
    """(height, width) of the upright image in a file's bytes, which are not decoded. Raises DataError."""
    from PIL import Image

    try:
        with Image.open(content, formats=FORMATS) as opened:
            width, height = opened.size
            is_swapped = opened.getexif().get(_ORIENTATION) in _SWAPPED
    except (*DAMAGE, Image.DecompressionBombError) as error:
        raise _damaged(file, error) from None
    return (width, height) if is_swapped else (height, width)


def _damaged(file: Path, error: Exception) -> DataError:
    return DataError(str(file), "must be a whole PNG or JPEG image", got=explain(error))
