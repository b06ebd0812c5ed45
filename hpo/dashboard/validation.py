"""Paths and queries that optuna-dashboard would answer with an internal error."""

from __future__ import annotations

import re

import orjson
from optuna.storages import BaseStorage
from werkzeug import Request, Response

from hpo.dashboard.middleware import Handler, one_line, with_environ

# The largest key that every database takes.
LARGEST = 2**31 - 1
CONTROL = re.compile(r"[\x00-\x1f\x7f]")
OF_STUDY = re.compile(r"/(?:api/studies|api/artifacts|artifacts|csv)/(\d+)(?:/.*)?")
OF_TRIAL = re.compile(r"/(?:api/)?artifacts/\d+/(\d+)(?:/.*)?|/api/studies/\d+/(\d+)/.*")
IMPORTANCES = re.compile(r"/api/studies/(\d+)/param_importances/?")
JSON = "application/json"


def validated(handler: Handler, storage: BaseStorage) -> Handler:
    """Passes on what is about studies and trials that there are; the rest is not found, or a bad request."""

    def handle(request: Request) -> Response:
        path = request.path
        if CONTROL.search(path):
            return one_line(request, 400, "There is no such path.")
        if any(int(number) > LARGEST for number in re.findall(r"/(\d+)", path)):
            return one_line(request, 404, "There is no such study or trial.")
        if not re.fullmatch(r"\d{1,9}", request.args.get("after", "0")):
            return one_line(request, 400, "after must be a number of trials.")
        try:
            if study := OF_STUDY.fullmatch(path):
                storage.get_study_name_from_id(int(study[1]))
            if trial := OF_TRIAL.fullmatch(path):
                storage.get_trial(int(trial[1] or trial[2]))
        except KeyError:
            return one_line(request, 404, "There is no such study or trial.")
        if (about := IMPORTANCES.fullmatch(path)) and not _varies(storage, int(about[1])):
            directions = storage.get_study_directions(int(about[1]))
            return Response(orjson.dumps({"param_importances": [[] for _ in directions]}), mimetype=JSON)
        encoding = "gzip" if request.accept_encodings.quality("gzip") > 0 else "identity"
        return handler(with_environ(request, HTTP_ACCEPT_ENCODING=encoding))

    return handle


def _varies(storage: BaseStorage, study_id: int) -> bool:
    """Whether a study has hyperparameters of which one may be important; a comparison has none."""
    return any(trial.params for trial in storage.get_all_trials(study_id, deepcopy=False))
