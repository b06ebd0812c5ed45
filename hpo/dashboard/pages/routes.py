"""Which of our pages answers a request; all else is passed on."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import cached_property

from werkzeug import Request, Response

from hpo.dashboard.live import states
from hpo.dashboard.middleware import Handler
from hpo.dashboard.pages.catalogue import Catalogue
from hpo.dashboard.pages.live_reports import PLOTLY, LiveReports
from hpo.dashboard.pages.renderer import page, report_page
from hpo.dashboard.pages.results import Results
from hpo.dashboard.response_cache import SharedResponse
from hpo.errors import HpoError, SpecError, StorageError
from hpo.registry import is_ours, summarise
from hpo.storage import Storage, StudyRow

logger = logging.getLogger(__name__)

HOME, FRAGMENT, STUDIES, COMPARE = "/", "/home", "/studies/", "/compare"
# Side by side, beyond which nobody reads a page.
MOST_COMPARED = 20


class Pages:
    """Answers GET on our own paths; `root` is what stands before every path in a browser."""

    def __init__(self, handler: Handler, storage: Storage, *, root: str = "") -> None:
        self._handler, self._storage, self._root = handler, storage, root
        self._catalogue = Catalogue(storage)
        self._results = Results(storage)
        self._reports = LiveReports(storage, root=root)

    def __call__(self, request: Request) -> Response:
        path = request.path
        if request.method != "GET":
            return self._handler(request)
        try:
            if path in (HOME, FRAGMENT):
                return self._home(whole=path == HOME)
            if path.startswith(STUDIES):
                return self._report((path.removeprefix(STUDIES),))
            if path == COMPARE:
                return self._compare(request.args.getlist("study"))
        except StorageError as error:
            logger.error("%s", error)
            return self._message(503, "The database cannot be read now", str(error))
        if path == PLOTLY:
            response = self._plotly.response(request).make_conditional(request)
            if response.status_code == 304:
                response.set_data(b"")
            return response
        return self._handler(request)

    def close(self) -> None:
        """Begin to compute nothing more."""
        self._results.close()
        self._reports.close()

    def _home(self, *, whole: bool) -> Response:
        rows = self._storage.overview()
        of = states(rows)
        entries = self._catalogue.entries(rows, self._results.known(of))
        template = "home.html.jinja" if whole else "studies.html.jinja"
        made = page(template, entries=entries, root=self._root, place=self._storage.place)
        # Last, since what is computed beside makes all else slower.
        self._results.ask_for(of)
        return made

    def _compare(self, asked: Sequence[str]) -> Response:
        names = tuple(dict.fromkeys(asked))
        if not names:
            said = "Choose two or more studies on the page of all studies, then “Side by side”."
            return self._message(400, "Nothing to put side by side", said)
        if len(names) > MOST_COMPARED:
            said = f"At most {MOST_COMPARED} studies can be put side by side, and {len(names)} were chosen."
            return self._message(400, "Too many studies", said)
        return self._report(names)

    def _report(self, names: tuple[str, ...]) -> Response:
        rows = self._storage.overview()
        by_name = {row.name: row for row in rows}
        for name in names:
            if (refused := self._refused(name, by_name.get(name))) is not None:
                return refused
        made = self._reports.get(names, states(rows))
        error = self._reports.error(names)
        if error is not None:
            return self._failed(names, error)
        if made is None:
            return page("waiting.html.jinja", 202, title=", ".join(names), root=self._root)
        return report_page(made.text, made.nonce)

    def _refused(self, name: str, row: StudyRow | None) -> Response | None:
        if row is None:
            said = f"There is no study {name!r} here. It may have been deleted, or its name is another."
            return self._message(404, "No such study", said)
        if not is_ours(row.attributes):
            said = f"Study {name!r} was not created by hpo, which cannot report on it."
            return self._message(409, "Not a study of hpo", said, study_id=row.study_id)
        if problem := summarise(row, self._storage).problem:
            return self._message(
                409, "This version of hpo cannot read the study", problem, study_id=row.study_id
            )
        return None

    def _failed(self, names: tuple[str, ...], error: Exception) -> Response:
        there = {row.name for row in self._storage.overview()}
        for name in names:
            if name not in there:
                return self._message(404, "No such study", f"Study {name!r} has been deleted.")
        if isinstance(error, SpecError):
            return self._message(409, "This version of hpo cannot read the study", str(error))
        if isinstance(error, HpoError):
            return self._message(503, "There is no report now", str(error))
        said = "The report could not be made; the dashboard's log has more."
        return self._message(500, "There is no report now", said)

    def _message(self, status: int, title: str, said: str, *, study_id: int | None = None) -> Response:
        return page("message.html.jinja", status, title=title, said=said, root=self._root, study_id=study_id)

    @cached_property
    def _plotly(self) -> SharedResponse:
        from plotly.offline import get_plotlyjs, get_plotlyjs_version

        response = Response(get_plotlyjs(), content_type="text/javascript; charset=utf-8")
        response.set_etag(get_plotlyjs_version())
        return SharedResponse(200, response.headers, response.get_data())
