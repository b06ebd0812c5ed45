"""hpo as a command: a study from the first import to its result, on a fresh database."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from tests.benchmarks.training.processes import environment, timed


@dataclass(frozen=True)
class Searched:
    """Seconds of a study: of the whole command, and in sum what its trials say of themselves.

    `in_trials` is from begun to finished, which the command says in whole seconds.
    """

    wall: float
    trials: int
    training: float
    compiling: float
    in_trials: float


@dataclass(frozen=True)
class Checkout:
    """A version of hpo: the folder that its modules are in."""

    root: Path

    def run(self, study: str, *, cache: Path, workers: int | None = None) -> Searched:
        """`hpo run` of a study file, given as text, with `cache` as the folder of the user's caches.

        So its programs are cold if that folder is new, and warm if a run of the same study has filled it.
        Raises MeasurementError.
        """
        with tempfile.TemporaryDirectory(prefix="hpo-benchmark-") as name:
            folder = Path(name)
            (folder / "study.toml").write_text(study)
            storage = f"sqlite:///{folder / 'hpo.db'}"
            more = {"HPO_STORAGE": storage, "HPO_ARTIFACT_DIR": str(folder / "artifacts")}
            caches = {"XDG_CACHE_HOME": str(cache), "HPO_DATA_DIR": str(data_folder())}
            env = environment(root=self.root, **more, **caches)
            hpo = [sys.executable, "-m", "hpo"]
            options = [] if workers is None else ["--workers", str(workers)]
            wall, _ = timed([*hpo, "run", "study.toml", *options], folder=folder, env=env)
            _, listed = timed([*hpo, "list", "--format", "json"], folder=folder, env=env)
            (stored,) = json.loads(listed)
            _, trials = timed([*hpo, "trials", stored["name"], "--format", "json"], folder=folder, env=env)
        return _searched(wall, json.loads(trials))


def data_folder() -> Path:
    """Where hpo looks for data sets, whatever its caches: `HPO_DATA_DIR`, or the user's own cache folder."""
    from platformdirs import user_cache_path

    return Path(os.environ.get("HPO_DATA_DIR") or user_cache_path("hpo")).expanduser().absolute()


def _searched(wall: float, trials: list[dict[str, object]]) -> Searched:
    metrics = [trial["metrics"] for trial in trials]
    return Searched(
        wall,
        len(trials),
        sum(each.get("train_seconds", 0.0) for each in metrics),
        sum(each.get("compile_seconds", 0.0) for each in metrics),
        sum(_seconds(trial) for trial in trials),
    )


def _seconds(trial: dict[str, object]) -> float:
    started, finished = (datetime.fromisoformat(str(trial[name])) for name in ("started", "finished"))
    return (finished - started).total_seconds()
