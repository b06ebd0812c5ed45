"""Which results count: what breaks a constraint is none to choose, and of the worst to learn from."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import optuna
from optuna.trial import FrozenTrial, TrialState, create_trial

from hpo.search import (
    ShowingSampler,
    Views,
    best_of,
    distributions,
    earlier_rows,
    known,
    make_sampler,
    suggest,
)
from hpo.search.marks import is_valued
from hpo.search.shown import ShownStudy
from hpo.spec import SearchSpec, parse

SPACE: dict[str, Any] = {"dropout": {"low": 0.0, "high": 0.5}, "momentum": {"low": 0.0, "high": 0.9}}
RULE = "val_loss <= 0.5"


def search(name: str = "tpe", **keys: Any) -> SearchSpec:
    basic = {
        "name": "s",
        "kind": "search",
        "data": {"name": "digits"},
        "trials": 60,
        "confirm": False,
        "params": {"optimizer": "sgd"},
        "space": SPACE,
    }
    spec = parse(basic | {"sampler": {"name": name, "seed": keys.pop("seed", 0)}} | keys)
    assert isinstance(spec, SearchSpec)
    return spec


def ended(value: float, *, number: int = 0, infeasible: bool = False, dropout: float = 0.1) -> FrozenTrial:
    trial = create_trial(
        value=value,
        params={"dropout": dropout, "momentum": 0.5},
        distributions=distributions(search()),
        user_attrs={"infeasible": True} if infeasible else {},
        system_attrs={f"constraints:{RULE}": 1.0 if infeasible else -1.0},
    )
    trial.number = number
    return trial


def test_a_result_counts_if_it_is_whole_feasible_and_finite() -> None:
    assert is_valued(ended(0.0))
    assert not is_valued(ended(0.9, infeasible=True))
    assert not any(is_valued(ended(value)) for value in (math.inf, -math.inf))
    assert not is_valued(create_trial(state=TrialState.PRUNED, value=0.5))
    assert not is_valued(create_trial(state=TrialState.RUNNING))
    assert is_valued(create_trial(values=[0.1, 3.0]))
    assert not is_valued(create_trial(values=[0.1, math.inf]))


def test_no_search_starts_from_what_breaks_a_constraint() -> None:
    spec = search(constraints=[RULE])
    trials = [ended(0.8), ended(0.99, number=1, infeasible=True, dropout=0.4)]
    best = best_of(spec, trials)
    assert best is not None
    assert best.number == 0
    assert best_of(spec, trials[1:]) is None
    assert [row[0]["dropout"] for row in earlier_rows(spec, trials, of=spec)] == [0.1]


def test_evolution_leaves_what_breaks_a_constraint() -> None:
    """The value rises with dropout, of which the upper half breaks one."""
    assert np.mean([_broken("cmaes", seed) for seed in range(4)]) < 0.6


def test_evolution_learns_as_much_from_what_was_stopped_before_it_had_a_value() -> None:
    assert _broken("cmaes", 0, is_measured=False) == _broken("cmaes", 0)


def _broken(name: str, seed: int, *, is_measured: bool = True) -> float:
    """The share of the last half of a search that breaks the constraint."""
    spec, broken = search(name, seed=seed, constraints=[RULE]), list[bool]()
    study = optuna.create_study(direction="maximize")
    for number in range(60):
        study.sampler = ShowingSampler(make_sampler(spec, number), Views(spec))
        trial = study.ask()
        suggest(trial, spec)
        broken.append(trial.params["dropout"] > 0.25)
        if broken[-1]:
            trial.set_user_attr("infeasible", True)
        if broken[-1] and not is_measured:
            study.tell(trial, state=TrialState.PRUNED)
        else:
            study.tell(trial, trial.params["dropout"] - abs(trial.params["momentum"] - 0.4))
    return sum(broken[30:]) / 30


def test_what_an_earlier_study_says_does_not_depend_on_when_a_worker_began() -> None:
    spec = search("cmaes", start_from="old")
    generator = np.random.default_rng(0)
    rows = [
        ({"dropout": float(a), "momentum": float(b)}, True, float(-((a - 0.1) ** 2) - (b - 0.8) ** 2), 3)
        for a, b in zip(generator.uniform(0, 0.5, 7), generator.uniform(0, 0.9, 7), strict=True)
    ]
    before = Views(spec, known(spec, rows))
    study = optuna.create_study(direction="maximize")
    for number in range(20):
        study.sampler = ShowingSampler(make_sampler(spec, number), before)
        trial = study.ask()
        suggest(trial, spec)
        study.tell(trial, -((trial.params["dropout"] - 0.4) ** 2) - (trial.params["momentum"] - 0.2) ** 2)
    drawn = [
        make_sampler(spec, 20).sample_relative(ShownStudy(study, views.of), study.trials[-1], {})
        for views in (before, Views(spec, known(spec, rows)))
    ]
    assert drawn[0] == drawn[1]
    numbers = [trial.number for trial in known(spec, rows)]
    assert numbers == sorted(numbers)
    assert max(numbers) < 0
