"""What `hpo data show` says of arrays and of tables, in a terminal and as a page."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from playwright.sync_api import sync_playwright

from hpo.data import load_test
from tests.command import hpo_on_terminal, quick


def test_data_show_describes_the_test_part(tmp_path: Path) -> None:
    x, y = np.zeros((10, 4), np.float32), np.arange(10) % 2
    np.savez(tmp_path / "whole.npz", x_train=x, y_train=y, x_test=x[:3], y_test=y[:3])
    np.savez(tmp_path / "half.npz", x_train=x, y_train=y)
    whole, half = (
        json.loads(quick("data", "show", name, "--format", "json", folder=tmp_path).stdout)
        for name in ("whole.npz", "half.npz")
    )
    assert (whole["test_samples"], whole["test_class_counts"]) == (3, [2, 1])
    assert whole["test_digest"] == load_test(str(tmp_path / "whole.npz")).digest
    assert (half["test_samples"], half["test_class_counts"], half["test_digest"]) == (0, [], None)
    assert whole["digest"] == half["digest"]


def study_of(folder: Path, data: str, more: str = "") -> None:
    """A study file, study.toml, of these data."""
    top = f'name = "own"\nkind = "search"\ntrials = 2\ndata = {{ {data} }}\n{more}\n'
    (folder / "study.toml").write_text(f"{top}[space]\nlearning_rate = [0.1, 0.2]")


def test_images_are_shown_in_the_size_in_which_the_study_reads_them(tmp_path: Path) -> None:
    for label, size in (("cat", (8, 9)), ("dog", (5, 7))):
        (tmp_path / "pets" / label).mkdir(parents=True)
        for index in range(3):
            Image.new("RGB", size, (9 * index, 0, 200)).save(tmp_path / "pets" / label / f"{index}.png")
    study_of(tmp_path, 'name = "pets", image_size = [6, 4]', 'task = "binary"')
    done = quick("data", "show", "study.toml", "--format", "json", folder=tmp_path)
    shown = json.loads(done.stdout)
    assert (shown["sample_shape"], shown["samples"], shown["task"]) == ([6, 4, 3], 6, "binary")
    assert done.stderr == ""
    (line,) = quick("data", "show", "pets", folder=tmp_path).stderr.splitlines()
    assert "image_size = [" in line


def test_arrays_are_shown_as_what_the_study_learns_of_them(tmp_path: Path) -> None:
    x, y = np.zeros((12, 2, 2), np.float32), np.arange(12)
    np.savez(tmp_path / "own.npz", x_train=x, y_train=y, x_test=x[:3], y_test=y[:3])
    study_of(tmp_path, 'name = "own.npz", folds = 3', 'task = "regression"\nobjective = { metric = "r2" }')
    done = quick("data", "show", "study.toml", "--format", "json", folder=tmp_path)
    shown = json.loads(done.stdout)
    assert (shown["task"], shown["target_means"], shown["test_samples"]) == ("regression", [5.5], 3)
    assert not {"classes", "class_counts", "test_class_counts"} & shown.keys()
    assert done.stderr == ""
    # As many classes as rows: no fold has each of them.
    study_of(tmp_path, 'name = "own.npz", folds = 3', 'task = "multi-class"')
    told = quick("data", "show", "study.toml", folder=tmp_path).stderr
    assert "every class must have at least 3 samples for 3 folds, but got '1 of class 0'" in told
    assert quick("create", "study.toml", folder=tmp_path).stderr.removeprefix("study.toml: ") in told
    study_of(tmp_path, 'name = "own.npz", image_size = [2, 2]')
    done = quick("data", "show", "study.toml", folder=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "data.image_size: has no effect on" in done.stderr


ROWS = 300
CUSTOMERS = pd.DataFrame(
    {
        "customer": np.arange(ROWS) + 1,
        "income in €": np.linspace(1e3, 1e5, ROWS).round(2) % 4567,
        "città <b>": np.resize(["Roma", "Milano", "a very long name of a place & more"], ROWS),
        "joined": pd.date_range("2024-01-01", periods=ROWS),
        "score": np.where(np.arange(ROWS) % 3 == 0, np.nan, np.arange(ROWS) % 7),
        "churn": np.where(np.arange(ROWS) % 4 == 0, "yes", "no"),
    }
)
STUDY = """
name = "churn"
kind = "search"
data = { name = "customers.csv", target = "churn", drop = "customer", test = 0.2 }
trials = 2
[params]
scaling = "none"
[space]
learning_rate = [0.01, 0.1]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    CUSTOMERS.to_csv(tmp_path / "customers.csv", index=False)
    (tmp_path / "study.toml").write_text(STUDY)
    return tmp_path


