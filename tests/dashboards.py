"""A running `hpo dashboard`, and clients of it."""

from __future__ import annotations

import http.client
import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.command import environment
from tests.forks import Forked


@dataclass(frozen=True)
class Reply:
    """What a server has answered."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Dashboard:
    """A dashboard that runs; `link` is what it has printed."""

    process: Forked
    link: str

    @property
    def address(self) -> str:
        where = urlsplit(self.link)
        return f"{where.scheme}://{where.netloc}"

    @property
    def port(self) -> int:
        port = urlsplit(self.link).port
        assert port is not None
        return port

    @property
    def token(self) -> str:
        return parse_qs(urlsplit(self.link).query)["token"][0]

    def send(self, method: str, path: str, *, body: Any = None, login: bool = True, **headers: str) -> Reply:
        """One request on a connection of its own; with the token unless told otherwise.

        A body that is no bytes is sent as JSON. Headers are named with `_` for `-`.
        """
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if login and "?token=" in self.link:
            sent = {"Authorization": f"Bearer {self.token}"} | sent
        if body is not None and not isinstance(body, bytes):
            sent, body = {"Content-Type": "application/json"} | sent, json.dumps(body).encode()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, body=body, headers=sent)
            response = connection.getresponse()
            return Reply(response.status, response.headers, response.read())
        finally:
            connection.close()

    def get(self, path: str, **headers: str) -> Reply:
        return self.send("GET", path, **headers)

    def json(self, path: str) -> Any:
        reply = self.get(path)
        assert reply.status == 200, (path, reply.status, reply.body[:200])
        return reply.json

    def study(self, name: str) -> int:
        """The id of a study."""
        found = self.json("/api/studies")["study_summaries"]
        return next(study["study_id"] for study in found if study["study_name"] == name)


@contextmanager
def dashboard(folder: Path, *options: str | Path, port: int = 0, **variables: str) -> Iterator[Dashboard]:
    """A dashboard on the storage of a folder, from the moment that it has printed its link."""
    process = Forked(
        ["dashboard", "--port", str(port), "--no-browser", *options],
        cwd=folder,
        env=environment(**variables),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        assert process.stderr is not None
        line = process.stderr.readline()
        announced = re.search(r"http://\S+", line)
        assert announced is not None, line + process.stderr.read()
        yield Dashboard(process, announced[0])
    finally:
        process.kill()
        process.communicate()
