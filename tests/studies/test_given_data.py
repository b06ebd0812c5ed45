"""Studies of data that people have in Python, kept so that workers and resumes find them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import hpo
from hpo.doctor import examine
from hpo.errors import HpoError
from hpo.spec import Data, StudySpec
from hpo.storage import Storage
from tests.command import quick as command

ROWS = np.arange(60)
X = np.random.default_rng(0).normal(size=(60, 3))
TEXT = np.where(X[:, 0] > 0, "cat", "dog")
FRAME = pd.DataFrame({"a": X[:, 0], "city": ["B", "M", None] * 20, "day": pd.to_datetime("2026-01-01")})


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def search(name: str = "own", **keys: Any) -> dict[str, Any]:
    return {
        "name": name,
        "kind": "search",
        "trials": 2,
        "params": {"epochs": 2, "hidden_units": [4]},
        "space": {"learning_rate": [0.1, 0.01]},
        **keys,
    }


def kept(folder: Path) -> list[Path]:
    return sorted((folder / "hpo-artifacts" / "data").glob("*"))


@pytest.mark.slow
def test_arrays_are_kept_by_their_digest_and_trained_by_workers(folder):
    study = hpo.create_study(search(), data=(X, TEXT))
    (file,) = kept(folder)
    assert (file.suffix, len(file.stem)) == (".npz", 64)
    assert study.spec.data.name == str(file)
    assert study.spec.task == "binary"
    assert np.array_equal(study.load_data().x, X.astype(np.float32))
    assert study.load_data().names == ("cat", "dog")
    # Other processes, elsewhere, which know the database and the artifacts alone.
    (elsewhere := folder / "elsewhere").mkdir()
    url, artifacts = f"sqlite:///{folder}/hpo.db", str(folder / "hpo-artifacts")
    done = command(
        "worker", "own", "--exit-when-idle", folder=elsewhere, HPO_STORAGE=url, HPO_ARTIFACT_DIR=artifacts
    )
    assert done.returncode == 0, done.stderr
    assert study.summary.counts["complete"] == 2


def test_the_same_data_are_kept_once_and_the_study_goes_on(folder):
    first = hpo.create_study(search(), data=(X, TEXT))
    again = hpo.create_study(search(trials=3, repeats=True), data=(X.copy(), TEXT.copy()))
    assert len(kept(folder)) == 1
    assert again.spec.planned == 3
    assert first.data_digest == again.data_digest
    with pytest.raises(HpoError, match=r"is taken by another specification: data\.name was"):
        hpo.create_study(search(trials=3, repeats=True), data=(X + 1, TEXT))
    assert len(kept(folder)) == 1


FRAMES = {
    "a frame and a series": ((FRAME, pd.Series(X[:, 1], name="price")), {}, "regression", ("price",)),
    "a series without a name": ((FRAME, pd.Series(TEXT)), {}, "binary", ("target",)),
    "rows in another order": ((FRAME, pd.Series(TEXT, index=ROWS[::-1])), {}, "binary", ("target",)),
    "a frame and an array": ((FRAME, TEXT), {}, "binary", ("target",)),
    "a frame and two": ((FRAME, X[:, :2]), {}, "regression", ("target0", "target1")),
    "two frames": ((FRAME, pd.DataFrame(X, columns=list("xyz"))), {}, "regression", ("x", "y", "z")),
    "one frame": (FRAME.assign(kind=TEXT), {"data": {"target": "kind", "folds": 3}}, "binary", ("kind",)),
    "categories": (
        FRAME.assign(kind=pd.Categorical(TEXT)),
        {"data": {"target": ["kind"]}},
        "binary",
        ("kind",),
    ),
    "names that are numbers": ((pd.DataFrame(X), pd.Series(TEXT, name=7)), {}, "binary", ("7",)),
}


@pytest.mark.parametrize(("given", "keys", "task", "target"), FRAMES.values(), ids=FRAMES)
def test_frames_are_tables(given, keys, task, target, folder):
    study = hpo.create_study(search(**keys), data=given)
    (file,) = kept(folder)
    assert file.suffix == ".parquet"
    assert (study.spec.task, study.spec.data.target) == (task, target)
    dataset = study.load_data()
    if task == "binary":
        assert np.array_equal(np.array(dataset.names)[dataset.y], TEXT)
    if "numbers" not in str(given):
        names = [str(column) for column in (given[0] if isinstance(given, tuple) else FRAME).columns]
        assert [column.name for column in dataset.columns] == names
    # The same frame, once more.
    assert hpo.create_study(search(**keys), data=given).data_digest == study.data_digest
    assert len(kept(folder)) == 1


def test_frames_of_polars_are_the_same_tables(folder):
    polars = pytest.importorskip("polars")
    frame = polars.DataFrame({"a": X[:, 0], "city": ["B", "M", None] * 20})
    study = hpo.create_study(search(), data=(frame, polars.Series("kind", TEXT)))
    dataset = study.load_data()
    assert [(column.name, column.kind, column.levels) for column in dataset.columns] == [
        ("a", "number", ()),
        ("city", "category", ("B", "M", "")),
    ]
    assert np.array_equal(np.array(dataset.names)[dataset.y], TEXT)
    one = hpo.create_study(
        search("one", data={"target": "kind"}), data=frame.with_columns(polars.Series("kind", TEXT))
    )
    assert one.load_data().digest == dataset.digest
    arrays = hpo.create_study(search("arrays"), data=(X, polars.Series("kind", TEXT)))
    assert arrays.load_data().names == ("cat", "dog")
    with pytest.raises(HpoError, match=r"but got 'polars\S*LazyFrame'. Call .collect\(\) first."):
        hpo.create_study(search("lazy", data={"target": "a"}), data=frame.lazy())


@pytest.mark.long
def test_pandas_alone_does_not_import_polars():
    code = (
        "import sys, hpo, pandas; from pathlib import Path; from hpo.studies.given import keep\n"
        "keep(pandas.DataFrame({'a': [1, 2]}), Path('kept')); print('polars' in sys.modules)"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).split() == ["False"]


Y = {
    "a series": pd.Series(TEXT),
    "categories": pd.Series(pd.Categorical(TEXT)),
    "objects": TEXT.astype(object),
    "truth of objects": pd.Series((X[:, 0] > 0).astype(object)).to_numpy(),
    "nullable numbers": pd.Series(ROWS % 2, dtype="Int64"),
    "a frame": pd.DataFrame({"y": ROWS % 2}),
}


@pytest.mark.parametrize("y", Y.values(), ids=Y)
def test_targets_of_arrays_may_be_of_pandas(y):
    dataset = hpo.create_study(search(), data=(X, y)).load_data()
    expected = np.asarray(y).reshape(-1) if not isinstance(y, pd.Series) else y.to_numpy()
    assert [str(name) for name in np.array(dataset.names)[dataset.y]] == [str(value) for value in expected]


def test_a_file_or_a_specification_may_declare_the_study(folder):
    (folder / "study.toml").write_text(
        'name = "file"\nkind = "search"\ntrials = 1\ndata = { folds = 3 }\n[space]\ndropout = [0.1, 0.2]\n'
    )
    study = hpo.create_study("study.toml", data=(X, TEXT))
    assert study.spec.data.folds == 3
    spec = StudySpec(**search("spec", data={"name": "whatever", "validation": 0.5}))
    told = hpo.create_study(spec, data=(X, TEXT)).spec.data
    assert (told.validation, told.name) == (0.5, study.spec.data.name)
    # What a study says of itself is what it began with.
    assert hpo.create_study(study.spec, data=(X, TEXT)).spec == study.spec


WRONG = {
    "a list": ([1, 2], "list of 2'. Make arrays of lists with numpy.asarray."),
    "lists": ((X.tolist(), TEXT), "data: x: must be (x, y) of numpy arrays or of pandas or polars frames"),
    "targets in a list": ((X, [1] * 60), "data: y: must be "),
    "an array": (X, "but got 'numpy.ndarray'"),
    "three": ((X, TEXT, X), "'tuple of 3'"),
    "something": ((object(), TEXT), "but got 'object'"),
    "lengths": ((X, TEXT[:9]), "data: x and y must have the same length, but got (60, 9)"),
    "lengths of frames": ((FRAME, TEXT[:9]), "data: x and y must have the same length, but got (60, 9)"),
    "one class": ((X, np.array(["a"] * 60)), "data: target 'y': must have at least two classes"),
    "not known": ((X, np.where(ROWS > 57, np.nan, X[:, 0])), "data y: must have a finite value for every"),
    "not known in a frame": ((FRAME, pd.Series(["a", None] * 30)), "must have a value in every row"),
    "gaps in x": ((np.where(X > 1, np.nan, X), TEXT), "data x: values must be finite in float32"),
    "text in x": (
        (np.array([["a", 1]] * 60, dtype=object), TEXT),
        "data: x: must be numbers, but got 'objects'. Give a pandas frame, which may have text and gaps.",
    ),
    "a mask": (
        (np.ma.masked_greater(X, 1), TEXT),
        "data: x: must have no mask, which would be lost. Fill it",
    ),
    "no target": (
        FRAME,
        "data: data.target: needs the name of the column to predict. Its columns are a, city",
    ),
    "a name twice": (
        (FRAME, pd.Series(TEXT, name="city")),
        "must have columns of different names, but got 'city",
    ),
    "columns twice": ((FRAME[["a", "a"]], TEXT), "must have columns of different names, but got 'a twice'"),
    "values of several types": (
        (FRAME.assign(city=["a", 1, b"b"] * 20), TEXT),
        "must be a frame that Parquet can keep, but got",
    ),
}


@pytest.mark.parametrize(("given", "said"), WRONG.values(), ids=WRONG)
def test_what_cannot_be_learned_from_is_told_in_one_line_and_nothing_is_left(given, said, folder):
    with pytest.raises(HpoError) as caught:
        hpo.create_study(search(), data=given)
    assert str(caught.value).startswith("create_study: data")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert str(folder) not in str(caught.value)
    assert kept(folder) == []
    assert not (folder / "hpo.db").exists()


def test_a_specification_that_says_otherwise_is_refused(folder):
    for keys, said in {
        "name": ({"name": "digits"}, "data.name: must be left out or '"),
        "name in a model": (Data(name="digits"), "data.name: must be left out or '"),
        "target": ({"target": "a"}, "data.target: must be left out or ['price'], as the data are given"),
        "other": ({"fold": 3}, "data: unknown key 'fold'"),
    }.values():
        with pytest.raises(HpoError) as caught:
            hpo.create_study(search(data=keys), data=(FRAME, pd.Series(X[:, 1], name="price")))
        assert said in str(caught.value)
    assert kept(folder) == []
    # What other studies have is kept.
    hpo.create_study(search(), data=(X, TEXT))
    with pytest.raises(HpoError):
        hpo.create_study(search(trial=1), data=(X, TEXT))
    assert len(kept(folder)) == 1


def test_deleting_a_study_and_the_doctor_leave_the_data_of_others(folder):
    one, other = (hpo.create_study(search(name), data=(X, TEXT)) for name in ("one", "other"))
    old = 0.0
    for file in kept(folder):
        os.utime(file, (old, old))
    storage = Storage(f"sqlite:///{folder}/hpo.db")
    assert list(examine(storage.given, artifact_dir=storage.artifacts.path)) == []
    one.delete()
    assert list(examine(storage.given, artifact_dir=storage.artifacts.path, repair=True)) == []
    assert other.load_data().names == ("cat", "dog")


def test_a_worker_whose_artifact_folder_is_elsewhere_finds_the_data_in_it(folder):
    hpo.create_study(search(), data=(X, TEXT))
    shutil.move(folder / "hpo-artifacts", folder / "moved")
    study = hpo.open_study("own", artifact_dir=folder / "moved")
    assert study.load_data().names == ("cat", "dog")
    # And in the folder of data sets.
    (file,) = (folder / "moved" / "data").iterdir()
    with pytest.raises(HpoError, match=r"must be an existing \.npz file"):
        hpo.open_study("own").load_data()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HPO_DATA_DIR", str(file.parent))
        assert hpo.open_study("own").load_data().names == ("cat", "dog")
