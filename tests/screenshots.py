"""README's pictures of the dashboard: `python -m tests.screenshots FOLDER`.

In FOLDER, `hpo run` has trained `quickstart` and `mnist-optimizers` of `studies/`.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from playwright.sync_api import sync_playwright

from tests.dashboards import dashboard

PICTURES = Path(__file__).parent.parent / "studies" / "pictures"
VIEWPORT = {"width": 1280, "height": 960}
# Plotly draws for a moment after its data have come.
SETTLED_MS = 2000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    PICTURES.mkdir(exist_ok=True)
    with dashboard(folder) as running, sync_playwright() as started:
        search, comparison = map(running.study, ("quickstart", "mnist-optimizers"))
        trials = running.json(f"/api/studies/{search}")["trials"]
        best = max(trials, key=lambda trial: (len(trial["artifacts"]), trial["values"]))["number"]
        browser = started.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport=VIEWPORT)  # type: ignore[arg-type]
        page.goto(running.link)
        page.wait_for_url(f"{running.address}/")
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
