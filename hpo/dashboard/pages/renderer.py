"""Our templates to pages, each with the policy that lets nothing but its own style and script be used."""

from __future__ import annotations

import base64
import hashlib
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import ChoiceLoader, Environment, FileSystemLoader, PackageLoader, StrictUndefined
from markupsafe import Markup
from werkzeug import Response

from hpo.dashboard.pages.sparklines import progress, sparkline
from hpo.tables.numbers import number

# A loader of the package would import it, which takes longer than to make the page.
REPORT = Path(__file__).parents[2] / "report" / "templates"
HTML = "text/html; charset=utf-8"
NOTHING_ELSE = "base-uri 'none'; frame-ancestors 'none'"
FORMAT = "%Y-%m-%d %H:%M UTC"


def page(template: str, status: int = 200, **values: Any) -> Response:
    """An answer: a page of that template."""
    made = _environment().get_template(template).render(**values)
    return Response(made, status, content_type=HTML, headers={"Content-Security-Policy": _policy()})


def report_page(text: str, nonce: str) -> Response:
    """An answer: the report that was rendered with this nonce."""
    policy = (
        f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'unsafe-inline'; img-src data: blob:;"
        f" form-action 'none'; {NOTHING_ELSE}"
    )
    return Response(text, content_type=HTML, headers={"Content-Security-Policy": policy})


def report_path(name: str) -> str:
    """Where the live report of a study is."""
    return f"/studies/{quote(name, safe='')}"


def ago(moment: datetime | None) -> str:
    """How long ago something was, roughly.

    >>> from datetime import timedelta
    >>> [ago(datetime.now(UTC) - timedelta(seconds=s)) for s in (3, 200, 8000, 400_000)]
    ['just now', '3 min ago', '2 h ago', '4 days ago']
    """
    if moment is None:
        return ""
    seconds = (datetime.now(UTC) - moment).total_seconds()
    for least, unit, text in ((2 * 86400, 86400, "days"), (3600, 3600, "h"), (60, 60, "min")):
        if seconds >= least:
            return f"{int(seconds // unit)} {text} ago"
    return "just now"


def moment(time: datetime) -> str:
    """A time as pages name it."""
    return time.astimezone(UTC).strftime(FORMAT)


def _policy() -> str:
    common, style, script = (f"'sha256-{_digest(name)}'" for name in ("report.css", "home.css", "home.js"))
    return (
        f"default-src 'none'; style-src {common} {style}; script-src {script}; connect-src 'self';"
        f" img-src data:; form-action 'self'; {NOTHING_ELSE}"
    )


@cache
def _text(name: str) -> Markup:
    """A file beside the templates, as it stands in a page."""
    loader = _environment().loader
    assert loader is not None
    return Markup(loader.get_source(_environment(), name)[0].strip())


@cache
def _digest(name: str) -> str:
    return base64.b64encode(hashlib.sha256(_text(name).encode()).digest()).decode()


@cache
def _environment() -> Environment:
    made = Environment(
        # The style of reports is that of all pages.
        loader=ChoiceLoader([PackageLoader("hpo.dashboard.pages"), FileSystemLoader(REPORT)]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=True,
    )
    made.filters |= {"number": number, "ago": ago, "moment": moment, "report_path": report_path}
    made.globals |= {"sparkline": sparkline, "progress": progress, "text": _text}
    return made
