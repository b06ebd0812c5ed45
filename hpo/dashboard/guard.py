"""Who may ask the dashboard for what: optuna-dashboard has no login, and looks at neither Host nor Origin.

In order: the host that the browser believes it talks to, the page that asks, the token, the method, the body.
"""

from __future__ import annotations

import ipaddress
import logging
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from markupsafe import escape
from werkzeug import Request, Response
from werkzeug.exceptions import HTTPException

from hpo.dashboard.middleware import Handler, one_line
from hpo.dashboard.mutations import refusal
from hpo.dashboard.tokens import Token, WrongTokens
from hpo.errors import StorageError

logger = logging.getLogger(__name__)

READING = ("GET", "HEAD")
WRITING = ("POST", "PUT", "DELETE")
SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
# optuna-dashboard has a policy for its pages; this one is for all else.
NOTHING = "default-src 'none'; frame-ancestors 'none'"
# What a link may lead to, beside the first page.
PAGES = re.compile(r"/(?:dashboard|studies|compare)(?:/|$)")
LOGIN = "This dashboard opens by the link, with its token, that `hpo dashboard` printed.\n"
ENTERED = """<!doctype html><meta charset="utf-8"><meta http-equiv="refresh" content="0; url={url}">
<title>hpo</title><a href="{url}">Go on to the dashboard</a>
"""


@dataclass(frozen=True)
class Rules:
    """What a guard lets pass.

    `token` is None where none is needed; `hosts` are the names, beside `localhost` and addresses, by which
    the dashboard may be called; `may_write` lets more pass than GET and HEAD; `cookie` is its name; `root`
    stands before every path in a browser.
    """

    token: Token | None
    hosts: frozenset[str]
    may_write: bool
    cookie: str
    root: str = ""


class Guard:
    """A WSGI application that lets requests through to another one by rules.

    `log` is called with a line for each request, in which there is neither a token nor a query.
    """

    def __init__(self, handler: Handler, rules: Rules, *, log: Callable[[str], None] | None = None) -> None:
        self._handler, self._rules, self._log = handler, rules, log
        self._wrong = WrongTokens()

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        request = Request(environ)
        try:
            response = self._refused(request) or self._handler(request)
        except HTTPException as error:
            response = one_line(request, error.code or 400, f"{error.name}.")
        except StorageError as error:
            logger.error("%s", error)
            response = one_line(request, 503, "The database cannot be read now; the log has more.")
        except Exception:
            logger.exception("%s %s failed", request.method, printable(request.path))
            response = one_line(request, 500, "Internal error; the dashboard's log has more.")
        for name, value in SECURITY_HEADERS.items():
            response.headers.setdefault(name, value)
        response.headers.setdefault("Content-Security-Policy", NOTHING)
        kept = request.path.startswith("/static/") and response.status_code < 400
        response.headers["Cache-Control"] = "no-cache" if kept else "no-store"
        if self._log is not None:
            length = response.headers.get("Content-Length", "-")
            what = f"{request.method} {printable(request.path)}"
            self._log(f'{request.remote_addr} "{what}" {response.status_code} {length}')
        return response(environ, start_response)

    def _refused(self, request: Request) -> Response | None:
        """Why a request gets no further; None if it does."""
        if not self._is_known_host(request.headers.get("Host", "")):
            return one_line(
                request, 403, "This is no name of the dashboard's. Allow it with: --allowed-host NAME."
            )
        if _is_of_another_site(request):
            return one_line(request, 403, "Pages of other sites may not ask the dashboard.")
        if self._rules.token is not None and (answer := self._login(request, self._rules.token)) is not None:
            return answer
        if request.method in READING:
            return None
        if not self._rules.may_write:
            line = "This dashboard is read-only. To change studies start it with: --read-write."
            return one_line(request, 405, line, Allow=", ".join(READING))
        if request.method not in WRITING:
            return one_line(request, 405, "There is no such method.", Allow=", ".join(READING + WRITING))
        return refusal(request)

    def _is_known_host(self, host: str) -> bool:
        """A name of somebody else's domain may lead here (DNS rebinding); an address is nobody's name."""
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        if name == "localhost" or name in self._rules.hosts:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True

    def _login(self, request: Request, token: Token) -> Response | None:
        """None for who is logged in; else the page that does it, or why not."""
        if token.is_cookie(request.cookies.get(self._rules.cookie, "")):
            # A link that is opened again needs no token; it goes out of the address all the same.
            return self._entered(request, token) if "token" in request.args else None
        scheme, _, bearer = request.headers.get("Authorization", "").partition(" ")
        given = request.args.get("token", bearer if scheme.lower() == "bearer" else None)
        if given is None:
            return one_line(request, 401, LOGIN)
        address = request.remote_addr or ""
        if self._wrong.are_too_many(address):
            return one_line(request, 429, "Too many wrong tokens. Wait a minute.", **{"Retry-After": "60"})
        if not token.is_token(given):
            self._wrong.count(address)
            logger.warning("a wrong token from %s", address)
            return one_line(request, 401, f"This is not the token. {LOGIN}")
        return None if "token" not in request.args else self._entered(request, token)

    def _entered(self, request: Request, token: Token) -> Response:
        # Not a redirect: after a link on another site, browsers would not send the cookie along with it.
        page = ENTERED.format(url=escape(self._rules.root + _inside(request)))
        response = Response(page, content_type="text/html; charset=utf-8")
        path = self._rules.root or "/"
        response.set_cookie(self._rules.cookie, token.cookie, httponly=True, samesite="Strict", path=path)
        return response


def _inside(request: Request) -> str:
    """The page that a link leads to, without the token: one of those there are, else the first."""
    if not PAGES.match(request.path):
        return "/"
    query = urlencode([(key, value) for key, value in request.args.items(multi=True) if key != "token"])
    return quote(request.path) + (f"?{query}" if query else "")


def printable(path: str) -> str:
    """A path as it may stand in a log: on one line, and not too long."""
    return ascii(path)[1:-1].replace('"', "%22")[:200]


def _is_of_another_site(request: Request) -> bool:
    origin = request.headers.get("Origin")
    if origin is not None and _host_of(origin) != request.headers.get("Host", "").lower():
        return True
    # A link on another site may lead here, but nothing there may load what is here.
    site, mode = request.headers.get("Sec-Fetch-Site"), request.headers.get("Sec-Fetch-Mode")
    return site in ("cross-site", "same-site") and mode != "navigate"


def _host_of(origin: str) -> str | None:
    """Host and port of an origin in lower case; None if it has none."""
    try:
        return urlsplit(origin).netloc.lower() or None
    except ValueError:
        return None
