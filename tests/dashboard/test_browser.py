"""The dashboard in a real browser: what a person sees who opens the link."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from tests.command import Trained
from tests.dashboards import Dashboard, dashboard

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium: apt-get install chromium")
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
