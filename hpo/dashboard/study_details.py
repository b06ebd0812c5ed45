"""One study as optuna-dashboard's pages ask for it, answered without making all of it anew each time.

optuna-dashboard looks at each value of each epoch four times with NumPy: seconds for 5,000 trials of 50
epochs. A finished trial does not change, so here its JSON is made once.
"""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Iterable
from typing import Any

import orjson
from optuna.trial import FrozenTrial
from werkzeug import Request, Response

from hpo.dashboard.arm_parameters import ArmSpace, ShownTrials, importances
from hpo.dashboard.live_summaries import LiveSummaries
from hpo.dashboard.middleware import Handler, with_environ
from hpo.dashboard.upstream import space_json, trial_json
from hpo.registry import CODE_ATTRIBUTE
from hpo.storage import trial_id

IMPORTANCES = re.compile(r"/api/studies/(\d{1,9})/param_importances/?")
PATH = re.compile(r"/api/studies/(\d{1,9})/?")
# More trials than any study has: optuna-dashboard then serializes none.
NONE_AFTER = 999_999_999
# Study attributes that are shown with a trial.
OF_TRIAL = re.compile(r"dashboard:(?:artifacts:)?(\d+):")


class StudyDetails:
    """Answers `GET /api/studies/ID?after=N`: as optuna-dashboard does, but trials and summaries by itself.

    Trials of comparisons have their arms as parameters (`arm_parameters`), and so there are importances.
    """

    def __init__(self, dashboard: Handler, storage: ShownTrials, summaries: LiveSummaries) -> None:
        self._dashboard, self._storage, self._summaries = dashboard, storage, summaries
        self._finished: dict[tuple[int, ArmSpace | None], bytes] = {}

    def __call__(self, request: Request) -> Response:
        if request.method == "GET" and (about := IMPORTANCES.fullmatch(request.path)):
            return self._importances(int(about[1]), request)
        path, after = PATH.fullmatch(request.path), request.args.get("after", "0")
        if request.method != "GET" or path is None or not re.fullmatch(r"\d{1,9}", after):
            return self._dashboard(request)
        answer = self._dashboard(with_environ(request, QUERY_STRING=f"after={NONE_AFTER}"))
        if answer.status_code != 200:
            return answer
        study_id, found = int(path[1]), orjson.loads(answer.get_data())
        try:
            trials = self._storage.get_all_trials(study_id, deepcopy=False)
            attributes = self._storage.get_study_system_attrs(study_id)
            space = self._storage.space(study_id)
        except KeyError:  # it has been deleted in between
            return self._dashboard(request)
        self._summaries.put_on(found, study_id, attributes)
        # A file's whole text: its page of the report has it, folded away.
        found["user_attrs"] = [own for own in found["user_attrs"] if own["key"] != CODE_ATTRIBUTE]
        if space is not None:
            found["union_search_space"] = space_json(space.distributions)
            found["intersection_search_space"] = found["union_search_space"]
        texts = self._texts(study_id, trials[int(after) :], attributes, space)
        found["trials"] = orjson.Fragment(b"[" + b",".join(texts) + b"]")
        answer.set_data(orjson.dumps(found))
        return answer

    def _importances(self, study_id: int, request: Request) -> Response:
        """Those of a comparison are ours; optuna-dashboard has those of all else."""
        try:
            space = self._storage.space(study_id)
            if space is None:
                return self._dashboard(request)
            found = importances(self._storage.get_all_trials(study_id, deepcopy=False), space)
        except KeyError:  # it has been deleted in between
            return self._dashboard(request)
        return Response(orjson.dumps({"param_importances": [found]}), mimetype="application/json")

    def _texts(
        self,
        study_id: int,
        trials: Iterable[FrozenTrial],
        attributes: dict[str, Any],
        space: ArmSpace | None,
    ) -> Iterable[bytes]:
        annotated = {int(own[1]) for own in map(OF_TRIAL.match, attributes) if own}
        for trial in trials:
            key = trial_id(trial), space
            if key[0] in annotated:
                yield as_json(study_id, trial, attributes)
            elif not trial.state.is_finished():
                yield as_json(study_id, trial, {})
            else:
                if key not in self._finished:
                    self._finished[key] = as_json(study_id, trial, {})
                yield self._finished[key]


def as_json(study_id: int, trial: FrozenTrial, attributes: dict[str, Any]) -> bytes:
    """A trial as optuna-dashboard serializes it, with the study's system attributes that concern it."""
    without_epochs = copy.copy(trial)
    without_epochs.intermediate_values = {}
    found = trial_json(study_id, without_epochs, attributes)
    found["intermediate_values"] = [
        {"step": step, "value": value if math.isfinite(value) else str(value)}
        for step, value in sorted(trial.intermediate_values.items())
    ]
    return orjson.dumps(found)
