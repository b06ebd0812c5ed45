"""Tables in files as people write them are read; what cannot be learned from is told in a line."""

from __future__ import annotations

import gzip
import io
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpo.data import Dataset, check_splits, load_test, load_train
from hpo.data.tables import read_table
from hpo.errors import DataError
from hpo.spec import Data

ROWS = 60
RNG = np.random.default_rng(0)
GOOD = pd.DataFrame(
    {
        "a": RNG.normal(size=ROWS).round(3),
        "b": RNG.normal(size=ROWS).round(3),
        "c": RNG.choice(["red", "green", "blue"], ROWS),
        "y": RNG.choice(["yes", "no"], ROWS),
    }
)
TEXT = GOOD.to_csv(index=False)
HEADER, *LINES = TEXT.splitlines()
NOISE = bytes(RNG.integers(0, 256, 5000, dtype=np.uint8))


def loaded(path: Path, **options: Any) -> Dataset:
    """The training part as a study would have it, split and its test part looked at."""
    data = Data(**{"name": str(path), "target": "y", **options})
    dataset = load_train(data)
    check_splits(dataset, data)
    if data.test is not None:
        load_test(data)
    return dataset


def written(path: Path, content: str | bytes | pd.DataFrame) -> Path:
    if isinstance(content, pd.DataFrame):
        content.to_parquet(path)
    else:
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def rows(*changed: str, at: int = 20) -> str:
    """The good table with some lines in the place of one."""
    return "\n".join([HEADER, *LINES[: at - 1], *changed, *LINES[at:]]) + "\n"


FORMS: dict[str, tuple[str, str | bytes]] = {
    "plain": ("x.csv", TEXT),
    "UPPER": ("X.CSV", TEXT),
    "byte order mark": ("x.csv", TEXT.encode("utf-8-sig")),
    "byte order mark before a quote": ("x.csv", TEXT.replace("a,b", '"a","b"', 1).encode("utf-8-sig")),
    "UTF-16": ("x.csv", TEXT.encode("utf-16")),
    "UTF-16 without its mark": ("x.csv", TEXT.encode("utf-16-le")),
    "UTF-16, other order": ("x.csv", TEXT.encode("utf-16-be")),
    "UTF-32": ("x.csv", TEXT.encode("utf-32")),
    "semicolons and decimal commas": ("x.csv", GOOD.to_csv(index=False, sep=";", decimal=",")),
    "tabs": ("x.tsv", GOOD.to_csv(index=False, sep="\t")),
    "tabs and decimal commas": ("x.txt", GOOD.to_csv(index=False, sep="\t", decimal=",")),
    "bars": ("x.csv", GOOD.to_csv(index=False, sep="|")),
    "gzip": ("x.csv.gz", gzip.compress(TEXT.encode())),
    "Windows' ends of lines": ("x.csv", TEXT.replace("\n", "\r\n")),
    "old Mac's ends of lines": ("x.csv", TEXT.replace("\n", "\r")),
    "spaces in the header": ("x.csv", TEXT.replace("a,b,c,y", "a , b,c, y", 1)),
    "quotes everywhere": ("x.csv", GOOD.to_csv(index=False, quoting=1)),
    "empty lines": ("x.csv", TEXT.replace("\n", "\n\n")),
}


@pytest.mark.parametrize(("name", "content"), FORMS.values(), ids=FORMS)
def test_a_table_is_read_in_any_form(tmp_path: Path, name: str, content: str | bytes) -> None:
    frame = read_table(written(tmp_path / name, content)).frame
    pd.testing.assert_frame_equal(frame, GOOD, check_dtype=False)


@pytest.mark.parametrize("late", [False, True])
def test_what_windows_writes_is_read_wherever_it_shows(tmp_path: Path, late: bool) -> None:
    before = "\n".join([HEADER, *LINES * (400 if late else 1)]).encode()
    frame = read_table(written(tmp_path / "x.csv", before + "\n1,2,grün,no\n".encode("cp1252"))).frame
    assert frame["c"].iloc[-1] == "grün"
    assert frame["a"].dtype == np.float64


