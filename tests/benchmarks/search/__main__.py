"""The command: `python -m tests.benchmarks.search`; what it needs: `pip install -e '.[bench]'`.

Every strategy of hpo and some of Optuna's samplers search 12 real tables of MLP trainings and a space with
conditions, by simulated workers whose trainings take as long as the tables say. Regret: 0 is the best
configuration, 1 the median one; by mean over seeds. Prints a line of JSON with the machine, then a line for
each contender: mean regret with its 95 % interval, which is that of the runs, the tables being given.
Trainings are 100 in all: of raced ones 25 go to the leaders. `everything` trains each of tens of thousands of
configurations once and then its five best: what regret it has is noise, which nobody sees through. Then
milliseconds that a decision takes after 5,000 trials.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import tempfile
import time
import warnings
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import optuna
from optuna.trial import FrozenTrial, Trial, TrialState, create_trial

from hpo.errors import SpecError
from hpo.search import Views, decode, plan
from tests.benchmarks.machine import machine
from tests.benchmarks.search.contenders import (
    EVERYTHING,
    OPTUNA,
    WAYS,
    Task,
    Way,
    begun,
    contenders,
    regret_of,
    spec_of,
)
from tests.benchmarks.search.problems import Problem, conditional, table, tables

TRAININGS, HISTORY, DECISIONS = 100, 5_000, 5
CONDITIONAL, SEVERAL = "conditional", "two objectives"
# Of what a decision is timed.
HISTORIES = ("a table", CONDITIONAL, SEVERAL)


@dataclass(frozen=True)
class Cell:
    """What one process does at a time: some runs of one contender on one problem."""

    contender: str
    problem: str
    way: Way
    workers: int
    repeats: int
    trainings: int


def main() -> None:
    """Measure what is asked for, and print."""
    arguments = _arguments()
    print(
        json.dumps(
            {"n": arguments.repeats, "trainings": arguments.trainings, **machine("optuna", "scikit-learn")}
        )
    )
    columns = [(way, workers) for way in arguments.ways for workers in arguments.workers]
    print(f"{'':18}" + "".join(f"{f'{way}, {workers} w.':>18}" for way, workers in columns), flush=True)
    with ProcessPoolExecutor(arguments.processes) as pool:
        for place, problems in (("tables", arguments.tables), (CONDITIONAL, [CONDITIONAL])):
            if arguments.only not in (None, place):
                continue
            print(f"{place}:", flush=True)
            for contender in arguments.contenders:
                cells = [
                    Cell(contender, problem, way, workers, arguments.repeats, arguments.trainings)
                    for way, workers in columns
                    for problem in problems
                ]
                runs = list(pool.map(_runs, cells))
                shown = (_shown(runs[at : at + len(problems)]) for at in range(0, len(runs), len(problems)))
                print(f"{contender:18}" + "".join(f"{text:>18}" for text in shown), flush=True)
        if arguments.only in (None, "decisions"):
            print(f"ms of a decision after {HISTORY:,} trials, median (least to most) of n = {DECISIONS}:")
            print(f"{'':18}" + "".join(f"{of:>18}" for of in HISTORIES), flush=True)
            for contender in arguments.contenders:
                if contender not in (*OPTUNA, EVERYTHING):
                    # One after the other: what is timed is not to be disturbed.
                    texts = [pool.submit(_decisions, contender, of).result() for of in HISTORIES]
                    print(f"{contender:18}" + "".join(f"{text:>18}" for text in texts), flush=True)


def _runs(cell: Cell) -> list[float] | str:
    """The regret of each run, or why there is none."""
    _quiet()
    with tempfile.TemporaryDirectory() as folder:
        try:
            return [
                regret_of(
                    cell.contender,
                    Task(_problem(cell.problem), cell.way, cell.trainings, cell.workers, seed),
                    Path(folder),
                )
                for seed in range(cell.repeats)
            ]
        except SpecError as error:
            return str(error)


def _problem(name: str) -> Problem:
    return conditional(sigma=0.02) if name == CONDITIONAL else table(name)


def _shown(runs: Sequence[list[float] | str]) -> str:
    found = [of for of in runs if isinstance(of, list)]
    if len(found) < len(runs):
        return "refused" if not found else f"refused {len(runs) - len(found)} of {len(runs)}"
    mean = statistics.fmean(statistics.fmean(of) for of in found)
    if len(found[0]) < 2:
        return f"{mean:.4f}"
    variance = sum(statistics.variance(of) / len(of) for of in found) / len(found) ** 2
    return f"{mean:.4f} ± {1.96 * math.sqrt(variance):.4f}"


def _decisions(contender: str, of: str) -> str:
    """How long a worker waits for its configuration in a long study."""
    _quiet()
    # The widest of the tables; more trials than are drawn, since a study that is over draws none.
    problem = conditional() if of == CONDITIONAL else table(tables()[-1])
    task = Task(problem, "noiseless", 2 * HISTORY, 1, 0)
    several = {"objectives": [{"metric": "val_loss"}, {"metric": "train_seconds"}]} if of == SEVERAL else {}
    with tempfile.TemporaryDirectory() as folder:
        try:
            spec = spec_of(contender, task, Path(folder), **several)
            listed = spec_of("random", task, Path(folder), **several)
        except SpecError:
            return "refused"

    def end(trial: FrozenTrial | Trial) -> None:
        values = {name: decode(value) for name, value in trial.params.items()}
        study.tell(trial.number, [problem.mean(values), *([problem.seconds(values)] if several else [])])

    study = optuna.create_study(directions=["minimize"] * len(spec.objectives))
    study.add_trials(plan(listed, [])[:HISTORY])
    for trial in study.get_trials(deepcopy=False):
        study._storage.set_trial_state_values(trial._trial_id, TrialState.RUNNING)
        end(trial)
    took, views = [], Views(spec)
    for _ in range(DECISIONS + 1):
        study.add_trial(create_trial(state=TrialState.WAITING))
        waiting = study.get_trials(deepcopy=False, states=(TrialState.WAITING,))[0]
        started = time.perf_counter()
        begun_one = begun(study, spec, waiting, views)
        took.append(1000 * (time.perf_counter() - started))
        end(begun_one)
    later = took[1:]
    return f"{statistics.median(later):.0f} ({min(later):.0f} to {max(later):.0f})"


def _quiet() -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.search", description="See the module.")
    parser.add_argument("--repeats", type=int, default=30, help="Runs of each contender on each table.")
    parser.add_argument("--contenders", nargs="+", choices=contenders(), default=contenders(), metavar="NAME")
    parser.add_argument("--tables", nargs="+", choices=tables(), default=tables(), metavar="NAME")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=WAYS)
    parser.add_argument("--workers", nargs="+", type=int, default=[1, 8], help="Workers at once.")
    parser.add_argument("--trainings", type=int, default=TRAININGS, help="Trainings of a search.")
    parser.add_argument("--processes", type=int, default=1, help="Processes that measure.")
    parser.add_argument("--only", choices=("tables", CONDITIONAL, "decisions"), help="Nothing else.")
    return parser.parse_args()


if __name__ == "__main__":
    main()
