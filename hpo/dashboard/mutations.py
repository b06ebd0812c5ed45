"""Requests that write: which of them reach a dashboard that is not read-only, and how a study is deleted."""

from __future__ import annotations

import io
import re
from typing import Any

import orjson
from werkzeug import Request, Response

from hpo.dashboard.middleware import Handler, one_line
from hpo.storage import Storage
from hpo.tables.numbers import counted

# What these would change belongs to the workers: a result is written by the worker that holds the trial.
OF_WORKERS = re.compile(r"/api/trials/\d+/(tell|user-attrs)/?")
RENAME = re.compile(r"/api/studies/\d+/rename/?")
STUDY = re.compile(r"/api/studies/(\d+)/?")


def refusal(request: Request) -> Response | None:
    """Why a change is not passed on to optuna-dashboard; None if it is."""
    if OF_WORKERS.fullmatch(request.path):
        return one_line(request, 403, "A trial's result and attributes are written by its worker alone.")
    if RENAME.fullmatch(request.path):
        return one_line(
            request, 403, "A study keeps the name in its file. Run the file with another name instead."
        )
    body = request.get_data()
    # optuna-dashboard reads it once more.
    request.environ["wsgi.input"] = io.BytesIO(body)
    if not body:
        return None
    if request.mimetype != "application/json":
        return one_line(request, 415, "The body must be JSON, with Content-Type: application/json.")
    try:
        content: Any = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        return one_line(request, 400, f"The body must be JSON: {error}.")
    if not isinstance(content, dict):
        return one_line(request, 400, "The body must be a JSON object.")
    return None


def with_deletion(handler: Handler, storage: Storage) -> Handler:
    """Studies are deleted as by `hpo delete`: not while workers train them, and with all that is theirs."""

    def handle(request: Request) -> Response:
        path = STUDY.fullmatch(request.path)
        if request.method != "DELETE" or path is None:
            return handler(request)
        study_id = int(path[1])
        if busy := len(storage.in_training(study_id)):
            line = f"Workers train {counted(busy, 'trial')} of this study. Stop them first: hpo stop."
            return one_line(request, 409, line)
        storage.delete_study(study_id)
        return Response(status=204)

    return handle
