"""The dashboard's guard: a real server, and those who have no token, other sites and hostile programs."""

from __future__ import annotations

import base64
import random
import re
import shutil
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import optuna
import optuna_dashboard
import pytest
from optuna.trial import TrialState

import hpo as library
from tests.command import Trained, quick
from tests.dashboards import Dashboard, dashboard

HTML = base64.b64encode(b"<script>alert(1)</script>").decode()
PAGE = {"file": f"data:text/html;base64,{HTML}", "filename": "page.html"}
# Nothing that a route takes; the routes that need a body take one of these, or say what is wrong.
BODIES: list[Any] = [
    {"study_name": "new", "directions": ["minimize"]},
    {"state": "complete", "values": ["nan"]},
    {"user_attrs": {"arm": "forged"}},
    {"body": "note", "version": 1},
    {"mode": "ChooseWorst", "candidates": [0], "clicked": 0},
    {"output_type": "note"},
    PAGE,
]


def mutating() -> list[tuple[str, str]]:
    """Every route of the installed optuna-dashboard that is no GET."""
    app = optuna_dashboard.wsgi(optuna.storages.InMemoryStorage())
    return sorted({(route.method, route.rule) for route in app.routes if route.method != "GET"})


@pytest.fixture(scope="module")
def folder(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the trained studies, with a trial that is in training."""
    copy = tmp_path_factory.mktemp("guarded")
    for name in ("hpo.db", "hpo-artifacts"):
        whole = trained.folder / name
        shutil.copytree(whole, copy / name) if whole.is_dir() else _copy_database(whole, copy / name)
    study = library.open_study("search", storage=f"sqlite:///{copy}/hpo.db")
    trial = optuna.trial.create_trial(state=TrialState.WAITING)
    assert study.storage.add_trials(study.id, [trial], after=4)
    assert study.storage.claim([study.id], owner="worker", seconds=3600) is not None
    return copy


def _copy_database(source: Path, target: Path) -> None:
    with closing(sqlite3.connect(source)) as old, closing(sqlite3.connect(target)) as new:
        old.backup(new)


@pytest.fixture(scope="module")
def running(folder: Path) -> Iterator[Dashboard]:
    with dashboard(folder) as found:
        yield found


@pytest.fixture(scope="module")
def own(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the studies that may be changed."""
    copy = tmp_path_factory.mktemp("writable")
    shutil.copytree(folder / "hpo-artifacts", copy / "hpo-artifacts")
    _copy_database(folder / "hpo.db", copy / "hpo.db")
    return copy


@pytest.fixture(scope="module")
def writable(own: Path) -> Iterator[Dashboard]:
    """A dashboard that is not read-only."""
    with dashboard(own, "--read-write") as found:
        yield found


def content(folder: Path) -> tuple[list[str], dict[str, bytes]]:
    """All that a storage holds: the database as SQL, and the files of artifacts."""
    with closing(sqlite3.connect(folder / "hpo.db")) as database:
        rows = list(database.iterdump())
    return rows, {path.name: path.read_bytes() for path in (folder / "hpo-artifacts").iterdir()}


def filled(rule: str, running: Dashboard) -> str:
    """A route's path, about the study `search` and its trial in training."""
    study = running.study("search")
    trials = running.json(f"/api/studies/{study}")["trials"]
    path = rule.replace("<study_id:int>", str(study)).replace("<trial_id:int>", str(trials[-1]["trial_id"]))
    artifact = trials[0]["artifacts"][0]["artifact_id"]
    path = re.sub("<artifact_id:[^>]*>", artifact, path).replace("<history_id>", "0")
    assert "<" not in path, "this test does not know a variable of a route"
    return path


# ---------------------------------------------------------------------------------------------- read-only


@pytest.mark.parametrize(("method", "rule"), mutating())
def test_no_route_changes_anything_read_only(
    method: str, rule: str, running: Dashboard, folder: Path
) -> None:
    path = filled(rule, running)
    before = content(folder)
    for body in [None, *BODIES]:
        reply = running.send(method, path, body=body)
        assert reply.status == 405
        assert reply.headers["Allow"] == "GET, HEAD"
        assert "read-only" in reply.text
    assert content(folder) == before


@pytest.mark.parametrize("method", ["PATCH", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "get", "POST "])
def test_no_other_method_gets_through(method: str, running: Dashboard, folder: Path) -> None:
    before = content(folder)
    request = (
        f"{method} /api/studies HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {running.token}\r\n\r\n"
    )
    status = raw(running, request.encode())
    assert status in (400, 405)
    assert content(folder) == before


def test_a_method_in_a_header_is_no_method(running: Dashboard, folder: Path) -> None:
    before = content(folder)
    study = running.study("search")
    for name in ("X_HTTP_Method_Override", "X_Method_Override", "X_HTTP_Method"):
        assert running.get(f"/api/studies/{study}", **{name: "DELETE"}).status == 200
    assert content(folder) == before


# --------------------------------------------------------------------------------------------- read-write


def test_a_study_in_training_is_not_deleted(writable: Dashboard, own: Path) -> None:
    before = content(own)
    reply = writable.send("DELETE", f"/api/studies/{writable.study('search')}", body={})
    assert reply.status == 409
    assert "1 trial of this study" in reply.json["reason"]
    assert content(own) == before


def test_what_workers_write_is_never_written_by_others(writable: Dashboard, own: Path) -> None:
    before = content(own)
    for method, rule in mutating():
        if rule.endswith(("/tell", "/user-attrs", "/rename")):
            for body in [*BODIES, {"state": "complete", "values": [1.0]}]:
                assert writable.send(method, filled(rule, writable), body=body).status == 403
    assert content(own) == before


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"{", "application/json", 400),
        (b'{"version": NaN, "body": "x"}', "application/json", 400),
        (b"[1, 2]", "application/json", 400),
        (b"\xff\xfe", "application/json", 400),
        (b"[" * 100_000, "application/json", 400),
        (b'{"version": 1, "body": "x"}', "text/plain", 415),
        (b"version=1&body=x", "application/x-www-form-urlencoded", 415),
        (b"x" * (65 * 2**20), "application/json", 413),
    ],
)
def test_bad_bodies_are_refused_and_change_nothing(
    body: bytes, kind: str, status: int, writable: Dashboard, own: Path
) -> None:
    before = content(own)
    path = f"/api/studies/{writable.study('search')}/note"
    if status == 413:
        # The server hangs up on who goes on sending.
        head = f"PUT {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
        assert raw(writable, head.encode()) == 413
    else:
        assert writable.send("PUT", path, body=body, Content_Type=kind).status == status
    assert writable.get("/api/studies").status == 200
    assert content(own) == before


