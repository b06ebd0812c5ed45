"""Curves and counts to SVG, in about a millisecond: a plotting library takes longer than a short trial."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined

from hpo.pictures.scales import MOST_CLASSES, Scale, evenly, shares_of_rows

Curve = Sequence[Mapping[str, float]]
Point = tuple[int, float]

# Pixels of a panel's inner part, of a cell, and of what is around them.
WIDTH, HEIGHT, CELL, MARGIN, TOP = 340, 220, 34, 60, 50
MOST_POINTS = 400
# Of a picture of quantities: pixels of a panel, panels, points.
SIDE, MOST_PANELS, MOST_DOTS = 280, 4, 1000
LONGEST_NAME = 14
# What XML has no way to write.
UNWRITABLE = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def curves_svg(curves: Sequence[Curve], title: str) -> str:
    """Loss and first metric by epoch, training and validation; the mean over the runs that come to it.

    `curves` has for each run its epochs' metrics, from epoch 1. Values that are not finite leave a gap.
    """
    epochs = max(map(len, curves), default=0)
    x = Scale.around(min(1, epochs), epochs, WIDTH, whole=True)
    return rendered(
        "curves.svg.jinja",
        title=written(title),
        panels=[_panel(curves, name, (name, f"val_{name}"), x) for name in _drawn(curves)],
        x=x,
        width=WIDTH,
        height=HEIGHT,
        margin=MARGIN,
        top=TOP,
    )


def confusion_svg(counts: np.ndarray[Any, Any], names: Sequence[str], title: str) -> str | None:
    """Counts by true (row) and predicted (column) class, coloured by their share of the row.

    None for more than `MOST_CLASSES` classes.
    """
    if len(names) > MOST_CLASSES:
        return None
    return rendered(
        "confusion.svg.jinja",
        title=written(title),
        names=[written(_short(name)) for name in names],
        counts=counts.tolist(),
        shares=shares_of_rows(counts).tolist(),
        cell=CELL,
        margin=max(MARGIN, 30 + 7 * max(map(len, map(_short, names)), default=0)),
        top=TOP,
    )


def predicted_svg(
    y: np.ndarray[Any, Any], outputs: np.ndarray[Any, Any], names: Sequence[str], title: str
) -> str:
    """What each quantity is thought to be against what it is, a point a sample; on the line they are equal.

    `y` and `outputs`: (samples, quantities), of which the first `MOST_PANELS` are drawn.
    """
    at = evenly(len(y), MOST_DOTS)
    pairs = zip(y[at].T.tolist(), outputs[at].T.tolist(), names, strict=True)
    return rendered(
        "predicted.svg.jinja",
        title=written(title),
        panels=[_dots(true, said, written(_short(name))) for true, said, name in pairs][:MOST_PANELS],
        side=SIDE,
        margin=MARGIN + 20,
        top=TOP,
    )


# Of targets and outputs, besides those of counts; by the names that tasks have for figures.
PICTURES: dict[str, Callable[..., str]] = {"predicted": predicted_svg}


def _dots(true: Sequence[float], said: Sequence[float], name: str) -> dict[str, Any]:
    pairs = [(a, b) for a, b in zip(true, said, strict=True) if math.isfinite(a) and math.isfinite(b)]
    values = [value for pair in pairs for value in pair]
    scale = Scale.around(min(values, default=0.0), max(values, default=1.0), SIDE)
    path = "".join(f"M{scale.at(a):.1f},{SIDE - scale.at(b):.1f}h0.1" for a, b in pairs)
    return {"name": name, "ticks": [(f"{t:.10g}", scale.at(t)) for t in scale.ticks], "path": path}


def _drawn(curves: Sequence[Curve]) -> list[str]:
    """What the panels are of."""
    reported = next((list(curve[0]) for curve in curves if curve), ["loss", "accuracy"])
    return ["loss", *(name for name in reported if name != "loss" and not name.startswith("val_"))][:2]


def _panel(curves: Sequence[Curve], name: str, keys: Sequence[str], x: Scale) -> dict[str, Any]:
    lines = {key: _mean(curves, key) for key in keys}
    values = [value for line in lines.values() for _, value in line if math.isfinite(value)]
    y = Scale.around(min(values, default=0.0), max(values, default=1.0), HEIGHT)
    ticks = [(f"{tick:.10g}", HEIGHT - y.at(tick)) for tick in y.ticks]
    return {"name": name, "ticks": ticks, "lines": {key: _path(line, x, y) for key, line in lines.items()}}


def _mean(curves: Sequence[Curve], key: str) -> list[Point]:
    """Epoch and mean; of a long curve some epochs, and the last."""
    epochs = max(map(len, curves), default=0)
    step = max(1, math.ceil(epochs / MOST_POINTS))
    shown = sorted({*range(0, epochs, step), *([epochs - 1] if epochs else [])})
    points = []
    for epoch in shown:
        values = [curve[epoch].get(key, math.nan) for curve in curves if epoch < len(curve)]
        points.append(
            (epoch + 1, math.fsum(values) / len(values) if all(map(math.isfinite, values)) else math.nan)
        )
    return points


def _path(line: Sequence[Point], x: Scale, y: Scale) -> str:
    """The line as SVG draws it: a new stroke after each gap."""
    strokes, drawn = [], False
    for epoch, value in line:
        if math.isfinite(value):
            strokes.append(f"{'L' if drawn else 'M'}{x.at(epoch):.1f},{HEIGHT - y.at(value):.1f}")
            if not drawn:
                # A stroke of one point would not be seen.
                strokes.append("h0.1")
        drawn = math.isfinite(value)
    return "".join(strokes)


def _short(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…"


def written(text: str) -> str:
    """Text without what XML cannot hold."""
    return UNWRITABLE.sub("\ufffd", text)


def rendered(name: str, **values: Any) -> str:
    """A template of this room, filled in; all values are escaped."""
    return str(_environment().get_template(name).render(values))


@cache
def _environment() -> Environment:
    loader = PackageLoader("hpo.pictures")
    return Environment(
        loader=loader, undefined=StrictUndefined, autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
