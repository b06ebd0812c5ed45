"""One ranking, by the objective: every door that names a winner names the same one."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna_dashboard
import pytest
from optuna.trial import TrialState

import hpo
from hpo.dashboard.publishing import publish
from hpo.spec import FinalSpec
from hpo.studies.final import create_final
from tests.command import Done, quick
from tests.recorded import created

SEARCH: dict[str, Any] = {
    "name": "over",
    "kind": "search",
    "data": {"name": "digits"},
    "objective": {"metric": "val_loss", "at": "best"},
    "sampler": {"name": "grid"},
    "params": {"hidden_units": [8]},
    "space": {"learning_rate": [0.001, 0.02, 0.03]},
}
# Value, of the best epoch, and val_loss, of the last one, as the version before recorded them.
FOUND = [(0.55, 0.56), (0.52, 0.70), (0.60, 0.61)]


def end(study: hpo.Study, value: Callable[[str | None, int], float | None], **metrics: float) -> None:
    """End all trials, with values by arm and by seed or number; None lets one fail."""
    for trial in study.all_trials:
        claim = study.storage.claim([study.id], owner="host-1", seconds=60)
        assert claim is not None
        found = value(trial.arm, trial.number if trial.seed is None else trial.seed)
        if found is None:
            claim.finish(TrialState.FAIL, attributes={"reason": "loss is nan at epoch 1"})
            continue
        run = {"seed": trial.seed or 0, "fold": None, "val_accuracy": 0.5, "val_loss": found, **metrics}
        claim.finish(TrialState.COMPLETE, value=found, attributes={**run, "replicates": [run]})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A search that the version before this trained: values of the best epoch, metrics of the last."""
    folder = tmp_path_factory.mktemp("ranking")
    study = created(hpo.StudySpec(**SEARCH), folder)
    for value, last in FOUND:
        claim = study.storage.claim([study.id], owner="host-1", seconds=60)
        assert claim is not None
        metrics = {"val_loss": last, "val_accuracy": 0.5}
        run = {"seed": 0, "fold": None, **metrics}
        claim.finish(TrialState.COMPLETE, value=value, attributes={**metrics, "replicates": [run]})
    return folder


def by_best(folder: Path) -> list[str]:
    return [f"#{json.loads(quick('best', 'over', '--format', 'json', folder=folder).stdout)['number']}"]


def by_compare(folder: Path) -> list[str]:
    shown = quick("compare", "over", "--format", "json", folder=folder).stdout
    return [arm["arm"] for arm in json.loads(shown)["arms"]]


def by_report(folder: Path) -> list[str]:
    assert quick("report", "over", "--out", folder / "report", folder=folder).returncode == 0
    lines = (folder / "report" / "report.md").read_text().splitlines()
    ranked = lines[next(i for i, line in enumerate(lines) if re.match(r"\| +rank \|", line)) + 2 :]
    return [line.split("|")[2].strip().lstrip("\\") for line in ranked if line.startswith("|")][:3]


def by_final(folder: Path) -> list[str]:
    spec = create_final([opened(folder)], top=3, seeds=1, again=True).spec
    assert isinstance(spec, FinalSpec)
    return [arm.name for arm in spec.arms]


def by_note(folder: Path) -> list[str]:
    study = opened(folder)
    publish(study)
    lines = optuna_dashboard.get_note(study.optuna).splitlines()
    ranked = lines[next(i for i, line in enumerate(lines) if re.match(r"\| +rank \|", line)) + 2 :]
    return [line.split("|")[2].strip().lstrip("\\") for line in ranked if line.startswith("|")][:3]


def opened(folder: Path) -> hpo.Study:
    storage = f"sqlite:///{folder / 'hpo.db'}"
    return hpo.open_study("over", storage=storage, artifact_dir=folder / "hpo-artifacts")


@pytest.mark.parametrize("door", [by_best, by_compare, by_report, by_final, by_note])
def test_every_door_ranks_by_the_objective(door: Callable[[Path], list[str]], folder: Path) -> None:
    expected = ["#1", "#0", "#2"]
    found = door(folder)
    assert found == expected[: len(found)]


def test_the_value_has_a_column_of_its_own_where_the_metric_is_of_another_epoch(folder: Path) -> None:
    headline, _, head, first, *_ = quick("compare", "over", folder=folder).stdout.splitlines()
    assert headline.startswith(
        "#1 has the lowest val_loss of 3 complete trials: 0.52 of its best epoch with "
    )
    assert "val_loss of the best epoch" in head
    assert first.split()[:3] == ["#1", "0.52", "0.5"]
    found = json.loads(quick("compare", "over", "--format", "json", folder=folder).stdout)
    assert (found["metric"], found["at"]) == ("val_loss", "best")
    assert found["notes"] == [
        "Ranked by val_loss of the best epoch; metrics, and verdicts on them, are of the last epoch of these"
        " runs."
    ]
    assert [(arm["value"], arm["mean"]["val_loss"]) for arm in found["arms"][:2]] == [(0.52, 0.7), FOUND[0]]


def test_the_best_trial_says_what_its_value_is(folder: Path) -> None:
    shown = quick("best", "over", folder=folder).stdout
    assert re.search(r"^val_loss of the best epoch +0\.52 *$", shown, re.MULTILINE)
    assert re.search(r"^val_loss +0\.7 *$", shown, re.MULTILINE)