# -------------------------------------------------------------------------------------------------- token


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/dashboard",
        "/api/studies",
        "/api/meta",
        "/static/bundle.js",
        "/favicon.ico",
        "/csv/1",
        "/nothing",
        "/home",
        "/studies/search",
        "/compare",
        "/static/plotly.js",
    ],
)
def test_without_the_token_there_is_nothing_but_the_login_line(path: str, running: Dashboard) -> None:
    reply = running.send("GET", path, login=False)
    assert reply.status == 401
    said = reply.json["reason"] if path.startswith("/api/") else reply.text.strip()
    assert said == "This dashboard opens by the link, with its token, that `hpo dashboard` printed."
    assert running.send("POST", path, login=False).status == 401


def test_wrong_tokens_and_cookies_do_not_open_it(folder: Path) -> None:
    with dashboard(folder) as running:
        cookie = f"hpo-{running.port}"
        for wrong in ("", "x", running.token[:-1], running.token + "x", "\xff\xfe"):
            assert running.send("GET", "/", login=False, Cookie=f"{cookie}={wrong}").status == 401
        # The cookie is not the token.
        assert running.send("GET", "/", login=False, Cookie=f"{cookie}={running.token}").status == 401
        good = (
            running.send("GET", f"/?token={running.token}", login=False).headers["Set-Cookie"].split(";")[0]
        )
        for _ in range(10):
            assert running.send("GET", "/?token=wrong", login=False).status == 401
        # From now on not even the right one is looked at; who is logged in stays so.
        for path, headers in [
            (f"/?token={running.token}", {}),
            ("/", {"Authorization": f"Bearer {running.token}"}),
        ]:
            limited = running.send("GET", path, login=False, **headers)
            assert limited.status == 429
            assert limited.headers["Retry-After"] == "60"
        assert running.send("GET", "/api/studies", login=False, Cookie=good).status == 200
        running.process.terminate()
        _, said = running.process.communicate()
    assert said.splitlines() == ["a wrong token from 127.0.0.1"] * 10


