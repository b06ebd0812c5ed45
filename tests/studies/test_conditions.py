"""A search with a condition, from the file to every table: what is not active is nowhere."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import hpo
from tests.command import quick

SEARCH = """
name = "conditional"
kind = "search"
data = { name = "digits" }
objective = { metric = "val_accuracy" }
sampler = { name = "random" }
trials = 6
confirm = false
params = { epochs = 1, hidden_units = [4], learning_rate = 0.05 }

[space]
optimizer = ["sgd", "adam"]
momentum = { low = 0.5, high = 0.99, when = { optimizer = "sgd" } }
"""


def test_what_is_not_active_is_not_drawn_and_not_shown(tmp_path: Path) -> None:
    (tmp_path / "search.toml").write_text(SEARCH)
    done = quick("run", "search.toml", "--workers", "1", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("#")]
    assert all(("momentum=" in line) == ("optimizer=sgd" in line) for line in lines)

    study = hpo.open_study("conditional", storage=f"sqlite:///{tmp_path}/hpo.db")
    drawn = {trial.number: trial.params for trial in study.all_trials}
    kinds = {values["optimizer"] for values in drawn.values()}
    assert kinds == {"sgd", "adam"}
    assert all(("momentum" in values) == (values["optimizer"] == "sgd") for values in drawn.values())

    arms = json.loads(quick("compare", "conditional", "--format", "json", folder=tmp_path).stdout)["arms"]
    assert {int(arm["arm"][1:]): arm["differs"] for arm in arms} == drawn
    for command, column in (("compare", "momentum"), ("trials", "params.momentum")):
        text = quick(command, "conditional", "--format", "csv", folder=tmp_path).stdout
        rows = list(csv.DictReader(io.StringIO(text)))
        assert len(rows) == 6
        assert all(bool(row[column]) == ("sgd" in row.values()) for row in rows)
        table = quick(command, "conditional", folder=tmp_path).stdout
        assert all("-" in line.split() for line in table.splitlines() if " adam " in line)
        assert table.count(" adam ") == len([values for values in drawn.values() if "momentum" not in values])
