"""The `hpo` command in a process of its own, and study files that take it a moment."""

from __future__ import annotations

import contextlib
import fcntl
import functools
import json
import os
import struct
import subprocess
import sys
import tempfile
import termios
import threading
from dataclasses import dataclass
from pathlib import Path

HPO = [sys.executable, "-m", "hpo"]
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


# Each line of its input is a command, which it runs in a fork of itself; it answers with the exit code.
WARM = """
import json, os, sys
import hpo.cli, hpo.dashboard, hpo.workers, pandas, sklearn.datasets, sklearn.model_selection
from optuna.storages import RDBStorage

for line in sys.stdin:
    request = json.loads(line)
    if child := os.fork():
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
        continue
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    for descriptor, path in enumerate([os.devnull, request["out"], request["err"]]):
        os.dup2(os.open(path, os.O_RDWR), descriptor)
    sys.argv = ["hpo", *request["arguments"]]
    hpo.cli.main()
"""


@functools.cache
def warm() -> subprocess.Popen[str]:
    """An interpreter that has imported what most commands need, which is most of what they take."""
    return subprocess.Popen(
        [sys.executable, "-c", WARM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def quick(*arguments: str | Path, folder: Path, **variables: str) -> Done:
    """What `hpo` does, in a fork of a warm interpreter: a process of its own, five times as fast."""
    with tempfile.NamedTemporaryFile("r") as out, tempfile.NamedTemporaryFile("r") as err:
        request = {
            "arguments": [str(argument) for argument in arguments],
            "folder": str(folder),
            "environment": environment(**variables),
            "out": out.name,
            "err": err.name,
        }
        stdin, stdout = warm().stdin, warm().stdout
        assert stdin is not None
        assert stdout is not None
        print(json.dumps(request), file=stdin, flush=True)
        code = int(stdout.readline())
        return subprocess.CompletedProcess(request["arguments"], code, out.read(), err.read())


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
    """Run `hpo` on a terminal of so many columns, on which somebody types; `stdout` is all that it shows."""
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    process = subprocess.Popen(
        [*HPO, *map(str, arguments)],
        cwd=folder,
        env=environment(TERM="xterm-256color", **variables),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    os.write(ours, typed.encode())
    stop = threading.Timer(180, process.kill)
    stop.start()
    shown = b""
    with contextlib.suppress(OSError):  # what Linux says at the end of a terminal
        while block := os.read(ours, 65536):
            shown += block
    code = process.wait()
    stop.cancel()
    os.close(ours)
    return subprocess.CompletedProcess(process.args, code, shown.decode().replace("\r\n", "\n"), "")