def test_the_link_leads_to_the_page_that_it_names_and_nowhere_else(running: Dashboard) -> None:
    for path, leads_to in [
        ("/", "/"),
        ("/dashboard/studies/1", "/dashboard/studies/1"),
        ("/studies/a%20b", "/studies/a%20b"),
        ("/dashboards", "/"),
        ("//elsewhere.example", "/"),
        ('/dashboard/"><script>', "/dashboard/%22%3E%3Cscript%3E"),
    ]:
        reply = running.send("GET", f"{path}?token={running.token}", login=False)
        assert reply.status == 200
        assert f'content="0; url={leads_to}"' in reply.text
    reply = running.send("GET", f"/compare?study=a&token={running.token}&study=b%26", login=False)
    assert 'content="0; url=/compare?study=a&amp;study=b%26"' in reply.text


def test_the_access_log_has_no_tokens(folder: Path) -> None:
    with dashboard(folder, "--access-log") as running:
        running.send("GET", f"/dashboard?token={running.token}", login=False)
        running.get('/api/studies/1?x="')
        running.send("GET", "/%0Aforged", login=False)
        running.process.terminate()
        _, log = running.process.communicate()
    assert running.token not in log
    lines = log.splitlines()
    assert [line.split()[1:4] for line in lines] == [
        ['"GET', '/dashboard"', "200"],
        ['"GET', '/api/studies/1"', "200"],
        ['"GET', '/\\nforged"', "401"],
    ]


def test_no_token_lets_this_machine_in_and_is_not_for_others(folder: Path) -> None:
    with dashboard(folder, "--no-token") as running:
        assert running.link == f"{running.address}/"
        assert running.get("/api/studies").status == 200
        assert running.get("/api/studies", Host="elsewhere.example").status == 403
        assert running.send("POST", "/api/studies", body=BODIES[0]).status == 405
    done = quick("dashboard", "--no-token", "--host", "0.0.0.0", folder=folder)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "--no-token: is for this machine alone, but got --host 0.0.0.0. Leave out one of them.\n"
    )


def test_for_other_machines_it_says_to_put_tls_in_front(folder: Path) -> None:
    with dashboard(folder, "--host", "0.0.0.0", "--allowed-host", "studies.example") as running:
        name = running.link.split("/")[2].split(":")[0]
        assert name == socket.gethostname()
        for host in ("studies.example", "STUDIES.example:443", name, "10.1.2.3:80", "[::1]:9"):
            assert running.get("/api/studies", Host=host).status == 200, host
            assert running.send("GET", "/api/studies", login=False, Host=host).status == 401
        assert running.get("/api/studies", Host="elsewhere.example").status == 403
        running.process.terminate()
        _, rest = running.process.communicate()
    assert (
        rest
        == "Others on the network can reach it, and what they send can be read: put TLS in front of it.\n"
    )


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("short\n", "must begin with a line of at least 32 letters, digits, -, _, . or ~."),
        ("", "must begin with a line of at least 32 letters, digits, -, _, . or ~."),
        (f"{'a b' * 20}\n", "must begin with a line of at least 32 letters, digits, -, _, . or ~."),
        (None, "cannot be read or made: No such file or directory"),
    ],
)
def test_a_bad_token_file_is_told_in_one_line(
    content: str | None, says: str, folder: Path, tmp_path: Path
) -> None:
    file = tmp_path / "token" if content is not None else tmp_path / "nowhere" / "token"
    if content is not None:
        file.write_text(content)
    done = quick("dashboard", "--port", "0", "--token-file", file, folder=folder)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"token file {file}: {says}")


