"""optuna-dashboard below a path of a reverse proxy: its pages and its script name their paths in full."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

import optuna_dashboard
from werkzeug import Request, Response

from hpo.dashboard.middleware import Handler
from hpo.dashboard.response_cache import SharedResponse
from hpo.errors import HpoError

ROOT = re.compile(r"(?:/[A-Za-z0-9._~-]+)*")
SCRIPT = "/static/bundle.js"
ICON = '<link rel="icon" href="{root}/favicon.ico">\n'
# In the right of the bar at the top of optuna-dashboard's pages, where it has nothing itself.
HOME = (
    '<a href="{root}/" style="position: fixed; right: 1rem; top: 1rem; z-index: 2000;'
    " padding: 0.25rem 0.8rem; border-radius: 999px; background: rgb(255 255 255 / 0.2);"
    ' color: #fff; text-decoration: none; font: 0.85rem/1.4 system-ui, sans-serif">All studies</a>\n'
)
# What names a path in the script, the path in brackets.
PATHS = (
    rb'url_prefix:"(/dashboard)"',
    rb"\$\{this\.baseURL\}(/api/)",
    rb"`(/csv/)\$\{",
    rb"`(/artifacts/)\$\{",
    rb"\]\((/artifacts/)\$\{",
)


def checked_root(text: str) -> str:
    """A path to serve below, without a slash at its end; empty for none.

    Raises:
        HpoError: it is no such path.

    >>> checked_root("/hpo/"), checked_root("/")
    ('/hpo', '')
    """
    root = text.rstrip("/")
    parts = root.split("/")
    if not ROOT.fullmatch(root) or "." in parts or ".." in parts:
        rule = "must begin with a slash, and consist of letters, digits, -, _, ., ~ and slashes"
        raise HpoError("--root-path", rule, got=text, remedy="Example: --root-path /hpo.")
    return root


def with_root_path(handler: Handler, root: str) -> Handler:
    """optuna-dashboard's pages and script with `root` before the paths in them, and with a link to our page.

    Raises:
        HpoError: this version of optuna-dashboard cannot be served below a path.
    """
    script = _script(root) if root else None

    def handle(request: Request) -> Response:
        path = request.path.rstrip("/")
        if script is not None and path == SCRIPT:
            response = script.response(request).make_conditional(request)
            if response.status_code == 304:
                response.set_data(b"")
            return response
        response = handler(request)
        if root and "Location" in response.headers:
            # Of the paths that lead on, optuna-dashboard knows its own alone.
            response.headers["Location"] = root + urlsplit(response.headers["Location"]).path
        if path == "/dashboard" or path.startswith("/dashboard/"):
            _lead(response, root)
        return response

    return handle


def _lead(response: Response, root: str) -> None:
    """Have a page of optuna-dashboard find its script, and lead to ours."""
    if response.status_code != 200:
        return
    page = response.get_data(as_text=True)
    page = page.replace('src="/static/', f'src="{root}/static/')
    page = page.replace("</head>", ICON.format(root=root) + "</head>")
    page = page.replace("</body>", HOME.format(root=root) + "</body>")
    response.set_data(page)
    # The page is the same file whatever stands before the paths in it.
    response.headers.pop("Last-Modified", None)


@cache
def _script(root: str) -> SharedResponse:
    text = Path(optuna_dashboard.__file__).parent.joinpath("public", "bundle.js").read_bytes()
    for pattern in PATHS:
        text, count = re.subn(pattern, lambda found: _before(found, root.encode()), text)
        if not count:
            rule = f"cannot be used with optuna-dashboard {optuna_dashboard.__version__}"
            raise HpoError(f"--root-path {root}", rule, remedy="Serve it below /.")
    response = Response(text, content_type="text/javascript; charset=utf-8")
    response.add_etag()
    return SharedResponse(200, response.headers, text)


def _before(found: re.Match[bytes], root: bytes) -> bytes:
    whole, at = found[0], found.start(1) - found.start()
    return whole[:at] + root + whole[at:]
