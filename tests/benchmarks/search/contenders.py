"""Who searches: hpo's strategies by its own plan, Optuna's samplers by themselves, and whoever trains all."""

from __future__ import annotations

import heapq
import itertools
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import optuna
from optuna.trial import FrozenTrial, Trial, TrialState

from hpo.errors import SpecError
from hpo.search import ShowingSampler, Views, confirms, decode, make_sampler, plan, race_of, suggest
from hpo.spec import SearchSpec, parse
from hpo.spec.parts import Sampler
from tests.benchmarks.search.problems import Problem, Values

# noiseless: each training gives its mean. noisy: one seed a training, and the best value wins. raced: the
# same, and some of the trainings go to the leaders.
Way = Literal["noiseless", "noisy", "raced"]
WAYS: tuple[Way, ...] = get_args(Way)
# Of Optuna's samplers, whose studies end with no race of their own: so many leaders on so many seeds.
TOP, SEEDS = 5, 5
OPTUNA: Mapping[str, Callable[[int], optuna.samplers.BaseSampler]] = {
    "optuna:random": lambda seed: optuna.samplers.RandomSampler(seed=seed),
    "optuna:tpe": lambda seed: optuna.samplers.TPESampler(seed=seed),
    "optuna:tpe-4": lambda seed: optuna.samplers.TPESampler(
        seed=seed, multivariate=False, constant_liar=False
    ),
    "optuna:tpe-group": lambda seed: optuna.samplers.TPESampler(seed=seed, multivariate=True, group=True),
    "optuna:nsga2": lambda seed: optuna.samplers.NSGAIISampler(seed=seed),
}
# Trains each configuration once: what the noise of one seed leaves to whoever has trainings without end.
EVERYTHING = "everything"


@dataclass(frozen=True)
class Task:
    """One search: on what, in which way, with how many trainings in all and workers at once."""

    problem: Problem
    way: Way
    trainings: int
    workers: int
    seed: int

    def generator(self) -> np.random.Generator:
        """Of the noise of its trainings."""
        return np.random.default_rng([self.seed, 0x5EED])

    def value(self, values: Values, generator: np.random.Generator) -> float:
        """What a training of a configuration gives."""
        return (
            self.problem.mean(values) if self.way == "noiseless" else self.problem.trained(values, generator)
        )


def contenders() -> tuple[str, ...]:
    """The samplers that a study may name, Optuna's, and who trains everything."""
    return (*get_args(Sampler.model_fields["name"].annotation), *OPTUNA, EVERYTHING)


def regret_of(contender: str, task: Task, folder: Path) -> float:
    """The regret of the configuration that a contender names in the end.

    Raises:
        SpecError: it cannot do the space.
    """
    if contender == EVERYTHING:
        return _of_everything(task)
    return _of_optuna(OPTUNA[contender], task) if contender in OPTUNA else _of_hpo(contender, task, folder)


def spec_of(contender: str, task: Task, folder: Path, **further: Any) -> SearchSpec:
    """The study that a person would write of a task; raises SpecError where its sampler cannot do it."""
    code = folder / f"{task.problem.name.replace('/', '_')}.py"
    if not code.exists():
        code.write_text(f"def build({', '.join(task.problem.space)}):\n    ...\n")
    keys: dict[str, Any] = {} if task.way == "raced" else {"confirm": False}
    spec = parse(
        {
            "name": "benchmark",
            "kind": "search",
            "data": {"name": "digits"},
            "model": {"file": str(code), "function": "build"},
            "objective": {"metric": "val_loss", "direction": "minimize"},
            "sampler": {"name": contender, "seed": task.seed},
            "trials": task.trainings,
            "space": dict(task.problem.space),
            **keys,
        }
        | further
    )
    assert isinstance(spec, SearchSpec)
    return spec


def begun(study: optuna.Study, spec: SearchSpec, trial: FrozenTrial, views: Views | None = None) -> Trial:
    """A waiting trial as a worker claims it: with the sampler of its number it gets its values."""
    study.sampler = ShowingSampler(make_sampler(spec, trial.number), views or Views(spec))
    study._storage.set_trial_state_values(trial._trial_id, TrialState.RUNNING)
    claimed = Trial(study, trial._trial_id)
    suggest(claimed, spec)
    return claimed


