"""Another file of the same table is read as the training file was, whatever it looks like by itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hpo.data import load_test, load_train
from hpo.errors import DataError
from hpo.spec import Data

TRAIN = pd.DataFrame(
    {
        "day": ["25/02/2026", "03/02/2026", "04/02/2026", "05/02/2026"] * 5,
        "code": ["01234", "AB1", "01234", "AB1"] * 5,
        "flag": ["false", "true", "maybe", "true"] * 5,
        "price": np.arange(20) * 1.5,
    }
)


def loaded(folder: Path, test: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """A row of the training part and the same one of the test part."""
    TRAIN.to_csv(folder / "train.csv", index=False)
    test.to_csv(folder / "test.csv", index=False)
    data = Data(name=str(folder / "train.csv"), target=("price",), test=str(folder / "test.csv"))
    return load_train(data).x, load_test(data).x


def test_dates_are_read_in_the_training_part_s_order(tmp_path: Path) -> None:
    x, later = loaded(tmp_path, TRAIN.iloc[[1, 2]])
    assert np.array_equal(later, x[[1, 2]])


def test_a_level_is_text_where_it_was_text(tmp_path: Path) -> None:
    x, later = loaded(tmp_path, TRAIN.iloc[[0, 0]])
    assert np.array_equal(later, x[[0, 0]])


def test_a_date_of_another_form_is_told(tmp_path: Path) -> None:
    said = "must be dates, all written alike, but got '02/25/2026 in row 2'. Write them as 28/11/2026"
    with pytest.raises(DataError, match=said):
        loaded(tmp_path, TRAIN.iloc[[1, 1]].assign(day=["03/02/2026", "02/25/2026"]))


def test_a_table_that_comes_with_a_package_may_have_a_test_file(tmp_path: Path) -> None:
    whole = load_train("wine")
    with pytest.raises(DataError, match="must be an existing file"):
        load_test(Data(name="wine", test=str(tmp_path / "none.csv")))
    from hpo.data.bundled import read_bundled

    read_bundled("wine").head(7).to_csv(tmp_path / "wine.csv", index=False)
    test = load_test(Data(name="wine", test=str(tmp_path / "wine.csv")))
    assert np.array_equal(test.x, whole.x[:7])
    assert test.names == whole.names
