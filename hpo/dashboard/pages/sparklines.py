"""Curves and bars the size of a word, as SVG without style or script of its own."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from itertools import accumulate

from markupsafe import Markup, escape

from hpo.dashboard.pages.catalogue import ENDED, Entry, arms_of
from hpo.spec import directions
from hpo.tables.numbers import number

WIDTH, HEIGHT, EDGE = 180.0, 48.0, 4.0
MOST_POINTS = 120
MOST_DOTS = 400
# From so many values on, those beyond the outer twentieths are drawn at the edge.
ENOUGH_TO_CLIP = 20

Point = tuple[float, float]


def sparkline(entry: Entry) -> Markup:
    """The best value so far by trial of a search, the values by arm of any other study; empty without any."""
    values = entry.activity.values
    if not values or entry.summary is None or entry.summary.direction is None:
        return Markup()
    if any(arm is not None for _, arm, _ in values):
        return _by_arm(entry)
    return _history([(n, value) for n, _, value in values], entry.summary.direction)


def progress(entry: Entry) -> Markup:
    """The shares of trials that are complete, pruned, failed and in training, as a bar."""
    whole = max(entry.planned, 1)
    shares = [(state, entry.counts.get(state, 0)) for state in ENDED]
    shares.append(("running", entry.counts.get("running", 0)))
    parts, at = [], 0.0
    for state, count in shares:
        if count:
            share = 100 * count / whole
            parts.append(f'<rect class="{state}" x="{at:.3f}%" width="{share:.3f}%" height="100%"/>')
            at += share
    said = f"{entry.ended} of {entry.planned} trials"
    return Markup(f'<svg class="bar" role="img" aria-label="{said}">{"".join(parts)}</svg>')


def _history(values: Sequence[tuple[int, float]], direction: str) -> Markup:
    best = list(accumulate((value for _, value in values), directions.best(direction)))
    scale = _Scale([value for _, value in values], first=values[0][0], last=values[-1][0])
    dots = [scale.at(n, value) for n, value in _thinned(values, MOST_DOTS)]
    steps = [(n, value) for n, value in zip((n for n, _ in values), best, strict=True)]
    line = _stairs([scale.at(n, value) for n, value in _thinned(steps, MOST_POINTS)])
    said = f"best value so far over {len(values)} trials: from {number(best[0])} to {number(best[-1])}"
    return _svg(said, f'{_circles(dots)}<path class="line" d="{line}"/>')


def _by_arm(entry: Entry) -> Markup:
    values = entry.activity.values
    found: dict[str, list[float]] = {arm: [] for arm in arms_of(entry)}
    for _, arm, value in values:
        if arm is not None:
            found.setdefault(arm, []).append(value)
    scale = _Scale([value for _, _, value in values], first=-0.5, last=len(found) - 0.5)
    half = min(14.0, 0.35 * (WIDTH - 2 * EDGE) / len(found))
    parts = []
    for place, (arm, own) in enumerate(found.items()):
        if not own:
            continue
        mean = statistics.fmean(own)
        x, y = scale.at(place, mean)
        dots = _circles([scale.at(place, value) for value in _thinned(own, MOST_DOTS // len(found) or 1)])
        said = escape(f"{arm}: {number(mean)}, mean of {len(own)}")
        tick = f'<path class="line" d="M{x - half:.1f} {y:.1f}H{x + half:.1f}"/>'
        area = f'<rect class="area" x="{x - half:.1f}" width="{2 * half:.1f}" height="{HEIGHT:.0f}"/>'
        parts.append(f"<g><title>{said}</title>{area}{dots}{tick}</g>")
    means = ", ".join(f"{arm} {number(statistics.fmean(own))}" for arm, own in found.items() if own)
    return _svg(f"values by arm, mean of each: {means}", "".join(parts))


class _Scale:
    """From values to places in the picture."""

    def __init__(self, values: Sequence[float], *, first: float, last: float) -> None:
        low, high = min(values), max(values)
        if len(values) >= ENOUGH_TO_CLIP:
            twentieths = statistics.quantiles(values, n=20)
            room = 0.5 * (twentieths[-1] - twentieths[0])
            low, high = max(low, twentieths[0] - room), min(high, twentieths[-1] + room)
        self._low, self._high, self._first, self._last = low, high, first, last

    def at(self, place: float, value: float) -> Point:
        width, height = WIDTH - 2 * EDGE, HEIGHT - 2 * EDGE
        along = (place - self._first) / (self._last - self._first) if self._last > self._first else 0.5
        span = self._high - self._low
        up = min(max((value - self._low) / span, 0.0), 1.0) if span > 0 else 0.5
        return EDGE + along * width, EDGE + (1 - up) * height


def _stairs(points: Sequence[Point]) -> str:
    """A path that stays level until the next point."""
    (x, y), *rest = points
    path = f"M{x:.1f} {y:.1f}"
    for x, y in rest:
        path += f"H{x:.1f}V{y:.1f}"
    return path if rest else f"M{EDGE:.1f} {y:.1f}H{WIDTH - EDGE:.1f}"


def _thinned(values: Sequence, most: int) -> Sequence:  # type: ignore[type-arg]
    """At most so many of the values, the last among them."""
    step = -(-len(values) // most)
    return values if step <= 1 else values[::-step][::-1]


def _circles(points: Sequence[Point]) -> str:
    # One path of round dots: hundreds of elements of their own would make a page heavy.
    return f'<path class="dots" d="{"".join(f"M{x:.1f} {y:.1f}h0" for x, y in points)}"/>'


def _svg(said: str, content: str) -> Markup:
    return Markup(
        f'<svg class="spark" viewBox="0 0 {WIDTH:.0f} {HEIGHT:.0f}" role="img"'
        f' aria-label="{escape(said)}">{content}</svg>'
    )
