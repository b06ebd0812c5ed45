"""A picture of predictions of no images: against what is true, or else how they spread."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hpo.pictures.scales import MOST_CLASSES, Scale, evenly, shares_of_rows
from hpo.prediction.drawing import BLUE, FAINT, INK, LINE, MARGIN, MEDIUM, PAPER, SMALL, write
from hpo.prediction.predictions import Predictions

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw

# Beyond so many, panels are too many to be read, and points to be seen.
MOST_PANELS, MOST_POINTS = 12, 20_000
BINS = 20
# Pixels.
HEADER, CELL, PANEL, GAP, COLUMNS = 40, 44, 260, 56, 4
NAME_WIDTH = 120

Array = np.ndarray[Any, Any]


def chart(predicted: Predictions) -> Image:
    """The confusion matrix, or predicted against true quantities; without labels, how the outputs spread."""
    counts = None
    if predicted.labels is not None:
        counts = predicted.task.confusion(predicted.labels, predicted.outputs[predicted.of_labels])
    if counts is not None and len(counts) <= MOST_CLASSES:
        return _confusion(counts, predicted)
    return _panels(predicted)


def _canvas(width: int, height: int, title: str) -> tuple[Image, ImageDraw]:
    from PIL import Image, ImageDraw

    image = Image.new("RGB", (max(width, 420), height), PAPER)
    draw = ImageDraw.Draw(image)
    write(draw, (MARGIN, MARGIN), title, size=MEDIUM, width=image.width - 2 * MARGIN)
    return image, draw


def _title(predicted: Predictions) -> str:
    count = len(predicted.outputs)
    said = "1 row" if count == 1 else f"{count} rows"
    metrics, weighted = predicted.metrics, "" if predicted.weight is None else "weighted "
    if predicted.correct is not None and predicted.labels is not None:
        known = len(predicted.labels)
        return f"{said}. Right: {predicted.correct} of {known}, {weighted}{metrics['accuracy']:.1%}"
    figures = ", ".join(f"{name} {value:.4g}" for name, value in list(metrics.items())[:3])
    return f"{said}. {weighted}{figures}" if figures else said


def _confusion(counts: Array, predicted: Predictions) -> Image:
    """Counts by true (row) and predicted (column) class, coloured by their share of the row."""
    from PIL import ImageColor

    names, side = predicted.class_names, CELL * len(counts)
    left, top = MARGIN + NAME_WIDTH, MARGIN + HEADER + 44
    image, draw = _canvas(left + side + MARGIN + 40, top + side + MARGIN, _title(predicted))
    _label(draw, (left, top - 42), "predicted", colour=FAINT)
    _label(draw, (MARGIN, top - 20), "true", colour=FAINT)
    for index, name in enumerate(names):
        middle = index * CELL + CELL // 2
        _label(draw, (left - 8, top + middle - 7), name, width=NAME_WIDTH - 8, right=True)
        _label(draw, (left + index * CELL + 3, top - 20), name, width=CELL - 6)
    shares, blue = shares_of_rows(counts), ImageColor.getrgb(BLUE)
    for row, column in np.ndindex(counts.shape):
        share, x, y = float(shares[row, column]), left + column * CELL, top + row * CELL
        fill = tuple(round(255 + (part - 255) * share) for part in blue)
        draw.rectangle((x, y, x + CELL - 2, y + CELL - 2), fill=fill, outline=LINE)
        ink = PAPER if share > 0.5 else INK
        _label(draw, (x + CELL - 6, y + 14), str(counts[row, column]), width=CELL - 8, colour=ink, right=True)
    return image


def _panels(predicted: Predictions) -> Image:
    """A panel for each class, label or quantity."""
    task, names = predicted.task, predicted.class_names
    values = predicted.probabilities
    shown = min(len(names), MOST_PANELS)
    columns = min(COLUMNS, shown)
    rows = -(-shown // columns)
    title = _title(predicted)
    if shown < len(names):
        title += f". The first {shown} of {len(names)}"
    image, draw = _canvas(
        2 * MARGIN + columns * (PANEL + GAP), 2 * MARGIN + HEADER + rows * (PANEL + GAP), title
    )
    against = predicted.labels is not None and not task.has_probabilities
    for index, name in enumerate(names[:shown]):
        left = MARGIN + GAP // 2 + index % columns * (PANEL + GAP)
        top = MARGIN + HEADER + GAP // 2 + index // columns * (PANEL + GAP)
        draw.rectangle((left, top, left + PANEL, top + PANEL), outline=LINE)
        if against:
            assert predicted.labels is not None
            said = f"{name}: predicted (up), true (right)"
            _scatter(draw, left, top, predicted.labels[:, index], values[predicted.of_labels][:, index])
        else:
            said = f"probability of {name}" if task.has_probabilities else name
            ends = (0.0, 1.0) if task.has_probabilities else None
            _histogram(draw, left, top, values[:, index], ends)
        _label(draw, (left, top - 18), said, width=PANEL)
    return image


def _scatter(draw: ImageDraw, left: int, top: int, true: Array, predicted: Array) -> None:
    """A point a row; on the line it is right."""
    at = evenly(len(true), MOST_POINTS)
    true, predicted = true[at].tolist(), predicted[at].tolist()
    scale = Scale.around(min(*true, *predicted), max(*true, *predicted), PANEL)
    draw.line((left, top + PANEL, left + PANEL, top), fill=LINE, width=2)
    for x, y in zip(true, predicted, strict=True):
        across, up = left + round(scale.at(x)), top + PANEL - round(scale.at(y))
        draw.ellipse((across - 2, up - 2, across + 2, up + 2), fill=BLUE)
    _ends(draw, left, top, scale.low, scale.high)


def _histogram(draw: ImageDraw, left: int, top: int, values: Array, ends: tuple[float, float] | None) -> None:
    """How many rows have which value."""
    counts, edges = np.histogram(values.astype(float), BINS, range=ends)
    for index, share in enumerate(counts / max(counts.max(), 1)):
        if share > 0:
            begin, end = left + index * PANEL // BINS, left + (index + 1) * PANEL // BINS - 2
            draw.rectangle((begin, top + PANEL - max(1, round(share * (PANEL - 20))), end, top + PANEL), BLUE)
    _label(draw, (left + 4, top + 3), f"at most {counts.max()} rows", colour=FAINT)
    _ends(draw, left, top, float(edges[0]), float(edges[-1]))


def _ends(draw: ImageDraw, left: int, top: int, low: float, high: float) -> None:
    _label(draw, (left, top + PANEL + 4), f"{low:.6g}", colour=FAINT)
    _label(draw, (left + PANEL, top + PANEL + 4), f"{high:.6g}", colour=FAINT, right=True)


def _label(
    draw: ImageDraw,
    at: tuple[int, int],
    text: str,
    *,
    width: int = PANEL,
    colour: str = INK,
    right: bool = False,
) -> None:
    write(draw, at, text, size=SMALL, width=width, colour=colour, right=right)
