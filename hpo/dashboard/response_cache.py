"""Answers that clients share, and what is worth it compressed once for all of them."""

from __future__ import annotations

import gzip
import re
import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass
from functools import cached_property

from werkzeug import Request, Response
from werkzeug.datastructures import Headers

from hpo.dashboard.middleware import Handler, with_environ

# Clients that poll at the same time get one answer: at most so much older than if each had its own.
SHARED_SECONDS = 1.0
COMPRESSED_BYTES = 1024
# A quarter longer than by the usual level, in a third of the time.
LEVEL = 1
# Pages that say the same to everybody, and ask the database.
SHARED = re.compile(r"/|/home|/compare|/(?:api|studies)/.*", re.DOTALL)
TEXTS = ("application/json", "text/", "image/svg+xml")


@dataclass(frozen=True)
class SharedResponse:
    """A whole response, which many clients may get."""

    status: int
    headers: Headers
    body: bytes

    @cached_property
    def compressed(self) -> bytes:
        """The body by gzip."""
        return gzip.compress(self.body, LEVEL, mtime=0)

    def response(self, request: Request) -> Response:
        """The answer for one client, compressed if that is worth it and the client takes it."""
        headers, body = self.headers.copy(), self.body
        if (
            len(body) >= COMPRESSED_BYTES
            and "Content-Encoding" not in headers
            and headers.get("Content-Type", "").startswith(TEXTS)
        ):
            headers.add("Vary", "Accept-Encoding")
            if request.accept_encodings.quality("gzip") > 0:
                headers["Content-Encoding"], body = "gzip", self.compressed
        headers["Content-Length"] = str(len(body))
        return Response(body, self.status, headers)


class ResponseCache:
    """Asks once for what several clients ask at the same time."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._lock = threading.Lock()
        self._asked: dict[str, tuple[float, Future[SharedResponse]]] = {}

    def __call__(self, request: Request) -> Response:
        if request.method == "HEAD":
            # The body is left out when the answer is sent.
            request = with_environ(request, REQUEST_METHOD="GET")
        if request.method != "GET":
            try:
                return self._handler(request)
            finally:
                with self._lock:
                    self._asked.clear()
        if request.path.startswith("/artifacts/"):
            return self._handler(request)
        if not SHARED.fullmatch(request.path):
            return self._ask(request).response(request)
        with self._lock:
            oldest = time.monotonic() - SHARED_SECONDS
            for key, (begun, asked) in list(self._asked.items()):
                if begun < oldest and asked.done():
                    del self._asked[key]
            is_first = request.full_path not in self._asked
            if is_first:
                self._asked[request.full_path] = time.monotonic(), Future()
            _, future = self._asked[request.full_path]
        if is_first:
            try:
                future.set_result(self._ask(request))
            except BaseException as error:
                future.set_exception(error)
        return future.result().response(request)

    def _ask(self, request: Request) -> SharedResponse:
        response = self._handler(request)
        return SharedResponse(response.status_code, response.headers, response.get_data())
