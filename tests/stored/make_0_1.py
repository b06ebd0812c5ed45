"""Makes `0.1.zip` and `0.1.json`: studies as hpo 0.1 stored them, before its modules moved into rooms.

Run with that version (commit 7412bc7) in an empty folder: `python make.py`. The tests open copies of it with
today's version. `0.1.json` (here `expected.json`) is what that version said of the studies, and what it made
of `interrupted` and `tpe` when it resumed a copy.
"""

from __future__ import annotations

import json
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
import zipfile
from contextlib import closing
from pathlib import Path

import numpy as np

HPO = [sys.executable, "-m", "hpo"]
HEAD = 'data = { name = "digits" }\n'
PARAMS = "[params]\nhidden_units = [8]\nepochs = 3\n"
SPACE = "[space]\nlearning_rate = { low = 1e-3, high = 0.5, log = true }\ndropout = [0.0, 0.2]\n"
ARMS = '[[arms]]\nname = "plain"\n[[arms]]\nname = "fast"\nlearning_rate = 0.1\n'
STUDIES = {
    "tpe": 'name = "tpe"\nkind = "search"\n'
    + HEAD
    + 'trials = 6\npruner = { name = "median" }\n'
    + PARAMS
    + SPACE,
    "grid": 'name = "grid"\nkind = "search"\n'
    + HEAD
    + 'sampler = { name = "grid" }\nobjective = { metric = "val_loss", at = "best" }\n'
    + "[params]\nhidden_units = [8]\nepochs = 8\n"
    + "[space]\nlearning_rate = [0.1, 2.0]\nbatch_norm = [false, true]\n",
    "comparison": 'name = "comparison"\nkind = "comparison"\nseeds = 3\n'
    + HEAD
    + PARAMS
    + ARMS
    + '[[arms]]\nname = "too fast"\nlearning_rate = 1e30\n',
    "folds": 'name = "folds"\nkind = "comparison"\nseeds = 1\ndata = { name = "digits", folds = 2 }\n'
    + PARAMS
    + ARMS,
    "interrupted": 'name = "interrupted"\nkind = "comparison"\nseeds = 1\n'
    + HEAD
    + "[params]\nhidden_units = [8]\nepochs = 60\n"
    + ARMS.replace("plain", "slow"),
    "own": 'name = "own"\nkind = "comparison"\nseeds = 1\ndata = { name = "own.npz" }\n' + PARAMS + ARMS,
}


def hpo(*arguments: str, folder: str = ".", check: bool = True) -> str:
    done = subprocess.run([*HPO, *arguments], cwd=folder, text=True, capture_output=True)
    if check and done.returncode not in (0, 1):
        sys.exit(done.stderr)
    return done.stdout


def said(folder: str, *names: str) -> dict[str, object]:
    return {
        name: {
            "trials": json.loads(hpo("trials", name, "--format", "json", folder=folder)),
            "compare": json.loads(hpo("compare", name, "--format", "json", folder=folder)),
        }
        for name in names
    }


def main() -> None:
    draws = np.random.default_rng(0).random((60, 4), np.float32)
    np.savez("own.npz", x_train=draws, y_train=(draws[:, 0] > 0.5).astype(np.int64))
    for name, text in STUDIES.items():
        Path(f"{name}.toml").write_text(text)
    for name in ("grid", "comparison", "folds", "own"):
        hpo("run", f"{name}.toml", "--workers", "1")
    hpo("final", "comparison", "--seeds", "2", "--workers", "1")
    hpo("create", "tpe.toml")
    hpo("worker", "tpe", "--max-trials", "4")
    hpo("create", "interrupted.toml")
    worker = subprocess.Popen([*HPO, "worker", "interrupted", "--checkpoint-seconds", "0"])
    while not 10 < len(json.loads(hpo("trials", "interrupted", "--format", "json"))[0]["curve"]) < 60:
        time.sleep(0.05)
    worker.send_signal(signal.SIGTERM)
    worker.wait()
    hpo("report", "grid", "comparison", "--out", "report")
    hpo("export", "grid", "--out", "grid.keras")
    shutil.copytree(".", "copy", ignore=shutil.ignore_patterns("copy", "report"))
    with closing(sqlite3.connect("hpo.db", isolation_level=None)) as database:
        database.execute("DELETE FROM hpo_leases")
    expected: dict[str, object] = {
        "list": json.loads(hpo("list", "--format", "json")),
        "studies": said(".", *STUDIES, "comparison-final"),
    }
    hpo("resume", "interrupted", "--workers", "1", folder="copy")
    hpo("resume", "tpe", "--workers", "1", folder="copy")
    expected["resumed"] = said("copy", "interrupted", "tpe")
    Path("expected.json").write_text(json.dumps(expected, indent=1))
    with closing(sqlite3.connect("hpo.db", isolation_level=None)) as database:
        database.execute("PRAGMA journal_mode = DELETE")
        database.execute("VACUUM")
    with zipfile.ZipFile("0.1.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for path in [
            Path("hpo.db"),
            Path("own.npz"),
            Path("grid.keras"),
            *sorted(Path("hpo-artifacts").iterdir()),
        ]:
            if path.is_file():
                archive.write(path)


if __name__ == "__main__":
    main()
