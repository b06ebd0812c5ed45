"""Blocks to Markdown and to a page of HTML."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from hpo.report.document import Block, Heading, Table
from hpo.tables import html, markdown


@dataclass(frozen=True)
class Served:
    """What a page has that a server sends: links out of it (text and address), and where plotly's script is.

    Scripts run only with the `nonce`, which nobody can know before the page is made.
    """

    links: tuple[tuple[str, str], ...]
    plotly: str
    nonce: str


class Raw(str):
    """Text that is Markdown already."""

    __slots__ = ()


def as_markdown(title: str, blocks: Sequence[Block], *, made: str = "") -> str:
    """GitHub-flavoured Markdown, without figures. Without a title, headings begin at level 2."""
    text = _markdown().get_template("report.md.jinja").render(title=title, blocks=blocks, made=made)
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def as_html(title: str, blocks: Sequence[Block], *, made: str, served: Served | None = None) -> str:
    """One page that loads nothing from elsewhere: figures, images and the script that draws are in it.

    Of a page that a server sends, the script is that server's, which sends it once for all pages.
    """
    plotly = Markup()
    if served is None:
        from plotly.offline import get_plotlyjs

        plotly = Markup(get_plotlyjs())
    return (
        _html()
        .get_template("report.html.jinja")
        .render(
            title=title, blocks=blocks, made=made, plotly=plotly, served=served, chapters=_chapters(blocks)
        )
    )


def figure_json(figure: Any) -> Markup:
    """A figure's data and layout as JSON that may stand in a script element."""
    whole = figure.to_plotly_json()
    text = json.dumps(
        {"data": whole["data"], "layout": whole["layout"]}, separators=(",", ":"), default=_plain
    )
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


def _escaped(value: Any) -> str:
    return value if isinstance(value, Raw) else markdown.escaped(str(value))


def _plain(value: Any) -> Any:
    """Arrays and NumPy's numbers as JSON has them."""
    return value.tolist()


def _chapters(blocks: Sequence[Block]) -> list[str]:
    return [block.text for block in blocks if isinstance(block, Heading) and block.level == 2]


@cache
def _markdown() -> Environment:
    # Whatever a template prints is escaped, so nothing can be forgotten.
    made = _environment(finalize=_escaped, autoescape=False)
    made.filters["raw"] = Raw
    made.filters["table"] = lambda table: Raw(markdown.rendered(table))
    return made


@cache
def _html() -> Environment:
    made = _environment(autoescape=True)
    made.filters["figure_json"] = figure_json
    made.filters["table"] = lambda table: Markup(html.rendered(table))
    return made


def _environment(**escaping: Any) -> Environment:
    loader = PackageLoader("hpo.report")
    made = Environment(
        loader=loader, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, **escaping
    )
    made.tests["table"] = lambda block: isinstance(block, Table)
    return made
