"""How many workers one PostgreSQL serves: `python -m tests.benchmarks.scale [--workers 1 2 4 ...]`.

hpo's own workers, each a process, claim, report and finish trials as they do for users; what is handed in as
their `runner` sleeps for as long as an epoch would take. All share this machine's cores with the database.

- `share`: of the ideal throughput, workers / seconds of a trial; medians of `--repeats` runs, least and most.
  Each worker begins at a moment of its own, and goes by its own time.
- `database_ms`, `worker_ms`: CPU time of the server, and of the workers, a trial; `database_cores`: the
  server's over the run; `other_cores`: what anything else on this machine took. `connections`: those of
  a worker, at most times; `most_connections` as they begin.
- `round_trips`, `statements`: of one worker, a trial, as libpq and SQLAlchemy count them. The same with
  `--others` workers' trials in the database: what each costs the others.

Then a model from these costs, to 10,000 workers on machines of their own: a closed network of one delay (a
trial) and one queue (the server, `--cores`), solved by mean value analysis (Reiser and Lavenberg, 1980) with
several cores after Seidmann (1987): `X(n) = n / (Z + D (c - 1) / c + R(n))`, `R(n) = D / c (1 + Q(n - 1))`,
`Q(n) = X(n) R(n)`, where Z is the seconds of a trial, D the server's seconds for one and c its cores. It
saturates at `n = c (Z + D) / D`. JSON lines on standard output, tables on standard error.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import random
import statistics
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import optuna
import psutil
import sqlalchemy as sa
from optuna.trial import TrialState
from rich.console import Console
from rich.table import Table

from hpo.spec import METRICS, SearchSpec
from hpo.storage import Storage
from hpo.studies import create_study
from hpo.trials.outcome import Outcome, Replicate
from hpo.workers.worker import Worker
from tests.benchmarks.bench import Bench

WORKERS = (1, 2, 4, 8, 16, 32)
STUDY, WARM_UP = "timed", "warm-up"
FINAL_METRICS = [name for name, metric in METRICS.items() if not metric.is_test]
TARGET = 0.95
MEASURED = (
    "trials_per_s",
    "share",
    "database_ms",
    "database_cores",
    "worker_ms",
    "other_cores",
    "connections",
    "most_connections",
)
# Statements that are prepared by the driver are so at their sixth time.
WARM_UPS = 6
LONGER = (10, 100)
# In the title of a server's process that serves a connection by a socket.
LOCAL = "[local]"
# libpq's name of what ends each answer of the server.
ANSWERED = b"ReadyForQuery"
MODEL_WORKERS = (16, 100, 1000, 10_000)
MODEL_SECONDS = (1.0, 10.0, 60.0, 600.0)
LOOK_SECONDS = 0.1


@dataclass(frozen=True)
class Load:
    """What a worker does: so many trials of so many seconds and epochs, with so many more in the queue."""

    trials: int
    seconds: float
    epochs: int
    queue: int


def main() -> None:
    """Measure, model and print."""
    options = _options()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    load = Load(options.trials, options.seconds, options.epochs, options.queue)
    with Bench(crowd=max([1, *options.workers])) as bench:
        print(json.dumps({**bench.machine(), "load_average": os.getloadavg()}), flush=True)
        rows = [_show(_measure(bench, load, workers, options.repeats)) for workers in options.workers]
        if options.no_costs:
            _print_measured(rows, load)
            return
        longer = [(_longer(load, times), 0) for times in LONGER]
        costs = [_show(_costs(bench, *case)) for case in ((load, 0), (load, options.others), *longer)]
    cost = _cost_of(*costs)
    model = [_show(row) for row in _model(cost, options.cores)]
    _print_measured(rows, load)
    _print_costs(costs)
    _print_model(model)


def _longer(load: Load, times: int) -> Load:
    """Fewer trials, so many times as long."""
    trials = max(1, load.trials // times)
    return replace(load, seconds=times * load.seconds, epochs=times * load.epochs, trials=trials)


def _show(row: dict[str, Any]) -> dict[str, Any]:
    print(json.dumps(row), flush=True)
    return row


# ------------------------------------------------------------------------------------------- measured


def _measure(bench: Bench, load: Load, workers: int, repeats: int) -> dict[str, Any]:
    """So many workers at the same time."""
    runs = [_run(bench, load, workers) for _ in range(repeats)]
    row: dict[str, Any] = {"workers": workers, "n": repeats}
    for name in runs[0]:
        values = [run[name] for run in runs]
        row[name] = round(statistics.median(values), 3)
        row[f"{name}_spread"] = [round(min(values), 3), round(max(values), 3)]
    return row


def _run(bench: Bench, load: Load, workers: int) -> dict[str, float]:
    url, folder = bench.new_url("postgresql"), str(bench.folder / "artifacts")
    _create(url, folder, load, workers)
    with _connections(url) as counts:
        times = bench.crowd(_work, workers, url, folder, load, bench.server_pid)
    started, ended, worker, server_before, server_after, all_before, all_after = zip(*times, strict=True)
    wall, trials = max(ended) - min(started), workers * load.trials
    each = [end - start for start, end in zip(started, ended, strict=True)]
    _check(url, trials, load.epochs)
    used = max(server_after) - min(server_before)
    others = max(all_after) - min(all_before) - used - sum(worker)
    return {
        "trials_per_s": sum(load.trials / seconds for seconds in each),
        "share": statistics.mean(load.trials * load.seconds / seconds for seconds in each),
        "database_ms": used / trials * 1000,
        "database_cores": used / wall,
        "worker_ms": sum(worker) / trials * 1000,
        "other_cores": max(0.0, others / wall),
        "connections": statistics.median(counts) / workers,
        "most_connections": max(counts) / workers,
    }


def _create(url: str, folder: str, load: Load, workers: int) -> None:
    storage = Storage(url, artifact_dir=folder, create=True)
    for name, trials in ((WARM_UP, workers * WARM_UPS), (STUDY, workers * load.trials + load.queue)):
        create_study(_spec(name, trials, load.epochs), storage=storage)
    storage.engine.dispose()


def _spec(name: str, trials: int, epochs: int) -> SearchSpec:
    return SearchSpec(
        name=name,
        kind="search",
        data={"name": "digits"},
        trials=trials,
        sampler={"name": "random", "seed": 0},
        params={"hidden_units": [8], "epochs": epochs},
        space={"learning_rate": {"low": 1e-3, "high": 0.5, "log": True}, "batch_size": [32, 64]},
    )


def _work(barrier: Any, url: str, folder: str, load: Load, server: int) -> tuple[float, ...]:
    """Its begin and end, and seconds of CPU: its own, the server's and the machine's at both times."""
    storage = Storage(url, artifact_dir=folder)
    ended = 0.0

    def note(*_: Any) -> None:
        nonlocal ended
        ended = time.perf_counter()

    runner = partial(_sleeping, load)
    # Statements are compiled and prepared, connections are made.
    Worker(storage, [WARM_UP], runner=partial(_sleeping, replace(load, seconds=0.0))).run(max_trials=WARM_UPS)
    worker = Worker(storage, [STUDY], runner=runner, on_finished=note)
    barrier.wait()
    # At any moment of the others' trials: workers that begin together would all end them together.
    time.sleep(random.uniform(0.0, load.seconds))
    before, all_before = _cpu_seconds(server), _busy_seconds()
    own, started = time.process_time(), time.perf_counter()
    worker.run(max_trials=load.trials)
    own = time.process_time() - own
    result = started, ended, own, before, _cpu_seconds(server), all_before, _busy_seconds()
    storage.engine.dispose()
    return result


def _sleeping(load: Load, _study: Any) -> Callable[..., Outcome]:
    """What trains nothing, and reports as if it did."""

    def train(trial: optuna.trial.Trial, _hyperparameters: Any, **_: Any) -> Outcome:
        begun = time.perf_counter()
        for step in range(1, load.epochs + 1):
            # An epoch takes as long whatever the report before it took.
            time.sleep(max(0.0, begun + step * load.seconds / load.epochs - time.perf_counter()))
            trial.report(1 / step, step)
        metrics = dict.fromkeys(FINAL_METRICS, 0.5)
        epoch = dict.fromkeys(("loss", "accuracy", "val_loss", "val_accuracy"), 1 / 3)
        replicate = Replicate(seed=0, fold=None, curve=[epoch] * load.epochs, metrics=metrics)
        return Outcome(TrialState.COMPLETE, 0.5, None, metrics, [replicate])

    return train


def _cpu_seconds(server: int) -> float:
    """Of the server's processes that serve connections, and of all that have ended."""
    postmaster = psutil.Process(server)
    times = postmaster.cpu_times()
    total = float(times.children_user + times.children_system)
    for process in postmaster.children():
        with contextlib.suppress(psutil.NoSuchProcess):
            # The others do once what they do, however many workers there are.
            if LOCAL in " ".join(process.cmdline()):
                total += sum(process.cpu_times()[:2])
    return total


