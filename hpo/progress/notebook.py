"""A bar in a notebook: one output that is changed in place, without widgets to install."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from html import escape
from typing import Any


class NotebookBar:
    """A bar below the cell, with a line of figures beside it and one of details."""

    def __init__(self) -> None:
        # There is one in every notebook.
        self._display: Any = importlib.import_module("IPython.display")
        self._handle: Any = None

    def show(self, name: str, share: float, figures: Sequence[str], details: str = "") -> None:
        """Show it, or what has become of it; `share` is from 0 to 1."""
        text = " &nbsp; ".join(map(escape, figures))
        page = f'<b>{escape(name)}</b> <progress value="{share:.3f}" max="1"></progress> {text}'
        page += f"<br><small>{escape(details)}</small>" if details else ""
        if self._handle is None:
            self._handle = self._display.display(self._display.HTML(page), display_id=True)
        else:
            self._handle.update(self._display.HTML(page))
