"""Data that people have in Python, kept in a file by its digest so that workers and resumes find them."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hpo.data.archive import explain
from hpo.data.frames import frame_of, named
from hpo.errors import DataError
from hpo.files import whole_file

if TYPE_CHECKING:
    import pandas as pd

PLACE = "create_study: data"
RULE = (
    "must be (x, y) of numpy arrays or of pandas or polars frames, or one frame with data.target in the spec"
)


@dataclass(frozen=True)
class Kept:
    """A file of given data; `target` are the columns to predict, None if the specification has to say them.

    `is_new`: no study has kept the same before.
    """

    path: Path
    target: tuple[str, ...] | None
    is_new: bool

    @property
    def keys(self) -> dict[str, Any]:
        """What the data table of a specification says of it."""
        return {"name": str(self.path)} | ({} if self.target is None else {"target": list(self.target)})


def keep(data: object, folder: Path) -> Kept:
    """Write arrays as .npz and frames as .parquet into a folder, named by the digest.

    Raises:
        DataError: they are nothing that a study can learn from, or cannot be written.
    """
    if isinstance(data, tuple) and len(data) == 2:
        x, y = data
        if isinstance(x, np.ndarray):
            samples, targets = _plain(x, "x"), _plain(_as_array(y), "y")
            return _kept(folder, ".npz", lambda path: np.savez(path, x=samples, y=targets), target=None)
        if (frame := frame_of(x)) is not None:
            joined, target = _joined(frame, y)
            return _kept_frame(folder, joined, target)
        raise _wrong(x, "x")
    if (frame := frame_of(data)) is None:
        raise _wrong(data)
    return _kept_frame(folder, named(frame, place=PLACE), None)


def _kept_frame(folder: Path, frame: pd.DataFrame, target: tuple[str, ...] | None) -> Kept:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        # Without pandas's own notes, in which its version stands, the same frame has the same digest.
        table = pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata(None)
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        remedy = "Give every column values of one type."
        raise DataError(
            PLACE, "must be a frame that Parquet can keep", got=explain(error), remedy=remedy
        ) from None
    return _kept(folder, ".parquet", lambda path: pq.write_table(table, path), target=target)


def _kept(
    folder: Path, suffix: str, write: Callable[[Path], None], *, target: tuple[str, ...] | None
) -> Kept:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        draft = folder / f".hpo-{uuid.uuid4().hex}{suffix}"
        try:
            write(draft)
            with draft.open("rb") as file:
                path = folder.resolve() / f"{hashlib.file_digest(file, 'sha256').hexdigest()}{suffix}"
            is_new = not path.exists()
            # One that is there may be damaged.
            with whole_file(path, replace=True) as copy:
                draft.rename(copy)
        finally:
            draft.unlink(missing_ok=True)
    except OSError as error:
        raise DataError(str(folder), "must be a writable folder", got=explain(error)) from None
    return Kept(path, target, is_new)


def _series(data: object) -> pd.Series[Any] | None:
    import pandas as pd

    if isinstance(data, pd.Series):
        return data
    if hasattr(data, "to_pandas"):
        found = data.to_pandas()
        return found if isinstance(found, pd.Series) else None
    return None


def _as_array(y: object) -> np.ndarray[Any, Any]:
    if isinstance(y, np.ndarray):
        return y
    if (series := _series(y)) is not None:
        return _values(series)
    if (frame := frame_of(y)) is not None:
        return np.stack([_values(frame.iloc[:, index]) for index in range(frame.shape[1])], axis=1)
    raise _wrong(y, "y")


def _values(series: pd.Series[Any]) -> np.ndarray[Any, Any]:
    """Values as numpy has them; a gap of numbers is NaN, of text nothing."""
    import pandas as pd

    if pd.api.types.is_bool_dtype(series) and not series.isna().any():
        return series.to_numpy(bool)
    if pd.api.types.is_integer_dtype(series) and not series.isna().any():
        return series.to_numpy(np.int64)
    if pd.api.types.is_numeric_dtype(series):
        return series.to_numpy(np.float64, na_value=np.nan)
    return series.astype(object).where(series.notna(), "").to_numpy(str)


def _plain(array: np.ndarray[Any, Any], what: str) -> np.ndarray[Any, Any]:
    """An array that can be kept without pickling."""
    import pandas as pd

    if np.ma.isMaskedArray(array):
        rule = "must have no mask, which would be lost"
        raise DataError(f"{PLACE}: {what}", rule, remedy=f"Fill it: {what} = {what}.filled(numpy.nan).")
    if array.dtype != object:
        return array
    inferred = pd.DataFrame(array.reshape(len(array), -1) if array.ndim else [[None]]).infer_objects()
    columns = [inferred.iloc[:, index] for index in range(inferred.shape[1])]
    if what == "x" and not all(pd.api.types.is_numeric_dtype(column) for column in columns):
        rule, remedy = "must be numbers", "Give a pandas frame, which may have text and gaps."
        raise DataError(f"{PLACE}: x", rule, got="objects", remedy=remedy)
    return np.stack([_values(column) for column in columns], axis=1).reshape(array.shape)


def _joined(x: pd.DataFrame, y: object) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """A frame with its targets, row by row whatever their index, and the targets' names."""
    import pandas as pd

    frame = named(x, place=PLACE)
    if (series := _series(y)) is not None:
        targets = series.to_frame("target" if series.name is None or series.name == "" else str(series.name))
    elif isinstance(y, np.ndarray):
        values = _plain(y, "y")
        values = values.reshape(-1) if values.ndim == 2 and values.shape[1] == 1 else values
        if values.ndim not in (1, 2):
            raise DataError(f"{PLACE}: y", "must have shape (samples,) or (samples, targets)", got=y.shape)
        targets = pd.DataFrame(values)
        several = [f"target{index}" for index in range(targets.shape[1])]
        targets.columns = pd.Index(["target"] if values.ndim == 1 else several)
        if values.dtype.kind == "U":
            targets = targets.mask(targets == "")
    elif (found := frame_of(y)) is not None:
        targets = named(found, place=PLACE)
    else:
        raise _wrong(y, "y")
    if len(targets) != len(frame):
        raise DataError(PLACE, "x and y must have the same length", got=(len(frame), len(targets)))
    if both := [name for name in targets.columns if name in frame.columns]:
        remedy = "Leave it out of x, or rename it."
        raise DataError(PLACE, "x and y must have columns of different names", got=both[0], remedy=remedy)
    for name in targets.columns:
        frame[name] = targets[name].array
    return frame, tuple(targets.columns)


def _wrong(data: object, what: str = "") -> DataError:
    kind = f"{type(data).__module__}.{type(data).__qualname__}".removeprefix("builtins.")
    remedy = ""
    if isinstance(data, list | tuple):
        remedy = "Make arrays of lists with numpy.asarray."
        kind = f"{kind} of {len(data)}" if not what else kind
    if hasattr(data, "collect"):
        remedy = "Call .collect() first."
    return DataError(f"{PLACE}: {what}" if what else PLACE, RULE, got=kind, remedy=remedy)
