"""Figures of searches from records of trials: what each button and panel shows, of few and of many."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpo import plots
from hpo.analysis.importance import Importance, importances
from hpo.analysis.pruning import pruning
from hpo.analysis.spending import spent
from hpo.analysis.surface import surface
from hpo.spec import Range, SearchSpec
from hpo.trials.record import Trial
from tests.recorded import BEGUN
from tests.recorded import ended_trial as trial

RATE = {"low": 1e-4, "high": 1.0, "log": True}


@dataclasses.dataclass(frozen=True)
class OfSgd(Range):
    """A range that is active with one optimizer alone."""

    when: ClassVar[Mapping[str, tuple[str, ...]]] = {"optimizer": ("sgd",)}  # type: ignore[misc, unused-ignore]


def search(**space: Any) -> SearchSpec:
    return SearchSpec(name="s", kind="search", data={"name": "digits"}, trials=5, space=space)


def random_trials(count: int, decide: Any, *, seed: int = 0) -> list[Trial]:
    """Trials of random learning rate, dropout and batch size, with the value that `decide` gives each."""
    draws = np.random.default_rng(seed)
    found = []
    for number in range(count):
        params = {
            "learning_rate": float(10 ** draws.uniform(-4, 0)),
            "dropout": float(draws.uniform(0, 0.5)),
            "batch_size": int(draws.choice([32, 64])),
        }
        found.append(trial(number, decide(params) + draws.normal(0, 1e-3), params))
    return found


SPEC = search(learning_rate=RATE, dropout={"low": 0.0, "high": 0.5}, batch_size=[32, 64])


def by_rate(params: Mapping[str, Any]) -> float:
    """Best at a learning rate of 0.01 and without dropout."""
    return 0.9 - 0.05 * (math.log10(params["learning_rate"]) + 2) ** 2 - 0.2 * float(params["dropout"])


def by_name(figure: Any, name: str, axis: str | None = None) -> Any:
    found = [trace for trace in figure.data if trace.name == name and axis in (None, trace.xaxis)]
    assert len(found) == 1
    return found[0]


# --------------------------------------------------------------------------------------------- history


ENDED = st.lists(
    st.tuples(st.integers(0, 99), st.lists(st.tuples(st.integers(0, 9), st.floats(0, 9)), max_size=3)),
    max_size=8,
)


@given(ENDED)
def test_what_was_spent_grows_in_the_order_of_the_ends_to_the_sum_over_all_runs(ended: Any) -> None:
    trials = [trial(at, 0.5, ended=end, runs=runs) for at, (end, runs) in enumerate(ended)]
    found = spent(trials)
    ends = [trials[one.number].finished or BEGUN for one in found]
    assert ends == sorted(ends)
    for before, after in itertools.pairwise(found):
        assert before.epochs <= after.epochs
        assert before.seconds <= after.seconds
    if found:
        assert found[-1].epochs == sum(epochs for _, runs in ended for epochs, _ in runs)
        assert found[-1].seconds == pytest.approx(sum(s for _, runs in ended for _, s in runs))


def test_buttons_put_trials_and_the_best_so_far_where_epochs_and_seconds_were_spent() -> None:
    trials = [
        trial(0, 0.5, runs=[(9, 2.0), (9, 2.0)], ended=30),
        trial(1, 0.7, runs=[(5, 1.0)], ended=10),
        trial(2, None, reported=[0.4, 0.6], runs=[(2, 0.5)], ended=20),
        trial(3, 0.6, runs=[(9, 3.0)], ended=40),
        trial(4, None, runs=[], state="waiting"),
    ]
    figure = plots.history(trials, "val_accuracy", "maximize")
    (menu,) = figure.layout.updatemenus
    drawn = {button.label: button.args for button in menu.buttons}
    assert list(drawn) == ["trials", "epochs", "seconds"]
    names = [trace.name for trace in figure.data]
    for label, places, line in (
        ("trials", {"complete": (0, 1, 3), "pruned": (2,)}, [(0, 0.5), (1, 0.7), (3, 0.7)]),
        ("epochs", {"complete": (25, 5, 34), "pruned": (7,)}, [(5, 0.7), (34, 0.7)]),
        ("seconds", {"complete": (5.5, 1, 8.5), "pruned": (1.5,)}, [(1, 0.7), (8.5, 0.7)]),
    ):
        data, layout = drawn[label]
        for name, own in places.items():
            assert tuple(data["x"][names.index(name)]) == own
            assert tuple(data["y"][names.index(name)]) == by_name(figure, name).y
        at = names.index("highest so far")
        assert list(zip(data["x"][at], data["y"][at], strict=True)) == line
        assert label[:-1] in layout["xaxis.title.text"]


def test_a_history_of_which_no_costs_are_known_has_no_buttons() -> None:
    figure = plots.history([trial(0, 0.5, runs=[])], "val_accuracy", "maximize")
    assert not figure.layout.updatemenus
    assert by_name(figure, "highest so far").x == (0,)


def test_of_very_many_trials_the_better_are_drawn_and_some_others() -> None:
    trials = random_trials(3000, by_rate)
    best = max(trials, key=lambda one: one.value or 0.0)
    figure = plots.history(trials, "val_accuracy", "maximize")
    dots = [trace for trace in figure.data if trace.mode == "markers"]
    assert sum(len(trace.x) for trace in dots) == plots.most_dots(1) == 1000
    assert best.number in by_name(figure, "complete").x
    values = [one.value or 0.0 for one in trials]
    line = by_name(figure, "highest so far")
    assert (line.x[-1], line.y[-1]) == (2999, pytest.approx(best.value, rel=1e-4))
    assert len(line.x) <= len(set(np.maximum.accumulate(values))) + 1
    sliced = plots.slices(SPEC, trials)
    for axis in ("x", "x2", "x3"):
        own = [trace for trace in sliced.data if trace.xaxis == axis]
        assert sum(len(trace.x) for trace in own) == plots.most_dots(3) < 1000
        assert any(f"#{best.number}" in trace.text for trace in own)
    lines = plots.parallel_coordinates(SPEC, trials)
    assert sum(len(trace.x) for trace in lines.data) == plots.MOST_LINES * (len(SPEC.space) + 2)


# --------------------------------------------------------------------------------------------- pruning


def test_pruned_trials_stand_where_they_stopped_under_the_best_and_the_median() -> None:
    trials = [
        trial(0, 0.9, reported=[0.5, 0.8, 0.9]),
        trial(1, 0.6, reported=[0.3, 0.5, 0.6]),
        trial(2, 0.7, reported=[0.4, 0.7]),
        trial(3, None, reported=[0.1]),
        trial(4, None, reported=[0.2]),
        trial(5, None, reported=[0.3, 0.4]),
        trial(6, None, state="failed"),
    ]
    found = pruning(trials, "maximize")
    assert found is not None
    assert str(found) == (
        "3 of 7 trials pruned, after 1 to 2 of 9 epochs: 4 epochs where whole ones would have taken up to 27."
    )
    figure = plots.pruning(found, "val_accuracy", "maximize")
    assert by_name(figure, "trial of the highest value").y == (0.5, 0.8, 0.9)
    assert by_name(figure, "median of the complete").y == (0.4, 0.7, 0.75)
    stopped = by_name(figure, "pruned")
    assert list(zip(stopped.text, stopped.x, stopped.y, strict=True)) == [
        ("#3", 1, 0.1),
        ("#4", 1, 0.2),
        ("#5", 2, 0.4),
    ]
    (bars,) = (trace for trace in figure.data if trace.type == "bar")
    assert (bars.x, bars.y, bars.text) == ((1, 2), (2, 1), ("epoch 1", "epoch 2"))
    assert pruning(trials[:3], "maximize") is None


def test_an_infinite_loss_is_left_out_of_the_lines() -> None:
    trials = [trial(0, 0.5, reported=[math.inf, 0.6, 0.5]), trial(1, None, reported=[0.9])]
    found = pruning(trials, "minimize")
    assert found is not None
    figure = plots.pruning(found, "val_loss", "minimize")
    line = by_name(figure, "trial of the lowest value")
    assert (line.x, line.y) == ((2, 3), (0.6, 0.5))
    assert "Infinity" not in json.dumps(figure.to_plotly_json()["data"], default=list)


def test_stops_of_many_epochs_are_counted_together() -> None:
    trials = [trial(at, None, reported=[0.1] * epochs) for at, epochs in enumerate((3, 4, 200))]
    found = pruning(trials, "maximize")
    assert found is not None
    (bars,) = (trace for trace in plots.pruning(found, "val_loss", "maximize").data if trace.type == "bar")
    assert (bars.y, bars.text) == ((2, 1), ("epochs 1 to 4", "epochs 197 to 200"))


# -------------------------------------------------------------------------------------------- contours


def test_contours_are_over_the_two_that_decide_and_highest_where_the_best_values_are() -> None:
    trials = random_trials(60, by_rate)
    # One diverged training would be the whole picture.
    trials.append(trial(60, -1e300, trials[0].params))
    found = surface(SPEC, trials, importances(SPEC, trials[:60]))
    assert found is not None
    assert set(found.names) == {"learning_rate", "dropout"}
    down, right = np.unravel_index(np.argmax(found.values), found.values.shape)
    places = dict(zip(found.names, (found.first[right], found.second[down]), strict=True))
    assert 1e-3 < places["learning_rate"] < 1e-1
    assert places["dropout"] < 0.15
    figure = plots.contours(SPEC, found)
    assert figure.data[0].type == "contour"
    assert {figure.layout.xaxis.title.text, figure.layout.yaxis.title.text} == set(found.names)
    star = by_name(figure, f"#{found.trials[0].number}, the highest")
    assert star.customdata[0] == pytest.approx(max(one.value or 0.0 for one in trials), rel=1e-4)
    assert len(by_name(figure, "trials").x) == 60
    # Brighter is better, whichever way that is.
    assert not figure.data[0].reversescale


def test_contours_of_choices_have_a_cell_for_each() -> None:
    trials = random_trials(40, lambda params: float(params["batch_size"]) - params["dropout"])
    named = [Importance(name, 0.5, 0.4, 0.6) for name in ("batch_size", "dropout")]
    found = surface(SPEC, trials, named)
    assert found is not None
    figure = plots.contours(SPEC, found)
    assert (figure.data[0].type, figure.data[0].x) == ("heatmap", ("32", "64"))
    assert np.asarray(figure.data[0].z).mean(axis=0) == pytest.approx([32, 64], abs=2)
    assert surface(SPEC, trials[:5], named) is None
    assert surface(SPEC, trials, None) is None


# ------------------------------------------------------------------------------------------ conditions


def conditional(count: int = 60) -> tuple[SearchSpec, list[Trial]]:
    """An optimizer decides; momentum, of sgd alone, does not."""
    spec = search(optimizer=["sgd", "adam"], learning_rate=RATE)
    spec = spec.model_copy(update={"space": {**spec.space, "momentum": OfSgd(0.5, 0.99)}})
    draws = np.random.default_rng(0)
    found = []
    for number in range(count):
        params: dict[str, Any] = {
            "optimizer": str(draws.choice(["sgd", "adam"])),
            "learning_rate": float(10 ** draws.uniform(-4, 0)),
        }
        value = (0.9 if params["optimizer"] == "adam" else 0.8) + draws.normal(0, 0.01)
        if params["optimizer"] == "sgd":
            params["momentum"] = float(draws.uniform(0.5, 0.99))
        found.append(trial(number, float(value), params))
    return spec, found


def test_a_hyperparameter_has_no_importance_by_being_inactive() -> None:
    spec, trials = conditional()
    found = importances(spec, trials)
    assert found is not None
    assert found[0].name == "optimizer"
    assert found[0].is_ahead
    assert {one.name: one.share for one in found}["momentum"] < 0.1


def test_only_trials_in_which_it_is_active_are_on_the_panel_of_a_hyperparameter() -> None:
    spec, trials = conditional()
    active = {f"#{one.number}" for one in trials if "momentum" in one.params}
    figure = plots.slices(spec, trials)
    shown = {text for trace in figure.data if trace.xaxis == "x3" for text in trace.text}
    assert shown == active
    assert sum(len(trace.x) for trace in figure.data if trace.xaxis == "x") == len(trials)


def test_a_line_of_parallel_coordinates_passes_below_what_is_not_active() -> None:
    spec, trials = conditional()
    figure = plots.parallel_coordinates(spec, trials)
    below = 0
    for trace in figure.data:
        for at in range(0, len(trace.x), 5):
            is_active = "not active" not in trace.text[at + 3]
            below += not is_active
            assert (trace.y[at + 3] >= 0) == is_active
    assert below == sum("momentum" not in one.params for one in trials)
    (note,) = (note for note in figure.layout.annotations if note.text == "not active")
    assert note.x == 3
    assert figure.layout.yaxis.range[0] < note.y < 0
