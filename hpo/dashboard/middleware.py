"""A WSGI application as a function from request to response, and what the functions around it share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
from werkzeug import Request, Response

Handler = Callable[[Request], Response]


def wsgi_handler(application: Any) -> Handler:
    """A WSGI application as a handler. Files are passed on in pieces, all else whole."""

    def handle(request: Request) -> Response:
        response = Response.from_app(application, request.environ, buffered=False)
        if not request.path.startswith("/artifacts/"):
            response.make_sequence()
        return response

    return handle


def with_environ(request: Request, **environ: str) -> Request:
    """The same request with other WSGI variables; nothing that was read of the first one is shared."""
    own = {
        key: value for key, value in request.environ.items() if not key.startswith(("bottle.", "werkzeug."))
    }
    return Request(own | environ)


def one_line(request: Request, status: int, line: str, **headers: str) -> Response:
    """An answer of one line; of the API as optuna-dashboard's pages show it."""
    if request.path.startswith("/api/"):
        response = Response(orjson.dumps({"reason": line.strip()}), status, mimetype="application/json")
    else:
        response = Response(f"{line.strip()}\n", status, content_type="text/plain; charset=utf-8")
    response.headers.extend(headers)
    return response
