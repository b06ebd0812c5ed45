"""`hpo` with a model of one's own in a file: what is refused before there is a study, what is named."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.command import quick

CODE = """
import sys
import keras

print("imported by", __name__)


def build(units, rate=0.0, *, input_shape, outputs):
    layers = keras.layers
    parts = [layers.Flatten(), layers.Dense(units, "relu"), layers.Dropout(rate), layers.Dense(outputs)]
    return keras.Sequential([keras.Input(input_shape), *parts])


def broken(units, *, input_shape, outputs):
    return keras.Sequential([keras.layers.Dens(units)])
"""
STUDY = """
name = "own"
kind = "search"
model = { file = "../m.py", function = "build" }
data = { name = "digits", validation = 0.2 }
sampler = { name = "grid" }
[params]
epochs = 1
[space]
units = [4, 8]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "m.py").write_text(CODE)
    (tmp_path / "studies").mkdir()
    (tmp_path / "studies" / "s.toml").write_text(STUDY)
    return tmp_path


def test_validate_runs_nothing_of_the_file(folder: Path) -> None:
    (folder / "m.py").write_text(CODE.replace("import sys", "sys.exit()"))
    done = quick("validate", "studies/s.toml", folder=folder)
    assert done.returncode == 0
    assert "imported by" not in done.stdout + done.stderr


def test_a_function_that_fails_creates_nothing(folder: Path) -> None:
    path = folder / "studies" / "s.toml"
    path.write_text(STUDY.replace('"build"', '"broken"'))
    done = quick("run", path, folder=folder)
    assert done.returncode == 2
    line = CODE[: CODE.index("layers.Dens(")].count("\n") + 1
    (said,) = done.stderr.splitlines()
    assert said.startswith(f'm.py: broken: must build a model, but got "line {line}: AttributeError: module')
    assert not (folder / "hpo.db").exists()
    assert sorted(found.name for found in folder.iterdir()) == ["m.py", "studies"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("code", "said"),
    [
        (
            CODE.replace("import sys", "raise OSError('no')"),
            'm.py: must run without an error, but got "line 2: OSErr',
        ),
        (
            CODE.replace("import sys", "import sys; sys.exit(3)"),
            'm.py: must run without an error, but got "line 2: Sys',
        ),
        (
            CODE.replace("import sys", "import os; os._exit(3)"),
            "m.py: build: must build a model, but got a process that ended with exit code 3.",
        ),
    ],
    ids=["raises", "ends", "dies"],
)
def test_a_file_that_does_not_run_creates_nothing(code: str, said: str, folder: Path) -> None:
    (folder / "m.py").write_text(code)
    done = quick("create", "studies/s.toml", folder=folder)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert said.replace('"', "'") in line.replace('"', "'")
    assert not (folder / "hpo.db").exists()


@pytest.mark.slow
def test_a_study_of_it_is_trained_and_names_it_everywhere(folder: Path) -> None:
    done = quick("run", "studies/s.toml", "--workers", "1", folder=folder)
    assert done.returncode == 0, done.stderr
    shown = quick("show", "own", folder=folder)
    assert f'file = "{folder}/m.py"\nfunction = "build"' in shown.stdout
    stored = json.loads(quick("show", "own", "--format", "json", folder=folder).stdout)["spec"]["model"]
    assert stored["structure"] == ["units"]
    assert "trials of own, model m.py: build" in quick("trials", "own", folder=folder).stdout
    assert quick("report", "own", "--out", "report", folder=folder).returncode == 0
    report = (folder / "report" / "report.md").read_text()
    assert re.search(r"\| model +\| m.py: build +\|", report)
    promoted = quick("promote", "own", "--top", "2", folder=folder)
    assert promoted.returncode == 0
    # Moved, and not checked again: with a file that ends its process it would be.
    (folder / "m.py").rename(folder / "moved.py")
    path = folder / "studies" / "s.toml"
    path.write_text(STUDY.replace("../m.py", "../moved.py"))
    again = quick("run", path, "--workers", "1", folder=folder)
    assert again.returncode == 0
    assert "nothing is left to train" in again.stderr
    assert 'moved.py"' in quick("show", "own", folder=folder).stdout
