"""The tables that come with scikit-learn, by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

# By name the loader in sklearn.datasets, and what it is.
BUNDLED = {
    "breast_cancer": (
        "load_breast_cancer",
        "569 tumours, 30 numbers, 2 kinds; from scikit-learn",
    ),
    "diabetes": (
        "load_diabetes",
        "442 patients, 10 numbers, progress of a disease; from scikit-learn",
    ),
    "iris": ("load_iris", "150 flowers, 4 lengths, 3 kinds; from scikit-learn"),
    "linnerud": ("load_linnerud", "20 men, 3 exercises, 3 measures of their bodies; from scikit-learn"),
    "wine": ("load_wine", "178 wines, 13 numbers, 3 growers; from scikit-learn"),
}


def bundled_sets() -> dict[str, str]:
    """What they are, by name."""
    return {name: summary for name, (_, summary) in BUNDLED.items()}


def read_bundled(name: str) -> pd.DataFrame:
    """The table, its classes by name, the columns to predict last."""
    import sklearn.datasets

    options = {"scaled": False} if name == "diabetes" else {}
    bunch = getattr(sklearn.datasets, BUNDLED[name][0])(as_frame=True, **options)
    frame: pd.DataFrame = bunch.frame.copy()
    if "target_names" in bunch and name not in ("diabetes", "linnerud"):
        frame["target"] = bunch.target_names[bunch.target]
    return frame


def targets_of_bundled(name: str) -> tuple[str, ...]:
    """The columns to predict."""
    return ("Weight", "Waist", "Pulse") if name == "linnerud" else ("target",)
