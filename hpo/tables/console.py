"""The consoles of standard output, for data, and of standard error, for progress and messages."""

from __future__ import annotations

import sys

from rich.console import Console
from rich.text import Text

# Without a terminal there is nothing to fit into: long lines stay one line.
WIDE = 400


def stdout(width: int | None = None) -> Console:
    """The console for data, as wide as the terminal unless a width is given."""
    return Console(width=width if width is not None or sys.stdout.isatty() else WIDE)


def stderr() -> Console:
    """The console for progress and messages."""
    return Console(stderr=True, width=None if sys.stderr.isatty() else WIDE, highlight=False)


def tell(text: str) -> None:
    """Print a sentence to standard output; a terminal gets it broken between words."""
    if sys.stdout.isatty():
        stdout().print(Text(text))
    else:
        print(text)


def say(line: str) -> None:
    """Print a message to standard error; a terminal gets it broken between words."""
    if sys.stderr.isatty():
        stderr().print(Text(line))
    else:
        print(line, file=sys.stderr)
