"""A search none of whose trials meets its constraints: that is what every command says of it."""

from __future__ import annotations

from pathlib import Path

import pytest

import hpo
from hpo.errors import StudyError
from tests.command import quick

SEARCH = """
name = "unmet"
kind = "search"
data = { name = "digits", validation = 0.2 }
trials = 3
sampler = { name = "random" }
constraints = ["%s"]
[params]
epochs = 1
hidden_units = [8]
[space]
learning_rate = { low = 1e-3, high = 1e-1, log = true }
"""


def test_of_a_final_metric(tmp_path: Path) -> None:
    (tmp_path / "unmet.toml").write_text(SEARCH % "val_accuracy >= 2")
    said = "None of 3 complete trials meets the constraints; the nearest is #"
    for command in (("run", "unmet.toml", "--workers", "1"), ("resume", "unmet")):
        done = quick(*command, folder=tmp_path)
        assert done.returncode == 0, done.stderr
        assert said in done.stderr
        assert "has finished yet" not in done.stderr
        assert "Train it with" not in done.stderr
        assert done.stderr.splitlines()[-1].startswith("loosen the constraints")

    study = hpo.open_study("unmet", storage=f"sqlite:///{tmp_path}/hpo.db")
    assert study.headline.startswith(said)
    reached = {trial.number: trial.metrics["val_accuracy"] for trial in study.all_trials}
    nearest = max(reached, key=lambda number: reached[number])
    assert f"the nearest is #{nearest}: val_accuracy {reached[nearest]:.6g} < 2." in study.headline
    assert "meets the constraints" in repr(study)
    with pytest.raises(StudyError, match=r"has no trial that meets the constraints.*Loosen them"):
        _ = study.best

    shown = quick("show", "unmet", folder=tmp_path)
    assert shown.returncode == 0
    assert "trials   3 complete" in shown.stdout
    assert said in shown.stdout + shown.stderr
    assert said in quick("compare", "unmet", folder=tmp_path).stderr
    best = quick("best", "unmet", folder=tmp_path)
    assert (best.returncode, best.stderr.count("\n")) == (2, 1)
    assert "hpo resume" not in best.stderr
    report = quick("report", "unmet", "--out", "report", folder=tmp_path)
    assert report.returncode == 0, report.stderr
    text = (tmp_path / "report" / "report.md").read_text()
    assert said.removesuffix("#") in text
    assert "is complete yet" not in text
    assert "there is none yet" not in text
    assert "hpo final" not in text


def test_of_what_is_known_before_training(tmp_path: Path) -> None:
    (tmp_path / "unmet.toml").write_text(SEARCH % "parameters <= 2")
    said = "None of 3 trials meets the constraints; the nearest is #0: parameters 610 > 2."
    done = quick("run", "unmet.toml", "--workers", "1", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count(": pruned: parameters 610 > 2\n") == 3
    assert said in done.stderr
    shown = quick("show", "unmet", folder=tmp_path)
    assert said in shown.stdout + shown.stderr
    best = quick("best", "unmet", folder=tmp_path)
    assert best.returncode == 2
    assert "no trial that meets the constraints" in best.stderr
    assert "hpo resume" not in best.stderr


@pytest.mark.slow
def test_before_all_trials_have_ended(tmp_path: Path) -> None:
    (tmp_path / "unmet.toml").write_text(SEARCH % "parameters <= 2")
    quick("create", "unmet.toml", folder=tmp_path)
    quick("worker", "unmet", "--max-trials", "1", folder=tmp_path)
    best = quick("best", "unmet", folder=tmp_path)
    assert "hpo resume unmet" in best.stderr
    shown = quick("show", "unmet", folder=tmp_path).stdout
    assert shown.startswith("The one trial does not meet the constraints, #0: parameters 610 > 2. 2 of 3")
