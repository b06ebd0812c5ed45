"""The `hpo` command in a process of its own, and study files that take it a moment."""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
import subprocess
import sys
import tempfile
import termios
import threading
from dataclasses import dataclass
from pathlib import Path

from tests.forks import Forked

# As tests begin, before it is the path of a warm one.
COLD_PYTHON = sys.executable
HPO = [COLD_PYTHON, "-m", "hpo"]
Done = subprocess.CompletedProcess[str]

# Grid: four configurations, one of whose dimensions has lists as choices; one program for all of them.
SEARCH = """
name = "search"
kind = "search"
data = { name = "digits", validation = 0.2 }
sampler = { name = "grid" }
[params]
hidden_units = [8]
epochs = 2
[space]
learning_rate = [0.01, 0.1]
dropout = [[0.0], [0.2]]
"""

# An arm that diverges: some of its trials fail, and nothing else does.
COMPARISON = """
name = "comparison"
kind = "comparison"
data = { name = "digits", validation = 0.2 }
objective = { metric = "val_loss" }
metrics = ["val_accuracy", "f1", "train_seconds"]
seeds = 2
baseline = "plain"
[params]
hidden_units = [8]
epochs = 2
[[arms]]
name = "plain"
[[arms]]
name = "[bold] faster"
learning_rate = 0.1
[[arms]]
name = "too fast"
learning_rate = 1e30
"""


@dataclass(frozen=True)
class Trained:
    """A folder with trained studies, and how `hpo run` trained them."""

    folder: Path
    search: Done
    comparison: Done


def environment(**variables: str) -> dict[str, str]:
    """This process's environment without what would lead hpo away from the folder it runs in."""
    ours = {"HPO_STORAGE", "HPO_ARTIFACT_DIR", "COLUMNS", "NO_COLOR", "FORCE_COLOR", "TERM"}
    return {name: value for name, value in os.environ.items() if name not in ours} | variables


def quick(*arguments: str | Path, folder: Path, **variables: str) -> Done:
    """What `hpo` does, in a fork of a warm interpreter: a process of its own, many times as fast."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        env = environment(**variables)
        process = Forked(arguments, cwd=folder, env=env, stdout=out, stderr=err)
        code = process.wait(180)
        out.seek(0)
        err.seek(0)
        return subprocess.CompletedProcess(process.args, code, out.read(), err.read())


def hpo(*arguments: str | Path, folder: Path, **variables: str) -> Done:
    """Run `hpo` in a folder, without a terminal."""
    return subprocess.run(
        [*HPO, *map(str, arguments)],
        cwd=folder,
        env=environment(**variables),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=180,
    )


def hpo_on_terminal(
    *arguments: str | Path, folder: Path, columns: int = 80, typed: str = "", **variables: str
) -> Done:
    """`quick` on a terminal of so many columns, on which somebody types; `stdout` is all that it shows."""
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    env = environment(TERM="xterm-256color", **variables)
    process = Forked(arguments, cwd=folder, env=env, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    os.write(ours, typed.encode())
    stop = threading.Timer(180, process.kill)
    stop.start()
    shown = b""
    with contextlib.suppress(OSError):  # what Linux says at the end of a terminal
        while block := os.read(ours, 65536):
            shown += block
    stop.cancel()
    code = process.wait(60)
    os.close(ours)
    return subprocess.CompletedProcess(process.args, code, shown.decode().replace("\r\n", "\n"), "")