def test_a_host_that_is_not_this_machine_s_is_told_in_one_line(folder: Path) -> None:
    for host, why in [
        ("192.0.2.1", "Cannot assign requested address"),
        ("no.such.invalid", "there is no such host"),
    ]:
        done = quick("dashboard", "--host", host, "--port", "8090", folder=folder)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr == f"host {host}, port 8090: cannot be used: {why}. Choose another: --port.\n"


# ------------------------------------------------------------------------------------------- other sites


@pytest.mark.parametrize(
    "host",
    ["elsewhere.example", "localhost.elsewhere.example", "", "[", "localhost@elsewhere.example:1", "a b"],
)
def test_a_foreign_host_is_refused(host: str, running: Dashboard) -> None:
    assert running.get("/api/studies", Host=host).status == 403


def test_a_request_without_host_is_refused(running: Dashboard) -> None:
    request = f"GET /api/studies HTTP/1.0\r\nAuthorization: Bearer {running.token}\r\n\r\n"
    assert raw(running, request.encode()) == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://elsewhere.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:1"},
        {"Origin": "http://[", "Host": "localhost"},
        {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "no-cors"},
        {"Sec_Fetch_Site": "same-site", "Sec_Fetch_Mode": "cors"},
    ],
)
def test_another_site_s_page_is_refused(headers: dict[str, str], writable: Dashboard, own: Path) -> None:
    before = content(own)
    study = writable.study("comparison")
    assert writable.get(f"/api/studies/{study}", **headers).status == 403
    assert writable.send("DELETE", f"/api/studies/{study}", body={}, **headers).status == 403
    assert content(own) == before


def test_its_own_pages_and_links_to_it_get_through(running: Dashboard) -> None:
    own = f"localhost:{running.port}"
    assert running.get("/api/studies", Host=own, Origin=f"http://{own}").status == 200
    assert running.get("/dashboard", Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="navigate").status == 200


def test_every_answer_has_the_security_headers(running: Dashboard) -> None:
    trial = running.json(f"/api/studies/{running.study('search')}")["trials"][0]
    artifact = f"/artifacts/{trial['study_id']}/{trial['trial_id']}/{trial['artifacts'][0]['artifact_id']}"
    for path in ("/dashboard", "/api/studies", "/static/bundle.js", "/nothing", "/csv/1", artifact):
        headers = running.get(path).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["X-Frame-Options"] == "DENY"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert "default-src" in headers["Content-Security-Policy"]
        assert headers["Cache-Control"] == ("no-cache" if path.startswith("/static") else "no-store")
        assert headers["Server"] is None
        assert headers["Access-Control-Allow-Origin"] is None


def test_an_uploaded_page_is_a_download_that_runs_nothing(writable: Dashboard) -> None:
    study = writable.study("search")
    path = (
        f"/artifacts/{study}/"
        + writable.send("POST", f"/api/artifacts/{study}", body=PAGE).json["artifact_id"]
    )
    reply = writable.get(path)
    assert reply.body == b"<script>alert(1)</script>"
    assert reply.headers["Content-Disposition"] == "attachment"
    assert reply.headers["X-Content-Type-Options"] == "nosniff"
    assert reply.headers["Content-Security-Policy"].startswith("sandbox; default-src 'none'")
    assert reply.headers["Access-Control-Allow-Origin"] is None
    assert reply.headers["Cross-Origin-Resource-Policy"] == "same-origin"


def test_notes_artifacts_and_studies_can_be_changed_read_write(writable: Dashboard, own: Path) -> None:
    study = writable.study("search")
    version = writable.json(f"/api/studies/{study}")["note"]["version"]
    note = {"body": "my note", "version": version + 1}
    assert writable.send("PUT", f"/api/studies/{study}/note", body=note).status == 204
    # At once, though answers are shared for a second.
    assert writable.json(f"/api/studies/{study}")["note"]["body"] == "my note"
    assert writable.send("POST", f"/api/artifacts/{study}", body=PAGE).status == 201
    artifact = writable.json(f"/api/studies/{study}")["artifacts"][-1]
    assert artifact["filename"] == "page.html"
    comparison = writable.study("comparison")
    assert writable.send("DELETE", f"/api/studies/{comparison}", body={}).status == 204
    names = [summary.name for summary in library.list_studies(storage=f"sqlite:///{own}/hpo.db")]
    assert names == ["search"]
    found = quick("doctor", folder=own)
    assert "artifact" not in found.stdout, found.stdout


