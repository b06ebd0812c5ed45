"""How a search ends: its leaders are trained again on fresh seeds, as the best of many is a lucky one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag

from hpo.spec.base import Model, Must
from hpo.spec.hyperparameters import Count
from hpo.spec.parts import AtLeastTwo

# From so many trials on, that many leaders on that many seeds each: a quarter to two fifths of the trials.
# With one noisy seed a training, a random search that spends a quarter so chooses better than TPE that does
# not (python -m tests.benchmarks.search).
USUAL = ((100, 5, 5), (40, 3, 4), (16, 2, 3), (10, 2, 2))


class Confirm(Model):
    """The race of a search's leaders."""

    top: AtLeastTwo = Field(default=5, description="How many of the best configurations are trained again.")
    seeds: Count = Field(
        default=5, description="On how many fresh seeds each at most; who cannot win any more drops out."
    )

    @property
    def runs(self) -> int:
        """Training runs that the race takes at most."""
        return self.top * self.seeds


def _branch(confirm: object) -> str:
    return (
        "usual race" if confirm is None else "race" if isinstance(confirm, Mapping | Confirm) else "no race"
    )


# None is what suits the number of trials.
Confirmed = Annotated[
    Annotated[Confirm, Tag("race")]
    | Annotated[
        Literal[False], Must("false, or a table with top and seeds: { top = 5, seeds = 5 }"), Tag("no race")
    ]
    | Annotated[None, Tag("usual race")],
    Discriminator(_branch),
]


def usual(trials: int) -> Confirm | None:
    """The race of a search of so many trials that says nothing of it; None of a short one.

    >>> usual(100), usual(20), usual(9)
    (Confirm(top=5, seeds=5), Confirm(top=2, seeds=3), None)
    """
    found = next(((top, seeds) for least, top, seeds in USUAL if trials >= least), None)
    return None if found is None else Confirm(top=found[0], seeds=found[1])
