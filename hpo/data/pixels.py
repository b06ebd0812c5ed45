"""Samples as pixels, for every picture of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def is_image_shape(shape: Sequence[int | None]) -> bool:
    """Whether samples of this shape are images: (height, width), or with 1 or 3 colours behind."""
    return None not in shape and (len(shape) == 2 or (len(shape) == 3 and shape[2] in (1, 3)))


def pixels_of(x: Array, scale: float) -> Array:
    """Samples as uint8, of shape (samples, height, width) or (samples, height, width, 3).

    Stored values times `scale` are 0 to 1; of standardised ones, which leave that, the lowest is black.
    """
    values = x.astype(np.float64) * scale
    low, high = min(values.min(), 0.0), max(values.max(), 1.0)
    pixels: Array = np.rint((values - low) / (high - low) * 255).astype(np.uint8)
    return pixels[..., 0] if pixels.shape[3:] == (1,) else pixels
