"""README's pictures, of a terminal and of the dashboard: `python -m tests.screenshots FOLDER`.

In FOLDER, `hpo run` has trained `quickstart` and `mnist-optimizers` of `studies/`.
"""

from __future__ import annotations

import argparse
import io
import shutil
from pathlib import Path

from playwright.sync_api import Page, sync_playwright
from rich.console import Console
from rich.text import Text

from tests.command import hpo_on_terminal
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
    _terminal(folder)
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


def _terminal(folder: Path) -> None:
    """The end of `hpo run` as it stands on a terminal."""
    done = hpo_on_terminal("resume", "quickstart", folder=folder, columns=COLUMNS)
    lines = [line for line in Text.from_ansi(done.stdout).split() if line.plain.strip() or line.plain == ""]
    last = max(
        at for at, line in enumerate(lines) if "nothing is left" in line.plain or "trials  " in line.plain
    )
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
    console.print(Text("$ hpo run studies/quickstart.toml", style="bold"))
    for line in lines[last + 1 :]:
        console.print(line)
    console.save_svg(str(PICTURES / "terminal.svg"), title="hpo run")


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
