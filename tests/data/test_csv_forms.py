"""How a CSV file is written is told of one file, and another one of the same table is read alike."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from hpo.data import CsvForm, load_train
from hpo.data.tables import read_table
from hpo.spec import Data

ROWS = pd.DataFrame({"town": ["Łódź", "Ulm"], "size": [1.5, 2.25], "y": ["no", "yes"]})
POLISH = CsvForm(":", ",", "cp1250")


def written(path: Path, rows: pd.DataFrame, form: CsvForm) -> Path:
    rows.to_csv(path, index=False, sep=form.separator, decimal=form.decimal, encoding=form.encoding)
    return path


def read(path: Path, like: CsvForm | None) -> pd.DataFrame:
    return read_table(path, like=like, names=["town", "size"]).frame


@pytest.mark.parametrize(
    ("form", "said"),
    [
        (CsvForm(",", ".", "utf-8"), {}),
        (CsvForm(";", ",", "utf-8-sig"), {}),
        (CsvForm("\t", ",", "utf-16"), {}),
        (POLISH, {"separator": ":", "decimal": ",", "encoding": "cp1250"}),
    ],
)
def test_a_data_set_says_how_its_file_is_written(form: CsvForm, said: dict[str, Any], tmp_path: Path) -> None:
    path = written(tmp_path / "x.csv", pd.concat([ROWS] * 5), form)
    assert load_train(Data(name=str(path), target="y", **said)).form == form
    pd.concat([ROWS] * 5).to_parquet(tmp_path / "x.parquet")
    assert load_train(Data(name=str(tmp_path / "x.parquet"), target="y")).form is None


def test_what_does_not_say_how_it_is_written_is_read_as_the_other_file(tmp_path: Path) -> None:
    path = written(tmp_path / "x.csv", ROWS, POLISH)
    pd.testing.assert_frame_equal(read(path, POLISH), ROWS, check_dtype=False)
    # Nothing in its numbers says what a comma is.
    path.write_bytes("size:town\n1:Łódź\n2:Ulm\n".encode("cp1250"))
    assert read(path, POLISH)["town"].tolist() == ["Łódź", "Ulm"]
    # Of numbers in either form, those in the other file's are read.
    path.write_text("size;version;town\n5,6;1.2;Ulm\n5,7;1.3;Ulm\n")
    for decimal, size in ((",", 5.6), (".", "5,6")):
        assert read(path, CsvForm(";", decimal, "utf-8"))["size"][0] == size


@pytest.mark.parametrize(
    "form",
    [
        CsvForm(",", ".", "utf-8"),
        CsvForm(";", ",", "utf-8-sig"),
        CsvForm(":", ".", "cp1250"),
        CsvForm("\t", ".", "utf-16"),
        CsvForm("|", ",", "utf-8"),
    ],
)
def test_what_says_otherwise_itself_is_read_by_that(form: CsvForm, tmp_path: Path) -> None:
    path = written(tmp_path / "x.csv", ROWS, form)
    for like in (POLISH, CsvForm(";", ".", "utf-8")) if form.separator != ":" else (POLISH,):
        pd.testing.assert_frame_equal(read(path, like), ROWS, check_dtype=False)


@pytest.mark.parametrize(
    "form", [("", ".", "utf-8"), (",", ",", "utf-8"), (";", ".", "zip"), ("\n", ".", "x")]
)
def test_no_file_has_such_a_form(form: tuple[str, str, str]) -> None:
    with pytest.raises(ValueError, match="must have"):
        CsvForm(*form)