def _busy_seconds() -> float:
    """Of all that runs on this machine."""
    times = psutil.cpu_times()
    return float(times.user + times.nice + times.system)


@contextlib.contextmanager
def _connections(url: str) -> Iterator[list[int]]:
    """Counts connections to a database beside its own, again and again, until it ends."""
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sa.StaticPool)
    asked = sa.text(
        "SELECT count(*) - 1 FROM pg_stat_activity WHERE datname = current_database()"
        " AND backend_type = 'client backend'"
    )
    counts: list[int] = []
    ended = threading.Event()

    def look() -> None:
        with engine.connect() as connection:
            while not ended.wait(LOOK_SECONDS):
                counts.append(connection.execute(asked).scalar_one())

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield counts
    finally:
        ended.set()
        thread.join()
        engine.dispose()


def _check(url: str, trials: int, epochs: int) -> None:
    """Ends the benchmark unless so many trials are complete with all that they reported."""
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    reports = "SELECT count(*) FROM trial_intermediate_values v WHERE v.trial_id = t.trial_id"
    complete = f"t.study_id = s.study_id AND t.state = 'COMPLETE' AND s.study_name = '{STUDY}'"
    with engine.connect() as connection:
        found = list(
            connection.exec_driver_sql(
                f"SELECT ({reports}) FROM trials t, studies s WHERE {complete}"
            ).scalars()
        )
    if found != [epochs] * trials:
        raise SystemExit(f"of {trials} trials {len(found)} are complete; they reported {set(found)} values")


