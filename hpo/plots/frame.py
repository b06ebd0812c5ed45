"""What all figures share: colours, panels and axes, readable on light and on dark ground.

A figure's `layout.meta` has `wide` and `narrow`: what a page puts into the layout on a screen of that width;
and, of a figure whose colours depend on the ground, `dark`: what it puts into each trace on a dark page.
Names are escaped, because plotly reads HTML in them.
"""

from __future__ import annotations

import html
import math
import textwrap
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

# Okabe and Ito (2008), told apart by the colour-blind. Grey stands for their black, which the dark swallows.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#8C8C8C", "#F0E442")
DASHES = ("solid", "dash", "dot", "dashdot")
POINT = "#3A8FD0"  # where nothing is told apart by colour
INK = "#7F7F7F"
FAINT = "rgba(127,127,127,0.25)"
NOWHERE = "rgba(0,0,0,0)"
LABEL_WIDTH = 22  # characters of an arm's name on one line
# Pixels: a row of panels, what of it is below its axes, what is above and below all rows. Above is plotly's
# toolbar, of 30, and nothing else.
ROW, BELOW, TOP, BOTTOM = 275, 75, 36, 90
NARROW_TOP = 14
GAP = 0.12  # the share of the width between two panels
NODE = "node"  # the name of an annotation that a page draws on its own ground, over lines

Layout = dict[str, Any]


@dataclass(frozen=True)
class Style:
    """How an arm is drawn, in every figure."""

    colour: str
    dash: str


def styles(names: Iterable[str]) -> dict[str, Style]:
    """A style for each name, by its position; the ninth has the first one's colour, dashed."""
    return {
        name: Style(COLOURS[index % len(COLOURS)], DASHES[index // len(COLOURS) % len(DASHES)])
        for index, name in enumerate(names)
    }


def framed(wide: Layout, narrow: Layout) -> go.Figure:
    """An empty figure that is laid out for a wide screen."""
    line = {"gridcolor": FAINT, "zerolinecolor": FAINT, "linecolor": FAINT}
    axis = {**line, "automargin": True, "title": {"standoff": 6, "font": {"size": 12}}}
    ground = {"paper_bgcolor": NOWHERE, "plot_bgcolor": NOWHERE, "colorway": list(COLOURS)}
    modebar = {"bgcolor": NOWHERE, "color": INK}
    figure = go.Figure(
        layout={
            "template": {
                "layout": {**ground, "font": {"color": INK}, "modebar": modebar, "xaxis": axis, "yaxis": axis}
            },
            "margin": {"l": 50, "r": 20, "t": TOP, "b": 40},
            "legend": {"orientation": "h", "yref": "container", "yanchor": "bottom", "y": 0, "x": 0},
            # A narrow screen has no toolbar.
            "meta": {"wide": wide, "narrow": {"margin": {"t": NARROW_TOP}} | narrow},
        }
    )
    # Heights are the page's: the dashboard has its own.
    return figure.update_layout({key: value for key, value in wide.items() if key != "height"})


def single(height: int) -> Layout:
    """One panel of a height in pixels."""
    return {"height": height}


def panels(count: int, *, columns: int, row: int = ROW) -> Layout:
    """So many panels in rows of `row` pixels; `yaxis` to `yaxisN` number them. Axes say what they are."""
    rows = math.ceil(count / columns)
    width = (1 - GAP * (columns - 1)) / columns
    inner = rows * row - BELOW
    layout: Layout = {"height": inner + TOP + BOTTOM}
    for index in range(count):
        down, right = divmod(index, columns)
        left, top = right * (width + GAP), 1 - down * row / inner
        bottom = max(0.0, top - (row - BELOW) / inner)
        layout[axis("x", index)] = {"domain": [left, left + width], "anchor": axes(index)["yaxis"]}
        layout[axis("y", index)] = {"domain": [bottom, top], "anchor": axes(index)["xaxis"]}
    return layout


def axis(letter: str, panel: int) -> str:
    """The layout's name of a panel's axis: `xaxis`, `xaxis2`."""
    return f"{letter}axis{panel + 1 if panel else ''}"


def axes(panel: int) -> dict[str, str]:
    """A trace's references to a panel's axes."""
    number = str(panel + 1) if panel else ""
    return {"xaxis": f"x{number}", "yaxis": f"y{number}"}


def label(name: str) -> str:
    """A name on as many lines as it takes."""
    return "<br>".join(escaped(line) for line in textwrap.wrap(name, LABEL_WIDTH)) or escaped(name)


def brief(name: str) -> str:
    """A name on one line, if need be only its beginning."""
    return escaped(name if len(name) <= LABEL_WIDTH else f"{name[: LABEL_WIDTH - 1]}\u2026")


def escaped(text: str) -> str:
    """A text that plotly shows literally."""
    return html.escape(text, quote=False)


def faint(colour: str) -> str:
    """A colour for an area behind lines."""
    red, green, blue = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.18)"


def short(value: float) -> float:
    """To five significant digits: what a figure can show, and a third of the bytes."""
    return float(f"{value:.5g}")


def shorts(values: Iterable[float]) -> list[float]:
    """Each to five significant digits."""
    return [short(value) for value in values]


def titled(text: str) -> Layout:
    """An axis's title."""
    return {"title": {"text": escaped(text)}}
