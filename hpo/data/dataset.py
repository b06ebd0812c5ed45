"""A data set in memory."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from hpo.data.catalog import sha256


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
    def class_counts(self) -> list[int]:
        """Samples of each class."""
        counts: list[int] = np.bincount(self.y, minlength=self.classes).tolist()
        return counts

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
