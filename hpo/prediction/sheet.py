"""A picture of predicted samples: each with its most probable classes, the wrong ones marked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hpo.data import as_pixels, is_image_shape
from hpo.errors import DataError
from hpo.prediction.drawing import (
    BLUE,
    FAINT,
    GROUND,
    INK,
    LARGE,
    LINE,
    MARGIN,
    MEDIUM,
    PAPER,
    RED,
    SMALL,
    TINY,
    TRACK,
    write,
)
from hpo.prediction.predictions import Predictions

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw

MOST = 25
COLUMNS = 5
TOP = 3  # classes that are shown of each sample
# Pixels.
GAP, HEADER = 12, 34
TILE_WIDTH, PICTURE, PADDING = 212, 140, 12
HEADLINE, ROW = 26, 20
NAME_WIDTH, SHARE_WIDTH, BAR_HEIGHT = 84, 46, 10
TILE_HEIGHT = PADDING + PICTURE + 8 + HEADLINE + TOP * ROW + PADDING - 6
RIGHT, WRONG = BLUE, RED


@dataclass(frozen=True)
class _Tile:
    """What is drawn of one sample. `truth` is None if it is not known."""

    pixels: np.ndarray[Any, Any]
    source: str
    top: list[tuple[str, float]]
    truth: str | None

    @property
    def is_wrong(self) -> bool:
        return self.truth is not None and self.truth != self.top[0][0]


def is_drawn(predicted: Predictions) -> bool:
    """Whether the samples are images of classes or labels."""
    images = predicted.x is not None and is_image_shape(predicted.x.shape[1:])
    return images and predicted.task.has_probabilities


def contact_sheet(predicted: Predictions) -> Image:
    """The first samples with their most probable classes; those that are wrong have a frame.

    Raises:
        DataError: the samples are not images.
    """
    from PIL import Image, ImageDraw

    if predicted.x is None or not is_image_shape(predicted.x.shape[1:]):
        rule = "needs samples of shape (height, width) or (height, width, 3)"
        raise DataError("picture", rule, got=None if predicted.x is None else predicted.x.shape[1:])
    tiles = _tiles(predicted)
    name_width = _name_width(tiles)
    columns = min(COLUMNS, len(tiles))
    rows = -(-len(tiles) // columns)
    width = 2 * MARGIN + columns * (TILE_WIDTH + GAP) - GAP
    height = 2 * MARGIN + HEADER + rows * (TILE_HEIGHT + GAP) - GAP
    sheet = Image.new("RGB", (width, height), GROUND)
    draw = ImageDraw.Draw(sheet)
    write(draw, (MARGIN, MARGIN), _title(predicted, len(tiles)), size=LARGE, width=width - 2 * MARGIN)
    for index, tile in enumerate(tiles):
        left = MARGIN + index % columns * (TILE_WIDTH + GAP)
        top = MARGIN + HEADER + index // columns * (TILE_HEIGHT + GAP)
        _draw(sheet, draw, tile, left, top, name_width=name_width)
    return sheet


def _name_width(tiles: Sequence[_Tile]) -> int:
    """How much of a tile's width the names of classes take."""
    from PIL import ImageFont

    font = ImageFont.load_default(SMALL)
    longest = max(font.getlength(name) for tile in tiles for name, _ in tile.top)
    return min(round(longest) + 8, NAME_WIDTH)


def _tiles(predicted: Predictions) -> list[_Tile]:
    assert predicted.x is not None
    names = predicted.class_names
    labels = None if predicted.correct is None else predicted.labels
    found = []
    for index, pixels in enumerate(as_pixels(predicted.x[:MOST], predicted.scale)):
        row = predicted.probabilities[index]
        top = [(names[best], float(row[best])) for best in np.argsort(-row, kind="stable")[:TOP]]
        source = str(predicted.sources[index]).rpartition("/")[2]
        found.append(_Tile(pixels, source, top, None if labels is None else names[labels[index]]))
    return found


def _title(predicted: Predictions, shown: int) -> str:
    count, correct = len(predicted.outputs), predicted.correct
    samples = "1 sample" if count == 1 else f"{count} samples"
    said = samples if shown == count else f"The first {shown} of {samples}"
    if correct is None:
        return said
    return f"{said}. Right: {correct} of {count}, {correct / count:.1%}"


def _draw(sheet: Image, draw: ImageDraw, tile: _Tile, left: int, top: int, *, name_width: int) -> None:
    colour = WRONG if tile.is_wrong else RIGHT
    frame = (left, top, left + TILE_WIDTH - 1, top + TILE_HEIGHT - 1)
    draw.rounded_rectangle(
        frame, radius=8, fill=PAPER, outline=WRONG if tile.is_wrong else LINE, width=3 if tile.is_wrong else 1
    )
    picture = _enlarged(tile.pixels)
    sheet.paste(
        picture,
        (left + (TILE_WIDTH - picture.width) // 2, top + PADDING + (PICTURE - picture.height) // 2),
    )
    inner, x, y = TILE_WIDTH - 2 * PADDING, left + PADDING, top + PADDING + PICTURE + 8
    verdict = f"{tile.top[0][0]}, is {tile.truth}" if tile.is_wrong else tile.top[0][0]
    used = write(draw, (x, y), verdict, size=MEDIUM, width=inner, colour=WRONG if tile.is_wrong else INK)
    if (rest := inner - used - 10) > 30:
        write(
            draw,
            (x + inner, y + 4),
            tile.source,
            size=TINY,
            width=rest,
            colour=FAINT,
            right=True,
            keeps_end=True,
        )
    for rank, (name, share) in enumerate(tile.top):
        row = y + HEADLINE + rank * ROW
        write(draw, (x, row), name, size=SMALL, width=name_width - 6)
        write(draw, (x + inner, row), f"{share:.1%}", size=SMALL, width=SHARE_WIDTH, right=True)
        _bar(draw, (x + name_width, x + inner - SHARE_WIDTH), row, share, colour=colour)


def _bar(draw: ImageDraw, ends: tuple[int, int], y: int, share: float, *, colour: str) -> None:
    begin, end = ends
    middle = y + 3
    draw.rounded_rectangle((begin, middle, end, middle + BAR_HEIGHT), radius=3, fill=TRACK)
    if (length := round((end - begin) * share)) > 0:
        draw.rounded_rectangle((begin, middle, begin + length, middle + BAR_HEIGHT), radius=3, fill=colour)


def _enlarged(pixels: np.ndarray[Any, Any]) -> Image:
    """The picture by a whole factor, so that its pixels stay squares; one that is too large is reduced."""
    from PIL import Image

    picture = Image.fromarray(pixels)
    factor = PICTURE // max(picture.size)
    if factor > 0:
        size = (picture.width * factor, picture.height * factor)
        return picture.resize(size, Image.Resampling.NEAREST)
    picture.thumbnail((PICTURE, PICTURE))
    return picture
