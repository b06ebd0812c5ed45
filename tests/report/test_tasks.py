"""What is said and drawn of studies of each task: with its metrics and figures, and in its own words."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hpo
from hpo.report import compose
from hpo.storage.artifacts import artifacts_of
from hpo.studies.final import create_final
from tests.marks import often
from tests.tiny_studies import worker_of

LABELS = ["rain", "wind", "snow & <b>ice</b>"]
OBJECTIVES = {
    "multi-class": "val_accuracy",
    "binary": "roc_auc",
    "multi-label": "f1",
    "regression": "r2",
}
FIGURES = {
    "multi-class": ["confusion", "roc", "precision_recall"],
    "binary": ["confusion", "roc", "precision_recall"],
    "multi-label": ["roc", "precision_recall"],
    "regression": ["predicted", "residuals"],
}
# What each report says of the best trial and of the test set.
SAID = {
    "confusion": "Confusion matrix of",
    "roc": "ROC of",
    "precision_recall": "Precision and recall of",
    "predicted": "Predicted against true of",
    "residuals": "Errors of",
}


def data_of(task: str, folder: Path) -> dict[str, Any]:
    """Data of a task, of which a part is set aside."""
    named = {"multi-class": "wine", "binary": "breast_cancer", "regression": "diabetes"}
    if task in named:
        return {"name": named[task], "test": 0.2}
    values = np.random.default_rng(0).normal(size=(200, 3))
    rows = [[*row, *(row > 0).astype(int), index % 3] for index, row in enumerate(values.round(4))]
    lines = [
        ",".join(map(str, ["a", "b", "c", *LABELS, "count"])),
        *(",".join(map(str, row)) for row in rows),
    ]
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    return {"name": str(folder / "labels.csv"), "target": LABELS, "test": 0.2, "weight": "count"}


@pytest.fixture(scope="module", params=often({"multi-class"}, OBJECTIVES))
def comparison(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> hpo.Study:
    folder, task = tmp_path_factory.mktemp("tasks"), request.param
    spec = hpo.StudySpec(
        name="compared",
        kind="comparison",
        data=data_of(task, folder),
        objective={"metric": OBJECTIVES[task]},
        seeds=3,
        baseline="slow",
        params={"hidden_units": [8], "optimizer": "adam", "epochs": 4},
        arms=[{"name": "slow", "learning_rate": 1e-4}, {"name": "fast", "learning_rate": 0.02}],
    )
    study = hpo.create_study(spec, storage=f"sqlite:///{folder}/hpo.db", artifact_dir=folder / "artifacts")
    worker_of(study).run(exit_when_idle=True)
    assert study.spec.learned.name == task
    return study


@pytest.fixture(scope="module")
def final(comparison: hpo.Study) -> hpo.Study:
    made = create_final([comparison], seeds=2)
    worker_of(made).run(exit_when_idle=True)
    return made


@pytest.fixture
def page(comparison: hpo.Study, final: hpo.Study, tmp_path: Path) -> tuple[str, str]:
    """The report in Markdown and in HTML, with a final evaluation."""
    markdown, html = compose([comparison]).write(tmp_path / "report")
    return markdown.read_text(), html.read_text()


def test_a_report_has_the_task_s_figures_of_validation_samples_and_test_set(
    comparison: hpo.Study, page: tuple[str, str]
) -> None:
    task = comparison.spec.learned.name
    for name, said in SAID.items():
        assert page[1].count(f"{said} ") == (4 if name in FIGURES[task] else 0), name  # caption, and aloud
    assert f"which has the highest {OBJECTIVES[task]} on them" in page[0]
    assert f"| learned | {task}" in " ".join(page[0].split())


def test_words_of_classes_are_said_of_classes_alone(comparison: hpo.Study, page: tuple[str, str]) -> None:
    text = page[0].lower()
    task = comparison.spec.learned.name
    assert ("accuracy" in text) == (task != "regression")
    assert "confusion" not in text  # whose captions are of the page
    # Of one of them rows have weights.
    assert ("rows weighted as in training" in page[1]) == (task == "multi-label")
    assert ("stratified" in text) == (task in ("multi-class", "binary"))
    assert ("val_rmse" in text) == (task == "regression")


def test_python_has_each_figure_by_name_and_no_other_task_s(comparison: hpo.Study, final: hpo.Study) -> None:
    own = FIGURES[comparison.spec.learned.name]
    for study in (comparison, final):
        for name in own:
            assert study.plot(name).data
        other = "confusion" if "confusion" not in own else "residuals"
        with pytest.raises(hpo.StudyError, match=f"has no such figure, but got '{other}'.* {', '.join(own)}"):
            study.plot(other)


def test_figures_are_of_the_trial_with_the_best_value(comparison: hpo.Study) -> None:
    found, task = comparison.validated(comparison.best.number), comparison.spec.learned
    measured: Callable[[str], Any] = task.measured(found.y, found.outputs, found.weight).__getitem__
    for name in set(task.final) & set(comparison.best.metrics):
        assert measured(name) == pytest.approx(comparison.best.metrics[name], rel=1e-4, abs=1e-6)


def test_errors_are_compared_by_ratio_and_shares_by_difference(comparison: hpo.Study) -> None:
    (verdicts,) = (arm.verdicts for arm in comparison.compare().arms if arm.verdicts)
    assert list(verdicts) == list(comparison.spec.metrics)
    for name, verdict in verdicts.items():
        assert verdict.is_ratio == (name in ("val_rmse", "val_mae", "train_seconds")), name
    if comparison.spec.learned.name == "regression":
        assert verdicts["val_rmse"].decision == "better"
        assert verdicts["val_rmse"].difference is not None
        assert verdicts["val_rmse"].difference < 1
        assert "r2" in comparison.headline


def test_without_the_kept_outputs_one_sentence_says_so(comparison: hpo.Study, tmp_path: Path) -> None:
    best = comparison.best.number
    keys = {n: k for k, n in artifacts_of(comparison.frozen_trials[best].system_attrs).items()}
    path = comparison.storage.artifacts.path / keys["validation.npz"]
    path.rename(tmp_path / "aside")
    try:
        markdown, _ = compose([comparison]).write(tmp_path)
        (said,) = (line for line in markdown.read_text().splitlines() if "no outputs for them" in line)
        assert said.startswith(f"The artifact folder has no outputs for them of #{best} (fast, seed ")
        with pytest.raises(hpo.StudyError, match="has no figure"):
            comparison.plot(FIGURES[comparison.spec.learned.name][-1].replace("precision_recall", "roc"))
    finally:
        (tmp_path / "aside").rename(path)