# ---------------------------------------------------------------------------------------------- a trial


def _costs(bench: Bench, load: Load, others: int) -> dict[str, Any]:
    """What one worker's trial costs beside so many trials that other workers have in training."""
    url, folder = bench.new_url("postgresql"), str(bench.folder / "artifacts")
    _create(url, folder, replace(load, queue=others + load.queue), 1)
    if others:
        _begin_others(url, others)
    (row,) = bench.crowd(_cost, 1, url, folder, load, bench.server_pid)
    return {"others": others, "seconds": load.seconds, **row}


def _begin_others(url: str, others: int) -> None:
    """Let as many workers hold the first trials of the study, for an hour."""
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    ids = f"""SELECT trial_id FROM trials JOIN studies USING (study_id)
        WHERE study_name = '{STUDY}' ORDER BY number LIMIT {others}"""
    with engine.connect() as connection:
        connection.exec_driver_sql(
            f"""INSERT INTO hpo_leases (key, owner, token, expires)
            SELECT 'trial:' || trial_id, 'other-' || trial_id, md5(trial_id::text),
            extract(epoch FROM clock_timestamp()) + 3600 FROM ({ids}) AS held"""
        )
        connection.exec_driver_sql(
            f"UPDATE trials SET state = 'RUNNING', datetime_start = now() WHERE trial_id IN ({ids})"
        )
        # As the server's own autovacuum does within a minute.
        connection.exec_driver_sql("VACUUM ANALYZE")


def _cost(_barrier: Any, url: str, folder: str, load: Load, server: int) -> dict[str, float]:
    """Of one worker, a trial: round trips, statements, and CPU time."""
    storage = Storage(url, artifact_dir=folder)
    statements: Counter[str] = Counter()
    sa.event.listen(storage.engine, "before_cursor_execute", lambda *_: statements.update(all=1))
    with tempfile.TemporaryDirectory() as traces:
        sa.event.listen(storage.engine, "connect", partial(_trace, Path(traces)))
        storage.engine.dispose()
        Worker(storage, [WARM_UP], runner=partial(_sleeping, replace(load, seconds=0.0))).run(
            max_trials=WARM_UPS
        )

        def used() -> list[float]:
            answers = sum(path.read_bytes().count(ANSWERED) for path in Path(traces).iterdir())
            return [answers, statements["all"], 1000 * _cpu_seconds(server), 1000 * time.process_time()]

        worker = Worker(storage, [STUDY], runner=partial(_sleeping, load))
        before = used()
        worker.run(max_trials=load.trials)
        after = used()
        storage.engine.dispose()
    names = ("round_trips", "statements", "database_ms", "worker_ms")
    return {name: (b - a) / load.trials for name, a, b in zip(names, before, after, strict=True)}


def _trace(folder: Path, connection: Any, record: Any) -> None:
    """Let libpq write down what a connection sends and receives, line by line."""
    with tempfile.NamedTemporaryFile(dir=folder, delete=False) as file:
        # libpq closes what it is given, when it has ended.
        connection.pgconn.trace(os.dup(file.fileno()))


# ---------------------------------------------------------------------------------------------- a model


@dataclass(frozen=True)
class Cost:
    """The server's seconds: of a trial by its length, points to go through, and for `each` other worker."""

    of_length: tuple[tuple[float, float], ...]
    each: float

    def of(self, workers: int, seconds: float) -> float:
        """With so many workers, of a trial of so many seconds; one shorter than all costs as the shortest."""
        (low, demand), *longer = self.of_length
        for high, next_demand in longer:
            slope = (next_demand - demand) / (high - low)
            if seconds <= high or high == longer[-1][0]:
                break
            low, demand = high, next_demand
        return demand + slope * max(0.0, seconds - low) + self.each * (workers - 1)


