"""Arrays side by side, as models of several inputs and outputs take them: a dict or a tuple of arrays.

What is a nest and what is not is asked here alone; one array is a nest of itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any


def is_nested(held: object) -> bool:
    """Whether there are several arrays, or one of them by its name."""
    return isinstance(held, Mapping | tuple)


def named(held: Any, letter: str) -> dict[str, Any]:
    """What a nest holds, by names: those of a dict, or the places in a tuple behind a letter.

    >>> named({"image": 1, "text": 2}, "x"), named((1, 2), "x"), named(1, "x")
    ({'image': 1, 'text': 2}, {'x0': 1, 'x1': 2}, {'x': 1})
    """
    if isinstance(held, Mapping):
        return dict(held)
    return {f"{letter}{place}": one for place, one in enumerate(held)} if is_nested(held) else {letter: held}


def mapped(function: Callable[..., Any], *nests: Any) -> Any:
    """What a function makes of each array of a nest, and of those at the same places of others.

    >>> mapped(len, {"a": [1, 2], "b": [3]}), mapped(max, (1, 5), (4, 2)), mapped(abs, -1)
    ({'a': 2, 'b': 1}, (4, 5), 1)
    """
    first = nests[0]
    if isinstance(first, Mapping):
        return {name: function(*(nest[name] for nest in nests)) for name in first}
    if is_nested(first):
        return tuple(function(*ones) for ones in zip(*nests, strict=True))
    return function(*nests)


def flat(held: Any) -> list[Any]:
    """The arrays of a nest."""
    return list(named(held, "").values())
