"""Figures: what is drawn are the numbers, in the same colour everywhere, and names are shown literally."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from optuna.trial import Trial as OptunaTrial
from optuna.trial import TrialState
from plotly.colors import sample_colorscale

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
        assert {x[0] for x, _ in boxes} == ({0.0} if screen == "narrow" else {0.0, 0.56})


# ------------------------------------------------------------------------------------------- confusion


def test_confusion_shows_percentages_of_the_true_class() -> None:
    counts = np.array([[3, 1, 0], [0, 4, 0], [0, 0, 0]])
    cells, numbers = plots.confusion(counts, ["a", "<b>", "c"]).data
    assert tuple(cells.text) == (["75.0", "25.0", ""], ["", "100", ""], ["", "", ""])
    shown = list(zip(numbers.y, numbers.x, numbers.text, strict=True))
    assert shown == [("a", "a", "75.0"), ("a", "&lt;b&gt;", "25.0"), ("&lt;b&gt;", "&lt;b&gt;", "100")]
    assert cells.y == ("a", "&lt;b&gt;", "c")
    assert np.asarray(cells.z)[0].tolist() == pytest.approx([math.sqrt(0.75), 0.5, 0.0], rel=1e-4)
    assert np.asarray(cells.customdata).tolist() == counts.tolist()


def test_many_classes_are_drawn_without_numbers() -> None:
    (cells,) = plots.confusion(np.eye(100), [str(index) for index in range(100)]).data
    assert cells.texttemplate is None


def luminance(colour: str) -> float:
    """Relative luminance of `#rrggbb` or `rgb(r, g, b)`, by WCAG 2.2."""
    text = re.findall(r"\d+" if colour.startswith("rgb") else r"[0-9A-Fa-f]{2}", colour)
    parts = [int(part, 10 if colour.startswith("rgb") else 16) / 255 for part in text]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("page", ["light", "dark"])
def test_numbers_are_read_on_every_cell_of_a_light_and_of_a_dark_page(page: str) -> None:
    counts = np.array([[100 - mistakes, mistakes] for mistakes in range(1, 20)] + [[50, 50]])
    counts = np.pad(counts, ((0, 0), (0, len(counts) - 2)))
    figure = plots.confusion(counts, [str(index) for index in range(len(counts))])
    cells, numbers = figure.data
    scale, inks = cells.colorscale, numbers.textfont.color
    if page == "dark":
        patches = figure.layout.meta["dark"]
        scale, inks = patches[0]["colorscale"], patches[1]["textfont"]["color"]
    heights = [height for row in np.asarray(cells.z) for height in row if height]
    assert len(heights) == len(inks) == 40
    assert (cells.zmin, cells.zmax) == (0, 1)
    grounds = sample_colorscale([[at, colour] for at, colour in scale], heights)
    for ground, ink in zip(grounds, inks, strict=True):
        darker, lighter = sorted([luminance(ground), luminance(ink)])
        assert (lighter + 0.05) / (darker + 0.05) >= 4.5, (ground, ink)
    assert len(set(inks)) == 2


# -------------------------------------------------------------------------------------------- searches


def test_history_is_every_value_and_the_furthest_so_far(trained: Trained) -> None:
    study = search_of(trained)
    values = [trial.value for trial in study.all_trials]
    points, line = plots.history(study.all_trials, "val_accuracy", "maximize").data
    assert points.y == pytest.approx(values, rel=1e-4)
    assert at_each(line, points.x) == pytest.approx(np.maximum.accumulate(values), rel=1e-4)
    assert line.name == "highest so far"
    _, lowest = plots.history(study.all_trials, "val_loss", "minimize").data
    assert at_each(lowest, points.x) == pytest.approx(np.minimum.accumulate(values), rel=1e-4)


def at_each(line: Any, places: Sequence[float]) -> list[float]:
    """The heights of a line of steps at some places."""
    assert line.line.shape == "hv"
    return [line.y[np.searchsorted(line.x, place, side="right") - 1] for place in places]


def test_slices_have_a_panel_for_each_hyperparameter_with_its_choices_in_order(trained: Trained) -> None:
    study = search_of(trained)
    assert isinstance(study.spec, SearchSpec)
    figure = plots.slices(study.spec, study.all_trials)
    titles = [figure.layout[f"xaxis{number}"].title.text for number in ("", 2)]
    assert titles == list(study.spec.space)
    for trace, name in zip(figure.data, study.spec.space, strict=True):
        assert trace.x == tuple(str(trial.params[name]) for trial in study.all_trials)
    orders = {figure.layout.xaxis.categoryarray, figure.layout.xaxis2.categoryarray}
    assert orders == {("[0.0]", "[0.2]"), ("0.01", "0.1")}


def test_importance_goes_to_what_decides_the_value(tmp_path: Path) -> None:
    rate = {"low": 1e-4, "high": 1e-1, "log": True}
    space = {"learning_rate": rate, "dropout": {"low": 0.0, "high": 0.5}}
    basic = {"name": "s", "kind": "search", "data": {"name": "digits"}, "sampler": {"name": "random"}}
    study = created(hpo.StudySpec(**basic, trials=40, confirm=False, space=space), tmp_path)
    rates = [trial.params["learning_rate"] for trial in study.all_trials]
    record(study, lambda arm, number: {"val_accuracy": -math.log(rates[number]), "val_loss": 1.0})
    assert isinstance(study.spec, SearchSpec)
    found = importances(study.spec, study.all_trials)
    assert found is not None
    (bars,) = plots.importances(found).data
    shares = dict(zip(bars.y, bars.x, strict=True))
    assert sum(shares.values()) == pytest.approx(1, abs=1e-3)
    assert shares["learning_rate"] > 0.8
    assert found[0].is_ahead
    highs = [share + more for share, more in zip(bars.x, bars.error_x.array, strict=True)]
    lows = [share - less for share, less in zip(bars.x, bars.error_x.arrayminus, strict=True)]
    assert highs == pytest.approx([one.high for one in found[::-1]], abs=1e-3)
    assert lows == pytest.approx([one.low for one in found[::-1]], abs=1e-3)
    # The same trials give the same numbers.
    assert importances(study.spec, study.all_trials) == found


def test_importance_of_few_trials_in_which_nothing_decides_knows_no_order(tmp_path: Path) -> None:
    space = {name: {"low": 0.0, "high": 0.5} for name in ("dropout", "momentum")}
    basic = {"name": "s", "kind": "search", "data": {"name": "digits"}, "sampler": {"name": "random"}}
    study = created(hpo.StudySpec(**basic, trials=13, confirm=False, space=space), tmp_path)
    noise = np.random.default_rng(0).normal(0.9, 0.01, 13)
    record(study, lambda arm, number: {"val_accuracy": noise[number], "val_loss": 1.0})
    assert isinstance(study.spec, SearchSpec)
    found = importances(study.spec, study.all_trials)
    assert found is not None
    assert not any(one.is_ahead for one in found)
    assert found[1].high > found[0].low
    assert all(one.low <= one.share <= one.high for one in found)


def test_parallel_coordinates_have_a_line_a_trial_at_the_heights_of_its_values(tmp_path: Path) -> None:
    space = {"learning_rate": {"low": 1e-4, "high": 1e-2, "log": True}, "hidden_units": [[8], [8, 8], [9]]}
    basic = {"name": "s", "kind": "search", "data": {"name": "digits"}, "sampler": {"name": "random"}}
    study = created(hpo.StudySpec(**basic, trials=10, confirm=False, space=space), tmp_path)
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
        name="s", kind="search", data={"name": "digits"}, trials=2, space={"dropout": [0.0, 0.5]}
    )
    study = created(spec, tmp_path)
    assert isinstance(study.spec, SearchSpec)
    assert importances(study.spec, study.all_trials) is None
    assert plots.parallel_coordinates(study.spec, study.all_trials).data[0].x == ()
    assert plots.history(study.all_trials, "val_accuracy", "maximize").data[0].x == ()


def pruned_search(folder: Path) -> hpo.Study:
    """Twelve complete trials whose values are 0.9 to 0.955, one of 0.1, and two that were pruned."""
    space = {"learning_rate": {"low": 1e-4, "high": 1.0, "log": True}, "batch_size": [32, 64]}
    basic = {"name": "s", "kind": "search", "data": {"name": "digits"}, "sampler": {"name": "random"}}
    study = created(hpo.StudySpec(**basic, trials=15, confirm=False, space=space), folder)
    values = [0.1, *(0.9 + 0.005 * index for index in range(12))]
    record(study, lambda arm, number: {"val_accuracy": values[number], "val_loss": 1.0}, most=13)
    for reported in ([0.5, 0.93], [0.2]):
        claim = study.storage.claim([study.id], owner="host-1", seconds=60)
        assert claim is not None
        trial = OptunaTrial(study.optuna, claim.trial_id)
        for epoch, value in enumerate(reported, start=1):
            trial.report(value, epoch)
        claim.finish(TrialState.PRUNED, value=reported[-1], attributes={"replicates": []})
    return study


def test_pruned_trials_are_shown_dimmed_and_named_and_what_is_far_off_stands_at_the_edge(
    tmp_path: Path,
) -> None:
    study = pruned_search(tmp_path)
    assert isinstance(study.spec, SearchSpec)
    for figure, panels in (
        (plots.history(study.all_trials, "val_accuracy", "maximize"), 1),
        (plots.slices(study.spec, study.all_trials), 2),
    ):
        named = {trace.name: trace for trace in figure.data if trace.xaxis in (None, "x")}
        assert sum(trace.showlegend is not False for trace in named.values()) == len(named)
        assert sum(trace.name == "pruned" for trace in figure.data) == panels
        low, high = figure.layout.yaxis.range
        assert 0.8 < low < 0.9 < 0.955 < high < 1
        assert (len(named["complete"].y), named["pruned"].y) == (12, (0.93,))
        assert named["pruned"].marker.color != named["complete"].marker.color
        assert named["pruned"].marker.opacity < named["complete"].marker.opacity
        assert named["complete"].marker.size >= 8
        for name, value in (("complete, beyond the axis", 0.1), ("pruned, beyond the axis", 0.2)):
            edge = named[name]
            assert low < edge.y[0] < 0.9
            assert (edge.customdata, edge.marker.symbol) == ((value,), "triangle-down")


def test_ticks_of_logarithmic_axes_are_numbers_in_full(tmp_path: Path) -> None:
    study = pruned_search(tmp_path)
    assert isinstance(study.spec, SearchSpec)
    own = plots.slices(study.spec, study.all_trials).layout.xaxis
    assert (own.type, own.ticktext) == ("log", ("0.0001", "0.001", "0.01", "0.1", "1"))
    assert own.tickvals == pytest.approx([1e-4, 1e-3, 1e-2, 1e-1, 1])
    assert own.range[0] < -4 < 0 < own.range[1]


def test_every_axis_has_a_title_and_nothing_stands_under_the_toolbar(
    hostile: hpo.Study, tmp_path: Path
) -> None:
    study = pruned_search(tmp_path)
    assert isinstance(study.spec, SearchSpec)
    found = importances(study.spec, study.all_trials)
    assert found is not None
    drawn = figures_of(hostile) | {
        "history": plots.history(study.all_trials, "val_accuracy", "maximize"),
        "slices": plots.slices(study.spec, study.all_trials),
        "importances": plots.importances(found),
        "confusion": plots.confusion(np.eye(3), ["a", "b", "c"]),
    }
    for name, figure in drawn.items():
        layout = figure.to_plotly_json()["layout"]
        for screen in ("wide", "narrow"):
            shown = {key: value for key, value in layout.items() if re.fullmatch(r"[xy]axis\d*", key)}
            for key, own in layout["meta"][screen].items():
                if key in shown:
                    shown[key] = shown[key] | own
            for key, own in shown.items():
                beside = own.get("showticklabels") is False  # the panel to its left has title and ticks
                assert beside or own["title"]["text"], (name, screen, key)
        assert layout["margin"]["t"] >= 32, name
        for note in layout.get("annotations", ()):
            above = note.get("yref", "y").endswith("domain") and note["y"] == 1
            assert not above or note["yanchor"] == "top", name


def test_the_line_of_no_difference_is_named_in_each_panel(hostile: hpo.Study) -> None:
    figure = figures_of(hostile)["differences"]
    notes = figure.layout.annotations
    assert [note.text for note in notes] == ["no difference"] * 3
    assert [note.x for note in notes] == [0, 0, 0]  # of a ratio, the logarithm
    lines_of = [shape for shape in figure.layout.shapes if shape.type == "line"]
    assert [shape.x0 for shape in lines_of] == [0, 0, 1]


def test_no_line_of_parallel_coordinates_is_seen_through_a_label(tmp_path: Path) -> None:
    study = pruned_search(tmp_path)
    assert isinstance(study.spec, SearchSpec)
    figure = plots.parallel_coordinates(study.spec, study.all_trials)
    heights = [y for trace in figure.data for y in trace.y if y is not None]
    assert (min(heights), max(heights)) == (0, 1)
    notes = {note.text: note for note in figure.layout.annotations}
    assert notes.keys() == {"\u2264 0.9", "0.955", "0.0001", "1", "32", "64"}
    for text, note in notes.items():
        beyond = (note.y, note.yanchor) in ((0, "top"), (1, "bottom"))
        on_its_own_ground = note.bgcolor is not None and note.name == "node"
        assert beyond or on_its_own_ground, text


def test_the_best_curves_are_not_squashed_by_the_worst(tmp_path: Path) -> None:
    good = [[2.0, 1.0, *np.linspace(0.5, 0.1 + 0.01 * arm, 18)] for arm in range(3)]
    worst = list(np.linspace(300, 200, 20))
    every = [curves_of(run, arm=f"a{at}", first=at) for at, run in enumerate([*good, worst])]
    figure = plots.learning_curves(pd.concat(every), plots.styles(["a0", "a1", "a2", "a3"]))
    low, high = figure.layout.yaxis.range
    assert low < 0.1 < 1 < high < 10
    note = next(note for note in figure.layout.annotations if note.yref == "y domain")
    assert note.text == "beyond: a3, up to 300"
    figure = plots.learning_curves(pd.concat(every[:3]), plots.styles(["a0", "a1", "a2"]))
    assert not figure.layout.annotations
    assert figure.layout.yaxis.range is None
