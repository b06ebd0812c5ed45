"""One page of a table: its target and columns with small histograms; without scripts, whole in itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hpo.data import Outline
from hpo.pictures.svg import rendered, written
from hpo.tables.numbers import counted, number


def table_page(
    title: str,
    facts: Mapping[str, Any],
    *,
    targets: Sequence[Outline],
    columns: Sequence[Outline],
    doubts: Sequence[str],
) -> str:
    """The page as HTML; `facts` stand above it, a line each."""
    return rendered(
        "table.html.jinja",
        title=written(title),
        facts={name: written(number(value)) for name, value in facts.items() if value not in (None, "")},
        doubts=[written(line) for line in doubts],
        parts=[("Target", [_card(one) for one in targets]), ("Columns", [_card(one) for one in columns])],
    )


def _card(outline: Outline) -> dict[str, Any]:
    most = max([count for _, count in outline.levels], default=0)
    highest = max(outline.bars, default=0)
    said = [outline.kind if outline.name else ""]
    is_levels = bool(outline.levels)
    said += [f"{outline.distinct} levels" if is_levels and outline.name else f"{outline.distinct} different"]
    if not outline.name:
        said = [f"{outline.distinct} classes"]
    said += [counted(outline.gaps, "gap")] if outline.gaps else []
    more = outline.distinct - len(outline.levels)
    return {
        "name": written(outline.name or "classes"),
        "said": ", ".join(said),
        "levels": [
            (written(name), count, f"{100 * count / max(1, most):.1f}") for name, count in outline.levels
        ],
        "further": f"{counted(more, 'more level')} in {counted(outline.further, 'row')}"
        if is_levels and more
        else "",
        # A bar of one row among a million is still seen.
        "bars": [(bar, f"{max(1.5 if bar else 0, 100 * bar / max(1, highest)):.1f}") for bar in outline.bars],
        "low": number(outline.low),
        "median": number(outline.median),
        "high": number(outline.high),
    }
