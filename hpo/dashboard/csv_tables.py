"""A study's trials as CSV in which no cell is a formula that a spreadsheet would run."""

from __future__ import annotations

import csv
import io

from werkzeug import Request, Response

from hpo.dashboard.middleware import Handler
from hpo.tables.csv import defused


def without_formulas(handler: Handler) -> Handler:
    """Sends tables of trials with their formulas as text."""

    def handle(request: Request) -> Response:
        response = handler(request)
        if request.path.startswith("/csv/") and response.status_code == 200:
            response.set_data(_defused_table(response.get_data(as_text=True)))
            response.content_type = "text/csv; charset=utf-8"
        return response

    return handle


def _defused_table(text: str) -> str:
    written = io.StringIO()
    rows = csv.reader(io.StringIO(text, newline=""))
    csv.writer(written, lineterminator="\n").writerows([defused(cell) for cell in row] for row in rows)
    return written.getvalue()
