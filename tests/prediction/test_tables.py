"""Predictions of tables by models that learned from tables, through the command and from Python."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.metrics import accuracy_score, root_mean_squared_error

import hpo
from hpo import HpoError
from hpo.prediction import predictions
from tests.command import quick as run_hpo
from tests.marks import often

STUDY = """
name = "{name}"
kind = "search"
trials = 1
sampler = {{ name = "random" }}
[data]
name = "train.csv"
target = {target}
features = ["km/h", "size", "town", "day"]
weight = "count"
encoding = "cp1250"
[params]
epochs = 5
hidden_units = [8]
optimizer = "adam"
[space]
learning_rate = [0.01]
"""
# How the training file is written, of which its encoding is not told from the file.
POLISH: dict[str, Any] = {"sep": ";", "decimal": ",", "encoding": "cp1250"}
TARGETS = {"classes": '"class"', "price": '"price"', "labels": '["a", "b"]'}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Exported models of one table by task, and rows that they have not seen."""
    folder, draws, count = tmp_path_factory.mktemp("tables"), np.random.default_rng(0), 200
    frame = pd.DataFrame(
        {
            "km/h": np.where(draws.random(count) < 0.1, np.nan, draws.normal(50, 9, count)),
            "size": draws.normal(size=count).round(3),
            "town": draws.choice(np.array(["Ulm", "Łódź", None], dtype=object), count),
            "day": pd.Timestamp("2024-01-01") + pd.to_timedelta(draws.integers(0, 500, count), unit="D"),
        }
    )
    frame["class"] = np.where(frame["size"] > 0, "=yes", "no")
    frame["price"] = (frame["size"] * 1e4 + 1e5).round(2)
    frame["a"], frame["b"] = (frame["size"] > 0).astype(int), (frame["size"] > 0.5).astype(int)
    frame["note"], frame["count"] = "@SUM(A1)", draws.integers(0, 4, count)
    frame[:150].to_csv(folder / "train.csv", index=False, **POLISH)
    new = frame[150:].reset_index(drop=True)
    new.loc[0, "town"] = "Nowhere"
    new.to_csv(folder / "new.csv", index=False)
    new.to_csv(folder / "polish.csv", index=False, **POLISH)
    new[["km/h", "size", "town", "day"]].to_parquet(folder / "bare.parquet")
    new.drop(columns="town").to_csv(folder / "lacks.csv", index=False)
    for name, target in TARGETS.items():
        (folder / f"{name}.toml").write_text(STUDY.format(name=name, target=target))
        assert (done := run_hpo("create", f"{name}.toml", folder=folder)).returncode == 0, done.stderr
    assert (done := run_hpo("worker", "--exit-when-idle", folder=folder)).returncode == 0, done.stderr
    for name in TARGETS:
        done = run_hpo("export", name, "--out", f"{name}.keras", folder=folder)
        assert done.returncode == 0, done.stderr
    return folder


SAID = {
    "classes": ["predicted.class", "probability", "probabilities.=yes", "probabilities.no"],
    "price": ["predicted.price"],
    "labels": ["labels", "probabilities.a", "probabilities.b"],
}


@pytest.mark.parametrize("name", often({"classes"}, TARGETS))
def test_a_file_of_predictions_has_the_rows_as_they_were(name: str, folder: Path, tmp_path: Path) -> None:
    for data, suffix in (("new.csv", "csv"), ("bare.parquet", "parquet")):
        out = tmp_path / f"out.{suffix}"
        done = run_hpo("predict", f"{name}.keras", data, "--out", out, folder=folder)
        assert (done.returncode, done.stdout) == (0, "")
        assert done.stderr.splitlines()[0] == f"Wrote {out}: 50 rows."
        assert len(done.stderr.splitlines()) > 1 or data == "bare.parquet"
        raw = pd.read_csv(folder / data) if suffix == "csv" else pd.read_parquet(folder / data)
        table = pd.read_csv(out) if suffix == "csv" else pd.read_parquet(out)
        assert list(table) == [*raw, *SAID[name]]
        pd.testing.assert_series_equal(table["size"], raw["size"])
    again = run_hpo("predict", f"{name}.keras", "bare.parquet", "--out", out, folder=folder)
    assert (again.returncode, "is there already" in again.stderr) == (2, True)
    frame = hpo.predict(folder / f"{name}.keras", pd.read_parquet(folder / "bare.parquet"))
    pd.testing.assert_frame_equal(frame, table)


