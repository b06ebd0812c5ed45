"""The versions of hpo and of the packages that a result depends on."""

from __future__ import annotations

import platform
from collections.abc import Mapping

__version__ = "0.1.0"

PACKAGES = ("optuna", "keras", "tensorflow", "numpy", "scipy")
# By what else but these a study's results may differ is not known.
COMPARED = ("hpo", "keras", "tensorflow", "python")


def versions(*names: str) -> dict[str, str]:
    """hpo's version, then those of the packages named that are installed; by default of all, and Python's."""
    # Takes a tenth of the time in which `hpo --help` answers.
    from importlib.metadata import PackageNotFoundError, version

    found = {"hpo": __version__}
    for name in names or PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    if not names:
        found["python"] = platform.python_version()
    return found


def differing(theirs: Mapping[str, str], ours: Mapping[str, str]) -> dict[str, str]:
    """Of theirs, what ours are not, among hpo, Keras, TensorFlow and Python's minor version.

    >>> differing({"keras": "3.15.0", "python": "3.11.2"}, {"keras": "3.15.1", "python": "3.11.9"})
    {'keras': '3.15.0'}
    """
    return {
        name: theirs[name]
        for name in COMPARED
        if name in theirs and name in ours and _release(name, theirs[name]) != _release(name, ours[name])
    }


def _release(name: str, version: str) -> str:
    """A version as far as results may depend on it."""
    return ".".join(version.split(".")[:2]) if name == "python" else version
