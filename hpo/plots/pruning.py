"""What a search has pruned when, and how far behind it was."""

from __future__ import annotations

import math
from collections import Counter

import plotly.graph_objects as go

from hpo.analysis.pruning import Pruning
from hpo.pictures.scales import evenly
from hpo.plots.dots import MOST_DOTS, PRUNED
from hpo.plots.frame import COLOURS, INK, POINT, axes, framed, panels, shorts, titled
from hpo.plots.ranges import cut
from hpo.spec import directions

MOST_BARS = 50


def pruning(found: Pruning, metric: str, direction: str) -> go.Figure:
    """Each pruned trial where it stopped, with the best and the median; and how many stopped when.

    `metric` is what is reported after each epoch.
    """
    figure = framed(panels(2, columns=2), panels(2, columns=1))
    for name, curve, colour in (
        (f"trial of the {directions.extreme(direction)} value", found.best, COLOURS[1]),
        ("median of the complete", found.median, POINT),
    ):
        # Of thousands of epochs, more than pixels, some.
        at = evenly(len(curve), MOST_DOTS).tolist() if len(curve) else list[int]()
        # JSON has no infinity, which a loss may reach.
        at = [index for index in at if math.isfinite(curve[index])]
        figure.add_scatter(
            x=[index + 1 for index in at],
            y=shorts(curve[index] for index in at),
            name=name,
            mode="lines",
            line={"color": colour, "width": 2},
            **axes(0),
        )
    shown = [found.stops[index] for index in evenly(len(found.stops), MOST_DOTS)]
    is_low = direction == "maximize"
    drawn = [value for value in (*found.best, *found.median) if math.isfinite(value)]
    ends = cut([*drawn, *(stop.value for stop in shown)], good=drawn, is_low=is_low)
    figure.add_scatter(
        x=[stop.epoch for stop in shown],
        y=shorts(ends.end if ends is not None and not ends.holds(s.value) else s.value for s in shown),
        text=[f"#{stop.number}" for stop in shown],
        customdata=shorts(stop.value for stop in shown),
        name="pruned",
        mode="markers",
        marker=PRUNED,
        hovertemplate="%{text}: epoch %{x}, %{customdata}<extra>pruned</extra>",
        **axes(0),
    )
    width = math.ceil(found.most / MOST_BARS)
    counts = Counter((stop.epoch - 1) // width for stop in found.stops)
    figure.add_bar(
        x=[place * width + (width + 1) / 2 for place in sorted(counts)],
        y=[counts[place] for place in sorted(counts)],
        width=0.8 * width,
        text=[_epochs(place, width) for place in sorted(counts)],
        textposition="none",
        marker={"color": INK},
        showlegend=False,
        hovertemplate="%{text}: %{y} pruned<extra></extra>",
        **axes(1),
    )
    epochs = {"range": [0.5, found.most + 0.5], "zeroline": False}
    values = {} if ends is None else {"range": ends.range([*drawn, *(stop.value for stop in shown)])}
    whole = max(counts.values()) <= 5
    return figure.update_layout(
        xaxis=titled("epoch") | epochs,
        yaxis=titled(metric) | values | {"zeroline": False},
        xaxis2=titled("stopped after epoch") | epochs,
        yaxis2=titled("trials") | {"rangemode": "tozero"} | ({"dtick": 1} if whole else {}),
    )


def _epochs(place: int, width: int) -> str:
    first, last = place * width + 1, (place + 1) * width
    return f"epoch {first}" if width == 1 else f"epochs {first} to {last}"
