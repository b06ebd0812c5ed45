"""optuna-dashboard on a study storage and its artifacts."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import webbrowser
from collections.abc import Callable
from pathlib import Path

import optuna_dashboard
import waitress
from optuna.artifacts import FileSystemArtifactStore

from hpo.errors import HpoError, StorageError
from hpo.storage import Storage

HOST = "127.0.0.1"


def serve(storage: Storage, *, port: int, open_browser: bool, announce: Callable[[str], None]) -> None:
    """Serve optuna-dashboard on loopback until interrupted.

    The storage is Optuna's cached one: given a URL the dashboard would read every trial at each poll.

    Raises:
        HpoError: the port is taken.
        StorageError: the artifact folder cannot be made.
    """
    application = optuna_dashboard.wsgi(
        storage.optuna, artifact_store=FileSystemArtifactStore(storage.artifacts.path)
    )
    try:
        server = waitress.create_server(application, host=HOST, port=port, threads=8)
    except OSError as error:
        raise HpoError(
            f"port {port}", f"cannot be used: {error.strerror}", remedy="Choose another: --port."
        ) from None
    _make(storage.artifacts.path)
    address = f"http://{HOST}:{server.effective_port}/dashboard"
    announce(f"optuna-dashboard of {storage.place} at {address} (Ctrl-C ends it)")
    if open_browser and _on_desktop():
        threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
    with contextlib.suppress(KeyboardInterrupt):
        server.run()


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"artifact folder {folder}", f"cannot be made: {error.strerror}") from None


def _on_desktop() -> bool:
    return sys.platform in ("darwin", "win32") or bool(
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    )
