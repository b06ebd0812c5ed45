"""The dashboard in a real browser: what a person sees who opens the link."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pandas as pd
import pytest

import hpo
from tests.command import Trained
from tests.dashboards import Dashboard, dashboard
from tests.recorded import comparison, created, record

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium: apt-get install chromium"),
]
SECONDS = 30


@pytest.fixture(scope="module")
def running(trained: Trained) -> Iterator[Dashboard]:
    with dashboard(trained.folder) as found:
        yield found


@pytest.fixture(scope="module")
def browser() -> Iterator[playwright.Browser]:
    with playwright.sync_playwright() as started:
        # As root, as in a container, Chromium runs without its sandbox only.
        yield started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])


@pytest.fixture
def page(browser: playwright.Browser, running: Dashboard) -> Iterator[playwright.Page]:
    """A page of a new browser; what its console complains of fails the test."""
    with browser.new_context(accept_downloads=True) as context:
        page = context.new_page()
        page.set_default_timeout(1000 * SECONDS)
        complaints: list[str] = []
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
        yield page
        assert complaints == []


def test_the_link_leads_to_the_studies_and_to_their_graphs(page: playwright.Page, running: Dashboard) -> None:
    page.goto(running.link)
    page.wait_for_url(f"{running.address}/")
    page.locator(".study", has=page.get_by_role("link", name="comparison")).get_by_role(
        "link", name="optuna-dashboard"
    ).click()
    # optuna-dashboard's own graphs, and ours.
    page.get_by_text("Best Trial").wait_for()
    page.wait_for_function("document.querySelectorAll('.js-plotly-plot').length >= 4")
    page.get_by_text("validation loss").first.wait_for()


def test_the_note_says_what_the_study_has_shown(page: playwright.Page, running: Dashboard) -> None:
    page.goto(running.link)
    page.wait_for_url(f"{running.address}/")
    page.goto(f"{running.address}/dashboard/studies/{running.study('comparison')}/note")
    page.get_by_role("heading", name="Conclusions").wait_for()
    page.get_by_role("cell", name="[bold] faster").first.wait_for()


def test_a_trial_has_its_attributes_its_curve_and_files_to_download(
    page: playwright.Page, running: Dashboard, trained: Trained, tmp_path: Path
) -> None:
    study = running.study("search")
    trials = running.json(f"/api/studies/{study}")["trials"]
    best = max(trials, key=lambda trial: (len(trial["artifacts"]), trial["values"][0]))
    page.goto(running.link)
    page.wait_for_url(f"{running.address}/")
    page.goto(f"{running.address}/dashboard/studies/{study}/trials?numbers={best['number']}")
    page.get_by_role("heading", name=f"Trial {best['number']} ").wait_for()
    for text in ("hidden_units", "val_accuracy"):
        page.get_by_text(text).first.wait_for()
    # The pictures are shown, though all artifacts are downloads.
    for name in ("curves.svg", "confusion.svg"):
        picture = page.get_by_role("img", name=name)
        picture.wait_for()
        assert picture.evaluate("async image => { await image.decode(); return image.naturalWidth }") > 100
    card = page.locator(".MuiCard-root", has_text="curves.csv")
    with page.expect_download() as download:
        card.get_by_role("link").or_(card.locator("a[download]")).last.click()
    assert download.value.suggested_filename == "curves.csv"
    download.value.save_as(tmp_path / "curves.csv")
    assert pd.read_csv(tmp_path / "curves.csv")["epoch"].tolist() == [1, 2]


def test_studies_are_compared_side_by_side(page: playwright.Page, running: Dashboard) -> None:
    ids = ",".join(str(running.study(name)) for name in ("search", "comparison"))
    page.goto(running.link)
    page.wait_for_url(f"{running.address}/")
    page.goto(f"{running.address}/dashboard/compare-studies?ids={ids}")
    for name in ("search", "comparison"):
        page.get_by_text(name).first.wait_for()


def test_without_the_token_there_is_nothing_but_the_login_line(
    browser: playwright.Browser, running: Dashboard
) -> None:
    with browser.new_context() as context:
        page = context.new_page()
        page.goto(f"{running.address}/dashboard")
        assert page.inner_text("body").strip() == (
            "This dashboard opens by the link, with its token, that `hpo dashboard` printed."
        )


def test_a_change_is_refused_with_the_reason(page: playwright.Page, running: Dashboard) -> None:
    page.goto(running.link)
    page.wait_for_url(f"{running.address}/")
    refused = page.request.delete(f"{running.address}/api/studies/{running.study('search')}")
    assert refused.status == 405
    assert refused.json()["reason"].startswith("This dashboard is read-only.")


# ------------------------------------------------------------------------------------- pages of our own


@pytest.fixture
def recorded(tmp_path: Path) -> Iterator[tuple[hpo.Study, Dashboard]]:
    """A comparison of which half has ended, and its dashboard."""
    study = created(comparison(["slow", "fast"]), tmp_path)
    record(study, outcome, most=5)
    with dashboard(tmp_path) as found:
        yield study, found


def outcome(arm: str | None, seed: int) -> dict[str, float]:
    accuracy = (0.9 if arm == "fast" else 0.8) + 0.001 * seed
    return {"val_accuracy": accuracy, "val_loss": 1 - accuracy, "train_seconds": 1.0 + 0.1 * seed}


def test_the_home_page_follows_what_is_trained_and_keeps_what_is_ticked(
    page: playwright.Page, recorded: tuple[hpo.Study, Dashboard]
) -> None:
    study, found = recorded
    page.goto(found.link)
    page.wait_for_url(f"{found.address}/")
    card = page.locator(".study")
    card.get_by_text("5 of 10 trials").wait_for()
    card.get_by_role("checkbox").check()
    record(study, outcome)
    card.get_by_text("10 of 10 trials").wait_for()
    card.get_by_text("better: fast").wait_for()
    assert card.get_by_role("checkbox").is_checked()
    hpo.create_study(comparison(["slow", "fast"], name="later", seeds=2), storage=study.storage)
    page.get_by_role("link", name="later").wait_for()
    assert [heading.inner_text() for heading in page.locator("h2").all()] == ["later", "comparison"]
    study.delete()
    page.get_by_role("link", name="comparison").wait_for(state="detached")


def test_ticked_studies_are_put_side_by_side(page: playwright.Page, running: Dashboard) -> None:
    page.goto(running.link)
    page.wait_for_url(f"{running.address}/")
    for name in ("search", "comparison"):
        page.locator(f"input[value={name}]").check()
    page.get_by_role("button", name="Side by side").click()
    page.get_by_role("heading", name="All studies").wait_for()
    page.get_by_role("navigation", name="Dashboard").get_by_role("link", name="report of search").click()
    page.get_by_role("heading", name="Report: search").wait_for()
    page.get_by_role("link", name="Home").click()
    page.wait_for_url(f"{running.address}/")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1400, 400])
def test_pages_fit_the_screen_and_figures_are_drawn(
    browser: playwright.Browser, running: Dashboard, width: int, scheme: str
) -> None:
    with browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme) as context:
        page, complaints = context.new_page(), list[str]()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
        page.goto(running.link)
        page.wait_for_url(f"{running.address}/")
        assert fits(page)
        page.get_by_role("link", name="comparison", exact=True).click()
        page.get_by_role("heading", name="Report: comparison").wait_for()
        page.locator("figure").first.scroll_into_view_if_needed()
        page.locator(".js-plotly-plot").first.wait_for()
        assert fits(page)
        ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (ground == "rgb(255, 255, 255)") == (scheme == "light")
        assert complaints == []


def fits(page: playwright.Page) -> bool:
    fitting: bool = page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    return fitting


class Proxy(BaseHTTPRequestHandler):
    """Passes on what is below /hpo; `kept` is what it leaves of that in the path."""

    upstream: Dashboard
    kept: str

    def do_GET(self) -> None:
        if not self.path.startswith("/hpo/"):
            self.send_error(404, "another program's")
            return
        path = self.kept + self.path.removeprefix("/hpo")
        headers = {name.replace("-", "_"): value for name, value in self.headers.items()}
        reply = self.upstream.send("GET", path, login=False, **headers)
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            if name not in ("Date", "Server", "Connection", "Transfer-Encoding"):
                self.send_header(name, value)
        self.end_headers()
        self.wfile.write(reply.body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.long
@pytest.mark.parametrize("kept", ["", "/hpo"])
def test_all_pages_work_behind_a_reverse_proxy_that_keeps_its_path_or_not(
    page: playwright.Page, trained: Trained, kept: str
) -> None:
    with dashboard(trained.folder, "--root-path", "/hpo") as upstream:
        handler = type("Handler", (Proxy,), {"upstream": upstream, "kept": kept})
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            through(page, f"http://127.0.0.1:{server.server_port}/hpo", upstream)
        finally:
            server.shutdown()
            server.server_close()


def through(page: playwright.Page, root: str, upstream: Dashboard) -> None:
    """From the home page to a report, to optuna-dashboard's pages of a study and a trial, and back."""
    missing: list[str] = []
    page.on("response", lambda reply: missing.append(reply.url) if reply.status >= 400 else None)
    page.goto(f"{root}/?token={upstream.token}")
    page.wait_for_url(f"{root}/")
    page.get_by_role("link", name="comparison", exact=True).click()
    page.locator("figure").first.scroll_into_view_if_needed()
    page.locator(".js-plotly-plot").first.wait_for()
    page.get_by_role("link", name="in optuna-dashboard").click()
    page.wait_for_url(f"{root}/dashboard/studies/*")
    page.wait_for_function("document.querySelectorAll('.js-plotly-plot').length >= 4")
    # A link of optuna-dashboard's own, and the pictures of a trial.
    study = upstream.study("search")
    trials = upstream.json(f"/api/studies/{study}")["trials"]
    best = max(trials, key=lambda trial: (len(trial["artifacts"]), trial["values"][0]))["number"]
    page.goto(f"{root}/dashboard/studies/{study}/trials?numbers={best}")
    picture = page.get_by_role("img", name="curves.svg")
    picture.wait_for()
    assert picture.evaluate("async image => { await image.decode(); return image.naturalWidth }") > 100
    page.goto(f"{root}/dashboard/studies/{study}/smartSelection")
    address = page.get_by_role("link", name="Download CSV File").get_attribute("href")
    assert page.request.get(root.removesuffix("/hpo") + str(address)).status == 200
    page.get_by_role("link", name="All studies").click()
    page.wait_for_url(f"{root}/")
    assert missing == []
