"""Predictions in a file: CSV in which nothing can run, or Parquet."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hpo.errors import HpoError
from hpo.files import check_new_file, new_file
from hpo.tables.csv import defused

if TYPE_CHECKING:
    import pandas as pd

SUFFIXES = (".csv", ".parquet")


def check_out(path: Path, *, force: bool) -> None:
    """Refuse, before the work, a file that `write` could not write. Raises HpoError."""
    if path.suffix not in SUFFIXES:
        raise HpoError(str(path), f"must end in {' or '.join(SUFFIXES)}")
    check_new_file(path, force=force)


def write(table: pd.DataFrame, path: Path, *, force: bool) -> None:
    """A row a sample, with its source unless it is a table's row.

    Raises:
        HpoError: the file cannot be written, or is there already and `force` is not set.
    """
    if table.index.name is not None:
        table = table.reset_index()
    with new_file(path, force=force) as draft:
        if path.suffix == ".csv":
            _harmless(table).to_csv(draft, index=False, encoding="utf-8", lineterminator="\n")
        else:
            table.to_parquet(draft, index=False)


def _harmless(table: pd.DataFrame) -> pd.DataFrame:
    """The table without what a spreadsheet would run."""
    import pandas as pd

    texts = {
        str(name): table[name].astype(object).map(defused)
        for name in table
        if not (
            pd.api.types.is_numeric_dtype(table[name]) or pd.api.types.is_datetime64_any_dtype(table[name])
        )
    }
    return table.assign(**texts).rename(columns=defused)
