"""Which of two values of a metric is the better one: the greater or the smaller."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

Direction = Literal["maximize", "minimize"]


def sign(direction: str) -> float:
    """By what to multiply values so that more is better: 1 or -1.

    >>> sign("maximize"), sign("minimize")
    (1.0, -1.0)
    """
    return 1.0 if direction == "maximize" else -1.0


def best(direction: str) -> Callable[..., Any]:
    """The built-in function that picks the best of some values: `max` or `min`."""
    return max if direction == "maximize" else min


def extreme(direction: str) -> str:
    """What the best value is, in a word that concludes nothing.

    >>> extreme("maximize"), extreme("minimize")
    ('highest', 'lowest')
    """
    return "highest" if direction == "maximize" else "lowest"
