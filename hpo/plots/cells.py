"""Colours of cells and of what is read on them."""

from __future__ import annotations

from typing import Any

# Cells of nothing and of all, on a light and on a dark page. Opaque, so that what is read on them is known.
LIGHT_CELLS, DARK_CELLS = ("#F1F5F9", "#0B4F86"), ("#1F262D", "#7CC4F2")


def colour_scale(none: str, all_: str) -> list[list[Any]]:
    """Plotly's scale from one colour to another."""
    return [[0, none], [1, all_]]


def mixed(none: str, all_: str, share: float) -> tuple[float, float, float]:
    """The colour that plotly draws at a place of the scale from one colour to another: red, green, blue."""
    low, high = _rgb(none), _rgb(all_)
    red, green, blue = (a + share * (b - a) for a, b in zip(low, high, strict=True))
    return red, green, blue


def readable_on(rgb: tuple[float, float, float]) -> str:
    """Black or white, whichever has more contrast on a colour: at least 4.5 by WCAG 2.2."""
    red, green, blue = (_linear(part / 255) for part in rgb)
    luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    return "#000000" if (luminance + 0.05) ** 2 > 1.05 * 0.05 else "#FFFFFF"


def _rgb(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def _linear(part: float) -> float:
    return part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
