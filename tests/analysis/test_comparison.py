"""Comparisons: means, spreads, verdicts, failures, what arms differ in; against pandas and stored trials."""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.trial import TrialState
from scipy import stats

import hpo
from hpo.analysis import Comparison, Verdict, compare
from hpo.spec import StudySpec, loads
from hpo.trials.record import Trial
from tests.command import COMPARISON, SEARCH, Trained, quick

Runs = Iterable[Mapping[str, float] | None]


def record(study: hpo.Study, *trials: Runs | None) -> None:
    """End the study's next trials as a worker does: with the metrics of their runs, or failed for None."""
    for runs in trials:
        trial = study.optuna.ask()
        if runs is None:
            trial.set_user_attr("reason", "loss is nan at epoch 1")
            study.optuna.tell(trial, state=TrialState.FAIL)
            continue
        replicates = [{"seed": seed, "fold": None, **(run or {})} for seed, run in enumerate(runs)]
        trial.set_user_attr("replicates", replicates)
        metric = study.spec.objective.metric
        study.optuna.tell(trial, sum(run[metric] for run in replicates) / len(replicates))


def created(text: str, folder: Path) -> hpo.Study:
    return hpo.create_study(loads(text), storage=f"sqlite:///{folder / 'hpo.db'}")


def run(accuracy: float, loss: float = 1.0) -> list[Mapping[str, float]]:
    return [{"val_accuracy": accuracy, "val_loss": loss}]


@pytest.fixture(scope="module")
def comparison(trained: Trained) -> hpo.Study:
    return hpo.open_study("comparison", storage=f"sqlite:///{trained.folder / 'hpo.db'}")


@pytest.fixture(scope="module")
def search(trained: Trained) -> hpo.Study:
    return hpo.open_study("search", storage=f"sqlite:///{trained.folder / 'hpo.db'}")


# ------------------------------------------------------------------------------------ trained studies


def test_means_and_deviations_are_those_of_pandas_over_the_stored_trials(comparison: hpo.Study) -> None:
    trials = comparison.trials()
    complete = trials[trials["state"] == "complete"].groupby("arm")
    found = comparison.compare()
    assert {arm.arm: arm.n for arm in found.arms if arm.n} == complete.size().to_dict()
    for arm in found.arms:
        if not arm.n:
            continue
        for metric in found.metrics:
            column = complete[metric]
            assert arm.mean[metric] == pytest.approx(column.mean()[arm.arm], rel=1e-12)
            assert arm.sd[metric] == pytest.approx(column.std(ddof=1)[arm.arm], rel=1e-9)


def test_failed_trials_are_counted_and_have_no_part_in_the_means(comparison: hpo.Study) -> None:
    arms = {arm.arm: arm for arm in comparison.compare().arms}
    assert {name: (arm.n, arm.failed) for name, arm in arms.items()} == {
        "plain": (2, 0),
        "[bold] faster": (2, 0),
        "too fast": (0, 2),
    }
    assert (arms["too fast"].mean, arms["too fast"].sd) == ({}, {})


def test_arms_differ_in_exactly_what_was_set_apart(comparison: hpo.Study) -> None:
    assert {arm.arm: arm.differs for arm in comparison.compare().arms} == {
        "plain": {"learning_rate": 0.01},
        "[bold] faster": {"learning_rate": 0.1},
        "too fast": {"learning_rate": 1e30},
    }


def test_the_metrics_are_the_declared_ones_and_the_objectives(comparison: hpo.Study) -> None:
    found = comparison.compare()
    assert (found.metric, found.direction, found.baseline) == ("val_loss", "minimize", "plain")
    assert found.metrics == ("val_loss", "val_accuracy", "f1", "train_seconds")


def test_configurations_of_a_search_differ_in_its_dimensions_lists_among_them(search: hpo.Study) -> None:
    found = search.compare()
    by_number = {f"#{trial.number}": trial for trial in search.all_trials}
    assert len(found.arms) == 4
    assert found.baseline is None
    for arm in found.arms:
        assert arm.differs == by_number[arm.arm].params
        assert arm.differs.keys() == {"learning_rate", "dropout"}
        assert isinstance(arm.differs["dropout"], list)
        assert arm.sd == dict.fromkeys(found.metrics)
        assert arm.mean == {metric: by_number[arm.arm].metrics[metric] for metric in found.metrics}


