"""The table of strategies: what `sampler.name` of a search stands for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import optuna

from hpo.search import configurations
from hpo.search.evolution import EvolutionSampler
from hpo.search.modelled import ModelSampler
from hpo.search.surrogates import Forest, GaussianProcess, Mixed
from hpo.spec import SearchSpec, StudySpec
from hpo.spec.strategies import check_installed

Configurations = Callable[[SearchSpec], Iterator[dict[str, Any]]]
MakeSampler = Callable[[SearchSpec, int], optuna.samplers.BaseSampler]


@dataclass(frozen=True)
class Strategy:
    """A way to search, either of both.

    `configurations` gives those of a search by their index, `sampler` draws that of the trial of a number.
    """

    configurations: Configurations | None = None
    sampler: MakeSampler | None = None


def _seed(spec: SearchSpec, number: int) -> int:
    """Of one trial: a sampler with one seed for all would draw the same in every worker, and on a resume."""
    return int(np.random.SeedSequence([spec.sampler.seed, number]).generate_state(1)[0])


def _tpe(spec: SearchSpec, number: int) -> optuna.samplers.BaseSampler:
    return optuna.samplers.TPESampler(seed=_seed(spec, number))


def _nsga2(spec: SearchSpec, number: int) -> optuna.samplers.BaseSampler:
    return optuna.samplers.NSGAIISampler(seed=_seed(spec, number), population_size=_population(spec))


def _population(spec: SearchSpec) -> int:
    # A generation of Optuna's 50 would be all of a short search.
    return max(4, min(50, spec.searched // 8))


def _by(model: Any) -> MakeSampler:
    return partial(ModelSampler, model=model)


STRATEGIES: Mapping[str, Strategy] = {
    "random": Strategy(configurations=configurations.at_random),
    "grid": Strategy(configurations=configurations.all_of),
    "qmc": Strategy(configurations=configurations.evenly),
    "tpe": Strategy(sampler=_tpe),
    "gp": Strategy(sampler=_by(GaussianProcess)),
    "forest": Strategy(sampler=_by(Forest)),
    "mixed": Strategy(sampler=_by(Mixed)),
    "cmaes": Strategy(sampler=EvolutionSampler),
    "nsga2": Strategy(sampler=_nsga2),
}


def configurations_of(spec: SearchSpec) -> Iterator[dict[str, Any]] | None:
    """The search's configurations in order, those of a shorter search first; None if it learns."""
    listed = STRATEGIES[spec.strategy].configurations
    return None if listed is None else listed(spec)


def make_sampler(spec: StudySpec, number: int) -> optuna.samplers.BaseSampler:
    """The sampler for the trial of a number; of a study whose trials are listed, one that nobody asks.

    Raises:
        SpecError: its strategy needs a package that is not installed.
    """
    sampler = STRATEGIES[spec.strategy].sampler if isinstance(spec, SearchSpec) else None
    if sampler is None:
        return optuna.samplers.RandomSampler(seed=0)
    assert isinstance(spec, SearchSpec)
    check_installed(spec.strategy)
    return sampler(spec, number)
