"""Samples as pixels, for whatever shows them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def is_image_shape(shape: Sequence[int | None]) -> bool:
    """Whether samples are (height, width), (height, width, 1) or (height, width, 3).

    >>> is_image_shape((28, 28)), is_image_shape((28, 28, 3)), is_image_shape((784,))
    (True, True, False)
    """
    return None not in shape and (len(shape) == 2 or (len(shape) == 3 and shape[2] in (1, 3)))


def as_pixels(x: np.ndarray, scale: float) -> np.ndarray:
    """Images as uint8 of shape (samples, height, width), or (samples, height, width, 3) in colour.

    Values times `scale` are black at 0 and white at 1; where some leave 0..1, as standardised ones do, the
    least of all the samples is black and the greatest white.

    >>> as_pixels(np.array([[[0, 8, 16]]]), 1 / 16).tolist()
    [[[0, 128, 255]]]
    """
    values = x.astype(np.float64) * scale
    low, high = min(values.min(), 0.0), max(values.max(), 1.0)
    shown: np.ndarray = np.rint((values - low) / (high - low) * 255).astype(np.uint8)
    return shown[..., 0] if shown.shape[3:] == (1,) else shown