@pytest.mark.parametrize("name", ["comparison", "search"])
def test_json_says_what_the_table_says_and_survives_a_round_trip(
    name: str, request: pytest.FixtureRequest
) -> None:
    found: Comparison = request.getfixturevalue(name).compare()
    values = found.to_json()
    assert json.loads(json.dumps(values, allow_nan=False)) == values
    frame = found.table
    assert list(frame["arm"]) == [arm["arm"] for arm in values["arms"]]
    for (_, row), arm in zip(frame.iterrows(), values["arms"], strict=True):
        assert (row["study"], row["n"], row["failed"]) == (name, arm["n"], arm["failed"])
        assert {key: row[key] for key in arm["differs"]} == arm["differs"]
        for metric in values["metrics"]:
            assert row[metric] == arm["mean"].get(metric) or math.isnan(row[metric])
            assert row[f"{metric}_sd"] == arm["sd"].get(metric) or pd.isna(row[f"{metric}_sd"])


# ------------------------------------------------------------------------------------- the best first


@pytest.mark.parametrize(
    ("metric", "order"),
    [("val_accuracy", ["#1", "#2", "#0", "#3"]), ("val_loss", ["#2", "#0", "#1", "#3"])],
)
def test_the_best_is_first_and_what_has_no_result_last(metric: str, order: list[str], tmp_path: Path) -> None:
    study = created(SEARCH.replace("[params]", f'objective = {{ metric = "{metric}" }}\n[params]'), tmp_path)
    record(study, run(0.1, 0.5), run(0.9, 0.7), run(0.5, 0.2), None)
    found = study.compare()
    assert [arm.arm for arm in found.arms] == order
    assert found.direction == {"val_accuracy": "maximize", "val_loss": "minimize"}[metric]


def test_an_arm_without_a_result_is_shown_with_none(tmp_path: Path) -> None:
    study = created(COMPARISON, tmp_path)
    assert [(arm.arm, arm.n, arm.failed, arm.mean) for arm in study.compare().arms] == [
        ("plain", 0, 0, {}),
        ("[bold] faster", 0, 0, {}),
        ("too fast", 0, 0, {}),
    ]
    record(study, [{"val_loss": 2.0, "val_accuracy": 0.5, "f1": 0.4, "train_seconds": 1.0}])
    first, *others = study.compare().arms
    assert (first.arm, first.n) == ("plain", 1)
    assert first.sd["val_loss"] is None
    assert [(arm.n, arm.failed) for arm in others] == [(0, 0), (0, 0)]
    assert first.differs == {"learning_rate": 0.01}
    assert len(study.compare().table) == 3


def test_configurations_that_have_not_finished_are_not_compared(tmp_path: Path) -> None:
    study = created(SEARCH, tmp_path)
    found = study.compare()
    assert found.arms == ()
    assert list(found.table) == [
        *("study", "arm", "n", "failed", "pending", "value", "val_accuracy", "val_accuracy_sd"),
        *("val_loss", "val_loss_sd", "train_seconds", "train_seconds_sd"),
    ]
    assert len(found.table) == 0
    # The last two differ in more, but are still waiting.
    record(study, run(0.1), run(0.2))
    first, second = study.compare().arms
    ours, others = (trial.params for trial in study.all_trials[:2])
    assert second.differs == {key: value for key, value in ours.items() if others[key] != value}
    assert first.differs.keys() == second.differs.keys() == {"learning_rate"}


def test_every_replicate_counts_as_a_run(tmp_path: Path) -> None:
    study = created(SEARCH.replace("[params]", "seeds = 3\n[params]"), tmp_path)
    record(study, [*run(0.25), *run(0.5), *run(0.75)])
    (arm,) = study.compare().arms
    assert (arm.n, arm.mean["val_accuracy"], arm.sd["val_accuracy"]) == (3, 0.5, 0.25)


# ------------------------------------------------------------------------------------------ verdicts

PAIRED = COMPARISON.replace("seeds = 2", "seeds = 5").replace(
    'metrics = ["val_accuracy", "f1", "train_seconds"]', 'metrics = ["val_loss", "train_seconds"]'
)
LUCK = [0.0, 0.3, -0.2, 0.1, -0.1]


