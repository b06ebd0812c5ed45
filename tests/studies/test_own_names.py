"""Hyperparameters of people's own models, of any name and value, in tables, reports and the dashboard."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import hpo
from hpo.dashboard.trial_attributes import in_order
from hpo.report import about, as_markdown
from tests.command import quick
from tests.dashboards import dashboard
from tests.recorded import created, record
from tests.tiny_studies import eventually

# Its arguments have the names of columns, and its values what means something elsewhere.
CODE = """
import keras


def build(widths, val_loss, arm="a_$b", seed=0, value=1, failed=(), rank="<i>", n=1, *, input_shape, outputs):
    return keras.Sequential([keras.Input(input_shape), keras.layers.Flatten(), keras.layers.Dense(outputs)])
"""
SEARCH = """
name = "odd"
kind = "search"
trials = 2
data = {{ name = "digits", validation = 0.2 }}
model = {{ file = "{folder}/odd.py" }}
sampler = {{ name = "grid" }}
params = {{ epochs = 2, arm = "a & b | 50 % of <b>x</b> ~ \\\\ $ _" }}
[space]
widths = [[8], [[16, "wide"], true]]
val_loss = [7.5]
seed = [5]
failed = [[]]
rank = ["<i>x</i>"]
"""
COMPARISON = """
name = "odd-arms"
kind = "comparison"
seeds = 2
data = {{ name = "digits", validation = 0.2 }}
model = {{ file = "{folder}/odd.py" }}
params = {{ epochs = 2, widths = [] }}
arms = [
    {{ name = "one", val_loss = 7.5, arm = "x", seed = 1, n = 3 }},
    {{ name = "two", val_loss = 8.5, arm = "<b>_&", seed = 2, n = 4 }},
]
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A search and a comparison, as if trained."""
    made = tmp_path_factory.mktemp("odd")
    (made / "odd.py").write_text(CODE)
    for text in (SEARCH, COMPARISON):
        runs = {"val_accuracy": 0.5, "val_loss": 1.25, "train_seconds": 2.0, "epochs_run": 2.0}
        record(created(text.format(folder=made), made), lambda arm, seed, runs=runs: runs)
    return made


def read(folder: Path, *arguments: str) -> str:
    done = quick(*arguments, folder=folder)
    assert (done.returncode, done.stderr) == (0, ""), done
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("study", ["odd", "odd-arms"])
def test_a_hyperparameter_named_as_a_metric_takes_no_metric_s_place(study: str, folder: Path) -> None:
    opened = hpo.open_study(study, storage=f"sqlite:///{folder / 'hpo.db'}")
    rows = opened.compare().rows
    assert {row["val_loss"] for row in rows} == {1.25}
    assert {row["arm"] for row in rows} == ({"#0", "#1"} if study == "odd" else {"one", "two"})
    assert {row["failed"] for row in rows} == {0}
    frame = opened.trials()
    assert set(frame["val_loss"]) == {1.25}
    assert set(frame["params.val_loss"]) <= {7.5, 8.5}
    assert as_markdown("", about(opened)).count("1.25")


@pytest.mark.slow
def test_tables_show_values_of_any_kind_and_nothing_in_them_acts(folder: Path) -> None:
    arms = read(folder, "compare", "odd-arms")
    assert "7.5" in arms
    assert "<b>_&" in arms
    latex = read(folder, "compare", "odd-arms", "--format", "latex")
    assert r"\textless{}b\textgreater{}\_\&" in latex
    page = read(folder, "trials", "odd", "--format", "html")
    assert "&lt;i&gt;x&lt;/i&gt;" in page
    assert "<i>" not in page
    rows = json.loads(read(folder, "trials", "odd", "--format", "json"))
    assert [row["params"]["widths"] for row in rows] == [[8], [[16, "wide"], True]]
    assert read(folder, "best", "odd").count("val_loss") == 2
    report = as_markdown("t", about(hpo.open_study("odd", storage=f"sqlite:///{folder / 'hpo.db'}")))
    assert "<i>x" not in report.replace("\\<i>x", "")
    assert "odd.py: build" in report


def test_what_the_dashboard_shows_of_a_trial_has_both() -> None:
    shown = in_order(
        {"arm": "one", "seed": 3, "hyperparameters": {"arm": "x", "val_loss": 7.5}, "val_loss": 1}
    )
    assert shown == {"arm": "one", "seed": 3, "params.arm": "x", "params.val_loss": 7.5, "val_loss": 1}


def test_a_comparison_s_arms_are_parameters_beside_their_seed(folder: Path) -> None:
    from hpo.dashboard.arm_parameters import ArmSpace
    from hpo.spec import ComparisonSpec

    study = hpo.open_study("odd-arms", storage=f"sqlite:///{folder / 'hpo.db'}")
    assert isinstance(study.spec, ComparisonSpec)
    space = ArmSpace(study.spec)
    shown = space.shown(study.frozen_trials[0]).params
    assert (shown["arm"], shown["seed"]) == ("one", 0)
    assert (shown["params.arm"], shown["params.seed"], shown["val_loss"]) == ("x", 1, 7.5)


def test_the_dashboard_shows_such_studies_and_their_code_only_in_the_report(folder: Path) -> None:
    with dashboard(folder) as running:
        for name in ("odd", "odd-arms"):
            answer = running.get(f"/api/studies/{running.study(name)}?after=0").text
            assert "def build" not in answer
            found = json.loads(answer)
            assert {own["key"] for own in found["user_attrs"]} >= {"spec", "created"}
            assert {trial["state"] for trial in found["trials"]} == {"Complete"}
        eventually(lambda: running.get("/studies/odd").status != 202, within=60)
        page = running.get("/studies/odd").text
        assert "<details><summary>odd.py, SHA-256 " in page
        assert "&lt;i&gt;" in page
        assert "<i>x" not in page
