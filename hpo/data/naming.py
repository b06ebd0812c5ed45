"""The names under which people keep samples and labels in .npz files."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from hpo.data.catalog import KEYS

SAMPLES = {"x", "data", "image", "images", "features", "inputs", "samples"}
LABELS = {"y", "target", "targets", "label", "labels"}


def keys_of(names: Sequence[str]) -> dict[str, str]:
    """The names of a file's arrays by `KEYS`: x and y alone are the training part, in capitals or not.

    >>> keys_of(["X", "x_test", "y", "y_test"])
    {'x_train': 'X', 'y_train': 'y', 'x_test': 'x_test', 'y_test': 'y_test'}
    """
    small = {name.lower(): name for name in reversed(names)} | {name: name for name in names}
    found = {key: small[key] for key in KEYS if key in small}
    if not {"x_train", "y_train"} & found.keys():
        found = {f"{letter}_train": small[letter] for letter in "xy" if letter in small} | found
    return found


def saving(path: Path, names: Sequence[str]) -> str:
    """How to save a file's arrays under the names that are asked for; `names` are those that it holds."""
    known = {key: name for name in names if (key := _key(name))} | {key: key for key in KEYS if key in names}
    if not known.keys() >= {"x_train", "y_train"}:
        return "Save it with numpy.savez(path, x_train=..., y_train=..., x_test=..., y_test=...)."
    given = {"x_test", "y_test"} <= known.keys()
    keys = KEYS if given else ("x_train", "y_train")
    arrays = ", ".join(f"{key}=held[{known[key]!r}]" for key in keys)
    # Another file: the one at hand may hold more.
    other = str(path.with_name(f"{path.stem}-named.npz"))
    code = f"held = numpy.load({str(path)!r}); numpy.savez({other!r}, {arrays})"
    return f"Save them with `{code}`, and name that file."


def _key(name: str) -> str | None:
    """One of `KEYS`; None if the name tells none of them.

    >>> _key("Xtrain"), _key("test-labels"), _key("target"), _key("target_names")
    ('x_train', 'y_test', 'y_train', None)
    """
    part = "test" if "test" in name.lower() else "train"
    what = re.sub(f"{part}(ing)?|[^a-z0-9]", "", name.lower())
    return f"x_{part}" if what in SAMPLES else f"y_{part}" if what in LABELS else None
