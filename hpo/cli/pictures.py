"""Small pictures in a terminal with colours."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rich.text import Text

from hpo.tables.console import stdout

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image

PICTURE_WIDTH = 100


def show_picture(picture: Callable[[], Image]) -> None:
    """Print a small picture, if standard output is a terminal with colours."""
    import numpy as np

    console = stdout()
    if not console.is_terminal or console.color_system is None or console.no_color:
        return
    small = picture().convert("RGB")
    small.thumbnail((min(console.width, PICTURE_WIDTH), PICTURE_WIDTH))
    console.print(_half_blocks(np.asarray(small)))


def _half_blocks(pixels: np.ndarray[Any, Any]) -> Text:
    """Pixels of shape (height, width, 3), uint8, as half blocks: two rows of pixels a line of text."""
    text = Text(no_wrap=True)
    for upper, lower in zip(pixels[::2], pixels[1::2], strict=False):
        for (r, g, b), (r2, g2, b2) in zip(upper.tolist(), lower.tolist(), strict=True):
            text.append("▀", style=f"rgb({r},{g},{b}) on rgb({r2},{g2},{b2})")
        text.append("\n")
    return text
