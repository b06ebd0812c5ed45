"""Frames that people have in Python, of pandas, polars or pyarrow, as frames of pandas."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hpo.errors import DataError

if TYPE_CHECKING:
    import pandas as pd


def is_frame(data: object) -> bool:
    """Whether data are a frame; imports nothing."""
    # The columns last: a lazy frame of polars works them out to say that it has them.
    is_eager = (hasattr(data, "iloc") or hasattr(data, "to_pandas")) and hasattr(data, "columns")
    return is_eager or hasattr(data, "__dataframe__")


def frame_of(data: Any) -> pd.DataFrame | None:
    """A frame of pandas, or what becomes one; None if it is no frame."""
    if not is_frame(data):
        return None
    import pandas as pd
    import pyarrow as pa

    if isinstance(data, pd.DataFrame):
        return data
    # Those of polars and pyarrow; neither is imported for it.
    if hasattr(data, "to_pandas"):
        found = data.to_pandas()
        return found if isinstance(found, pd.DataFrame) else None
    if hasattr(data, "__dataframe__"):
        converted: pd.DataFrame = pa.interchange.from_dataframe(data).to_pandas()
        return converted
    return None


def named(frame: pd.DataFrame, *, place: str) -> pd.DataFrame:
    """A copy of a frame, its data shared, whose columns have text for names, each another one.

    Raises:
        DataError: two have the same.
    """
    names = [str(name) for name in frame.columns]
    check_names(names, place=place)
    frame = frame.copy(deep=False)
    frame.columns = names
    return frame


def check_names(names: Sequence[str], *, place: str) -> None:
    """Raises DataError if two of a table's columns have the same name."""
    seen = set[str]()
    for name in names:
        if name in seen:
            rule = "must have columns of different names"
            raise DataError(place, rule, got=f"{name} twice", remedy="Rename one of them.")
        seen.add(name)