def _cost_of(alone: dict[str, Any], crowded: dict[str, Any], *longer: dict[str, Any]) -> Cost:
    """The model's costs from those measured: of the same trial among others, and of longer ones."""
    each = max(0.0, crowded["database_ms"] - alone["database_ms"]) / 1000
    of_length = tuple((row["seconds"], row["database_ms"] / 1000) for row in (alone, *longer))
    return Cost(of_length, each / (crowded["others"] - alone["others"]))


def share(workers: int, seconds: float, demand: float, cores: int) -> float:
    """The share of ideal throughput of so many workers, by mean value analysis.

    A worker trains for `seconds`, then asks the server for `demand` seconds of one of its cores.

    >>> round(share(1, 1.0, 0.0, 2), 3), round(share(1000, 1.0, 0.02, 2), 3)
    (1.0, 0.1)
    """
    queue = throughput = 0.0
    delay, service = seconds + demand * (cores - 1) / cores, demand / cores
    for present in range(1, workers + 1):
        response = service * (1 + queue)
        throughput = present / (delay + response)
        queue = throughput * response
    return throughput * seconds / workers


def least_seconds(workers: int, cost: Cost, cores: int) -> float | None:
    """The shortest trial with which so many workers reach the target, to a hundredth; None if none does."""
    low, high = 0.001, 1e6
    if share(workers, high, cost.of(workers, high), cores) < TARGET:
        return None
    while high / low > 1.01:
        middle = math.sqrt(low * high)
        is_enough = share(workers, middle, cost.of(workers, middle), cores) >= TARGET
        low, high = (low, middle) if is_enough else (middle, high)
    return round(high, 2)


def _model(cost: Cost, cores: int) -> Iterator[dict[str, Any]]:
    for workers in MODEL_WORKERS:
        demands = {seconds: cost.of(workers, seconds) for seconds in MODEL_SECONDS}
        yield {
            "model": workers,
            "cores": cores,
            "share": {s: round(share(workers, s, demand, cores), 3) for s, demand in demands.items()},
            "saturates_at": {s: round(cores * (s + demand) / demand) for s, demand in demands.items()},
            "least_seconds": least_seconds(workers, cost, cores),
            # Nothing waits for a server that is half idle.
            "cores_needed": {s: math.ceil(2 * workers * d / (s + d)) for s, d in demands.items()},
        }


# ---------------------------------------------------------------------------------------------- tables


def _print_measured(rows: list[dict[str, Any]], load: Load) -> None:
    title = f"{load.trials} trials a worker of {load.seconds:g} s and {load.epochs} epochs"
    title += f", {load.queue} more in the queue: medians (least to most)"
    table = Table("workers", "n", *MEASURED, title=title)
    for row in rows:
        cells = ("{:.3g} ({:.3g}-{:.3g})".format(row[name], *row[f"{name}_spread"]) for name in MEASURED)
        table.add_row(str(row["workers"]), str(row["n"]), *cells)
    Console(stderr=True, width=150).print(table)


def _print_costs(rows: list[dict[str, Any]]) -> None:
    table = Table(*rows[0], title="one worker, a trial")
    for row in rows:
        table.add_row(*(f"{value:.4g}" for value in row.values()))
    Console(stderr=True, width=150).print(table)


def _print_model(rows: list[dict[str, Any]]) -> None:
    title = f"model of a server with {rows[0]['cores']} cores: share of ideal by seconds a trial, and the"
    title += f" shortest trial that reaches {TARGET:.0%}; cores of a server that is half idle"
    lengths = [f"{seconds:g} s" for seconds in MODEL_SECONDS]
    table = Table("workers", *lengths, "shortest", *(f"cores, {of}" for of in lengths), title=title)
    for row in rows:
        shares = (f"{of:.1%}" for of in row["share"].values())
        least = row["least_seconds"]
        shortest = "none" if least is None else f"{least:.2f} s"
        table.add_row(str(row["model"]), *shares, shortest, *map(str, row["cores_needed"].values()))
    Console(stderr=True, width=150).print(table)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    cores = len(os.sched_getaffinity(0))
    parser.add_argument("--workers", type=int, nargs="*", default=WORKERS)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--trials", type=int, default=20, help="of each worker")
    parser.add_argument("--seconds", type=float, default=1.0, help="of a trial")
    parser.add_argument("--epochs", type=int, default=4, help="of a trial")
    parser.add_argument("--queue", type=int, default=1000, help="trials that wait beside")
    parser.add_argument("--others", type=int, default=1000, help="workers beside the one that is measured")
    parser.add_argument("--cores", type=int, default=cores, help="of the model's server")
    parser.add_argument("--no-costs", action="store_true", help="measure workers together, and no more")
    return parser.parse_args()


if __name__ == "__main__":
    main()