def test_a_file_that_is_written_as_the_training_file_is_read_as_that_was(folder: Path) -> None:
    model, known = folder / "classes.keras", ["predicted.class", "probability"]
    here, there = (hpo.predict(model, folder / name) for name in ("new.csv", "polish.csv"))
    assert (there["town"] == "Łódź").any()
    pd.testing.assert_frame_equal(here[known], there[known])


@pytest.mark.long
def test_rows_count_in_metrics_as_in_training(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    frame = pd.read_csv(folder / "new.csv")
    for name, target in (("classes", "class"), ("price", "price")):
        found = predictions(folder / f"{name}.keras", frame)
        said = found.table[f"predicted.{target}"]
        weighted = {"sample_weight": frame["count"]}
        if target == "class":
            assert found.metrics["accuracy"] == pytest.approx(accuracy_score(frame[target], said, **weighted))
        else:
            rmse = root_mean_squared_error(frame[target], said, **weighted)
            assert found.metrics["rmse"] == pytest.approx(rmse, rel=1e-5)
        done = run_hpo("predict", f"{name}.keras", "new.csv", folder=folder)
        assert "weighted " in done.stderr
    # What rows count is not known, or cannot be.
    alike = predictions(folder / "price.keras", frame.drop(columns="count"))
    assert alike.metrics["rmse"] == pytest.approx(root_mean_squared_error(frame["price"], said), rel=1e-5)
    assert "all rows count alike, as there is no column 'count' as in training" in caplog.text
    assert predictions(folder / "price.keras", frame.assign(count=0)).metrics == {}
    assert "no metrics: frame: weight 'count': must be greater than 0 somewhere" in caplog.text


def test_a_card_of_before_weights_and_forms_still_reads(folder: Path, tmp_path: Path) -> None:
    old = tmp_path / "old.keras"
    with zipfile.ZipFile(folder / "price.keras") as now, zipfile.ZipFile(old, "w") as then:
        for name in now.namelist():
            content = now.read(name)
            if name == "hpo.json":
                card = json.loads(content)
                assert (card.pop("weight"), card.pop("csv")["encoding"]) == ("count", "cp1250")
                content = json.dumps(card).encode()
            then.writestr(name, content)
    found = predictions(old, folder / "new.csv")
    assert found.weight is None
    assert len(found.table) == 50


def test_a_spreadsheet_runs_nothing_of_it(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    run_hpo("predict", "classes.keras", "new.csv", "--out", out, folder=folder)
    table = pd.read_csv(out)
    assert set(table["note"]) == {"'@SUM(A1)"}
    assert set(table["predicted.class"]) <= {"'=yes", "no"}


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("classes", "accuracy "),
        pytest.param("price", "rmse ", marks=pytest.mark.slow),
        pytest.param("labels", "accuracy ", marks=pytest.mark.slow),
    ],
)
def test_without_a_file_rows_are_printed_and_drawn(name: str, said: str, folder: Path) -> None:
    for data in ("new.csv", "bare.parquet"):
        done = run_hpo("predict", f"{name}.keras", data, "--plot", "p.png", folder=folder)
        assert done.returncode == 0, done.stderr
        assert done.stdout.split()[0] == "row"
        assert (said in done.stderr) == (data == "new.csv")
        with Image.open(folder / "p.png") as picture:
            assert len(picture.convert("RGB").getcolors(100_000)) > 3


def test_what_does_not_fit_is_refused_in_one_line(folder: Path) -> None:
    model = folder / "classes.keras"
    with pytest.raises(HpoError, match=r"lacks.csv: must have the column 'town'"):
        hpo.predict(model, folder / "lacks.csv")
    with pytest.raises(HpoError, match=r"^samples: must be a table with the columns that the model takes"):
        hpo.predict(model, np.zeros((3, 4), np.float32))
    text = pd.read_csv(folder / "new.csv").astype({"size": object})
    text.loc[2, "size"] = "tall"
    with pytest.raises(HpoError, match=r"column 'size': must be numbers, but got 'tall in row 3'"):
        hpo.predict(model, text)
