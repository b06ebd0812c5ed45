"""Another attribute for as long as something is traced or run."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any


@contextlib.contextmanager
def replaced(target: object, name: str, value: Callable[..., Any]) -> Iterator[None]:
    """Let `target` have this attribute inside."""
    original = getattr(target, name)
    setattr(target, name, value)
    try:
        yield
    finally:
        setattr(target, name, original)