def test_a_table_is_shown_by_columns_and_target(folder: Path) -> None:
    done = quick("data", "show", "customers.csv", "--target", "churn", "--format", "json", folder=folder)
    shown = json.loads(done.stdout)
    assert (shown["rows"], shown["task"], shown["target"], shown["test_rows"]) == (ROWS, "binary", "churn", 0)
    assert shown["targets"][0]["levels"] == [["no", 225], ["yes", 75]]
    columns = {column["name"]: column for column in shown["features"]}
    assert [column["kind"] for column in columns.values()] == [
        "number",
        "number",
        "category",
        "date",
        "number",
    ]
    assert columns["score"]["gaps"] == 100
    assert (columns["joined"]["low"], columns["joined"]["high"]) == ("2024-01-01", "2024-10-26")
    assert columns["città <b>"]["distinct"] == 3
    assert sum(columns["customer"]["bars"]) == ROWS
    assert [line.split(" is ")[0] for line in shown["doubts"]] == ["column 'customer'"]
    assert "customers.csv: column 'customer' is an identifier" in done.stderr
    assert "task: binary, since target 'churn' has 2 values" in done.stderr
    lines = quick("data", "show", "customers.csv", "--format", "csv", folder=folder).stdout.splitlines()
    assert lines[0].startswith("name,kind,gaps,distinct,low,median,high")
    assert len(lines) == 7


def test_a_table_is_shown_before_its_target_is_known(folder: Path) -> None:
    done = quick("data", "show", "customers.csv", folder=folder)
    assert "churn" in done.stdout
    assert "name the column to predict" in done.stderr


def test_a_study_file_says_the_rest(folder: Path) -> None:
    done = quick("data", "show", "study.toml", "--format", "json", folder=folder)
    shown = json.loads(done.stdout)
    assert (shown["rows"], shown["test_rows"], shown["columns"]) == (240, 60, 4)
    assert len(shown["test_digest"]) == 64
    assert "very different scales" in done.stderr


@pytest.mark.parametrize(
    "columns", [80, *(pytest.param(wide, marks=pytest.mark.slow) for wide in (100, 120))]
)
def test_a_table_fits_the_terminal(folder: Path, columns: int) -> None:
    done = hpo_on_terminal(
        "data", "show", "customers.csv", "--target", "churn", folder=folder, columns=columns
    )
    plain = re.sub(r"\x1b\[[0-9;]*m", "", done.stdout)
    assert max(map(len, plain.splitlines())) <= columns
    for text in ("income in €", "2024-01-01 to 2024-10-26", "Roma 100", "75.0%", "digest"):
        assert text in plain


def test_a_page_is_whole_in_itself(folder: Path) -> None:
    done = quick("data", "show", "customers.csv", "--target", "churn", "--html", "page.html", folder=folder)
    assert (done.returncode, done.stdout) == (0, "")
    text = (folder / "page.html").read_text(encoding="utf-8")
    assert "<script" not in text
    assert "http" not in text
    assert "città &lt;b&gt;" in text


@pytest.mark.slow
def test_a_page_fits_a_phone(folder: Path) -> None:
    quick("data", "show", "customers.csv", "--target", "churn", "--html", "page.html", folder=folder)
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for width in (1280, 400):
            page = browser.new_page(viewport={"width": width, "height": 900})
            faults: list[str] = []
            page.on("console", lambda message, faults=faults: faults.append(message.text))
            page.goto((folder / "page.html").as_uri())
            assert page.evaluate("document.documentElement.scrollWidth") == width
            assert page.locator("section.column").count() == 6
            assert page.get_by_role("img", name="histogram of joined").is_visible()
            assert not faults
        browser.close()


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["wine", "--target", "tarjet"], "must be a column, but got 'tarjet'. Did you mean 'target'?"),
        (["customers.csv", "--target", "Churn"], "Did you mean 'churn'?"),
        (["customers.csv", "--target", "churn", "--task", "clusters"], "--task: must be one of multi-class"),
        (["customers.csv", "--target", "churn", "--html", "page.txt"], "page.txt: must end in .html"),
        (["digits", "--target", "x"], "--target: is for tables, and digits is none"),
        (["customers.csv", "--out", "x.png"], "--out: is for images, and customers.csv is a table"),
        (["nothing.csv"], "must be an existing table, but got 'nothing.csv'"),
    ],
)
def test_what_cannot_be_shown_is_told_in_a_line(folder: Path, arguments: list[str], line: str) -> None:
    done = quick("data", "show", *arguments, folder=folder)
    assert (done.returncode, done.stdout) == (2, "")
    assert line in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("command", ["create", "run", "validate"])
def test_no_study_is_made_of_a_table_that_is_wrong(folder: Path, command: str) -> None:
    with (folder / "customers.csv").open("a") as file:
        file.write("1,2\n")
    done = quick(command, "study.toml", folder=folder)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "customers.csv: every row must have 6 values" in line
    assert "2 in row 301" in line
    assert not (folder / "hpo.db").exists()


def test_doubts_are_told_when_a_study_is_new(folder: Path) -> None:
    told = [
        quick(*arguments, "study.toml", folder=folder).stderr.count("on very different scales")
        for arguments in (["validate"], ["create"], ["create"])
    ]
    assert told == [1, 1, 0]


def test_bundled_tables_are_listed(folder: Path) -> None:
    rows = json.loads(quick("data", "list", "--format", "json", folder=folder).stdout)
    assert {"digits", "wine", "breast_cancer", "diabetes", "iris", "linnerud"} <= {
        row["name"] for row in rows
    }
