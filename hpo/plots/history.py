"""The history of a search: its values, and the best so far, over trials, epochs and seconds."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import plotly.graph_objects as go

from hpo.analysis.spending import Spent, spent
from hpo.plots.dots import MOST_DOTS, add_dots, cut_of, dots_of, range_of
from hpo.plots.frame import COLOURS, INK, NOWHERE, Layout, framed, short, single, titled
from hpo.spec import directions
from hpo.trials.record import Trial

NARROW_TOP = 40  # the buttons stand above the panel on a narrow screen too
# What an axis may be of, by the button that chooses it.
AXES = {
    "trials": "trial",
    "epochs": "epochs trained, over all runs",
    "seconds": "seconds of training, over all workers",
}


def history(trials: Sequence[Trial], metric: str, direction: str) -> go.Figure:
    """Every complete trial's value by its number, and the highest, or lowest, so far; dimmed, the pruned.

    Buttons change the axis to the epochs, or seconds, that had been trained when a trial ended. A trial that
    is far worse than most is a triangle at the edge.
    """
    complete, pruned = dots_of(trials)
    figure = framed(single(390), single(380) | {"margin": {"t": NARROW_TOP}})
    ends = cut_of(complete, pruned, direction)
    is_low = direction == "maximize"
    for dots in (pruned.some(MOST_DOTS, is_low=is_low), complete.some(MOST_DOTS, is_low=is_low)):
        add_dots(figure, dots, [trial.number for trial in dots.trials], ends, is_first=True)
    costs = _costs(trials)
    so_far = {name: _so_far(trials, direction, own) for name, own in costs.items()}
    x, y = so_far["trials"]
    figure.add_scatter(
        x=x,
        y=y,
        name=f"{directions.extreme(direction)} so far",
        mode="lines",
        line={"color": COLOURS[1], "shape": "hv", "width": 2},
        hoverinfo="skip",
    )
    figure.update_xaxes(**titled(AXES["trials"]), zeroline=False)
    figure.update_yaxes(**titled(metric), **range_of(complete, pruned, ends), zeroline=False)
    return _with_buttons(figure, costs, so_far)


def _costs(trials: Sequence[Trial]) -> dict[str, dict[int, float]]:
    """By number, where each trial that has ended stands on each axis."""
    found: list[Spent] = spent(trials)
    costs = {
        "trials": {one.number: float(one.number) for one in sorted(found, key=lambda one: one.number)},
        "epochs": {one.number: float(one.epochs) for one in found},
        "seconds": {one.number: short(one.seconds) for one in found},
    }
    # Of version 0.1's failed trials, say, nothing is known: an axis on which all stand at 0 is none.
    return {name: own for name, own in costs.items() if name == "trials" or any(own.values())}


def _so_far(
    trials: Sequence[Trial], direction: str, costs: dict[int, float]
) -> tuple[list[float], list[float]]:
    """The corners of the line of the best value so far, which ends where the last trial does."""
    by_number = {trial.number: trial for trial in trials}
    valued = [
        (cost, by_number[number].value or 0.0)
        for number, cost in costs.items()
        if _is_valued(by_number[number])
    ]
    further = directions.best(direction)
    line = list(
        zip((x for x, _ in valued), itertools.accumulate((y for _, y in valued), further), strict=True)
    )
    if not line:
        return [], []
    # Its first point, each in which it goes further, and its last.
    kept = [line[0], *(now for before, now in itertools.pairwise(line) if now[1] != before[1])]
    end = (max(costs.values()), line[-1][1])
    kept += [end] if end != kept[-1] else []
    return [x for x, _ in kept], [short(y) for _, y in kept]


def _is_valued(trial: Trial) -> bool:
    return trial.value is not None and math.isfinite(trial.value)


def _with_buttons(
    figure: go.Figure,
    costs: dict[str, dict[int, float]],
    so_far: dict[str, tuple[list[float], list[float]]],
) -> go.Figure:
    """The figure with a button for each axis that there is."""
    if len(costs) < 2:
        return figure
    *dots, _ = figure.data
    buttons = []
    for name, own in costs.items():
        x, y = so_far[name]
        places = [[own.get(int(text[1:])) for text in trace.text] for trace in dots]
        data = {"x": [*places, x], "y": [*(trace.y for trace in dots), y]}
        # An axis that somebody has zoomed into begins anew.
        layout = {"xaxis.title.text": AXES[name], "xaxis.autorange": True}
        buttons.append({"label": name, "method": "update", "args": [data, layout]})
    return figure.update_layout(updatemenus=[_menu(buttons)])


def _menu(buttons: list[Layout]) -> Layout:
    return {
        "type": "buttons",
        "direction": "right",
        "buttons": buttons,
        "x": 0,
        "xanchor": "left",
        "y": 1,
        "yanchor": "bottom",
        "pad": {"t": 0, "b": 4, "l": 0, "r": 0},
        "bgcolor": NOWHERE,
        "bordercolor": INK,
        "font": {"color": INK, "size": 11},
    }
