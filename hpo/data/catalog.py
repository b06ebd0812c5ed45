"""The known data sets: what they are, and the digests by which their arrays are recognised."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

Arrays = dict[str, np.ndarray]
KEYS = ("x_train", "y_train", "x_test", "y_test")
DIGITS = tuple("0123456789")


@dataclass(frozen=True)
class Entry:
    """One known data set.

    `digests` maps each of `KEYS` to the SHA-256 of its uint8 bytes in C order; `test_digest` is that of the
    test part as a `Dataset`, empty if it is to be computed.
    """

    name: str
    summary: str
    sample_shape: tuple[int, ...]
    train_samples: int
    test_samples: int
    class_names: tuple[str, ...]
    scale: float
    download_bytes: int
    digests: Mapping[str, str]
    test_digest: str = ""

    def shape(self, key: str) -> tuple[int, ...]:
        """Shape of the array stored under `key`."""
        samples = self.train_samples if key.endswith("_train") else self.test_samples
        return (samples, *self.sample_shape) if key.startswith("x_") else (samples,)


def sha256(array: np.ndarray) -> str:
    """Hex digest of the bytes of an array in C order."""
    return hashlib.sha256(array.data).hexdigest()


def normalised(arrays: Arrays) -> Arrays:
    """The arrays in C order, labels as uint8 of shape (n,): sources differ in dtype, shape and order."""
    return {key: np.ascontiguousarray(_labels(a) if key.startswith("y_") else a) for key, a in arrays.items()}


def _labels(array: np.ndarray) -> np.ndarray:
    return array.reshape(-1).astype(np.uint8) if array.dtype.kind in "iu" else array


def mismatch(entry: Entry, arrays: Arrays) -> str:
    """What distinguishes the arrays from the known ones, or an empty string."""
    for key, array in arrays.items():
        if array.shape != entry.shape(key) or array.dtype != np.uint8:
            return f"{key} of {array.dtype} {array.shape}"
        if (digest := sha256(array)) != entry.digests[key]:
            return f"{key} with SHA-256 {digest}"
    return ""


ENTRIES = {
    entry.name: entry
    for entry in (
        Entry(
            name="digits",
            summary="handwritten digits, 8x8 grey, from scikit-learn; a fixed fifth is the test part",
            sample_shape=(8, 8),
            train_samples=1437,
            test_samples=360,
            class_names=DIGITS,
            scale=1 / 16,
            download_bytes=0,
            digests={},
        ),
        Entry(
            name="mnist",
            summary="handwritten digits, 28x28 grey",
            sample_shape=(28, 28),
            train_samples=60_000,
            test_samples=10_000,
            class_names=DIGITS,
            scale=1 / 255,
            download_bytes=11_496_804,
            digests={
                "x_train": "741c988805d008ac6e4c904b69001ba184c24b2c540a4ef403f4c71b676cf757",
                "y_train": "1feba77c54802fa5339a11837ea4b2866434b83314ec45192930f1df69120c13",
                "x_test": "6d87418db22cc8025d05968bec9bd5c3932904b23485740db143a061a2c9d161",
                "y_test": "ddeff807876a9661a1110d45c266c86239a3a1b7d37da0c3716a7a683c852ff5",
            },
            test_digest="380acfbd315cb8dd44c59774424ad2d16314bac9e5f01c85e64487d9acb4343f",
        ),
        Entry(
            name="fashion_mnist",
            summary="photographs of clothes, 28x28 grey",
            sample_shape=(28, 28),
            train_samples=60_000,
            test_samples=10_000,
            class_names=(
                "T-shirt/top",
                "Trouser",
                "Pullover",
                "Dress",
                "Coat",
                "Sandal",
                "Shirt",
                "Sneaker",
                "Bag",
                "Ankle boot",
            ),
            scale=1 / 255,
            download_bytes=30_900_652,
            digests={
                "x_train": "2e487a6c89124f78f2d7521542223cafe96f7123c3ca13d447772ac6ecbb3012",
                "y_train": "657fbd221bfc9f4198cc14b5619cc33ec57c58dd0e47af4d99d6650759e869a7",
                "x_test": "c867c93ff95360594e8ec3287995350b824dd110b11595c0e13d5423f621867a",
                "y_test": "3d0e6c6ea990b53b6f8f500a41cac93881d981b315f84578b7d915342ade01e9",
            },
            test_digest="228c4d937176d3831c8272d3e92652cb211a1a2ecfd440b3f1713a1605505203",
        ),
        Entry(
            name="cifar10",
            summary="photographs of animals and vehicles, 32x32 colour",
            sample_shape=(32, 32, 3),
            train_samples=50_000,
            test_samples=10_000,
            class_names=(
                "airplane",
                "automobile",
                "bird",
                "cat",
                "deer",
                "dog",
                "frog",
                "horse",
                "ship",
                "truck",
            ),
            scale=1 / 255,
            download_bytes=138_940_914,
            digests={
                "x_train": "47af8b02cfcfb6cdf3dbbd1969ad7f1b70f4413f6f80f437b020ee4e5bc8304a",
                "y_train": "2b7cd2f24487317614016b72ffd53071c3062f592f0eb300c18a770d41ae1253",
                "x_test": "f9b1e2130bab680db56eb06d886f7f1ad0f1183907ceff4659d1735c890f5b04",
                "y_test": "cec8a24a1e92aa2ecaa0bbd3dbfa86bf6cd8759fbd209a832824c8cf0afca9d5",
            },
            test_digest="e15bb01f4aac81f7b2dd8953c05947b36af87464e158dbe82aa7e5d219a2e656",
        ),
    )
}
