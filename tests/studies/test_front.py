"""A search with two objectives from end to end: run, pruned, shown, kept."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import hpo
from hpo.errors import StudyError
from hpo.trials.attachments import MODEL_FILE
from tests.command import quick

STUDY = """
name = "two"
kind = "search"
data = { name = "digits" }
trials = 12
objectives = [{ metric = "val_accuracy" }, { metric = "parameters" }]
sampler = { name = "auto" }
pruner = { name = "successive_halving", reduction_factor = 2 }
[params]
epochs = 4
[space]
learning_rate = { low = 1e-3, high = 0.1, log = true }
hidden_units = [[8], [32]]
"""


def test_a_search_with_two_objectives(tmp_path: Path) -> None:
    (tmp_path / "two.toml").write_text(STUDY)
    storage = f"sqlite:///{tmp_path}/hpo.db"
    done = quick("run", "two.toml", "--workers", "1", "--storage", storage, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "on the front of val_accuracy and parameters" in done.stdout + done.stderr

    study = hpo.open_study("two", storage=storage)
    states = [trial.state for trial in study.all_trials]
    assert len(states) == 12
    assert {"complete", "pruned"} == set(states)
    complete = {trial.number: trial.values for trial in study.all_trials if trial.values}
    # 64 pixels, 10 classes.
    sizes = {(8,): 65 * 8 + 9 * 10, (32,): 65 * 32 + 33 * 10}
    for trial in study.all_trials:
        assert trial.metrics["parameters"] == sizes[tuple(trial.params["hidden_units"])]
    front = [trial.number for trial in study.front]
    for number, own in complete.items():
        beaten = any(
            other["val_accuracy"] >= own["val_accuracy"]
            and other["parameters"] <= own["parameters"]
            and other != own
            for other in complete.values()
        )
        assert (number in front) != beaten
    # Each has kept its model, whatever came first.
    assert all(study.storage.artifact(study.frozen_trials[number], MODEL_FILE) for number in front)
    assert [*study.trials()[["val_accuracy", "parameters"]].columns] == ["val_accuracy", "parameters"]
    assert len(study.plot("front").data) == 4
    with pytest.raises(StudyError, match="no best trial"):
        _ = study.best

    shown = quick("best", "two", "--format", "json", "--storage", storage, folder=tmp_path)
    assert [row["number"] for row in json.loads(shown.stdout)] == front

    summary = study.summary
    assert (summary.metric, summary.direction, summary.best_value) == ("val_accuracy, parameters", None, None)
    page = quick("show", "two", "--storage", storage, folder=tmp_path).stdout
    assert "metric   val_accuracy, parameters" in page
    assert "\nbest " not in page
    compared = quick("compare", "two", "--storage", storage, folder=tmp_path).stdout
    assert "parameters" in compared
    arms = {row["arm"]: row for row in study.compare().rows}
    assert {number: arms[f"#{number}"]["parameters"] for number in complete} == {
        number: own["parameters"] for number, own in complete.items()
    }

    top = min(3, len(front))
    report = quick("report", "two", "--out", "report", "--storage", storage, folder=tmp_path)
    assert report.returncode == 0, report.stderr
    text = (tmp_path / "report" / "report.md").read_text()
    assert "| ranked by" not in text
    assert "val_accuracy, highest; parameters, lowest; none is given up for another" in text
    assert f"hpo final two --top {top}\n" in text