def test_the_best_run_of_another_arm_than_the_best_is_told(tmp_path: Path) -> None:
    arms = [{"name": "steady"}, {"name": "lucky", "dropout": 0.1}]
    study = created(hpo.StudySpec(**PAIR, name="arms", arms=arms), tmp_path)
    end(study, lambda arm, seed: 0.5 if arm == "steady" else [0.4, 0.9, 0.9][seed])
    done = quick("best", "arms", folder=tmp_path)
    assert "lucky" in done.stdout
    said = "arms: one run of lucky has the best value; over its seeds steady has the best mean.\n"
    assert done.stderr == said


def test_there_is_one_column_where_value_and_metric_are_of_one_epoch(tmp_path: Path) -> None:
    study = created(hpo.StudySpec(**SEARCH), tmp_path)
    end(study, lambda arm, number: 0.5 + number)
    assert "of the best epoch" not in quick("compare", "over", folder=tmp_path).stdout
    assert not study.compare().has_other_values


# -------------------------------------------------------------------- copies of the baseline

PAIR: dict[str, Any] = {
    "kind": "comparison",
    "data": {"name": "digits"},
    "objective": {"metric": "val_loss"},
    "metrics": ["val_loss"],
    "seeds": 3,
}


@pytest.fixture(scope="module")
def repeated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two comparisons with the same first arm, and what each adds to it."""
    folder = tmp_path_factory.mktemp("repeated")
    losses = {"plain": 0.5, "twice": 0.3, "again": 0.5, "half": 0.7}
    for name, arms in {
        "first": [{"name": "plain"}, {"name": "twice", "learning_rate": 0.02}],
        "second": [{"name": "again", "dropout": [0.0, 0.0]}, {"name": "half", "learning_rate": 0.005}],
    }.items():
        study = created(hpo.StudySpec(**PAIR, name=name, arms=arms), folder)
        end(study, lambda arm, seed: losses[str(arm)] + 0.01 * seed + 0.001 * (seed % 2) * (arm == "half"))
    return folder


def test_a_copy_of_the_baseline_in_another_study_is_marked_and_not_judged(repeated: Path) -> None:
    found = json.loads(quick("compare", "first", "second", "--format", "json", folder=repeated).stdout)
    arms = {arm["arm"]: arm for arm in found["arms"]}
    assert [name for name, arm in arms.items() if arm["copy_of_baseline"]] == ["again"]
    assert (arms["again"]["verdict"], arms["plain"]["verdict"]) == ({}, {})
    assert arms["half"]["verdict"]["val_loss"] == "worse"
    assert found["notes"] == [
        "again of second is a copy of the baseline, with the hyperparameters of plain: not judged."
    ]
    shown = quick("compare", "first", "second", folder=repeated)
    assert "copy of the baseline" in shown.stdout


def test_a_copy_takes_no_part_in_the_adjustment_over_arms(repeated: Path) -> None:
    storage = f"sqlite:///{repeated / 'hpo.db'}"
    first, second = (hpo.open_study(name, storage=storage) for name in ("first", "second"))
    (half,) = [arm for arm in second.compare().arms if arm.arm == "half"]
    (same,) = [arm for arm in hpo.compare_studies([first, second]).arms if arm.arm == "half"]
    alone, among = half.verdicts["val_loss"].p_adjusted, same.verdicts["val_loss"].p_adjusted
    assert alone is not None
    # Holm's first step over the two arms that are judged; over three it would be thrice.
    assert among == pytest.approx(2 * alone)


def test_compare_prints_verdicts_in_latex_too(repeated: Path) -> None:
    text = quick("compare", "first", "--format", "latex", folder=repeated).stdout
    assert text.count(r"\begin{tabular}") == text.count(r"\end{tabular}") == 2
    assert "better" in text.split(r"\end{tabular}")[1]


# ------------------------------------------------------------------------------- exit codes


def ended(study: hpo.Study, folder: Path) -> Done:
    return quick("resume", study.name, folder=folder)


def test_a_search_of_which_some_configurations_failed_has_ended_well(tmp_path: Path) -> None:
    study = created(hpo.StudySpec(**SEARCH), tmp_path)
    end(study, lambda arm, number: None if number == 1 else 0.5)
    done = ended(study, tmp_path)
    assert done.returncode == 0
    last = done.stderr.splitlines()[-1]
    assert last == "over: 2 complete, 1 failed. The first that failed, #1: loss is nan at epoch 1"


def test_a_search_of_which_all_failed_and_a_comparison_that_lacks_a_run_have_not(tmp_path: Path) -> None:
    search = created(hpo.StudySpec(**SEARCH), tmp_path)
    end(search, lambda arm, number: None)
    assert ended(search, tmp_path).returncode == 1
    arms = created(
        hpo.StudySpec(**PAIR, name="arms", arms=[{"name": "plain"}, {"name": "other", "dropout": 0.5}]),
        tmp_path,
    )
    end(arms, lambda arm, seed: None if (arm, seed) == ("other", 2) else 0.5)
    assert ended(arms, tmp_path).returncode == 1
