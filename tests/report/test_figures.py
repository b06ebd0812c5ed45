"""The figures of a report from Python: by name, the same as in the report, and told when there are none."""

from __future__ import annotations

from pathlib import Path

import plotly.graph_objects as go
import pytest

import hpo
from hpo.report import about
from hpo.report.document import Picture
from tests.marks import often
from tests.recorded import comparison, created, record

SEARCH = hpo.StudySpec(
    name="search",
    kind="search",
    data={"name": "digits"},
    trials=12,
    confirm=False,
    sampler={"name": "random", "seed": 0},
    params={"hidden_units": [8], "epochs": 3},
    space={"dropout": [0.1, 0.2, 0.3], "learning_rate": {"low": 1e-3, "high": 0.1, "log": True}},
)


def run(arm: str | None, seed: int) -> dict[str, float]:
    return {
        "val_accuracy": 0.8 + 0.01 * seed + (0.1 if arm == "b" else 0),
        "val_loss": 0.5 - 0.01 * seed,
        "train_seconds": 1.0 + seed,
    }


@pytest.fixture(scope="module")
def search(tmp_path_factory: pytest.TempPathFactory) -> hpo.Study:
    study = created(SEARCH, tmp_path_factory.mktemp("search"))
    record(study, run)
    return study


@pytest.fixture(scope="module")
def arms(tmp_path_factory: pytest.TempPathFactory) -> hpo.Study:
    study = created(comparison(["a", "b"]), tmp_path_factory.mktemp("comparison"))
    record(study, run)
    return study


@pytest.mark.parametrize(
    "name",
    often({"history", "importance"}, ["history", "curves", "parallel", "slices", "importance", "contours"]),
)
def test_a_search_draws_each_figure_of_its_report(name: str, search: hpo.Study) -> None:
    assert_drawn_as_in_the_report(search, name)


@pytest.mark.parametrize("name", ["curves", "differences", "times"])
def test_a_comparison_draws_each_figure_of_its_report(name: str, arms: hpo.Study) -> None:
    assert_drawn_as_in_the_report(arms, name)


def assert_drawn_as_in_the_report(study: hpo.Study, name: str) -> None:
    figure = study.plot(name)
    assert isinstance(figure, go.Figure)
    pictures = [block for block in about(study) if isinstance(block, Picture)]
    (reported,) = (picture.figure for picture in pictures if picture.name == name)
    assert str(figure.data) == str(reported.data)
    assert figure.layout.height == reported.layout.meta["wide"]["height"]
    assert str(hpo.plot(study, name)) == str(figure)


def test_every_figure_of_a_report_has_a_name(search: hpo.Study, arms: hpo.Study) -> None:
    for study in (search, arms):
        names = [block.name for block in about(study) if isinstance(block, Picture)]
        assert len(names) == len(set(names)) >= 3
        assert "" not in names


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "histroy",
            "study 'search': has no such figure, but got 'histroy'. Did you mean 'history'?"
            " There are: history, front, pruning, curves, parallel, slices, importance, contours, confusion,"
            " roc, precision_recall.",
        ),
        (
            "times",
            "study 'search': has no such figure, but got 'times'."
            " There are: history, front, pruning, curves, parallel, slices, importance, contours, confusion,"
            " roc, precision_recall.",
        ),
    ],
)
def test_an_unknown_figure_is_told_with_those_that_there_are(
    name: str, message: str, search: hpo.Study
) -> None:
    with pytest.raises(hpo.StudyError) as caught:
        search.plot(name)
    assert str(caught.value) == message


def test_a_figure_that_cannot_be_drawn_yet_says_so(tmp_path: Path) -> None:
    study = created(SEARCH, tmp_path)
    says = "^study 'search': has no figure 'history' of the trials that are complete"
    with pytest.raises(hpo.StudyError, match=rf"{says}\.$"):
        study.plot("history")
    record(study, run, most=3)
    assert len(study.plot("history").data[0].x) == 3
    there_are = r"'importance' .* There are: history, parallel, slices, curves\.$"
    with pytest.raises(hpo.StudyError, match=there_are):
        study.plot("importance")