def test_quoted_lines_stay_one_value(tmp_path: Path) -> None:
    frame = read_table(written(tmp_path / "x.csv", TEXT.replace("green", '"gr\nee,n"'))).frame
    assert set(frame["c"]) == {"red", "gr\nee,n", "blue"}
    assert len(frame) == ROWS


@pytest.mark.long
def test_a_table_of_thousands_of_columns_is_read(tmp_path: Path) -> None:
    wide = pd.DataFrame(RNG.normal(size=(8, 4000)).round(4)).add_prefix("column ")
    text = wide.assign(y=["p", "q"] * 4).to_csv(index=False)
    began = time.perf_counter()
    assert loaded(written(tmp_path / "x.csv", text)).x.shape == (8, 4000)
    assert time.perf_counter() - began < 20


def test_names_are_any_text_those_of_hyperparameters_too(tmp_path: Path) -> None:
    text = TEXT.replace("a,b,c,y", 'dropout,class,"größe, ""x"" 1",y', 1)
    dataset = loaded(written(tmp_path / "x.csv", text))
    assert [column.name for column in dataset.columns] == ["dropout", "class", 'größe, "x" 1']


def test_a_column_without_a_name_gets_one(tmp_path: Path) -> None:
    dataset = loaded(written(tmp_path / "x.csv", GOOD.to_csv()), drop="Unnamed: 0")
    assert [column.name for column in dataset.columns] == ["a", "b", "c"]


def test_an_index_in_a_parquet_file_is_a_column(tmp_path: Path) -> None:
    GOOD.set_index("a").to_parquet(tmp_path / "named.parquet")
    GOOD[GOOD["a"] > 0].to_parquet(tmp_path / "counted.parquet")
    assert {"a", "b"} <= {column.name for column in loaded(tmp_path / "named.parquet").columns}
    assert len(loaded(tmp_path / "counted.parquet").columns) == 3


def test_truth_values_may_have_gaps(tmp_path: Path) -> None:
    text = "a,y\n" + "true,p\nfalse,q\n,p\ntrue,q\n" * 10
    for name, content in (("x.csv", text), ("x.parquet", pd.read_csv(io.StringIO(text)))):
        dataset = loaded(written(tmp_path / name, content))
        if name == "x.csv":
            assert dataset.columns[0].kind == "number"
            np.testing.assert_array_equal(dataset.x[:4, 0], [1, 0, np.nan, 1])


