"""Our pages in front of optuna-dashboard: all studies, live reports, several side by side, a root path."""

from __future__ import annotations

import gzip
import re
import threading
import time
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from urllib.parse import quote, urlencode

import optuna
import pytest
from werkzeug import Request, Response
from werkzeug.test import EnvironBuilder

import hpo as library
from hpo.dashboard.live import states
from hpo.dashboard.pages import Pages
from hpo.dashboard.pages.live_reports import LiveReports
from hpo.dashboard.pages.results import Results
from hpo.errors import DataError
from hpo.spec import FinalSpec
from hpo.storage import Storage
from tests.command import quick
from tests.dashboards import Dashboard, dashboard
from tests.recorded import comparison, created, record
from tests.tiny_studies import eventually

SEARCH = {
    "name": "rates",
    "kind": "search",
    "description": "How <fast> it may learn.",
    "data": {"name": "digits"},
    "trials": 6,
    "sampler": {"name": "random", "seed": 0},
    "params": {"hidden_units": [8], "epochs": 3},
    "space": {"learning_rate": {"low": 1e-4, "high": 1e-1, "log": True}},
}
RACED = SEARCH | {"name": "raced", "confirm": {"top": 2, "seeds": 2}}
ODD = 'odd "name" <b> & 100 %/../ä?#'


def runs(arm: str | None, seed: int) -> dict[str, float]:
    accuracy = (0.9 if arm == "fast" else 0.8) + 0.001 * seed
    return {"val_accuracy": accuracy, "val_loss": 1 - accuracy, "train_seconds": 1.0 + 0.1 * seed}


def final_of(study: library.Study) -> library.Study:
    spec = FinalSpec(
        name=f"{study.name}-final",
        kind="final",
        data={"name": "digits"},
        seeds=2,
        first_seed=1000,
        sources=[study.name],
        evaluation=1,
        params={"hidden_units": [8], "epochs": 3},
        arms=[{"name": "fast", "learning_rate": 0.02}],
    )
    return library.create_study(spec, storage=study.storage)


