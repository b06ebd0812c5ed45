"""A folder of images by class as arrays: read in threads, and kept under the digest of what is in it."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from hpo.data.archive import DAMAGE, explain, read_arrays, write_arrays
from hpo.data.columns import Array
from hpo.data.images import SUFFIXES, image_size, is_image_file, open_image
from hpo.errors import DataError

log = logging.getLogger(__name__)

# Of how files become arrays: what is kept by other rules is not taken.
RULES = 1
KEPT = "image-folders"
# What file managers leave, besides names that begin with a dot.
LITTER = {"thumbs.db", "desktop.ini"}
# Arrays, and what making and writing them takes beside.
MEMORY_PER_BYTE = 1.5

Size = tuple[int, int]  # height, width


@dataclass(frozen=True)
class ImageFolder:
    """A folder with a subfolder of images for each class, or with train/ and test/ that have those.

    `parts`: of "train" and, if there is one, "test" the files, each with the index of its class.
    """

    path: Path
    names: tuple[str, ...]
    parts: dict[str, list[tuple[Path, int]]]

    @property
    def has_test(self) -> bool:
        """Whether there is a test part."""
        return "test" in self.parts

    def labels(self, part: str) -> Array:
        """Class indices of a part, (images,). Raises DataError if there is no such part."""
        if part not in self.parts:
            rule, remedy = "must have a test part", "Put the classes' folders into train/ and test/."
            raise DataError(str(self.path), rule, got="classes alone", remedy=remedy)
        return np.array([index for _, index in self.parts[part]], np.int64)

    def pixels(self, part: str, *, size: Size | None, kept: Path) -> Array:
        """uint8 of shape (images, height, width), with three channels unless all images are grey.

        `size` is what they are resized to, by default their own; `kept` the folder for what was read before.

        Raises:
            DataError: a file is no image, they differ in size, or do not fit into memory.
        """
        files = [file for listed in self.parts.values() for file, _ in listed]
        looked = _in_threads(_look, files)
        if size is None:
            size = _common_size(self.path, files, [size for _, size in looked])
        file = kept / KEPT / f"{self._digest(files, looked, size)}.npz"
        if (found := _kept(file, f"x_{part}")) is not None:
            return found
        x = _read(self.path, files, size)
        counts = np.cumsum([len(listed) for listed in self.parts.values()])[:-1]
        arrays = {f"x_{one}": pixels for one, pixels in zip(self.parts, np.split(x, counts), strict=True)}
        try:
            write_arrays(file, arrays)
        except DataError as error:
            log.warning("%s: its images are read anew each time: %s", self.path, error)
        return arrays[f"x_{part}"]

    def _digest(self, files: Sequence[Path], looked: Sequence[tuple[str, Size]], size: Size) -> str:
        text = f"{RULES} {size}\n"
        for file, (digest, _) in zip(files, looked, strict=True):
            text += f"{file.relative_to(self.path).as_posix()!r} {digest}\n"
        return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()


def image_folder(path: Path) -> ImageFolder:
    """What is in a folder; no image is read.

    Raises:
        DataError: it cannot be read, or has not at least two classes with images alone in them.
    """
    try:
        return _folder(path)
    except OSError as error:
        raise DataError(str(path), "must be a readable folder", got=explain(error)) from None


def _folder(path: Path) -> ImageFolder:
    folders = _subfolders(path)
    if "train" not in folders:
        classes = _subfolders(path)
        names = tuple(classes)
        return ImageFolder(path, names, {"train": _files(path, classes, names)})
    if others := sorted(folders.keys() - {"train", "test"}):
        is_validation = others[0].startswith("val")
        remedy = "Validation images are split off those of train: move them there." if is_validation else ""
        raise DataError(str(path), "must have train and test alone", got=others[0], remedy=remedy)
    classes = _subfolders(folders["train"])
    names = tuple(classes)
    parts = {"train": _files(folders["train"], classes, names)}
    if "test" in folders:
        held_out = _subfolders(folders["test"])
        if unknown := [name for name in held_out if name not in classes]:
            rule = "must be among the training part's classes"
            remedy = "Add training images of that class, or leave out its test images."
            raise DataError(f"{folders['test']}", rule, got=unknown[0], remedy=remedy)
        parts["test"] = _files(folders["test"], held_out, names, least=1)
    return ImageFolder(path, names, parts)


def _subfolders(path: Path) -> dict[str, Path]:
    """Folders by name, in its order."""
    return {entry.name: entry for entry in _entries(path) if entry.is_dir()}


def _entries(path: Path) -> list[Path]:
    return sorted(
        entry
        for entry in path.iterdir()
        if not entry.name.startswith(".") and entry.name.lower() not in LITTER
    )


def _files(
    path: Path, classes: dict[str, Path], names: Sequence[str], *, least: int = 2
) -> list[tuple[Path, int]]:
    """The images of each class, with its index among `names`."""
    if len(classes) < least:
        rule = f"must have a subfolder of images for each of at least {least} classes"
        raise DataError(str(path), rule, got=list(classes), remedy=f"It takes {' '.join(SUFFIXES)}.")
    found = []
    for name, folder in classes.items():
        files = _entries(folder)
        if not files:
            raise DataError(str(folder), "must have images in it", remedy="Add some, or remove the folder.")
        for file in files:
            if not is_image_file(file) or not file.is_file():
                rule = f"must be an image ({' '.join(SUFFIXES)})"
                raise DataError(str(file), rule, remedy="Move it out of the folder.")
            found.append((file, names.index(name)))
    return found


def _look(file: Path) -> tuple[str, Size]:
    """The digest of a file, and the size of the image in it."""
    try:
        content = file.read_bytes()
    except OSError as error:
        raise DataError(str(file), "must be readable", got=explain(error)) from None
    return hashlib.sha256(content).hexdigest(), image_size(file, BytesIO(content))


def _common_size(path: Path, files: Sequence[Path], sizes: Sequence[Size]) -> Size:
    first = sizes[0]
    for file, size in zip(files, sizes, strict=True):
        if size != first:
            heights, widths = (sorted(values) for values in zip(*sizes, strict=True))
            middle = f"[{heights[len(heights) // 2]}, {widths[len(widths) // 2]}]"
            rule = "images must be of one size, unless data.image_size says which"
            shown = (
                f"{one.relative_to(path)} of {h} x {w}" for one, (h, w) in ((files[0], first), (file, size))
            )
            got = " and ".join(shown)
            raise DataError(str(path), rule, got=got, remedy=f"Resize them: image_size = {middle}.")
    return first


def _kept(file: Path, key: str) -> Array | None:
    """What was read before; None if it was not, or is damaged."""
    if not file.is_file():
        return None
    try:
        return read_arrays(file, [key])[key]
    except DAMAGE as error:
        log.warning("%s: is made anew: %s", file, explain(error))
        return None


def _read(path: Path, files: Sequence[Path], size: Size) -> Array:
    _check_memory(path, len(files), size)
    x = np.empty((len(files), *size, 3), np.uint8)
    # Grey ones are so in each pixel, whatever their file says.
    if all(_in_threads(partial(_fill, x, size), enumerate(files))):
        return np.ascontiguousarray(x[..., 0])
    return x


def _fill(x: Array, size: Size, numbered: tuple[int, Path]) -> bool:
    """Read an image into its place; whether it is grey."""
    from PIL.Image import Resampling

    index, file = numbered
    height, width = size
    image = open_image(file).convert("RGB")
    if image.size != (width, height):
        image = image.resize((width, height), Resampling.LANCZOS)
    x[index] = pixels = np.asarray(image)
    return bool((pixels[..., 0] == pixels[..., 1]).all() and (pixels[..., 1] == pixels[..., 2]).all())


def _check_memory(path: Path, images: int, size: Size) -> None:
    import psutil

    needed = images * size[0] * size[1] * 3 * MEMORY_PER_BYTE
    free = psutil.virtual_memory().available
    if needed > free:
        rule = f"{images} images of {size[0]} x {size[1]} need about {needed / 2**30:.1f} GiB of memory"
        remedy = "Make them smaller with data.image_size = [height, width]."
        raise DataError(str(path), rule, got=f"{free / 2**30:.1f} GiB", remedy=remedy)


def _in_threads(what: Callable[[Any], Any], of: Iterable[Any]) -> list[Any]:
    """The results in order. The first error ends it; what has not begun does not begin."""
    # Pillow decodes outside Python's lock.
    with ThreadPoolExecutor(min(32, 2 * (os.cpu_count() or 1))) as pool:
        try:
            return list(pool.map(what, of))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