SAME: dict[str, Any] = {}
# A file's name, what is in it, what else is said of it; and the line that tells what is wrong.
WRONG: dict[str, tuple[str, str | bytes | pd.DataFrame, dict[str, Any], str]] = {
    "a value too many": ("x.csv", rows("1,2,red,yes,7"), SAME,
        "every row must have 4 values, as the header has, with ',' between them, but got '5 in row 20'. "
        "Correct the row, or say data.separator."),
    "a value too few": ("x.csv", rows("1,2"), SAME, "but got '2 in row 20'."),
    "a value too many in all": ("x.csv", HEADER + "\n1,2,red,yes,7" * 9, SAME, "but got '5 in row 1'."),
    "a quote that stays open": ("x.csv", rows('1,2,"red,yes'), SAME, "every row must have 4 values"),
    "noise": ("x.csv", NOISE, SAME, "must be text, but got 'a binary file'. Save it as CSV or Parquet."),
    "a picture": ("x.csv", b"\x89PNG\r\n\x1a\n" + NOISE.replace(b"\0", b""), SAME, "but got 'a binary file'"),
    "Excel": ("x.csv", b"PK\x03\x04" + NOISE.replace(b"\0", b""), SAME, "but got 'a binary file'"),
    "a zero": ("x.csv", rows("1,2,r\0d,yes"), SAME, "but got 'a binary file'"),
    "nothing": ("x.csv", "", SAME, "must have a header and rows, but got 'an empty file'."),
    "nothing but ends of lines": ("x.csv", "\n \n", SAME, "but got 'an empty file'"),
    "nothing in gzip": ("x.csv.gz", gzip.compress(b""), SAME, "but got 'an empty file'"),
    "a header": ("x.csv", HEADER + "\n", SAME, "must have rows, but got 'nothing but a header'."),
    "a header's line": ("x.csv", HEADER, SAME, "must have rows, but got 'nothing but a header'."),
    "names twice": ("x.csv", TEXT.replace("a,b", "a,a", 1), SAME,
        "must have columns of different names, but got 'a twice'. Rename one of them."),
    "no gzip": ("x.csv.gz", TEXT, SAME, "must be a whole gzip file"),
    "gzip without its name": ("x.csv", gzip.compress(TEXT.encode()), SAME, "Name it so that it ends in .gz."),
    "a part of gzip": ("x.csv.gz", gzip.compress(NOISE.hex().encode())[:2000], SAME, "must be a whole"),
    "no Parquet": ("x.parquet", b"PAR1 what", SAME, "must be a whole Parquet file"),
    "lists": ("x.parquet", pd.DataFrame({"a": [[1], [2]], "y": ["p", "q"]}), SAME,
        "column 'a': must be numbers, dates or text, but got 'list<element: int64>'."),
    "bytes": ("x.parquet", pd.DataFrame({"a": [b"1", b"2"], "y": ["p", "q"]}), SAME, "but got 'binary'"),
    "an unknown encoding": ("x.csv", TEXT, {"encoding": "utf-99"},
        "data.encoding: must be an encoding, but got 'utf-99'."),
    "another encoding": ("x.csv", TEXT, {"encoding": "utf-16"}, "must be text in the encoding utf-16"),
    "another separator": ("x.csv", TEXT, {"separator": ";"}, "but got 'y'. Its columns are a,b,c,y."),
    "no separator": ("x.csv", TEXT, {"separator": "\n"}, "data.separator: must be neither"),
    "decimal commas as text": ("x.csv", GOOD.to_csv(index=False, sep=";", decimal=","), {"decimal": "."},
        'Say data.decimal = ","'),
    "no target": ("x.csv", TEXT, {"target": None},
        "data.target: needs the name of the column to predict. Its columns are a, b, c, y."),
    "a target that is none": ("x.csv", TEXT, {"target": "z"},
        "data.target: must be a column, but got 'z'. Its columns are a, b, c, y."),
    "a target nearly": ("x.csv", TEXT, {"target": "Y"}, "but got 'Y'. Did you mean 'y'?"),
    "a target twice": ("x.csv", TEXT, {"target": ["y", "y"]}, "must name a column once, but got 'y'."),
    "a target left out": ("x.csv", TEXT, {"drop": "y"}, "data.drop: must not name the target, but got 'y'."),
    "a target as a feature": ("x.csv", TEXT, {"features": ["a", "y"]}, "must be no target, weight or group"),
    "a column nearly": ("x.csv", TEXT, {"drop": "aa"}, "data.drop: must be a column, but got 'aa'. Did you"),
    "nothing but a target": ("x.csv", "y\n" + "p\nq\n" * 9, SAME, "must have columns besides its target"),
    "text among numbers": ("x.csv", rows("abc,2,red,yes"), SAME,
        "column 'a': must be numbers, as most of it is, but got 'abc in row 20'. Correct it, leave it"),
    "free text": ("x.csv", "t,y\n" + "".join(f"name {i},{'pq'[i % 2]}\n" for i in range(200)), SAME,
        "but got '200 values in 200 rows'. Leave it out: drop = [\"t\"]."),
    "a month that is none": ("x.csv",
        "a,y\n" + "".join(f"2026-{i % 13 + 1:02d}-07,{i % 3}\n" for i in range(99)), SAME,
        "column 'a': must be dates, as most of it is, but got '2026-13-07 in row 13 and 6 more'."),
    "per cent": ("x.csv", "a,y\n" + "".join(f"{i}%,{'pq'[i % 2]}\n" for i in range(99)), SAME,
        "must be numbers in one form, and these have marks, but got '0%'."),
    "a line above the header": ("x.csv", "made by x\n" + TEXT, SAME, "Its first line must be the header"),
    "infinity": ("x.csv", rows("inf,2,red,yes"), SAME, "finite in float32, but got 'inf in row 20'"),
    "beyond float32": ("x.csv", rows("1e300,2,red,yes"), SAME, "values must be finite in float32"),
    "one class": ("x.csv", TEXT.replace(",no", ",yes"), SAME,
        "target 'y': must have at least two classes, but got 'only yes'."),
    "fewer rows than folds": ("x.csv", "a,y\n1,2.5\n2,3.5\n3,1.25\n", {"folds": 5},
        "folds: must be fewer than there are rows, but got 5. Use fewer folds."),
    "a class smaller than folds": ("x.csv", "a,y\n" + "1,p\n" * 20 + "2,q\n" * 3, {"folds": 5},
        "every class must have at least 5 samples for 5 folds"),
    "gaps in the target": ("x.csv", rows("1,2,red,"), SAME,
        "target 'y': must have a value in every row, but got 'none in row 20'. Leave those rows out."),
    "gaps in a quantity": ("x.csv", "a,y\n1,2.5\n2,nan\n3,1.2\n4,\n", SAME, "'none in row 2 and 1 more'"),
    "weights below 0": ("x.csv", TEXT, {"weight": "a"}, "weight 'a': must be finite and at least 0"),
    "weights of 0 where it validates": ("x.csv", "a,w,t,y\n" + "".join(f"{i},{int(i < 30)},{i},{i % 7}\n"
        for i in range(40)), {"weight": "w", "time": "t"},
        "data.weight: column 'w': must be greater than 0 somewhere in the validation part, but got"),
    "weights of 0 in a fold": ("x.csv", "a,w,t,y\n" + "".join(f"{i},{int(i < 30)},{i},{i % 7}\n"
        for i in range(40)), {"weight": "w", "time": "t", "folds": 3}, "in the validation part of fold 2"),
    "weights of 0 in the test part": ("x.csv", "a,w,t,y\n" + "".join(f"{i},{int(i < 30)},{i},{i % 7}\n"
        for i in range(40)), {"weight": "w", "time": "t", "test": 0.2}, "somewhere in the test part"),
    "thousands": ("x.csv", "a,y\n" + "".join(f'"1,{i:03d}.50",{i % 7}\n' for i in range(40)), SAME,
        "column 'a': must be numbers in one form, and these have marks, but got '1,000.50'. Write them"),
    "thousands among numbers": ("x.csv",
        "a,y\n" + "".join(f"{i}.5,{i % 7}\n" for i in range(40)) + '"1,234.50",3\n', SAME,
        "column 'a': must be numbers, as most of it is, but got '1,234.50 in row 41'. Write them"),
    "thousands alone": ("x.csv", "a,y\n" + "".join(f'"{i + 1},234",{i % 7}\n' for i in range(40)), SAME,
        "have marks, but got '1,234'. Write them without separators of thousands, % and signs of money; or "
        "name the column in data.categories."),
    "times that are none": ("x.csv", TEXT, {"time": "c"}, "time 'c': must be dates, all written alike"),
}  # fmt: skip


