"""Milliseconds a trial: what hpo's workers cost in storage work against plain Optuna on the same storage.

    python -m tests.benchmarks.storage [--repeats N] [--only TEXT] [--trials N] [--tensorflow]

A trial is claimed, reports 50 values and is finished; it trains nothing. *hpo* is the worker that users run:
it claims under a lease and writes only while it holds it. *plain* is Optuna alone on a database opened in the
same way, without leases: `ask`, three `suggest`, 50 `report`, `tell`, on trials that were enqueued with the
same parameters. Both in turns, in processes that have started and imported before the clock does.

Further cases: a result with metrics and the artifact of curves, which plain Optuna does not write; 8 workers
that only claim, with their duplicates and errors; and the memory of a worker after 20 and 200 trials (with
`--tensorflow` of one that trains small networks). A table on standard error, JSON lines on standard output.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

import optuna
import psutil
import sqlalchemy as sa
from optuna.storages import RDBStorage
from optuna.trial import TrialState
from rich.console import Console
from rich.table import Table

from hpo.registry import served_studies
from hpo.search import plan
from hpo.spec import METRICS, SearchSpec
from hpo.storage import Storage
from hpo.studies import Study, create_study
from hpo.trials.outcome import Outcome, Replicate
from hpo.workers.worker import Worker
from tests.benchmarks.bench import CROWD, Bench

FINAL_METRICS = [name for name, metric in METRICS.items() if not metric.is_test]

REPORTS = 50
STUDY, WARM_UP = "timed", "warm-up"
LEASE_SECONDS = 600.0
QUEUED = {"hpo": 1600, "plain": 60}
MARKS = (20, 200)
KINDS = ("hpo", "plain")


@dataclass(frozen=True)
class Case:
    """So many workers on one kind of database; with `result`, hpo's write metrics and curves as well."""

    database: str
    workers: int
    result: bool = False

    @property
    def name(self) -> str:
        """As --only finds it."""
        workers = "1 worker" if self.workers == 1 else f"{self.workers} workers"
        return f"{self.database}, {workers}" + (", result" if self.result else "")


CASES = (
    *(Case(database, workers) for database in ("sqlite", "postgresql") for workers in (1, 2, 4, 8)),
    Case("sqlite", 1, result=True),
)
CLAIMS, MEMORY = "claims, sqlite, 8 workers", "memory"


