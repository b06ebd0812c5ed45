"""What a specification must know of the ways to search: what each can do, and which one `auto` is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec

from hpo.errors import SpecError


@dataclass(frozen=True)
class Ability:
    """What a strategy can do.

    One that `learns` draws by the results of trials before it; the configurations of another follow from seed
    and index. One that `is_whole` tries every configuration. `needs` is the package, and the extra of hpo's
    that brings it, that it takes beside what hpo always has, and `about` says in words what it does.
    """

    about: str
    learns: bool = True
    is_whole: bool = False
    takes_choices: bool = True
    takes_conditions: bool = True
    takes_several: bool = False
    needs: str | None = None

    @property
    def is_there(self) -> bool:
        """Whether what it needs is installed."""
        return self.needs is None or find_spec(self.needs) is not None


ABILITIES: Mapping[str, Ability] = {
    "random": Ability("draws, in a finite space without repeats", learns=False, takes_several=True),
    "grid": Ability("tries every combination", learns=False, is_whole=True, takes_several=True),
    "qmc": Ability("spreads evenly over the space (Sobol)", learns=False, takes_several=True),
    "tpe": Ability("tree-structured Parzen estimator", takes_several=True),
    "gp": Ability("Gaussian process; weighs one seed's noise"),
    "forest": Ability("random forest; for steps and choices"),
    "mixed": Ability("the mean of gp and forest"),
    "cmaes": Ability(
        "evolution strategy, for ranges", takes_choices=False, takes_conditions=False, needs="cmaes"
    ),
    "nsga2": Ability("genetic algorithm, for several objectives", takes_several=True),
}
AUTO = "auto"
NAMES = (AUTO, *ABILITIES)


def check_installed(strategy: str) -> None:
    """Raises SpecError if the package that a strategy needs is not installed."""
    ability = ABILITIES[strategy]
    if not ability.is_there:
        rule = f"{strategy!r} needs the package {ability.needs}, which is not installed"
        raise SpecError("sampler.name", rule, remedy=f"pip install 'hpo-studies[{ability.needs}]'")
