"""Rows of a table as a model takes them, with their targets where these are known."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hpo.data.columns import TEXT, raw
from hpo.data.tables import is_table, read_table
from hpo.data.targets import Targets, like
from hpo.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

    from hpo.models.file import Predictor

logger = logging.getLogger(__name__)

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False)
class TableRows:
    """A table's rows: `values` of the model's columns; `y` of the rows `labelled`, None if none is known.

    `apart`: names that stand for no prediction, the model's columns and targets.
    """

    frame: pd.DataFrame
    values: list[Array]
    y: Array | None
    labelled: Array | None
    apart: tuple[str, ...]


def is_frame(data: Any) -> bool:
    """Whether data are a frame, of pandas or of polars."""
    return hasattr(data, "columns") and (hasattr(data, "iloc") or hasattr(data, "to_pandas"))


def table_of(given: Any, predictor: Predictor) -> TableRows:
    """The rows of a frame or of the one file of a table. Raises DataError if they do not fit the model."""
    if is_frame(given):
        place, frame = "frame", given if hasattr(given, "iloc") else given.to_pandas()
        if not len(frame):
            raise DataError(place, "must have rows", got=0)
        # As the columns of a study's frame are named.
        frame = frame.set_axis(list(map(str, frame.columns)), axis=1)
    elif isinstance(given, np.ndarray) or not is_table(given[0].name):
        place = "samples" if isinstance(given, np.ndarray) else str(given[0])
        rule = "must be a table with the columns that the model takes"
        raise DataError(place, rule, remedy="Give it a CSV or Parquet file, or a frame.")
    else:
        are_text = [column.name for column in predictor.columns if column.written == TEXT]
        place, frame = str(given[0]), read_table(given[0], text=are_text)
    values = raw(frame, predictor.columns, place=place)
    y, labelled = _known(frame, predictor, place)
    apart = (*predictor.target, *(column.name for column in predictor.columns))
    return TableRows(frame, values, y, labelled, apart)


def _known(frame: pd.DataFrame, predictor: Predictor, place: str) -> tuple[Array | None, Array | None]:
    """The targets of the rows that have them, and which these are."""
    names = list(predictor.target)
    if not names or not set(names) <= set(frame.columns):
        return None, None
    labelled = np.flatnonzero(frame[names].notna().all(axis=1).to_numpy())
    if not len(labelled):
        return None, None
    targets = Targets(predictor.task.name, np.zeros(0), predictor.class_names)
    try:
        return like(frame[names].iloc[labelled], targets, place=place), labelled
    except DataError as error:
        # Of a class that the model does not know, say: that is no reason to predict nothing.
        logger.warning("no metrics: %s", error)
        return None, None