def _of_hpo(name: str, task: Task, folder: Path) -> float:
    spec, study = spec_of(name, task, folder), optuna.create_study(direction="minimize")
    generator = task.generator()

    def begin() -> tuple[int, Values] | None:
        waiting = study.get_trials(deepcopy=False, states=(TrialState.WAITING,))
        if not waiting:
            study.add_trials(plan(spec, study.get_trials(deepcopy=False)))
            waiting = study.get_trials(deepcopy=False, states=(TrialState.WAITING,))
        if not waiting:
            return None
        trial = begun(study, spec, waiting[0])
        return trial.number, _values(trial.params)

    _simulate(task, begin, lambda number, values: study.tell(number, task.value(values, generator)))
    trials = study.get_trials(deepcopy=False)
    if len(trials) > task.trainings or any(not trial.state.is_finished() for trial in trials):
        raise AssertionError(f"{name}: {len(trials)} of {task.trainings} trainings")
    race = race_of(spec, trials)
    if race is not None and race.still_in:
        return task.problem.regret(_values(trials[race.still_in[0]].params))
    return task.problem.regret(_best([trial for trial in trials if confirms(trial) is None])[0])


def _of_optuna(make: Callable[[int], optuna.samplers.BaseSampler], task: Task) -> float:
    study = optuna.create_study(direction="minimize", sampler=make(task.seed))
    generator = task.generator()
    left = itertools.count(task.trainings - (TOP * SEEDS if task.way == "raced" else 0), -1)

    def begin() -> tuple[int, Values] | None:
        if next(left) <= 0:
            return None
        trial = study.ask()
        return trial.number, _drawn(trial, task.problem)

    _simulate(task, begin, lambda number, values: study.tell(number, task.value(values, generator)))
    return _of_ranked(_best(study.get_trials(deepcopy=False)), task, generator)


def _of_everything(task: Task) -> float:
    space, generator = task.problem.space, task.generator()
    if any("low" in dimension and "step" not in dimension for dimension in space.values()):
        raise SpecError("space", "must be finite")
    choices = [of if isinstance(of, list) else range(of["low"], of["high"] + 1) for of in space.values()]
    every: list[Values] = [dict(zip(space, values, strict=True)) for values in itertools.product(*choices)]
    found = np.array([task.value(values, generator) for values in every])
    best = np.argsort(found, kind="stable")[:TOP]
    return _of_ranked([every[at] for at in best.tolist()], task, generator)


def _of_ranked(ranked: list[Values], task: Task, generator: np.random.Generator) -> float:
    """Of the best one; where leaders are raced, of the one whose fresh seeds are best."""
    if task.way != "raced":
        return task.problem.regret(ranked[0])
    again = [statistics.fmean(task.value(values, generator) for _ in range(SEEDS)) for values in ranked[:TOP]]
    return task.problem.regret(ranked[int(np.argmin(again))])


def _simulate(
    task: Task, begin: Callable[[], tuple[int, Values] | None], end: Callable[[int, Values], object]
) -> None:
    """Let workers train at the same time, each training for as long as its problem says."""
    running: list[tuple[float, int, Values]] = []
    now = 0.0
    while True:
        while len(running) < task.workers and (trial := begin()) is not None:
            number, values = trial
            heapq.heappush(running, (now + task.problem.seconds(values), number, values))
        if not running:
            return
        now, number, values = heapq.heappop(running)
        end(number, values)


def _best(trials: list[FrozenTrial]) -> list[Values]:
    """Configurations that differ, the best first."""
    found = dict[str, Values]()
    for trial in sorted(trials, key=lambda trial: (trial.value, trial.number)):
        found.setdefault(repr(sorted(trial.params.items())), _values(trial.params))
    return list(found.values())


def _values(params: Mapping[str, Any]) -> Values:
    return {name: decode(value) for name, value in params.items()}


def _drawn(trial: Trial, problem: Problem) -> Values:
    """As one writes it by hand, what is not active left out."""
    found: dict[str, Any] = {}
    for name, dimension in problem.space.items():
        if isinstance(dimension, list):
            found[name] = trial.suggest_categorical(name, dimension)
            continue
        if any(found.get(parent) != value for parent, value in dimension.get("when", {}).items()):
            continue
        low, high = dimension["low"], dimension["high"]
        suggest_one = trial.suggest_int if isinstance(low, int) else trial.suggest_float
        found[name] = suggest_one(name, low, high)
    return found