# ----------------------------------------------------------------------------------------------- hostile


def raw(running: Dashboard, request: bytes) -> int:
    """The status of the answer to these bytes; 0 if there is none."""
    with socket.create_connection(("127.0.0.1", running.port), timeout=30) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        while block := connection.recv(65536):
            answer += block
    assert b"Traceback" not in answer
    found = re.match(rb"HTTP/1\.[01] (\d{3})", answer)
    return int(found[1]) if found else 0


PIECES = """studies trials artifacts api csv static dashboard plot slice note tell 1 2 0 -1 ~ ; {} %s%n
99999999999999999999 2147483648 1e9 .. %2e%2e %2f %00 %0d%0aX:%20y %ff%fe bundle.js hpo.db ' " <script>
\\ ..%2f..%2fhpo.db %F0%9F%98%80 contour rank incompatible-rdb-schema rename param_importances"""
QUERIES = """? ?after= ?after=-1 ?after=nan ?after=1&after=2 ?after=99999999999999999999999 ?after=%00
?after=1e3 ?after[]=1 ?trial_ids=1,2 ?trial_ids=, ?trial_ids=x ?trial_ids=%27%20OR%201=1 ?token= ?%ff"""
METHODS = ["GET"] * 12 + ["HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "G\x00T", ""]
HEADERS = """Host: localhost
Host: evil.example
Host:
Accept-Encoding: \xff
Accept-Encoding: gzip;q=nan
Accept-Encoding: *;q=0
Range: bytes=0-
Range: bytes=-1,5-x
If-Modified-Since: never
If-None-Match: *
Content-Length: -1
Content-Length: 99999999999
Content-Length: 5
Transfer-Encoding: chunked
Transfer-Encoding: x
Expect: 100-continue
Cookie: =;;=;hpo-1
Origin: http://evil.example
X-Forwarded-For: ' OR 1=1
X-Forwarded-Host: evil.example
Content-Type: application/json
Connection: upgrade
Upgrade: h2c
Authorization: Basic \xff
Authorization: Bearer
: no name
no colon"""


def hostile(draw: random.Random, cookie: str) -> bytes:
    """A request by somebody who is logged in and means harm."""
    path = "/" + "/".join(draw.choices([*PIECES.split(), "a" * 3000], k=draw.randint(0, 5)))
    if draw.random() < 0.5:
        path = draw.choice(["/api/studies/1", "/api/studies", "/csv/1", "/artifacts/1/1", "/static"]) + path
    query = draw.choice([*QUERIES.split(), "", "?" + "x=1&" * 500])
    lines = [f"{draw.choice(METHODS)} {path}{query} HTTP/1.1", "Host: localhost"]
    if draw.random() < 0.9:
        lines.append(f"Cookie: {cookie}")
    headers = [*HEADERS.splitlines(), "\x00: x", "X: " + "y" * 5000, "Cookie: " + "a=b; " * 300]
    lines += draw.choices(headers, k=draw.randint(0, 3))
    body = draw.choice([b"", b"", b"{}", b'{"values": ["nan"]}', b"\x00" * 100, b"5\r\nhello\r\n0\r\n\r\n"])
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


@pytest.mark.slow
def test_two_thousand_hostile_requests_do_no_harm(folder: Path) -> None:
    before, draw = content(folder), random.Random(0)
    with dashboard(folder) as running:
        found: dict[int, int] = {}
        # Wrong tokens among them would soon have the right one refused.
        cookie = running.get(f"/?token={running.token}").headers["Set-Cookie"].split(";")[0]
        for _ in range(2000):
            request = hostile(draw, cookie)
            status = raw(running, request)
            assert status < 500 or status == 501, request
            found[status] = found.get(status, 0) + 1
        assert running.get("/api/studies", Cookie=cookie).status == 200
        running.process.terminate()
        _, said = running.process.communicate()
    assert "Traceback" not in said
    assert content(folder) == before
    # They came to where an answer is made, too.
    assert found.keys() >= {200, 400, 401, 403, 404, 405}, found
