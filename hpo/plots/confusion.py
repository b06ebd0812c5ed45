"""The figure of a confusion matrix, whose numbers are read on every cell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go

from hpo.pictures.scales import shares_of_rows
from hpo.plots.frame import escaped, framed, shorts, single, titled

MOST_NUMBERED = 20  # classes of a confusion matrix, beyond which its cells show no numbers
# Cells of nothing and of all, on a light and on a dark page. Opaque, so that what is read on them is known.
LIGHT_CELLS, DARK_CELLS = ("#F1F5F9", "#0B4F86"), ("#1F262D", "#7CC4F2")


def confusion(counts: npt.NDArray[Any], class_names: Sequence[str]) -> go.Figure:
    """Which classes are taken for which: `counts[true, predicted]`, as percentages of the true class.

    Colours grow with the square root, so that single mistakes are seen. Numbers are black or white, whichever
    is read more easily on its cell.
    """
    shares = shares_of_rows(counts)
    names = [escaped(name) for name in class_names]
    side = min(620, 150 + 44 * len(names))
    figure = framed(single(side), single(min(side, 420)))
    heights = np.sqrt(shares)
    text = [[_percentage(share) for share in row] for row in shares.tolist()]
    figure.add_heatmap(
        z=[shorts(row) for row in heights],
        zmin=0,
        zmax=1,
        x=names,
        y=names,
        text=text,
        customdata=counts.tolist(),
        hovertemplate="true %{y}, predicted %{x}: %{customdata}, %{text} %<extra></extra>",
        colorscale=_scale(*LIGHT_CELLS),
        showscale=False,
        xgap=1,
        ygap=1,
    )
    dark: list[dict[str, Any]] = [{"colorscale": _scale(*DARK_CELLS)}]
    if len(names) <= MOST_NUMBERED:
        cells = [(row, column) for row, column in np.ndindex(counts.shape) if text[row][column]]
        light_ink, dark_ink = (
            [_readable_on(_mixed(*ends, float(heights[cell]))) for cell in cells]
            for ends in (LIGHT_CELLS, DARK_CELLS)
        )
        figure.add_scatter(
            x=[names[column] for _, column in cells],
            y=[names[row] for row, _ in cells],
            text=[text[row][column] for row, column in cells],
            mode="text",
            textfont={"color": light_ink, "size": 11 if len(names) <= 10 else 9},
            hoverinfo="skip",
            showlegend=False,
        )
        dark.append({"textfont": {"color": dark_ink}})
    figure.update_layout(meta={**figure.layout.meta, "dark": dark})
    ground = {"type": "category", "categoryorder": "array", "categoryarray": names, "showgrid": False}
    last = len(names) - 0.5
    figure.update_xaxes(**titled("predicted class"), **ground, range=[-0.5, last])
    figure.update_yaxes(**titled("true class"), **ground, range=[last, -0.5])
    return figure


def _percentage(share: float) -> str:
    if not share:
        return ""
    if share == 1:
        return "100"
    return f"{100 * share:.1f}" if share >= 0.0005 else "< 0.1"


def _scale(none: str, all_: str) -> list[list[Any]]:
    """Plotly's scale from one colour to another."""
    return [[0, none], [1, all_]]


def _mixed(none: str, all_: str, share: float) -> tuple[float, float, float]:
    """The colour that plotly draws at a place of the scale from one colour to another: red, green, blue."""
    low, high = _rgb(none), _rgb(all_)
    red, green, blue = (a + share * (b - a) for a, b in zip(low, high, strict=True))
    return red, green, blue


def _readable_on(rgb: tuple[float, float, float]) -> str:
    """Black or white, whichever has more contrast on a colour: at least 4.5 by WCAG 2.2."""
    red, green, blue = (_linear(part / 255) for part in rgb)
    luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    return "#000000" if (luminance + 0.05) ** 2 > 1.05 * 0.05 else "#FFFFFF"


def _rgb(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def _linear(part: float) -> float:
    return part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