@pytest.mark.parametrize(("name", "content", "options", "line"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_with_a_table_is_told_in_a_line(
    tmp_path: Path, name: str, content: str | bytes | pd.DataFrame, options: dict[str, Any], line: str
) -> None:
    path = written(tmp_path / name, content)
    with pytest.raises(DataError) as caught:
        loaded(path, **options)
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value).replace(str(path), "")) < 400


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a,b,c,y\n1,2,red,maybe\n", "the training part's classes, no, yes, but got 'maybe in row 1'"),
        ("a,c,y\n1,red,yes\n", "test part: must have the column 'b'"),
        ("a,b,c\n1,2,red\n", "test part: data.target: must be a column, but got 'y'"),
        ("a,b,c,y\nfoo,2,red,yes\n", "test part: column 'a': must be numbers, but got 'foo in row 1'"),
        ("", "must have a header and rows, but got 'an empty file'"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_test_part_is_told(tmp_path: Path, text: str, line: str) -> None:
    test = written(tmp_path / "test.csv", text)
    with pytest.raises(DataError) as caught:
        loaded(written(tmp_path / "x.csv", TEXT), test=str(test))
    assert line in str(caught.value)


@pytest.mark.parametrize("name", ["x.csv", "x.parquet"])
def test_a_folder_or_no_file_is_told(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match="must be an existing table"):
        loaded(tmp_path / name)
    (tmp_path / name).mkdir()
    with pytest.raises(DataError, match="must be a file, but is a folder"):
        loaded(tmp_path / name)


def test_a_file_that_does_not_fit_into_memory_is_refused_before_it_is_read(tmp_path: Path) -> None:
    size = max(5 * 2**30, psutil.virtual_memory().total)
    with (tmp_path / "x.csv").open("wb") as file:
        file.truncate(size)
    began = time.perf_counter()
    with pytest.raises(
        DataError, match=r"a file of [\d.]+ GiB needs about \d+ GiB of memory, but got '\d+ GiB'"
    ):
        loaded(tmp_path / "x.csv")
    assert time.perf_counter() - began < 5


WORDS = st.text(st.sampled_from("abcXYZ äöé€ñß'\"-_/()\n"), min_size=1, max_size=8).filter(
    lambda text: text == text.strip() and text.strip("'\"") and text != "NaN"
)
NUMBERS = st.floats(-1e6, 1e6, allow_nan=False).map(lambda value: round(value, 4))


@st.composite
def frames(draw: st.DrawFn) -> pd.DataFrame:
    """Numbers with gaps, and texts of which no column is all the same kind as another."""
    count = draw(st.integers(2, 12))
    names = draw(st.lists(WORDS.filter(lambda name: "\n" not in name), min_size=3, max_size=3, unique=True))
    numbers = st.lists(st.one_of(NUMBERS, st.just(np.nan)), min_size=count, max_size=count)
    whole = st.lists(st.integers(-(2**40), 2**40), min_size=count, max_size=count)
    words = st.lists(WORDS, min_size=count, max_size=count)
    columns = [[1.5, *draw(numbers)], [1, *draw(whole)], ["word", *draw(words)]]
    return pd.DataFrame(dict(zip(names, columns, strict=True)))


@settings(deadline=None)
@given(
    frame=frames(),
    separator=st.sampled_from(",;\t|"),
    has_commas=st.booleans(),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "cp1252"]),
    quoting=st.sampled_from([0, 1, 2]),
    is_packed=st.booleans(),
    ends=st.sampled_from(["\n", "\r\n"]),
)
def test_a_frame_that_pandas_writes_is_read_back(
    tmp_path_factory: pytest.TempPathFactory,
    frame: pd.DataFrame,
    separator: str,
    has_commas: bool,
    encoding: str,
    quoting: Any,
    is_packed: bool,
    ends: str,
) -> None:
    decimal = "," if has_commas and separator != "," else "."
    path = tmp_path_factory.mktemp("table") / ("x.csv.gz" if is_packed else "x.csv")
    frame.to_csv(
        path,
        index=False,
        sep=separator,
        decimal=decimal,
        encoding=encoding,
        quoting=quoting,
        lineterminator=ends,
        compression="gzip" if is_packed else None,
    )
    pd.testing.assert_frame_equal(read_table(path).frame, frame, check_dtype=False)