def raced_in(folder: Path) -> library.Study:
    """A search whose two leaders have been trained on two fresh seeds each."""
    study = created(library.StudySpec(**RACED), folder)
    record(study, runs)
    study.plan()
    record(study, lambda arm, seed: runs(arm, seed) | {"val_accuracy": 0.7 + 0.01 * seed})
    return study


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Studies of every kind: a search half done, a comparison with a final, one of another version."""
    folder = tmp_path_factory.mktemp("home")
    raced = created(
        library.StudySpec(**SEARCH | {"name": "raced", "confirm": {"top": 2, "seeds": 2}}), folder
    )
    record(raced, runs)
    raced.plan()
    record(raced, lambda arm, seed: runs(arm, seed) | {"val_accuracy": 0.7 + 0.01 * seed})
    search = library.create_study(library.StudySpec(**SEARCH), storage=raced.storage)
    record(search, runs, most=4)
    claim = search.storage.claim([search.id], owner="host-7", seconds=3600)
    assert claim is not None
    compared = library.create_study(comparison(["slow", "fast"]), storage=search.storage)
    record(compared, runs)
    record(final_of(compared), lambda arm, seed: runs(arm, seed) | {"test_accuracy": 0.88, "test_loss": 0.1})
    other = library.create_study(comparison(["a", "b"], name="newer"), storage=search.storage)
    other.optuna.set_user_attr("spec", other.optuna.user_attrs["spec"] | {"format": 99})
    plain = optuna.create_study(study_name=ODD, storage=search.storage.optuna)
    plain.add_trial(optuna.trial.create_trial(value=1.0))
    return folder


@pytest.fixture(scope="module")
def running(folder: Path) -> Iterator[Dashboard]:
    with dashboard(folder) as found:
        yield found


def cards(text: str) -> dict[str, str]:
    """The text of each study on the page by its name, in their order."""
    found = {}
    for card in re.findall(r'<article class="study.*?</article>', text, re.DOTALL):
        name = re.search(r"<h[23]>(?:<a [^>]*>)?(.*?)<", card, re.DOTALL)
        assert name is not None
        found[unescape(name[1])] = unescape(re.sub(r"\s+", " ", card))
    return found


# -------------------------------------------------------------------------------------------- all studies


def test_every_study_is_there_newest_first_with_finals_below_their_own(running: Dashboard) -> None:
    reply = running.get("/")
    assert (reply.status, reply.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert list(cards(reply.text)) == ["newer", "comparison", "comparison-final", "rates", "raced", ODD]
    assert 'class="study final"' in cards(reply.text)["comparison-final"]


def test_a_search_shows_its_best_value_its_progress_and_who_trains_it(running: Dashboard) -> None:
    card = cards(running.get("/").text)["rates"]
    assert "How <fast> it may learn." in card
    assert "<strong>0.803</strong> val_accuracy of trial #3" in card
    assert 'running</span> 4 of 6 trials · <span class="running">1 in training' in card
    assert 'by <span title="host-7">host-7</span>' in card
    assert "best value so far over 4 trials: from 0.8 to 0.803" in card
    assert '<rect class="complete" x="0.000%" width="66.667%"' in card
    for link in ("/studies/rates", f"/dashboard/studies/{running.study('rates')}"):
        assert f'href="{link}"' in card


def test_a_search_whose_leaders_were_raced_shows_what_the_winner_has_on_fresh_seeds(
    running: Dashboard,
) -> None:
    eventually(lambda: "on fresh seeds</p>" in cards(running.get("/").text)["raced"], within=60)
    card = cards(running.get("/").text)["raced"]
    assert re.findall(r'class="best">(.*?)</p>', card) == [
        "<strong>0.715</strong> val_accuracy of trial #1 on fresh seeds"
    ]


def test_a_comparison_shows_its_verdicts_once_they_are_computed(running: Dashboard) -> None:
    eventually(lambda: "better: fast (+0.1" in cards(running.get("/").text)["comparison"], within=60)
    card = cards(running.get("/").text)["comparison"]
    assert "done</span> 10 of 10 trials" in card
    assert "values by arm, mean of each: slow 0.802, fast 0.902" in card
    eventually(lambda: "0.88 ± 0" in cards(running.get("/").text)["comparison-final"], within=60)


def test_a_study_of_another_version_says_why_and_has_no_report(running: Dashboard) -> None:
    card = cards(running.get("/").text)["newer"]
    assert "its specification is of format 99" in card
    assert "/studies/newer" not in card
    reply = running.get("/studies/newer")
    assert reply.status == 409
    assert "its specification is of format 99" in reply.text


def test_the_fragment_has_the_same_studies_and_nothing_around_them(running: Dashboard) -> None:
    fragment = running.get("/home").text
    assert cards(fragment).keys() == cards(running.get("/").text).keys()
    assert "<html" not in fragment


def test_nothing_but_its_own_style_and_script_is_used(running: Dashboard) -> None:
    reply = running.get("/")
    policy = reply.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy
    assert " style=" not in reply.text
    assert not re.search(r"(?:src|href)=\"(?:https?:)?//", reply.text)
    assert reply.headers["Cache-Control"] == "no-store"
    packed = running.get("/", Accept_Encoding="gzip")
    assert packed.headers["Content-Encoding"] == "gzip"
    assert b"<article" in gzip.decompress(packed.body)


@pytest.mark.slow
def test_a_worker_s_trial_is_seen_without_a_restart(tmp_path: Path) -> None:
    study = created(library.StudySpec(**SEARCH), tmp_path)
    with dashboard(tmp_path) as running:
        assert "waiting</span> 0 of 6 trials" in cards(running.get("/").text)["rates"]
        record(study, runs, most=1)
        time.sleep(1.1)  # within a second clients share an answer
        card = cards(running.get("/").text)["rates"]
        assert "1 of 6 trials" in card
        assert "<strong>0.8</strong> val_accuracy of trial #0" in card
        study.stop()
        time.sleep(1.1)
        assert "stopped</span> 1 of 6" in cards(running.get("/").text)["rates"]


def test_without_a_study_the_page_says_how_to_begin(tmp_path: Path) -> None:
    Storage(f"sqlite:///{tmp_path}/hpo.db", create=True)
    with dashboard(tmp_path) as running:
        reply = running.get("/")
    assert reply.status == 200
    assert "hpo init\nhpo run study.toml" in reply.text


# ----------------------------------------------------------------------------------------------- reports


def test_a_live_report_is_the_report_of_now(running: Dashboard) -> None:
    reply = report(running, "/studies/comparison")
    assert reply.status == 200
    assert "<h1>Report: comparison</h1>" in reply.text
    assert "fast is better than slow by val_accuracy" in reply.text
    assert '<a href="/">Home</a>' in reply.text
    nonce = re.search(r"script-src 'nonce-([\w-]+)'", reply.headers["Content-Security-Policy"])
    assert nonce is not None
    assert f'<script nonce="{nonce[1]}" src="/static/plotly.js"></script>' in reply.text
    assert len(reply.body) < 500_000


def report(running: Dashboard, path: str):  # type: ignore[no-untyped-def]
    """The reply once the report has been made."""
    eventually(lambda: running.get(path).status != 202, within=120)
    return running.get(path)


def test_plotly_s_script_is_sent_once(running: Dashboard) -> None:
    reply = running.get("/static/plotly.js", Accept_Encoding="gzip")
    assert reply.headers["Content-Type"] == "text/javascript; charset=utf-8"
    assert b"plotly.js v" in gzip.decompress(reply.body)[:200]
    again = running.get("/static/plotly.js", If_None_Match=reply.headers["ETag"])
    assert (again.status, again.body) == (304, b"")


def test_studies_side_by_side_are_ranked_together(running: Dashboard) -> None:
    query = urlencode([("study", "comparison"), ("study", "rates"), ("study", "rates")])
    reply = report(running, f"/compare?{query}")
    assert reply.status == 200
    for text in ("<h1>Side by side: comparison, rates</h1>", "All studies</h2>", "rates</h2>"):
        assert text in reply.text


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("/studies/nothing", 404, "There is no study 'nothing' here."),
        ("/studies/", 404, "There is no study '' here."),
        (f"/studies/{quote(ODD, safe='')}", 409, "was not created by hpo"),
        (f"/studies/{quote(ODD)}", 409, "was not created by hpo"),
        ("/studies/%3Cscript%3E", 404, "There is no study '<script>' here."),
        ("/studies/%FF%FE", 404, "There is no study"),
        ("/studies/a%00b%0A", 404, "There is no study"),
        (f"/studies/{'x' * 5000}", 404, "There is no study"),
        ("/compare", 400, "Choose two or more studies"),
        ("/compare?study=nothing&study=rates", 404, "There is no study 'nothing' here."),
        ("/compare?study=rates&study=newer", 409, "its specification is of format 99"),
        ("/compare?" + "&".join(f"study={n}" for n in range(21)), 400, "At most 20 studies"),
    ],
)
def test_what_is_not_there_is_told_on_a_page(path: str, status: int, said: str, running: Dashboard) -> None:
    reply = running.get(path)
    assert reply.status == status
    assert said in unescape(reply.text)
    assert "<script>" not in reply.text
    assert 'href="/">Home</a>' in reply.text
    assert "unsafe" not in reply.headers["Content-Security-Policy"]


@pytest.mark.long
def test_a_study_that_is_deleted_while_its_page_is_open_is_told_so(tmp_path: Path) -> None:
    study = created(comparison(["slow", "fast"], seeds=2), tmp_path)
    record(study, runs)
    with dashboard(tmp_path) as running:
        assert report(running, "/studies/comparison").status == 200
        study.delete()
        time.sleep(1.1)
        assert running.get("/studies/comparison").status == 404
        assert "hpo init" in running.get("/").text
        # One of the same name is another one.
        again = library.create_study(comparison(["slow", "fast"], seeds=2), storage=study.storage)
        record(again, lambda arm, seed: runs(None, seed))
        time.sleep(1.1)
        running.process.terminate()
        _, said = running.process.communicate()
    assert said == ""


def test_a_winner_is_shown_as_long_as_the_study_is_the_one_that_it_has_won(tmp_path: Path) -> None:
    study = raced_in(tmp_path)
    results = Results(study.storage, seconds=3600)
    try:
        before = states(study.storage.overview())
        results.ask_for(before)
        eventually(lambda: bool(results.known(before)), within=60)
        assert results.known(before)["raced"].confirmed == (1, pytest.approx(0.715))
        library.create_study(library.StudySpec(**RACED | {"trials": 9}), storage=study.storage)
        later = results.known(states(study.storage.overview()))["raced"]
        assert (later.confirmed, later.line) == (None, results.known(before)["raced"].line)
    finally:
        results.close()


def test_a_report_of_a_study_in_training_is_not_made_at_every_request(tmp_path: Path) -> None:
    study = created(library.StudySpec(**SEARCH), tmp_path)
    record(study, runs, most=2)
    made: list[float] = []
    reports = LiveReports(study.storage, root="", seconds=0.5)
    make = reports._live._make
    reports._live._make = lambda names: (made.append(time.monotonic()), make(names))[1]
    try:
        first = reports.get(("rates",), states(study.storage.overview()))
        assert first is not None
        for _ in range(3):
            assert reports.get(("rates",), states(study.storage.overview())) is first
        record(study, runs, most=1)
        clients = [
            threading.Thread(target=reports.get, args=(("rates",), states(study.storage.overview())))
            for _ in range(6)
        ]
        for client in clients:
            client.start()
        for client in clients:
            client.join()
        eventually(lambda: reports.get(("rates",), states(study.storage.overview())) is not first, within=30)
        assert len(made) == 2
        assert made[1] - made[0] >= 0.5
    finally:
        reports.close()


@pytest.fixture
def pages(tmp_path: Path) -> Iterator[Pages]:
    """Our pages alone, in this process, of one comparison."""
    study = created(comparison(["slow", "fast"], seeds=2), tmp_path)
    record(study, runs)
    found = Pages(lambda _: Response(status=418), study.storage)
    yield found
    found.close()


def asked(pages: Pages, path: str) -> Response:
    return pages(Request(EnvironBuilder(path=path).get_environ()))


def test_while_a_report_takes_long_a_page_says_so_and_asks_again(
    pages: Pages, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hpo.dashboard.pages.live_reports.WAIT_SECONDS", 0.0)
    reply = asked(pages, "/studies/comparison")
    assert reply.status_code == 202
    assert '<meta http-equiv="refresh" content="2">' in reply.get_data(as_text=True)
    eventually(lambda: asked(pages, "/studies/comparison").status_code == 200, within=60)


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (DataError("data digits", "cannot be had"), 503, "data digits: cannot be had."),
        (ZeroDivisionError("secret"), 500, "the dashboard's log has more"),
    ],
)
def test_a_report_that_cannot_be_made_is_told_and_made_once_it_can(
    pages: Pages,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
    status: int,
    said: str,
) -> None:
    def fails(_: object) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr("hpo.report.compose", fails)
        reply = asked(pages, "/studies/comparison")
        assert (reply.status_code, said in unescape(reply.get_data(as_text=True))) == (status, True)
        assert "secret" not in reply.get_data(as_text=True)
    assert len([line for line in caplog.records if "cannot be reported on" in line.message]) == 1
    pages._reports._live._seconds = 0.05
    eventually(lambda: asked(pages, "/studies/comparison").status_code == 200, within=60)


def test_all_else_is_passed_on(pages: Pages) -> None:
    for path in ("/dashboard", "/homes", "/static/bundle.js", "/compares", "/study"):
        assert asked(pages, path).status_code == 418


# ------------------------------------------------------------------------------- arms in optuna-dashboard


def test_trials_of_a_comparison_have_arm_seed_and_what_differs_as_parameters(
    running: Dashboard, folder: Path
) -> None:
    study = running.study("comparison")
    found = running.json(f"/api/studies/{study}")
    for trial in found["trials"]:
        shown = {param["name"]: param["param_external_value"] for param in trial["params"]}
        attributes = {attribute["key"]: attribute["value"] for attribute in trial["user_attrs"]}
        assert shown["arm"] == attributes["arm"]
        assert shown["seed"] == attributes["seed"]
        assert float(shown["learning_rate"]) == (0.01 if shown["arm"] == "slow" else 0.02)
        assert len(shown) == 3
    space = {one["name"]: one["distribution"] for one in found["union_search_space"]}
    assert found["intersection_search_space"] == found["union_search_space"]
    assert [choice["value"] for choice in space["arm"]["choices"]] == ["slow", "fast"]
    assert (space["seed"]["low"], space["seed"]["high"]) == (0, 4)
    assert {param["name"] for param in found["best_trials"][0]["params"]} == set(space)
    (importances,) = running.json(f"/api/studies/{study}/param_importances")["param_importances"]
    shares = {entry["name"]: entry["importance"] for entry in importances}
    assert shares["arm"] == pytest.approx(shares["learning_rate"])
    assert 0.99 < shares["arm"] < 1
    assert shares["arm"] + shares["seed"] == pytest.approx(1)
    for plot in ("slice", "parallel_coordinate", "contour", "rank"):
        assert "learning_rate" in running.get(f"/api/studies/{study}/plot/{plot}").text
    # Nothing of it is in the database.
    stored = library.open_study("comparison", storage=f"sqlite:///{folder / 'hpo.db'}")
    assert all(trial.params == {} for trial in stored.frozen_trials)


@pytest.mark.long
def test_an_arm_that_is_added_is_a_parameter_of_all_trials(tmp_path: Path) -> None:
    study = created(comparison(["slow", "fast"], seeds=2), tmp_path)
    record(study, runs)
    with dashboard(tmp_path) as running:
        path = f"/api/studies/{study.id}"
        assert len(running.json(path)["trials"][0]["params"]) == 3
        more = comparison(["slow", "fast", "faster"], seeds=2)
        library.create_study(more, storage=study.storage)
        time.sleep(2.1)
        found = running.json(path)
        choices = {
            tuple(choice["value"] for choice in param["distribution"]["choices"])
            for trial in found["trials"]
            for param in trial["params"]
            if param["name"] == "arm"
        }
        assert choices == {("slow", "fast", "faster")}


# --------------------------------------------------------------------------------------- behind a prefix


@pytest.fixture(scope="module")
def below(folder: Path) -> Iterator[Dashboard]:
    """A dashboard that a reverse proxy serves below /hpo."""
    with dashboard(folder, "--root-path", "/hpo/") as found:
        yield found


@pytest.mark.parametrize("kept", ["", "/hpo"])
def test_below_a_path_all_links_lead_below_it(below: Dashboard, kept: str) -> None:
    assert below.link.startswith(f"{below.address}/hpo/?token=")
    entered = below.send("GET", f"{kept}/?token={below.token}", login=False)
    assert "url=/hpo/" in entered.text
    assert "Path=/hpo" in entered.headers["Set-Cookie"]
    pages = ["/", "/dashboard", "/studies/nothing", "/dashboard/studies/1", "/studies/comparison"]
    for path in pages:
        page = report(below, kept + path)
        assert page.status in (200, 404), path
        links = re.findall(r"(?:href|src|action|data-source)=\"(/[^\"]*)", page.text)
        assert links, path
        assert all(link.startswith("/hpo/") for link in links), (path, links)
    assert below.get(f"{kept}/api/studies").status == 200
    away = below.get(f"{kept}/incompatible-rdb-schema")
    assert (away.status, away.headers["Location"]) == (302, "/hpo/dashboard")


def test_below_a_path_optuna_dashboard_s_script_asks_below_it(below: Dashboard) -> None:
    script = below.get("/hpo/static/bundle.js", Accept_Encoding="gzip")
    text = gzip.decompress(script.body)
    assert b'url_prefix:"/hpo/dashboard"' in text
    # Every path that stands in it is below the prefix.
    assert not re.search(rb"[`\"(](?:/api/|/csv/|/artifacts/)", text)
    assert below.json("/api/meta")["jupyterlab_extension_context"] == {"base_url": "/hpo"}
    again = below.get("/hpo/static/bundle.js", If_None_Match=script.headers["ETag"])
    assert (again.status, again.body) == (304, b"")


@pytest.mark.parametrize("path", ["hpo", "/a b", "/a//b", "/../x", "/a?b", "http://x"])
def test_a_root_path_that_is_none_is_refused(path: str, folder: Path) -> None:
    done = quick("dashboard", "--port=0", "--no-browser", f"--root-path={path}", folder=folder)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "--root-path: must begin with a slash, and consist of letters, digits, -, _, ., ~ and slashes, "
        f"but got {path!r}. Example: --root-path /hpo.\n"
    )
