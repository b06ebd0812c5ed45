"""The parts of the dashboard, put together and served."""

from __future__ import annotations

import contextlib
import gc
import ipaddress
import logging
import os
import socket
import sys
import threading
import webbrowser
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import optuna_dashboard
import waitress
from waitress.wasyncore import close_all

from hpo.dashboard.arm_parameters import ShownTrials
from hpo.dashboard.artifacts import as_attachments
from hpo.dashboard.csv_tables import without_formulas
from hpo.dashboard.guard import Guard, Rules
from hpo.dashboard.live_summaries import LiveSummaries
from hpo.dashboard.middleware import Handler, wsgi_handler
from hpo.dashboard.mutations import with_deletion
from hpo.dashboard.pages import Pages
from hpo.dashboard.response_cache import ResponseCache
from hpo.dashboard.root_path import checked_root, with_root_path
from hpo.dashboard.study_details import StudyDetails
from hpo.dashboard.tokens import Token, new_token, token_in
from hpo.dashboard.trial_attributes import DashboardStorage
from hpo.dashboard.upstream import JupyterLabExtensionContext
from hpo.dashboard.validation import validated
from hpo.errors import HpoError
from hpo.storage import Storage

HOST, PORT = "127.0.0.1", 8080
THREADS = 8
# A body is an artifact in base64, or, read-only, nothing that anybody would read.
BODY_BYTES, NO_BODY_BYTES = 64 * 2**20, 2**16


@dataclass(frozen=True)
class Settings:
    """Where a dashboard listens, who gets in and what may be changed.

    `port` 0 takes a free one. The token is random, or that in `token_file`; `needs_token` is False to do
    without, which is for loopback alone. `allowed_hosts` are names by which others call this machine,
    `root_path` is the path below which a reverse proxy serves it.
    """

    host: str = HOST
    port: int = PORT
    may_write: bool = False
    needs_token: bool = True
    token_file: Path | None = None
    allowed_hosts: tuple[str, ...] = field(default=())
    root_path: str = ""


