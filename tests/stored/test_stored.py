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
from tests.marks import often

HERE = Path(__file__).parent
EXPECTED: dict[str, Any] = {
    version: json.loads((HERE / f"{version}.json").read_text()) for version in ("0.1", "0.2")
}
STUDIES = [(version, row["name"]) for version, found in EXPECTED.items() for row in found["list"]]
# Times are as they were, of what was resumed they are new.
TIMES = {"train_seconds", "compile_seconds"}


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A folder as each version left it; only read."""
    return {version: unpacked(tmp_path_factory.mktemp("stored"), version) for version in EXPECTED}


def unpacked(folder: Path, version: str) -> Path:
    with zipfile.ZipFile(HERE / f"{version}.zip") as archive:
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


@pytest.mark.parametrize("version", EXPECTED)
def test_the_list_is_as_it_was(version: str, stored: dict[str, Path]) -> None:
    assert is_part(EXPECTED[version]["list"], read(stored[version], "list"))


@pytest.mark.parametrize(("version", "name"), STUDIES)
def test_trials_are_as_they_were(version: str, name: str, stored: dict[str, Path]) -> None:
    assert is_part(EXPECTED[version]["studies"][name]["trials"], read(stored[version], "trials", name))


@pytest.mark.parametrize(("version", "name"), [study for study in STUDIES if study != ("0.1", "grid")])
def test_comparisons_are_as_they_were(version: str, name: str, stored: dict[str, Path]) -> None:
    assert is_part(EXPECTED[version]["studies"][name]["compare"], read(stored[version], "compare", name))


def test_a_search_of_the_best_epoch_is_ranked_by_its_value_now(stored: dict[str, Path]) -> None:
    folder = stored["0.1"]
    best = min(EXPECTED["0.1"]["studies"]["grid"]["trials"], key=lambda trial: trial["value"])
    assert read(folder, "best", "grid")["number"] == best["number"]
    assert read(folder, "compare", "grid")["arms"][0]["arm"] == f"#{best['number']}"


def test_a_model_of_then_predicts(stored: dict[str, Path]) -> None:
    folder = stored["0.1"]
    x = np.zeros((2, 8, 8), np.uint8)
    np.savez(folder / "x.npz", x=x)
    assert len(read(folder, "predict", "grid.keras", "x.npz")) == 2


@pytest.mark.parametrize("version", often({"0.1"}, EXPECTED))
def test_they_are_reported_and_examined(version: str, stored: dict[str, Path]) -> None:
    folder, names = stored[version], [name for of, name in STUDIES if of == version]
    done = quick("report", *names, "--out", "report", folder=folder)
    assert done.returncode == 0, done.stderr
    text = (folder / "report/report.md").read_text()
    assert all(f"## {name}\n" in text for name in names)
    assert "no learning curves" not in text
    assert quick("doctor", folder=folder).returncode == 0


@pytest.mark.slow
def test_a_model_of_then_that_was_kept_is_exported_and_takes_raw_rows(stored: dict[str, Path]) -> None:
    folder = stored["0.2"]
    for name in ("table", "table-final", "minutes"):
        done = quick("export", name, "--out", f"{name}.keras", folder=folder)
        assert done.returncode == 0, done.stderr
        assert len(read(folder, "predict", f"{name}.keras", "rows.csv")) == 120


# Of people's own code the files are where the study file is, and not where they were: it is run again.
GOING_ON = [
    ("0.1", "interrupted", ("resume", "interrupted")),
    pytest.param("0.1", "tpe", ("resume", "tpe"), marks=pytest.mark.long),
    pytest.param("0.2", "mine", ("run", "mine.toml"), marks=pytest.mark.long),
]


@pytest.mark.slow
@pytest.mark.parametrize(("version", "name", "command"), GOING_ON)
def test_what_was_begun_then_ends_with_the_same_results(
    version: str, name: str, command: tuple[str, str], tmp_path: Path
) -> None:
    folder, found = unpacked(tmp_path, version), EXPECTED[version]["resumed"][name]
    done = hpo(*command, "--workers", "1", folder=folder)
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


@pytest.mark.parametrize("name", ["table", "minutes"])
def test_a_file_of_a_table_that_has_moved_finds_its_study(name: str, tmp_path: Path) -> None:
    done = quick("create", f"{name}.toml", folder=unpacked(tmp_path, "0.2"))
    assert done.returncode == 0, done.stderr
    assert "nothing to train" in done.stderr


def test_a_study_file_of_then_finds_its_study(tmp_path: Path) -> None:
    folder = unpacked(tmp_path, "0.1")
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
