"""Which cases of a test every run has, and which `pytest -m slow`."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import pytest


def often(kept: Collection[Any], cases: Iterable[Any]) -> list[Any]:
    """The cases of a parametrized test, of which those that are not kept are slow."""
    cases = list(cases)
    assert all(case in cases for case in kept)
    return [case if case in kept else pytest.param(case, marks=pytest.mark.slow) for case in cases]