def main() -> None:
    """Measure every case and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3, help="runs of each kind for each case")
    parser.add_argument("--only", default="", help="cases whose name contains this")
    parser.add_argument("--trials", type=int, default=40, help="of each run, over all its workers")
    parser.add_argument("--tensorflow", action="store_true", help="measure a training worker's memory, too")
    arguments = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with Bench() as bench:
        print(json.dumps(bench.machine()), flush=True)
        rows = [
            _show(_compare(bench, case, arguments.repeats, arguments.trials))
            for case in CASES
            if arguments.only in case.name
        ]
        if arguments.only in CLAIMS:
            _show(_claims(bench))
        if arguments.only in MEMORY:
            for tensorflow in (False, True)[: 1 + arguments.tensorflow]:
                _show(_memory(bench, tensorflow=tensorflow))
    _print_table(rows)


def _show(row: dict[str, Any]) -> dict[str, Any]:
    print(json.dumps(row), flush=True)
    return row


# -------------------------------------------------------------------------------- trials that only report


def _compare(bench: Bench, case: Case, repeats: int, trials: int) -> dict[str, Any]:
    """One case: both kinds in turns, so that a slow minute of the machine hits them alike."""
    runs: dict[str, list[tuple[float, float]]] = {kind: [] for kind in KINDS}
    for repeat in range(repeats):
        for kind in KINDS[:: 1 if repeat % 2 == 0 else -1]:
            runs[kind].append(_milliseconds(bench, case, kind, trials))
    wall, cpu = (
        {kind: [run[index] for run in of_kind] for kind, of_kind in runs.items()} for index in (0, 1)
    )
    median = {kind: statistics.median(values) for kind, values in wall.items()}
    return {
        "case": case.name,
        **asdict(case),
        "trials": trials,
        "n": repeats,
        "ms_per_trial": {kind: round(value, 1) for kind, value in median.items()},
        "spread": {kind: [round(min(values), 1), round(max(values), 1)] for kind, values in wall.items()},
        "trials_per_s": {kind: round(1000 / value, 1) for kind, value in median.items()},
        "cpu_ms_per_trial": {kind: round(statistics.median(values), 1) for kind, values in cpu.items()},
        "hpo_over_plain": _ratio(wall),
        "cpu_hpo_over_plain": _ratio(cpu),
    }


def _ratio(values: dict[str, list[float]]) -> list[float]:
    """Median, least and most of the ratios of runs that were beside each other."""
    ratios = [hpo / plain for hpo, plain in zip(values["hpo"], values["plain"], strict=True)]
    return [round(of(ratios), 2) for of in (statistics.median, min, max)]


def _milliseconds(bench: Bench, case: Case, kind: str, trials: int) -> tuple[float, float]:
    """A trial's share of the time until the last one has ended, and of the workers' CPU time."""
    url, folder = bench.new_url(case.database), str(bench.folder / "artifacts")
    queues = ((WARM_UP, case.workers), (STUDY, trials))
    if kind == "hpo":
        _create(url, folder, *queues)
        times = bench.crowd(_work_hpo, case.workers, url, folder, case.result)
    else:
        _enqueue(_open_plain(url), *queues)
        times = bench.crowd(_work_plain, case.workers, url, trials)
    _check(url, trials)
    started, ended, cpu = zip(*times, strict=True)
    return (max(ended) - min(started)) / trials * 1000, sum(cpu) / trials * 1000


def _timed(barrier: Any, finish_next: Callable[[], bool]) -> tuple[float, float, float]:
    """When a worker began and when it had finished its last trial, and how much CPU time that took."""
    barrier.wait()
    started = ended = time.perf_counter()
    cpu_started = cpu_ended = time.process_time()
    while finish_next():
        ended, cpu_ended = time.perf_counter(), time.process_time()
    return started, ended, cpu_ended - cpu_started


def _spec(name: str, trials: int) -> SearchSpec:
    return SearchSpec(
        name=name,
        kind="search",
        data={"name": "digits"},
        trials=trials,
        sampler={"name": "random", "seed": 0},
        params={"hidden_units": [8], "epochs": 3},
        space={
            "learning_rate": {"low": 1e-3, "high": 0.5, "log": True},
            "dropout": {"low": 0.0, "high": 0.5},
            "l2": [0.0, 1e-3],
        },
    )


def _create(url: str, folder: str, *queues: tuple[str, int]) -> None:
    """Studies of hpo with so many planned trials."""
    storage = Storage(url, artifact_dir=folder, create=True)
    for name, trials in queues:
        create_study(_spec(name, trials), storage=storage)
    storage.engine.dispose()


def _work_hpo(barrier: Any, url: str, folder: str, result: bool) -> tuple[float, float, float]:
    """hpo's worker, until no trial is left."""
    storage = Storage(url, artifact_dir=folder)

    def objective(_: Study) -> Callable[..., Outcome]:
        return _report_result if result else _report

    # A trial of another study on the same connection: statements are compiled, connections are made.
    Worker(storage, [WARM_UP], runner=objective).run(max_trials=1)
    worker = Worker(storage, [STUDY], runner=objective)
    # One by one, since at its end a worker waits for the others.
    times = _timed(barrier, lambda: worker.run(max_trials=1, exit_when_idle=True) == 1)
    storage.engine.dispose()
    return times


def _report(trial: optuna.trial.Trial, _hyperparameters: Any, **_: Any) -> Outcome:
    for step in range(1, REPORTS + 1):
        trial.report(1 / step, step)
    return Outcome(TrialState.COMPLETE, 1 / REPORTS, None, {}, [])


