"""What makes a table doubtful is told, each in a line with its remedy; and of a good table nothing is."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import hpo
from hpo.data import doubts_about, load_columns, load_test, load_train
from hpo.data.doubts import doubts_about_columns
from hpo.data.duplicates import are_in, row_hashes
from hpo.spec import Data

ROWS = 400
RNG = np.random.default_rng(0)
Y = np.arange(ROWS) % 3 == 0
GOOD = pd.DataFrame(
    {
        "a": RNG.normal(size=ROWS) + Y,
        "b": RNG.normal(size=ROWS),
        "c": RNG.choice(["red", "green", "blue"], ROWS),
        "y": np.where(Y, "yes", "no"),
    }
)


def doubts(
    folder: Path, frame: pd.DataFrame, *, scaling: str | None = None, test: Any = None, **options: Any
) -> list[str]:
    frame.to_csv(folder / "x.csv", index=False)
    if isinstance(test, pd.DataFrame):
        test.to_csv(folder / "test.csv", index=False)
        test = str(folder / "test.csv")
    data = Data(**{"name": str(folder / "x.csv"), "target": "y", "test": test, **options})
    held = None if test is None else load_test(data)
    found = doubts_about(load_train(data), data, test=held, scaling=scaling)
    assert not any("\n" in line for line in found)
    return found


def test_a_good_table_raises_none(tmp_path: Path) -> None:
    assert doubts(tmp_path, GOOD) == doubts(tmp_path, GOOD, folds=5, test=0.2) == []
    for name in ("breast_cancer", "wine", "diabetes"):
        assert doubts_about(load_train(name), Data(name=name)) == []


def test_rows_that_train_and_validate_are_counted_on_the_studys_own_split(tmp_path: Path) -> None:
    frame = pd.concat([GOOD, GOOD[:100]])
    (line,) = doubts(tmp_path, frame)
    # Of the pairs one in the training part and one among the validation rows: two fifths of a third at most.
    count, total = (int(word) for word in line.split(" validation")[0].split(" of "))
    assert (total, line.count("data.group")) == (100, 1)
    data = Data(name=str(tmp_path / "x.csv"), target="y")
    dataset = load_train(data)
    from hpo.data import splits_of

    ((train, later),) = splits_of(dataset, data)
    known = {row.tobytes() for row in dataset.x[train]}
    assert count == sum(row.tobytes() in known for row in dataset.x[later]) > 0
    by_group = frame.assign(g=[*range(ROWS), *range(100)])
    assert doubts(tmp_path, by_group, group="g") == []


def test_rows_that_are_in_both_parts_are_counted(tmp_path: Path) -> None:
    (line,) = doubts(tmp_path, GOOD, test=GOOD[:7])
    assert line.startswith("7 of 7 test rows (100.0%) are also in the training part.")


def test_hashes_tell_rows_apart() -> None:
    # Round numbers differ in few bits.
    grid = np.stack(np.meshgrid(*[np.arange(-20, 20, dtype=np.float32)] * 3), axis=-1).reshape(-1, 3)
    from hpo.data.dataset import make_dataset

    made = make_dataset("grid", grid, np.zeros((len(grid), 1)), classes=1, scale=1.0, task="regression")
    hashes = row_hashes(made)
    assert len(np.unique(hashes)) == len(grid)
    zero = make_dataset("zero", -grid[:1] * 0, np.zeros((1, 1)), classes=1, scale=1.0, task="regression")
    assert are_in(row_hashes(zero), hashes).all()


def test_a_column_that_says_nothing_is_told(tmp_path: Path) -> None:
    frame = GOOD.assign(k=7, w="same", sparse=np.where(np.arange(ROWS) % 100 == 0, GOOD["b"], np.nan))
    constant, sparse = doubts(tmp_path, frame)
    assert constant == "columns 'k', 'w' are each the same in every row. Leave it out: drop = [\"k\", \"w\"]."
    assert sparse.startswith("column 'sparse' is nearly all gaps (more than 98%). Leave it out:")


@pytest.mark.parametrize(
    ("column", "is_identifier"),
    [
        (np.arange(ROWS), True),
        (1000 + 3 * np.arange(ROWS), True),
        (RNG.permutation(ROWS), False),
        (np.arange(ROWS) // 2, False),
        (np.arange(ROWS) + 0.5, False),
    ],
)
def test_an_identifier_is_told(tmp_path: Path, column: Any, is_identifier: bool) -> None:
    found = doubts(tmp_path, GOOD.assign(id=column))
    assert [line.startswith("column 'id' is an identifier") for line in found] == [True] * is_identifier


@pytest.mark.parametrize(
    "column",
    [
        Y * 2.0 + RNG.random(ROWS),
        -(Y * 2.0 + RNG.random(ROWS)),
        np.where(Y, "churned", "stayed"),
        Y.astype(int),
        np.where(Y, GOOD["b"], np.nan),
    ],
    ids=["interval", "other way", "category", "0 and 1", "gaps"],
)
def test_a_column_that_gives_the_class_away_is_told(tmp_path: Path, column: Any) -> None:
    found = [line for line in doubts(tmp_path, GOOD.assign(leak=column)) if "gives the target away" in line]
    assert len(found) == 1
    assert "column 'leak' alone" in found[0]
    assert 'drop = ["leak"]' in found[0]


def test_a_column_that_gives_a_quantity_away_is_told(tmp_path: Path) -> None:
    price = np.exp(GOOD["a"])
    for leak in (price * 1.19, np.log(price), -price):
        (line,) = doubts(tmp_path, GOOD.drop(columns=["a"]).assign(y=price, leak=leak))
        assert "column 'leak' alone gives the target away" in line


def test_a_column_that_says_much_gives_nothing_away(tmp_path: Path) -> None:
    near = Y * 2.0 + RNG.normal(size=ROWS) * 0.6
    assert doubts(tmp_path, GOOD.assign(near=near)) == []
    # An easy set: several columns say all of it.
    easy = GOOD.assign(p=Y * 9 + RNG.random(ROWS), q=Y * 9 + RNG.random(ROWS))
    assert doubts(tmp_path, easy) == []


def test_rare_classes_are_told(tmp_path: Path) -> None:
    rare = GOOD.assign(y=np.where(np.arange(ROWS) < 8, "yes", "no"))
    (line,) = doubts(tmp_path, rare)
    assert line.startswith("class yes has 8 of 400 rows (2.00%), class no 392: always saying the latter is")
    assert "balanced_accuracy" in line
    _, folds = doubts(tmp_path, rare, folds=5)
    assert folds.startswith("a fold has fewer than 5 rows of yes (1) to validate. Use fewer folds")


def test_levels_that_are_not_trained_on_are_told(tmp_path: Path) -> None:
    # One of several is among the validation rows.
    frame = GOOD.assign(c=[f"rare {i}" if i < 30 else level for i, level in enumerate(GOOD["c"])])
    (line,) = doubts(tmp_path, frame)
    assert line.startswith("categories have levels that only validation rows have: c ('rare ")
    (line,) = doubts(tmp_path, GOOD, test=GOOD[:9].assign(c="new", a=0.5))
    assert line.startswith("categories have levels that only the test part has: c (9 rows).")


def test_scales_are_told_where_nothing_brings_them_together(tmp_path: Path) -> None:
    frame = GOOD.assign(b=GOOD["b"] * 1e4)
    assert doubts(tmp_path, frame) == doubts(tmp_path, frame, scaling="robust") == []
    (line,) = doubts(tmp_path, frame, scaling="none")
    assert line.startswith("features are on very different scales: column 'b' has a standard deviation of")
    assert 'scaling = "standard"' in line


def test_numbers_that_lose_their_digits_are_told(tmp_path: Path) -> None:
    stamps = 1_700_000_000 + RNG.permutation(ROWS)
    (line,) = doubts(tmp_path, GOOD.assign(stamp=stamps))
    assert line.startswith("column 'stamp' has 400 different numbers in its first 400 rows, of which float32")
    assert doubts(tmp_path, GOOD.assign(amount=RNG.random(ROWS) * 1e6)) == []


def test_columns_are_looked_at_before_there_is_a_target(tmp_path: Path) -> None:
    GOOD.assign(k=7, t=[f"name {i}" for i in range(ROWS)]).to_csv(tmp_path / "x.csv", index=False)
    dataset, refused = load_columns(Data(name=str(tmp_path / "x.csv")))
    assert [column.name for column in dataset.columns] == ["a", "b", "c", "y", "k"]
    assert len(refused) == 1
    assert "column 't': must be numbers, dates or categories" in refused[0]
    (line,) = doubts_about_columns(dataset)
    assert line.startswith("column 'k' is the same in every row")


def test_a_study_tells_them_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    GOOD.assign(k=7).to_csv(tmp_path / "x.csv", index=False)
    spec = {
        "name": "s",
        "kind": "search",
        "data": {"name": str(tmp_path / "x.csv"), "target": "y"},
        "task": "binary",
        "trials": 1,
        "space": {"dropout": [0.1, 0.2]},
    }
    storage = f"sqlite:///{tmp_path / 'hpo.db'}"
    with caplog.at_level(logging.WARNING):
        hpo.create_study(spec, storage=storage, artifact_dir=tmp_path / "artifacts")
        assert [line for line in caplog.messages if "column 'k' is the same in every row" in line]
        caplog.clear()
        hpo.create_study(spec | {"trials": 2}, storage=storage, artifact_dir=tmp_path / "artifacts")
        assert not caplog.messages


@pytest.mark.long
def test_a_large_table_is_looked_at_in_seconds(tmp_path: Path) -> None:
    count = 100_000
    frame = pd.DataFrame(RNG.normal(size=(count, 40)).astype(np.float32)).add_prefix("n")
    frame = frame.assign(c=RNG.choice(list("abcdefgh"), count), y=RNG.choice(["p", "q"], count))
    frame.to_parquet(tmp_path / "x.parquet")
    data = Data(name=str(tmp_path / "x.parquet"), target="y")
    dataset = load_train(data)
    began = time.perf_counter()
    assert doubts_about(dataset, data, scaling="none") == []
    assert time.perf_counter() - began < 5
