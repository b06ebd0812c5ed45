"""README's pictures, of a terminal and of the dashboard: `python -m tests.screenshots FOLDER`.

In FOLDER, `hpo run` has trained `quickstart` and `mnist-optimizers` of `studies/`.
"""

from __future__ import annotations

import argparse
import io
import re
import shutil
import tempfile
from pathlib import Path

from playwright.sync_api import Page, sync_playwright
from rich.console import Console
from rich.text import Text

from tests.command import hpo
from tests.dashboards import Dashboard, dashboard

PICTURES = Path(__file__).parent.parent / "studies" / "pictures"
VIEWPORT = {"width": 1280, "height": 960}
# Plotly draws for a moment after its data have come.
SETTLED_MS = 2000
COLUMNS = 100


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    PICTURES.mkdir(exist_ok=True)
    _terminal()
    with dashboard(folder) as running, sync_playwright() as started:
        browser = started.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport=VIEWPORT)  # type: ignore[arg-type]
        page.goto(running.link)
        # Twice: what studies have shown is put into words after the page has been asked for.
        page.wait_for_timeout(2 * SETTLED_MS)
        page.goto(f"{running.address}/")
        page.wait_for_timeout(SETTLED_MS)
        page.screenshot(path=PICTURES / "home.png")
        page.goto(f"{running.address}/studies/quickstart", wait_until="networkidle")
        page.wait_for_timeout(SETTLED_MS)
        page.screenshot(path=PICTURES / "report.png")
        _of_optuna_dashboard(running, page)


def _terminal() -> None:
    """What `hpo run` prints of README's first study, on a terminal of so many columns."""
    with tempfile.TemporaryDirectory() as folder:
        done = hpo("run", PICTURES.parent / "quickstart.toml", folder=Path(folder))
    told = done.stderr.splitlines()
    trials = [line for line in told if line.startswith("#")]
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), highlight=False)
    command = Text("$ hpo run studies/quickstart.toml", style="bold")
    for line in (command, *trials, *done.stdout.splitlines(), *told[len(trials) :]):
        console.print(line if isinstance(line, Text) else Text(line))
    # Without its font, which it would load from elsewhere: the reader's own has fixed widths too.
    text = re.sub(r"@font-face \{.*?\}\s*", "", console.export_svg(title="hpo run"), flags=re.DOTALL)
    (PICTURES / "terminal.svg").write_text(text, encoding="utf-8")


def _of_optuna_dashboard(running: Dashboard, page: Page) -> None:
    search, comparison = map(running.study, ("quickstart", "mnist-optimizers"))
    trials = running.json(f"/api/studies/{search}")["trials"]
    best = max(trials, key=lambda trial: (len(trial["artifacts"]), trial["values"]))["number"]
    # What to show, and a text that must be in sight.
    for name, path, text in (
        ("study", f"studies/{comparison}", "seconds of training"),
        ("trial", f"studies/{search}/trials?numbers={best}", "curves.csv"),
        ("note", f"studies/{comparison}/note", "Conclusions"),
    ):
        page.goto(f"{running.address}/dashboard/{path}", wait_until="networkidle")
        page.get_by_text(text).first.scroll_into_view_if_needed()
        page.wait_for_timeout(SETTLED_MS)
        page.screenshot(path=PICTURES / f"dashboard-{name}.png")


if __name__ == "__main__":
    main()
