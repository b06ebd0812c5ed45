"""Studies that an earlier version stored open, read as they were, resume to the same results."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hpo as library
from tests.command import hpo, quick

HERE = Path(__file__).parent
EXPECTED: dict[str, Any] = json.loads((HERE / "0.1.json").read_text())
NAMES = [row["name"] for row in EXPECTED["list"]]
# Times are as they were, of what was resumed they are new.
TIMES = {"train_seconds", "compile_seconds"}


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as version 0.1 left it; only read."""
    return unpacked(tmp_path_factory.mktemp("stored"))


def unpacked(folder: Path) -> Path:
    with zipfile.ZipFile(HERE / "0.1.zip") as archive:
        archive.extractall(folder)
    return folder


def read(folder: Path, *arguments: str) -> Any:
    done = quick(*arguments, "--format", "json", folder=folder)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def is_part(old: Any, new: Any) -> bool:
    """Whether all that was said is still said; keys may have been added."""
    if isinstance(old, dict):
        return isinstance(new, dict) and all(
            key in new and is_part(value, new[key]) for key, value in old.items()
        )
    if isinstance(old, list):
        return isinstance(new, list) and len(old) == len(new) and all(map(is_part, old, new))
    return bool(old == new)


def test_the_list_is_as_it_was(stored: Path) -> None:
    assert is_part(EXPECTED["list"], read(stored, "list"))


@pytest.mark.parametrize("name", NAMES)
def test_trials_are_as_they_were(name: str, stored: Path) -> None:
    assert is_part(EXPECTED["studies"][name]["trials"], read(stored, "trials", name))


@pytest.mark.parametrize("name", [name for name in NAMES if name != "grid"])
def test_comparisons_are_as_they_were(name: str, stored: Path) -> None:
    assert is_part(EXPECTED["studies"][name]["compare"], read(stored, "compare", name))


def test_a_search_of_the_best_epoch_is_ranked_by_its_value_now(stored: Path) -> None:
    best = min(EXPECTED["studies"]["grid"]["trials"], key=lambda trial: trial["value"])
    assert read(stored, "best", "grid")["number"] == best["number"]
    assert read(stored, "compare", "grid")["arms"][0]["arm"] == f"#{best['number']}"


def test_a_model_of_then_predicts(stored: Path) -> None:
    x = np.zeros((2, 8, 8), np.uint8)
    np.savez(stored / "x.npz", x=x)
    assert len(read(stored, "predict", "grid.keras", "x.npz")) == 2


def test_they_are_reported_and_examined(stored: Path) -> None:
    done = quick("report", *NAMES, "--out", "report", folder=stored)
    assert done.returncode == 0, done.stderr
    text = (stored / "report/report.md").read_text()
    assert all(f"## {name}\n" in text for name in NAMES)
    assert "no learning curves" not in text
    assert quick("doctor", folder=stored).returncode == 0


@pytest.mark.slow
def test_what_was_begun_then_ends_with_the_same_results(tmp_path: Path) -> None:
    folder = unpacked(tmp_path)
    for name, found in EXPECTED["resumed"].items():
        done = hpo("resume", name, "--workers", "1", folder=folder)
        assert done.returncode == 0, done.stderr
        assert "begins anew" not in done.stderr
        for then, now in zip(found["trials"], read(folder, "trials", name), strict=True):
            assert (now["state"], now["params"], now["epochs_run"]) == (
                then["state"],
                then["params"],
                then["epochs_run"],
            )
            metrics = {key: value for key, value in then["metrics"].items() if key not in TIMES}
            assert {key: now["metrics"][key] for key in metrics} == pytest.approx(metrics, abs=1e-3)
            assert now["curve"] == pytest.approx(then["curve"], abs=1e-3)


def test_a_study_file_of_then_finds_its_study(tmp_path: Path) -> None:
    folder = unpacked(tmp_path)
    study = library.open_study("own", storage=f"sqlite:///{folder / 'hpo.db'}")
    # The data have moved, and are the same.
    text = "\n".join(
        [
            'name = "own"\nkind = "comparison"\nseeds = 1\ndata = { name = "own.npz" }',
            "[params]\nhidden_units = [8]\nepochs = 3",
            '[[arms]]\nname = "plain"\n[[arms]]\nname = "fast"\nlearning_rate = 0.1',
        ]
    )
    (folder / "own.toml").write_text(text)
    done = quick("create", "own.toml", folder=folder)
    assert done.returncode == 0, done.stderr
    assert "nothing to train" in done.stderr
    assert len(study.all_trials) == 2
