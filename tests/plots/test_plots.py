"""Figures: what is drawn are the numbers, in the same colour everywhere, and names are shown literally."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import hpo
from hpo import plots
from hpo.analysis.importance import importances
from hpo.spec import SearchSpec
from tests.command import Trained
from tests.recorded import comparison, created, record

CURVES = ["loss", "val_loss", "accuracy", "val_accuracy"]
HOSTILE = "[bold] <script>alert(1)</script> & $x$ %{y}"


def curves_of(*runs: Sequence[float], arm: str = "a", first: int = 0) -> pd.DataFrame:
    """Learning curves whose metrics are all the same, a run each."""
    rows = [
        {"arm": arm, "run": first + run, "epoch": epoch, **dict.fromkeys(CURVES, value)}
        for run, values in enumerate(runs)
        for epoch, value in enumerate(values, start=1)
    ]
    return pd.DataFrame(rows)


def lines(figure: Any, axis: str = "x") -> list[Any]:
    return [trace for trace in figure.data if trace.xaxis == axis and trace.fill is None]


def bands(figure: Any, axis: str = "x") -> list[Any]:
    return [trace for trace in figure.data if trace.xaxis == axis and trace.fill == "toself"]


def search_of(trained: Trained) -> hpo.Study:
    return hpo.open_study("search", storage=f"sqlite:///{trained.folder / 'hpo.db'}")


# ------------------------------------------------------------------------------------ learning curves


def test_a_line_is_the_mean_of_the_runs_and_its_band_one_deviation_of_pandas_to_either_side() -> None:
    draws = np.random.default_rng(0).random((5, 8))
    curves = pd.concat([curves_of(*draws, arm="a"), curves_of(*(draws + 1), arm="b", first=5)])
    figure = plots.learning_curves(curves, plots.styles(["a", "b"]))
    assert len(figure.data) == 2 * 4 * 2
    by_epoch = curves[curves["arm"] == "b"].groupby("epoch")["loss"]
    mean, sd = by_epoch.mean().to_numpy(), by_epoch.std(ddof=1).to_numpy()
    for axis in ("x", "x2", "x3", "x4"):
        line, band = lines(figure, axis)[1], bands(figure, axis)[1]
        assert line.x == tuple(range(1, 9))
        assert line.y == pytest.approx(mean, rel=1e-4)
        assert band.y == pytest.approx([*(mean + sd), *(mean - sd)[::-1]], rel=1e-4)


def test_one_run_has_no_band() -> None:
    figure = plots.learning_curves(curves_of([3.0, 2.0]), plots.styles(["a"]))
    assert not bands(figure)
    assert [line.y for line in lines(figure)] == [(3.0, 2.0)]


def test_where_some_runs_have_stopped_the_mean_of_the_rest_is_dotted_without_a_band() -> None:
    figure = plots.learning_curves(curves_of([4.0, 3.0], [2.0, 1.0, 0.5, 0.25]), plots.styles(["a"]))
    whole, rest = lines(figure)
    assert (whole.x, whole.y, whole.line.dash) == ((1, 2), (3.0, 2.0), "solid")
    assert (rest.x, rest.y, rest.line.dash) == ((2, 3, 4), (2.0, 0.5, 0.25), "dot")
    assert max(bands(figure)[0].x) == 2


def test_a_long_curve_is_thinned_and_keeps_its_ends() -> None:
    figure = plots.learning_curves(curves_of(list(range(5000))), plots.styles(["a"]))
    (line,) = lines(figure)
    assert len(line.x) == 200
    assert (line.x[0], line.x[-1], line.y[-1]) == (1, 5000, 4999)


# ----------------------------------------------------------------------------------------- all figures


def figures_of(study: hpo.Study) -> dict[str, Any]:
    found = study.compare()
    looks = plots.styles(arm.name for arm in study.spec.arms)  # type: ignore[attr-defined]
    results = [
        plots.Result(str(trial.arm), run["train_seconds"], run["val_accuracy"])
        for trial in study.all_trials
        for run in trial.replicates
    ]
    curves = pd.concat([curves_of([1.0, 2.0], arm=name, first=i) for i, name in enumerate(looks)])
    return {
        "differences": plots.differences(found, looks),
        "times": plots.times(results, "val_accuracy", looks),
        "curves": plots.learning_curves(curves, looks),
    }


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> hpo.Study:
    study = created(comparison(["plain", HOSTILE, "third"]), tmp_path_factory.mktemp("hostile"))
    noise = np.random.default_rng(0).normal(0, 1e-3, (3, 5))
    names = [arm.name for arm in study.spec.arms]  # type: ignore[attr-defined]

    def outcome(arm: str | None, seed: int) -> dict[str, float]:
        index = names.index(str(arm))
        accuracy = 0.8 + 0.05 * index + noise[index, seed]
        return {"val_accuracy": accuracy, "val_loss": 1 - accuracy, "train_seconds": 1.0 + 20 * index + seed}

    record(study, outcome)
    return study


def test_an_arm_has_the_same_colour_in_every_figure(hostile: hpo.Study) -> None:
    wanted = plots.styles(["plain", HOSTILE, "third"])["third"].colour
    for name, figure in figures_of(hostile).items():
        own = [trace for trace in figure.data if trace.name == "third" and trace.fill is None]
        assert own, name
        assert {trace.line.color or trace.marker.color for trace in own} == {wanted}, name


def test_colours_are_distinct_and_more_arms_than_colours_are_told_apart_by_dashes() -> None:
    found = list(plots.styles(map(str, range(20))).values())
    assert len({style.colour for style in found[:8]}) == 8
    assert len(set(found)) == 20


def test_names_are_shown_literally(hostile: hpo.Study) -> None:
    for name, figure in figures_of(hostile).items():
        shown = json.dumps(figure.to_plotly_json()["data"])
        assert "<script" not in shown, name
        assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; $x$" in shown, name
        # A template would be filled in, a name is not.
        assert not any("alert" in (trace.hovertemplate or "") for trace in figure.data), name


def test_differences_are_those_of_the_verdicts(hostile: hpo.Study) -> None:
    found = hostile.compare()
    figure = figures_of(hostile)["differences"]
    arms = {arm.arm: arm.verdicts for arm in found.arms if arm.verdicts}
    drawn = {(trace.name, trace.xaxis): trace for trace in figure.data}
    assert len(drawn) == len(arms) * len(found.metrics)
    for panel, metric in enumerate(found.metrics):
        verdict = arms["third"][metric]
        assert verdict.difference is not None
        assert verdict.low is not None
        assert verdict.high is not None
        trace = drawn["third", f"x{panel + 1 if panel else ''}"]
        assert trace.x[0] == pytest.approx(verdict.difference, rel=1e-4)
        assert trace.x[0] - trace.error_x.arrayminus[0] == pytest.approx(verdict.low, rel=1e-3)
        assert trace.x[0] + trace.error_x.array[0] == pytest.approx(verdict.high, rel=1e-3)
        assert trace.marker.symbol == ("circle-open" if verdict.decision == "undecided" else "circle")
    seconds = found.metrics.index("train_seconds")
    assert figure.layout[f"xaxis{seconds + 1}"].type == "log"


def test_times_show_every_run_and_the_means(hostile: hpo.Study) -> None:
    figure = figures_of(hostile)["times"]
    runs, mean = [trace for trace in figure.data if trace.name == "third"]
    assert runs.x == (41.0, 42.0, 43.0, 44.0, 45.0)
    assert mean.x == (43.0,)
    assert mean.y == pytest.approx([np.mean(runs.y)], rel=1e-4)
    assert figure.layout.xaxis.type == "log"  # from 1 to 45 s


@pytest.mark.parametrize("screen", ["wide", "narrow"])
def test_panels_do_not_overlap_on_any_screen(screen: str, hostile: hpo.Study) -> None:
    for name in ("differences", "curves"):
        layout = figures_of(hostile)[name].layout.meta[screen]
        axes = [key for key in layout if key.startswith("xaxis")]
        boxes = [(layout[key]["domain"], layout[key.replace("x", "y", 1)]["domain"]) for key in axes]
        assert len(boxes) > 1
        for index, (x, y) in enumerate(boxes):
            assert 0 <= x[0] < x[1] <= 1
            assert 0 <= y[0] < y[1] <= 1
            for other_x, other_y in boxes[index + 1 :]:
                beside = x[1] <= other_x[0] or other_x[1] <= x[0]
                assert beside or y[1] < other_y[0] or other_y[1] < y[0]
        assert {x[0] for x, _ in boxes} == ({0.0} if screen == "narrow" else {0.0, 0.55})


# ------------------------------------------------------------------------------------------- confusion


def test_confusion_shows_percentages_of_the_true_class() -> None:
    counts = np.array([[3, 1, 0], [0, 4, 0], [0, 0, 0]])
    (cells,) = plots.confusion(counts, ["a", "<b>", "c"]).data
    assert tuple(cells.text) == (["75.0", "25.0", ""], ["", "100.0", ""], ["", "", ""])
    assert cells.y == ("a", "&lt;b&gt;", "c")
    assert np.asarray(cells.z)[0].tolist() == pytest.approx([math.sqrt(0.75), 0.5, 0.0], rel=1e-4)
    assert np.asarray(cells.customdata).tolist() == counts.tolist()


def test_many_classes_are_drawn_without_numbers() -> None:
    (cells,) = plots.confusion(np.eye(100), [str(index) for index in range(100)]).data
    assert cells.texttemplate is None


# -------------------------------------------------------------------------------------------- searches


def test_history_is_every_value_and_the_furthest_so_far(trained: Trained) -> None:
    study = search_of(trained)
    values = [trial.value for trial in study.all_trials]
    points, line = plots.history(study.all_trials, "val_accuracy", "maximize").data
    assert points.y == pytest.approx(values, rel=1e-4)
    assert line.y == pytest.approx(np.maximum.accumulate(values), rel=1e-4)
    assert line.name == "highest so far"
    _, lowest = plots.history(study.all_trials, "val_loss", "minimize").data
    assert lowest.y == pytest.approx(np.minimum.accumulate(values), rel=1e-4)


def test_slices_have_a_panel_for_each_hyperparameter_with_its_choices_in_order(trained: Trained) -> None:
    study = search_of(trained)
    assert isinstance(study.spec, SearchSpec)
    figure = plots.slices(study.spec, study.all_trials)
    assert [note.text for note in figure.layout.annotations] == list(study.spec.space)
    for trace, name in zip(figure.data, study.spec.space, strict=True):
        assert trace.x == tuple(str(trial.params[name]) for trial in study.all_trials)
    orders = {figure.layout.xaxis.categoryarray, figure.layout.xaxis2.categoryarray}
    assert orders == {("[0.0]", "[0.2]"), ("0.01", "0.1")}


def test_importance_goes_to_what_decides_the_value(tmp_path: Path) -> None:
    rate = {"low": 1e-4, "high": 1e-1, "log": True}
    space = {"learning_rate": rate, "dropout": {"low": 0.0, "high": 0.5}}
    basic = {"name": "s", "kind": "search", "data": {"name": "digits"}, "sampler": {"name": "random"}}
    study = created(hpo.StudySpec(**basic, trials=40, space=space), tmp_path)
    rates = [trial.params["learning_rate"] for trial in study.all_trials]
    record(study, lambda arm, number: {"val_accuracy": -math.log(rates[number]), "val_loss": 1.0})
    found = importances(study.optuna)
    assert found is not None
    figure = plots.importances(found)
    assert figure is not None
    shares = dict(zip(figure.data[0].y, figure.data[0].x, strict=True))
    assert sum(shares.values()) == pytest.approx(1, abs=1e-3)
    assert shares["learning_rate"] > 0.8


def test_parallel_coordinates_have_a_line_a_trial_at_the_heights_of_its_values(tmp_path: Path) -> None:
    space = {"learning_rate": {"low": 1e-4, "high": 1e-2, "log": True}, "hidden_units": [[8], [8, 8], [9]]}
    basic = {"name": "s", "kind": "search", "data": {"name": "digits"}, "sampler": {"name": "random"}}
    study = created(hpo.StudySpec(**basic, trials=10, space=space), tmp_path)
    record(study, lambda arm, seed: {"val_accuracy": 0.5 + 0.01 * seed, "val_loss": 1.0})
    assert isinstance(study.spec, SearchSpec)
    others, first = plots.parallel_coordinates(study.spec, study.all_trials).data
    assert (len(first.x), len(others.x)) == (2 * 4, 8 * 4)
    names = ["val_accuracy", *study.spec.space]
    best = study.all_trials[9]
    heights = dict(zip(names, first.y[:3], strict=True))
    assert first.text[0] == "#9, val_accuracy: 0.59"
    assert heights["val_accuracy"] == 1
    rate = (math.log10(best.params["learning_rate"]) + 4) / 2
    assert heights["learning_rate"] == pytest.approx(rate, abs=1e-4)
    assert heights["hidden_units"] == {"[8]": 0, "[8, 8]": 0.5, "[9]": 1}[str(best.params["hidden_units"])]


def test_a_search_without_enough_trials_has_no_importance(tmp_path: Path) -> None:
    spec = hpo.StudySpec(
        name="s", kind="search", data={"name": "digits"}, trials=3, space={"dropout": [0.0, 0.5]}
    )
    study = created(spec, tmp_path)
    assert importances(study.optuna) is None
    assert isinstance(study.spec, SearchSpec)
    assert plots.parallel_coordinates(study.spec, study.all_trials).data[0].x == ()
    assert plots.history(study.all_trials, "val_accuracy", "maximize").data[0].x == ()