class Server:
    """A dashboard that listens from the moment it is made; `run` answers.

    waitress serves it: in one process, so that all clients share what was read of the database once, which
    gunicorn's workers would each read for themselves; and wherever Python runs.

    `log` is called with a line for each request.

    Raises:
        HpoError: nobody can listen there, the token file or the root path cannot be used.
        StorageError: the artifact folder cannot be used.
    """

    def __init__(
        self, storage: Storage, settings: Settings, *, log: Callable[[str], None] | None = None
    ) -> None:
        self.root = checked_root(settings.root_path)
        self.token = _token(settings)
        self._settings = settings
        with contextlib.ExitStack() as undo:
            listening = undo.enter_context(_listen(settings))
            # For who is on this machine.
            self.reachable: tuple[str, int] = listening.getsockname()[:2]
            self.port = self.reachable[1]
            storage.artifacts.place.make()
            guard = Guard(self._handler(storage), self._rules(), log=log)
            # That some clients wait for others is no news.
            logging.getLogger("waitress.queue").setLevel(logging.ERROR)
            self._sockets: dict[int, Any] = {}
            self._server = waitress.create_server(
                guard,
                map=self._sockets,
                sockets=[listening],
                threads=THREADS,
                ident=None,
                # Whether the proxy leaves it in the path or not.
                url_prefix=self.root,
                max_request_body_size=BODY_BYTES if settings.may_write else NO_BODY_BYTES,
            )
            undo.pop_all()

    @property
    def address(self) -> str:
        """Where a browser finds it, without the token."""
        host = self._settings.host
        if host in ("0.0.0.0", "::"):
            host = socket.gethostname()
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}"

    @property
    def link(self) -> str:
        """What opens it: with the token, unless that is in a file."""
        home = f"{self.address}{self.root}/"
        if self.token is None or self._settings.token_file is not None:
            return home
        return f"{home}?token={self.token.text}"

    def run(self) -> None:
        """Answer until interrupted or stopped; nobody listens any more when it returns."""
        try:
            with contextlib.suppress(KeyboardInterrupt):
                self._server.run()
        finally:
            self._summaries.close()
            self._pages.close()
            close_all(self._sockets)

    def stop(self) -> None:
        """Let `run`, in another thread, return once what was asked is answered."""
        self._server.task_dispatcher.shutdown()
        if not self._sockets:
            return  # it has ended by itself
        # The sockets belong to the thread that waits for them: closed by another one, their descriptors are
        # waited for all the same, and may by then be those of other files.
        # Another one may have woken it for a moment: then all is closed already, what wakes it too.
        with contextlib.suppress(OSError):
            self._server.trigger.pull_trigger(lambda: close_all(self._sockets))

    def _handler(self, storage: Storage) -> Handler:
        """What is behind the guard; the room's `__init__` has the order."""
        may_write = self._settings.may_write
        shown = storage.opened_as(DashboardStorage, reading=not may_write, cache=ShownTrials)
        assert isinstance(shown, ShownTrials)
        self.dashboard = optuna_dashboard.wsgi(
            shown,
            artifact_store=storage.artifacts.place.store,
            # What its pages take for the path before that of artifacts.
            jupyterlab_extension_context=JupyterLabExtensionContext(self.root) if self.root else None,
        )
        self._summaries = LiveSummaries(storage)
        handler: Handler = StudyDetails(wsgi_handler(self.dashboard), shown, self._summaries)
        handler = with_root_path(as_attachments(without_formulas(handler)), self.root)
        if may_write:
            handler = with_deletion(handler, storage)
        self._pages = Pages(validated(handler, shown), storage, root=self.root)
        return ResponseCache(self._pages)

    def _rules(self) -> Rules:
        settings = self._settings
        own = [] if is_loopback(settings.host) else [settings.host, socket.gethostname(), socket.getfqdn()]
        return Rules(
            token=self.token,
            hosts=frozenset(name.lower() for name in (*settings.allowed_hosts, *own)),
            may_write=settings.may_write,
            # Browsers keep the cookies of all ports together.
            cookie=f"hpo-{self.port}",
            root=self.root,
        )


def serve(
    storage: Storage,
    settings: Settings,
    *,
    open_browser: bool,
    announce: Callable[[str], None],
    log: Callable[[str], None] | None = None,
) -> None:
    """Serve the dashboard until interrupted, and `announce` what people must know; see `Server`."""
    server = Server(storage, settings, log=log)
    how = "" if settings.may_write else ", read-only"
    where = f"; the token is in {settings.token_file}" if settings.token_file is not None else ""
    announce(f"dashboard of {storage.place}{how}: {server.link} (Ctrl-C ends it{where})")
    if not is_loopback(settings.host):
        announce(
            "Others on the network can reach it, and what they send can be read: put TLS in front of it."
        )
    if open_browser and _on_desktop():
        threading.Thread(target=webbrowser.open, args=(server.link,), daemon=True).start()
    _collect_seldom()
    server.run()


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach what listens there."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _token(settings: Settings) -> Token | None:
    if settings.needs_token:
        return Token(new_token() if settings.token_file is None else token_in(settings.token_file))
    if not is_loopback(settings.host):
        rule = f"is for this machine alone, but got --host {settings.host}"
        raise HpoError("--no-token", rule, remedy="Leave out one of them.")
    return None


def _listen(settings: Settings) -> socket.socket:
    host, port = settings.host, settings.port
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family, backlog=128)
    except (OSError, UnicodeError) as error:
        place = f"port {port}" if host == HOST else f"host {host}, port {port}"
        code = getattr(error, "errno", None) or 0
        # Python adds the address to what the system says.
        why = os.strerror(code) if code > 0 else "there is no such host"
        raise HpoError(place, f"cannot be used: {why}", remedy="Choose another: --port.") from None


def _collect_seldom() -> None:
    """Have Python look for cycles less often: it did so for a third of the time that a large study takes.

    What is read of a study is a million values without a cycle, which stay.
    """
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


def _on_desktop() -> bool:
    return sys.platform in ("darwin", "win32") or bool(
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    )
