"""What the pictures of predictions share: colours, and texts that are cut to a width."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw

MARGIN = 20  # pixels around a picture
LARGE, MEDIUM, SMALL, TINY = 18, 16, 12, 11
INK, FAINT, LINE, PAPER, GROUND, TRACK = "#1b1f24", "#6b7280", "#d6dae0", "#ffffff", "#f3f4f6", "#e5e7eb"
# Told apart by all who see colours, and by lightness.
BLUE, RED = "#0072b2", "#d55e00"


def write(
    draw: ImageDraw,
    at: tuple[int, int],
    text: str,
    *,
    size: int,
    width: int,
    colour: str = INK,
    right: bool = False,
    keeps_end: bool = False,
) -> int:
    """Draw a line of text from its upper left corner, or `right` one, and return its width.

    One that is too long is cut at its end, or at its start, if it `keeps_end`, by which files differ.
    """
    from PIL import ImageFont

    font, shown = ImageFont.load_default(size), " ".join(text.split())
    while len(shown) > 1 and draw.textlength(shown, font=font) > width:
        shown = "..." + shown.removeprefix("...")[1:] if keeps_end else shown.removesuffix("...")[:-1] + "..."
    draw.text(at, shown, fill=colour, font=font, anchor="ra" if right else "la")
    return round(draw.textlength(shown, font=font))
