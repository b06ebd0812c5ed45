"""Artifacts as downloads: what somebody has uploaded runs nothing, and no page of another site reads it."""

from __future__ import annotations

from optuna.artifacts.exceptions import ArtifactNotFound
from werkzeug import Request, Response

from hpo.dashboard.middleware import Handler

# Even if a browser opens it.
SANDBOX = "sandbox; default-src 'none'; style-src 'unsafe-inline'"


def as_attachments(handler: Handler) -> Handler:
    """Sends artifacts as attachments."""

    def handle(request: Request) -> Response:
        try:
            response = handler(request)
        except ArtifactNotFound:  # it is named, and gone: no fault of the server's
            return Response("Not found.\n", 404, content_type="text/plain")
        if not request.path.startswith("/artifacts/"):
            return response
        response.headers.pop("Access-Control-Allow-Origin", None)
        response.headers["Content-Disposition"] = "attachment"
        response.headers["Content-Security-Policy"] = SANDBOX
        return response

    return handle