def paired(folder: Path, *others: list[float | None], seconds: float = 2.0) -> hpo.Study:
    """A comparison whose baseline has a val_loss of 1 and its luck; the others have theirs beside it."""
    study = created(PAIRED, folder)
    values = {"plain": [1 + luck for luck in LUCK]}
    for name, losses in zip(("[bold] faster", "too fast"), others, strict=False):
        values[name] = [None if x is None else 1 + luck + x for luck, x in zip(LUCK, losses, strict=False)]
    for trial in study.all_trials:
        seed = trial.seed
        assert seed is not None
        loss = values.get(str(trial.arm), [])[seed : seed + 1]
        took = seconds if trial.arm == "plain" else 1.0 + seed / 100
        runs = None if loss == [None] else [{"val_loss": x, "train_seconds": took} for x in loss]
        if loss:
            record_with_seed(study, runs, seed)
        else:
            study.optuna.ask()  # stays in training
    return study


def record_with_seed(study: hpo.Study, runs: Runs | None, seed: int) -> None:
    record(study, None if runs is None else [dict(run or {}) | {"seed": seed} for run in runs])


def verdict(study: hpo.Study, arm: str, metric: str = "val_loss") -> Verdict:
    (found,) = [one for one in study.compare().arms if one.arm == arm]
    return found.verdicts[metric]


def test_runs_are_paired_by_seed_so_the_luck_that_arms_share_does_not_count(tmp_path: Path) -> None:
    study = paired(tmp_path, [-0.1, -0.12, -0.11, -0.09, -0.1], [0.001, -0.001, 0.002, 0.0, -0.001])
    better, same = verdict(study, "[bold] faster"), verdict(study, "too fast")
    assert (better.decision, better.pairs) == ("better", 5)
    assert better.difference == pytest.approx(-0.104)
    test = stats.ttest_1samp([-0.1, -0.12, -0.11, -0.09, -0.1], 0.0)
    assert (better.low, better.high) == pytest.approx(tuple(test.confidence_interval(0.95)))
    assert better.p_adjusted == pytest.approx(2 * test.pvalue)
    assert same.decision == "equivalent"
    # Over all runs, unpaired, the two are far from being told apart.
    table = study.compare().table.set_index("arm")
    assert table.loc["plain", "val_loss_sd"] > 0.15
    assert table.loc["[bold] faster", "val_loss_verdict"] == "better"


def test_what_is_undecided_says_how_many_more_seeds_would_probably_decide(tmp_path: Path) -> None:
    study = paired(tmp_path, [-0.2, 0.1, -0.1, 0.05, -0.15], [0.0] * 5)
    found = verdict(study, "[bold] faster")
    assert found.decision == "undecided"
    assert found.needed_seeds is not None
    assert found.because == f"{found.needed_seeds - 5} more seeds would probably decide"
    assert 10 < found.needed_seeds < 60


def test_one_seed_decides_nothing(tmp_path: Path) -> None:
    study = paired(tmp_path, [-0.9], [])
    found = verdict(study, "[bold] faster")
    assert (str(found), found.low, found.p_adjusted) == ("undecided: one seed", None, None)
    assert str(verdict(study, "too fast")) == "undecided: no seed in common with the baseline yet"
    assert [(arm.arm, arm.n, arm.pending) for arm in study.compare().arms if arm.pending] == [
        ("[bold] faster", 1, 4),
        ("too fast", 0, 5),
    ]


def test_an_arm_that_lost_runs_is_not_called_better_or_equivalent_by_those_that_are_left(
    tmp_path: Path,
) -> None:
    study = paired(tmp_path, [-0.5, -0.52, None, -0.51, -0.5], [0.5, 0.52, None, 0.51, 0.5])
    assert str(verdict(study, "[bold] faster")) == "undecided: 1 of 5 runs of '[bold] faster' failed"
    assert str(verdict(study, "too fast")) == "worse"
    (note, *_) = study.compare().notes
    assert note == "[bold] faster: 1 of 5 trials failed: loss is nan at epoch 1."


