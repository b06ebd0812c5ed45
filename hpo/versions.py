"""The versions of hpo and of the packages that a result depends on."""

from __future__ import annotations

__version__ = "0.1.0"

PACKAGES = ("optuna", "keras", "tensorflow", "numpy", "scipy")


def versions(*names: str) -> dict[str, str]:
    """hpo's version, then those of the packages named (by default of all that matter) that are installed."""
    # Takes a tenth of the time in which `hpo --help` answers.
    from importlib.metadata import PackageNotFoundError, version

    found = {"hpo": __version__}
    for name in names or PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