def _report_result(trial: optuna.trial.Trial, hyperparameters: Any, **options: Any) -> Outcome:
    _report(trial, hyperparameters, **options)
    metrics = dict.fromkeys(FINAL_METRICS, 0.5)
    epoch = dict.fromkeys(("loss", "accuracy", "val_loss", "val_accuracy"), 1 / 3)
    replicate = Replicate(seed=0, fold=None, curve=[epoch] * REPORTS, metrics=metrics)
    return Outcome(TrialState.COMPLETE, 1 / REPORTS, None, metrics, [replicate])


def _open_plain(url: str) -> RDBStorage:
    """Optuna's storage with the settings of hpo/storage/engine.py, set up by Optuna's users' means."""
    if not url.startswith("sqlite"):
        return RDBStorage(url, engine_kwargs={"pool_pre_ping": True})
    storage = RDBStorage(url, engine_kwargs={"connect_args": {"timeout": 60.0}})
    sa.event.listen(storage.engine, "connect", _set_up_sqlite)
    sa.event.listen(storage.engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    storage.scoped_session.remove()
    storage.engine.dispose()
    return storage


def _set_up_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")


def _enqueue(storage: RDBStorage, *queues: tuple[str, int]) -> None:
    """The same trials in studies of plain Optuna."""
    for name, trials in queues:
        study = optuna.create_study(study_name=name, storage=storage, direction="maximize")
        for planned in plan(_spec(name, trials), []):
            study.enqueue_trial(planned.params)
    storage.remove_session()
    storage.engine.dispose()


def _work_plain(barrier: Any, url: str, trials: int) -> tuple[float, float, float]:
    """Plain Optuna, until no trial is left."""
    storage, sampler = _open_plain(url), optuna.samplers.RandomSampler(seed=0)
    _finish_next(optuna.load_study(study_name=WARM_UP, storage=storage, sampler=sampler), trials)
    study = optuna.load_study(study_name=STUDY, storage=storage, sampler=sampler)
    times = _timed(barrier, lambda: _finish_next(study, trials))
    storage.remove_session()
    storage.engine.dispose()
    return times


def _finish_next(study: optuna.Study, trials: int) -> bool:
    """Take one of so many trials, report and finish it; False if none is left."""
    trial = study.ask()
    if trial.number >= trials:
        # Of an empty queue Optuna makes a new trial.
        return False
    trial.suggest_float("learning_rate", 1e-3, 0.5, log=True)
    trial.suggest_float("dropout", 0.0, 0.5)
    trial.suggest_categorical("l2", [0.0, 1e-3])
    for step in range(1, REPORTS + 1):
        trial.report(1 / step, step)
    study.tell(trial, 1 / REPORTS)
    return True


def _check(url: str, trials: int) -> None:
    """Ends the benchmark unless every trial is complete with all that it reported."""
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    complete = f"t.study_id = s.study_id AND t.state = 'COMPLETE' AND s.study_name = '{STUDY}'"
    reports = "SELECT count(*) FROM trial_intermediate_values v WHERE v.trial_id = t.trial_id"
    with engine.connect() as connection:
        counts = f"SELECT ({reports}) FROM trials t, studies s WHERE {complete}"
        found = list(connection.exec_driver_sql(counts).scalars())
    if found != [REPORTS] * trials:
        raise SystemExit(f"of {trials} trials {len(found)} are complete; they reported {set(found)} values")


# -------------------------------------------------------------------------------- claims, and memory


def _claims(bench: Bench) -> dict[str, Any]:
    """How often 8 workers were given the same trial on SQLite; plain Optuna beside it, as it opens SQLite."""
    row: dict[str, Any] = {"case": CLAIMS}
    for kind, queued in QUEUED.items():
        url, folder = bench.new_url("sqlite"), str(bench.folder / "artifacts")
        if kind == "hpo":
            _create(url, folder, (STUDY, queued))
        else:
            _enqueue(RDBStorage(url), (STUDY, queued))
        of_each = bench.crowd(CLAIMERS[kind], CROWD, url, queued)
        claimed = [number for numbers, _, _ in of_each for number in numbers]
        row[kind] = {
            "queued": queued,
            "claims": len(claimed),
            "duplicates": len(claimed) - len(set(claimed)),
            "errors": sum(errors for _, errors, _ in of_each),
            "seconds": round(max(seconds for _, _, seconds in of_each), 2),
        }
    return row


def _claim_hpo(barrier: Any, url: str, _queued: int) -> tuple[list[int], int, float]:
    """What one worker claimed, how often the database refused, and seconds."""
    storage = Storage(url)
    studies = served_studies(storage)

    def claim() -> int | None:
        taken = storage.claim(studies, owner="benchmark", seconds=LEASE_SECONDS)
        return None if taken is None else taken.trial_id

    return _claim_all(barrier, claim)


def _claim_plain(barrier: Any, url: str, queued: int) -> tuple[list[int], int, float]:
    """The same, by `ask` on SQLite as Optuna opens it."""
    study = optuna.load_study(study_name=STUDY, storage=RDBStorage(url))

    def claim() -> int | None:
        number = study.ask().number
        return number if number < queued else None

    return _claim_all(barrier, claim)


CLAIMERS = {"hpo": _claim_hpo, "plain": _claim_plain}


def _claim_all(barrier: Any, claim: Callable[[], int | None]) -> tuple[list[int], int, float]:
    claimed: list[int] = []
    errors = 0
    barrier.wait()
    started = time.perf_counter()
    while True:
        try:
            number = claim()
        except (sa.exc.OperationalError, optuna.exceptions.StorageInternalError):
            errors += 1
            continue
        if number is None:
            return claimed, errors, time.perf_counter() - started
        claimed.append(number)


def _memory(bench: Bench, *, tensorflow: bool) -> dict[str, Any]:
    """Resident memory of a worker, in a process of its own, after so many trials."""
    url, folder = bench.new_url("sqlite"), str(bench.folder / "artifacts")
    _create(url, folder, (STUDY, max(MARKS)))
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        mebibytes = pool.submit(_resident, url, folder, tensorflow).result()
    return {
        "case": f"{MEMORY}, training" if tensorflow else MEMORY,
        "mib_after": dict(zip(map(str, MARKS), mebibytes, strict=True)),
        "mib_a_trial": round((mebibytes[-1] - mebibytes[0]) / (MARKS[-1] - MARKS[0]), 3),
    }


def _resident(url: str, folder: str, tensorflow: bool) -> list[float]:
    worker = Worker(
        Storage(url, artifact_dir=folder), [STUDY], runner=None if tensorflow else lambda _: _report_result
    )
    resident, done = [], 0
    for mark in MARKS:
        done += worker.run(max_trials=mark - done)
        resident.append(round(psutil.Process().memory_info().rss / 2**20, 1))
    return resident


def _print_table(rows: list[dict[str, Any]]) -> None:
    table = Table(title=f"ms a trial of {REPORTS} reports: medians (least to most)")
    columns = (
        "case",
        "n",
        "trials",
        *KINDS,
        "hpo trials/s",
        "plain trials/s",
        "hpo / plain",
        "the same of CPU",
    )
    for column in columns:
        table.add_column(column, justify="left" if column == "case" else "right")
    for row in rows:
        middle, spread = row["ms_per_trial"], row["spread"]
        table.add_row(
            row["case"],
            str(row["n"]),
            str(row["trials"]),
            *(f"{middle[kind]:.0f} ({spread[kind][0]:.0f}-{spread[kind][1]:.0f})" for kind in KINDS),
            *(f"{row['trials_per_s'][kind]:.1f}" for kind in KINDS),
            *(
                "{:.2f} ({:.2f}-{:.2f})".format(*row[ratio])
                for ratio in ("hpo_over_plain", "cpu_hpo_over_plain")
            ),
        )
    Console(stderr=True, width=150).print(table)


if __name__ == "__main__":
    main()