def test_seconds_are_compared_by_their_ratio(tmp_path: Path) -> None:
    study = paired(tmp_path, [0.0] * 5, [0.0] * 5, seconds=2.0)
    found = verdict(study, "[bold] faster", "train_seconds")
    assert (found.decision, found.is_ratio) == ("better", True)
    expected = [math.log((1 + seed / 100) / 2) for seed in range(5)]
    assert found.difference == pytest.approx(math.exp(sum(expected) / 5))
    assert found.low < found.difference < found.high < 1
    assert any("side by side" in note for note in study.compare().notes) is False


def test_trials_side_by_side_on_one_machine_are_told_beside_their_seconds(comparison: hpo.Study) -> None:
    notes = "\n".join(comparison.compare().notes)
    spans = [(t.started, t.finished) for t in comparison.all_trials if t.worker]
    beside = any(a[0] < b[1] and b[0] < a[1] for a, b in itertools.combinations(spans, 2))
    assert ("Up to 2 trials were trained side by side on one machine" in notes) == beside


def test_folds_are_judged_with_the_corrected_variance(tmp_path: Path) -> None:
    text = PAIRED.replace("validation = 0.2", "folds = 5").replace("seeds = 5", "seeds = 1")
    differences = [0.1, 0.4, 0.3, 0.2, 0.6]
    study = created(text, tmp_path)
    for trial in study.all_trials:
        runs = [
            {"fold": fold, "val_loss": 1.0 + (difference if trial.arm == "too fast" else 0.0)}
            for fold, difference in enumerate(differences)
        ]
        record_with_seed(study, runs, 0)
    found = verdict(study, "too fast")
    error = math.sqrt((1 / 5 + 1 / 4) * float(pd.Series(differences).var()))
    # Twice, for the two arms of Holm's adjustment.
    assert found.p_adjusted == pytest.approx(min(1.0, 2 * 2 * stats.t.sf(0.32 / error, 4)))
    assert (found.pairs, found.decision) == (5, "undecided")


def test_the_smallest_difference_that_matters_is_the_study_s(tmp_path: Path) -> None:
    differences = [0.05, 0.051, 0.049, 0.05, 0.052]
    study = paired(tmp_path, differences, [0.0] * 5)
    assert verdict(study, "[bold] faster").decision == "worse"
    looser = PAIRED.replace("seeds = 5", "seeds = 5\nmin_effect = { val_loss = 0.1 }")
    hpo.create_study(loads(looser), storage=study.storage)
    study.refresh()
    assert verdict(study, "[bold] faster").decision == "equivalent"
    assert study.compare().min_effect["val_loss"] == 0.1


# --------------------------------------------------------------------------------------- several studies


def test_arms_of_several_studies_are_in_one_ranking_against_the_first_one_s_baseline(
    comparison: hpo.Study, search: hpo.Study
) -> None:
    found = hpo.compare_studies([comparison, search])
    assert len(found.arms) == len(comparison.compare().arms) + len(search.compare().arms)
    assert {arm.study for arm in found.arms} == {"comparison", "search"}
    losses = [arm.mean["val_loss"] for arm in found.arms if arm.n]
    assert losses == sorted(losses)
    assert (found.baseline, found.baseline_study) == ("plain", "comparison")
    without = [arm.arm for arm in found.arms if not arm.verdicts]
    # One configuration of the search is the baseline over again.
    (copy,) = [arm.arm for arm in found.arms if arm.is_copy]
    assert set(without) == {"plain", copy}
    # A search has one seed, which it shares with the comparison.
    pairs = {arm.verdicts["val_loss"].pairs for arm in found.arms if arm.study == "search" and arm.verdicts}
    assert pairs == {1}


@pytest.mark.parametrize(
    ("data", "line"),
    [
        ('{ name = "digits", validation = 0.3 }', "data.validation: cannot be compared with study 'search'"),
        ('{ name = "digits", validation = 0.2, seed = 1 }', "data.seed: cannot be compared with"),
        ('{ name = "digits", folds = 3 }', "data.validation: cannot be compared with"),
        ('{ name = "OTHER", validation = 0.2 }', "data: cannot be compared with study 'search'"),
    ],
)
def test_runs_on_other_data_or_another_split_are_not_compared(
    data: str, line: str, own_data: Path, tmp_path: Path
) -> None:
    study = created(SEARCH, tmp_path)
    text = SEARCH.replace('{ name = "digits", validation = 0.2 }', data.replace("OTHER", str(own_data)))
    other = created(text.replace('name = "search"', 'name = "other"'), tmp_path)
    with pytest.raises(hpo.StudyError, match=re.escape(f"study 'other': {line}")):
        hpo.compare_studies([study, other])


