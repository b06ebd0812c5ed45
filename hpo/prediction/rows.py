"""Rows of a table as a model takes them, with their targets where these are known."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hpo.data.columns import TEXT, raw
from hpo.data.frames import frame_of, is_frame, named
from hpo.data.table_sets import weight_of
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
    """A table's rows: `values` of the model's columns; what is `known` to be true of some, None of no row.

    `apart`: names that stand for no prediction, the model's columns and targets.
    """

    frame: pd.DataFrame
    values: list[Array]
    known: Known | None
    apart: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Known:
    """Targets `y` of the `rows` that have them; `weight`, how much each counts, None for all alike."""

    y: Array
    rows: Array
    weight: Array | None


def table_of(given: Any, predictor: Predictor) -> TableRows:
    """The rows of a frame or of the one file of a table. Raises DataError if they do not fit the model."""
    if is_frame(given):
        place, frame = "frame", frame_of(given)
        if frame is None or not len(frame):
            raise DataError(place, "must have rows", got=0)
        frame = named(frame, place=place)
    elif isinstance(given, np.ndarray) or not is_table(given[0].name):
        place = "samples" if isinstance(given, np.ndarray) else str(given[0])
        rule = "must be a table with the columns that the model takes"
        raise DataError(place, rule, remedy="Give it a CSV or Parquet file, or a frame.")
    else:
        are_text = [column.name for column in predictor.columns if column.written == TEXT]
        names, place = [column.name for column in predictor.columns], str(given[0])
        frame = read_table(given[0], text=are_text, like=predictor.csv, names=names).frame
    values = raw(frame, predictor.columns, place=place)
    apart = (*predictor.target, *(column.name for column in predictor.columns))
    return TableRows(frame, values, _known(frame, predictor, place), apart)


def _known(frame: pd.DataFrame, predictor: Predictor, place: str) -> Known | None:
    """What is known of a table's rows; None if it is nothing, or does not fit the model."""
    names = list(predictor.target)
    if not names or not set(names) <= set(frame.columns):
        return None
    rows = np.flatnonzero(frame[names].notna().all(axis=1).to_numpy())
    if not len(rows):
        return None
    targets = Targets(predictor.task.name, np.zeros(0), predictor.class_names)
    labelled = frame.iloc[rows]
    try:
        y = like(labelled[names], targets, place=place)
        return Known(y, rows, _weight(labelled, predictor.weight, place))
    except DataError as error:
        # Of a class that the model does not know, say: that is no reason to predict nothing.
        logger.warning("no metrics: %s", error)
        return None


def _weight(frame: pd.DataFrame, name: str | None, place: str) -> Array | None:
    if name is not None and name not in frame.columns:
        logger.warning("metrics: all rows count alike, as there is no column %r as in training", name)
        return None
    return weight_of(frame, name, place)
