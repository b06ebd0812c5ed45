"""Tables of OpenML by their number."""

from __future__ import annotations

import re
import socket
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from hpo.data.archive import DAMAGE, explain
from hpo.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

PREFIX = "openml:"
# Without an answer for so long there will be none.
SECONDS = 20.0
_NAME = re.compile(PREFIX + r"[1-9][0-9]{0,8}")


def is_openml(name: str) -> bool:
    """Whether a name is that of a set of OpenML."""
    return name.startswith(PREFIX)


def check_openml(name: str) -> None:
    """Raises DataError for a name without a number."""
    if not _NAME.fullmatch(name):
        remedy = f"Its address has it: https://www.openml.org/d/61 is {PREFIX}61."
        raise DataError("data set", f"must be {PREFIX} and the number of a set", got=name, remedy=remedy)


def read_openml(name: str, folder: Path) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """The table, and the columns to predict; what was fetched before into `folder` is not fetched again.

    Raises:
        DataError: it cannot be had.
    """
    from sklearn.datasets import fetch_openml

    try:
        # A changed answer, a retry: what matters of it is in the error.
        with _impatient(), warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            number = int(name.removeprefix(PREFIX))
            bunch = fetch_openml(
                data_id=number, as_frame=True, data_home=str(folder), n_retries=1, delay=0.1, parser="auto"
            )
    except DAMAGE as error:
        remedy = "Check the number and the network, or save the table as a file and name that."
        raise DataError(name, "must be delivered by openml.org", got=explain(error), remedy=remedy) from None
    return bunch.frame, tuple(map(str, bunch.target_names or ()))


@contextmanager
def _impatient() -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(SECONDS)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