# ------------------------------------------------------------------------------------------- before a run


@pytest.mark.parametrize(
    ("seeds", "said"), [(1, "one seed"), (2, "standard deviation"), (3, "3 seeds: only")]
)
def test_seeds_that_can_hardly_end_in_a_verdict_are_told_before_anything_runs(
    seeds: int, said: str, tmp_path: Path
) -> None:
    (tmp_path / "study.toml").write_text(COMPARISON.replace("seeds = 2", f"seeds = {seeds}"))
    done = quick("validate", "study.toml", folder=tmp_path)
    assert done.returncode == 0
    assert said in done.stderr
    doubt, valid = done.stderr.splitlines()
    assert doubt.endswith("Set seeds to 5 or more.")
    assert valid == "study.toml: valid. Nothing has been created."


def test_enough_seeds_and_searches_are_not_doubted(tmp_path: Path) -> None:
    (tmp_path / "five.toml").write_text(COMPARISON.replace("seeds = 2", "seeds = 5"))
    (tmp_path / "search.toml").write_text(SEARCH)
    said = quick("validate", "five.toml", "search.toml", folder=tmp_path).stderr
    assert said == "five.toml, search.toml: all valid. Nothing has been created.\n"


# ------------------------------------------------------------------------------- whatever the numbers

SPEC = loads(COMPARISON)
NUMBERS = st.integers(-(10**9), 10**9).map(lambda number: number / 1000)
RESULTS = st.dictionaries(
    st.sampled_from(["plain", "[bold] faster", "too fast"]),
    st.lists(st.one_of(st.none(), NUMBERS), min_size=1, max_size=5),
    min_size=1,
)


def trials_of(results: Mapping[str, list[float | None]], spec: StudySpec) -> list[Trial]:
    """One trial a result, failed where it is None, the arms' in turn."""
    flat = [(arm, seed, value) for arm, values in results.items() for seed, value in enumerate(values)]
    return [
        Trial(
            number=number,
            state="failed" if value is None else "complete",
            value=value,
            params={},
            hyperparameters=spec.hyperparameters_for(spec.arm(arm).params).model_dump(mode="json"),  # type: ignore[attr-defined]
            arm=arm,
            seed=seed,
            confirms=None,
            metrics={},
            epochs_run=None,
            started=None,
            finished=None,
            worker=None,
            threads=None,
            loop=None,
            retries=0,
            versions={},
            other_versions=None,
            reason=None,
            replicates=[] if value is None else [{"seed": seed, "fold": None, "val_loss": value}],
            reported=[],
            objective=spec.objective,
            reported_metric=spec.reported,
        )
        for number, (arm, seed, value) in enumerate(sorted(flat, key=lambda one: one[1]))
    ]


@settings(deadline=None)
@given(RESULTS)
def test_any_results_are_gathered_as_pandas_gathers_them(results: dict[str, list[float | None]]) -> None:
    found = compare((SPEC, trials_of(results, SPEC)))
    assert {arm.arm for arm in found.arms} == results.keys()
    means = [arm.mean.get("val_loss", math.inf) for arm in found.arms]
    assert means == sorted(means)
    for arm in found.arms:
        values = pd.Series(results[arm.arm], dtype=float)
        assert (arm.n, arm.failed) == (values.count(), values.isna().sum())
        if arm.n:
            scale = values.abs().max()
            assert arm.mean["val_loss"] == pytest.approx(values.mean(), rel=1e-9, abs=1e-9 * scale)
        if arm.n > 1:
            assert arm.sd["val_loss"] == pytest.approx(values.std(), rel=1e-6, abs=1e-6 * scale)
    assert json.loads(json.dumps(found.to_json(), allow_nan=False)) == found.to_json()


def test_the_record_of_the_property_test_has_the_fields_of_a_stored_trial(comparison: hpo.Study) -> None:
    (made, *_) = trials_of({"plain": [1.0]}, comparison.spec)
    stored: dict[str, Any] = comparison.all_trials[0].to_json()
    assert made.to_json().keys() == stored.keys()
    assert made.hyperparameters == stored["hyperparameters"]
