"""The page of a report in a real browser: on a phone and on a wide screen, light and dark."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import hpo
from hpo.data import load_test
from hpo.report import compose
from hpo.studies.final import create_final
from tests.recorded import comparison, created, record

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium: apt-get install chromium")
SPACE = {
    "learning_rate": {"low": 1e-4, "high": 1e-1, "log": True},
    "hidden_units": [[32], [128, 64]],
    "early_stopping_patience": {"low": 2, "high": 9},
}
# Text that a toolbar lies over, of a plot under the pointer.
COVERED = """plot => {
  const bar = plot.querySelector(".modebar").getBoundingClientRect();
  return [...plot.querySelectorAll("text")].filter(text => {
    const box = text.getBoundingClientRect();
    const beside = box.left >= bar.right || box.right <= bar.left;
    return box.width && !beside && box.top < bar.bottom && box.bottom > bar.top;
  }).map(text => text.textContent);
}"""
HIDDEN_TABLES = """[...document.querySelectorAll(".scroll")].filter(scroll =>
  (scroll.scrollWidth > scroll.clientWidth + 1) === scroll.previousElementSibling.hidden).length"""


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a search and of a comparison with a final evaluation."""
    folder = tmp_path_factory.mktemp("page")
    basic = {"name": "search", "kind": "search", "data": {"name": "digits"}, "sampler": {"name": "random"}}
    search = created(hpo.StudySpec(**basic, trials=12, confirm=False, space=SPACE), folder)
    record(search, lambda arm, n: {"val_accuracy": 0.8 + 0.01 * n, "val_loss": 1.0, "train_seconds": 1.0 + n})
    arms = ["plain", "one whose name is long enough for two lines"]
    source = created(comparison(arms, seeds=2), folder)
    record(source, lambda arm, s: {"val_accuracy": 0.8 + 0.01 * s, "val_loss": 1.0, "train_seconds": 1.0})
    final, labels = create_final([source], seeds=2), load_test("digits").y

    def predict(number: int) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
        made = np.full((len(labels), 10), 0.02, np.float32)
        made[np.arange(len(labels)), (labels + (np.arange(len(labels)) % 9 == 0)) % 10] = 0.82
        return made

    def outcome(arm: str | None, seed: int) -> dict[str, float]:
        return {
            "val_accuracy": 0.8,
            "val_loss": 1.0,
            "test_accuracy": 0.8 + 1e-3 * (seed % 2),
            "test_loss": 1.0,
        }

    record(final, outcome, predict=predict)
    return compose([search, source]).write(folder)[1]


@pytest.fixture(scope="module")
def browser() -> Iterator[playwright.Browser]:
    with playwright.sync_playwright() as started:
        yield started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, pytest.param(1400, marks=pytest.mark.long)])
def test_a_page_fits_its_screen_and_everything_on_it_is_read(
    width: int, scheme: str, written: Path, browser: playwright.Browser
) -> None:
    with browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme, has_touch=width < 700
    ) as context:
        page, complaints = context.new_page(), list[str]()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
        page.goto(written.as_uri())
        plots = page.locator(".plot")
        assert plots.count() == 12
        for index in range(plots.count()):
            plots.nth(index).scroll_into_view_if_needed()
            plots.nth(index).locator(".main-svg").first.wait_for()
            if width > 700:
                plots.nth(index).hover()
                assert plots.nth(index).evaluate(COVERED) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        # A table that is wider than the page says so, and no other one.
        assert page.evaluate(HIDDEN_TABLES) == 0
        assert (page.locator(".hint:visible").count() > 2) == (width == 400)
        cells = page.locator(".textpoint text")
        assert cells.count() > 10
        fills = {cells.nth(at).evaluate("text => getComputedStyle(text).fill") for at in range(cells.count())}
        assert fills <= {"rgb(0, 0, 0)", "rgb(255, 255, 255)"}
        # The diagonal is dark on a light page, and light on a dark one.
        diagonal = cells.first.evaluate("text => getComputedStyle(text).fill")
        assert diagonal == ("rgb(255, 255, 255)" if scheme == "light" else "rgb(0, 0, 0)")
        assert complaints == []
