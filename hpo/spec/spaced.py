"""What a specification says of a space: what is drawn, which configurations there are, which are allowed."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any, Self

from pydantic import Field

from hpo.spec import combinations, conditions, dimensions
from hpo.spec.base import RuleError, as_toml, within
from hpo.spec.constraints import Constraint, Constraints, Stage, stage
from hpo.spec.dimensions import Dimension, Layers
from hpo.spec.hyperparameters import TrainingTable
from hpo.spec.metrics import METRICS, is_own
from hpo.spec.space import Space
from hpo.spec.study import StudySpec

# Configurations drawn to see whether any meets the constraints: 0.2 s.
MAX_DRAWN = 10_000
# Configurations of a finite space of which it is listed which meet the constraints: 0.6 s.
MAX_LISTED = 10_000


class SpaceSpec(StudySpec):
    """A study whose configurations are drawn from a space, as far as its constraints allow."""

    space: Space = Field(description="What varies: for each hyperparameter a list of choices or a range.")
    constraints: Constraints = Field(
        default=(),
        description="What must hold of a configuration: comparisons of hyperparameters, of parameters (the "
        "weights of its network), of train_seconds and other final metrics.",
    )

    def _check_constraints(self) -> None:
        for index, text in enumerate(self.constraints):
            with within("constraints", index):
                self._stage(Constraint(text))
                for name in self._named(Constraint(text)):
                    self._check_number(name, text)
        if self.constraints_of("drawn"):
            self._check_feasible()

    def _check_number(self, name: str, text: str) -> None:
        """Raises RuleError unless a hyperparameter is a number wherever it has a value."""
        varied = self.space.get(name)
        if isinstance(varied, Layers):
            raise RuleError(f"takes numbers, and {name} is a list of layers", got=text)
        known = dimensions.ends(varied) if varied is not None else ()
        if varied is None or varied.when:
            known = (*known, getattr(self.hyperparameter_table(), name))
        for value in known:
            if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
                raise RuleError(f"takes numbers, and {name} may be {as_toml(value)}", got=text)

    def _check_feasible(self) -> None:
        whole = self._every.size
        if self._allowed is None:
            generator = random.Random(0)
            draws = (self._draft(generator) for _ in range(MAX_DRAWN))
            met, tried = any(map(self.allows, draws)), f"{MAX_DRAWN:,} that were drawn"
        else:
            met, tried = bool(self._allowed), f"{whole:,} in the space"
        if not met:
            texts = [one.text for one in self.constraints_of("drawn")]
            got = texts[0] if len(texts) == 1 else texts
            raise RuleError(
                f"must be met by a configuration, and none of the {tried} does", "constraints", got=got
            )

    def _draft(self, generator: random.Random) -> dict[str, Any]:
        """Drawn values of a configuration at random, be they allowed or not."""
        every = {name: dimensions.quantile(one, generator.random()) for name, one in self.drawn.items()}
        return self.active(every)

    def values_of(self, name: str) -> tuple[Any, ...]:
        varied = self.space.get(name, ())
        return (*super().values_of(name), *(varied if isinstance(varied, tuple) else ()))

    def sets(self, name: str) -> bool:
        return name in self.params or name in self.space

    def tables(self) -> Iterator[TrainingTable]:
        for fixed, varied in combinations.combinations(self.vocabulary.table, self.params, self.space):
            yield self.vocabulary.table.model_validate(fixed | varied)

    @property
    def drawn(self) -> Mapping[str, Dimension]:
        """The space as it is drawn from: lists of layers taken apart, parents before what depends on them."""
        return self._drawn

    def __copy__(self) -> Self:
        copied = super().__copy__()
        for name in ("_drawn", "_every", "_allowed", "_stages"):
            # What follows from other keys, which the copy may get others of.
            copied.__dict__.pop(name, None)
        return copied

    # Names that begin otherwise pydantic takes for keys of the study, once they are there.
    @cached_property
    def _drawn(self) -> Mapping[str, Dimension]:
        return conditions.drawn(self.space)

    @cached_property
    def _every(self) -> conditions.Enumeration:
        return conditions.Enumeration(self.drawn)

    @cached_property
    def _allowed(self) -> tuple[int, ...] | None:
        """Numbers of the configurations that meet the constraints; None if all do, or they are too many."""
        whole = self._every.size
        if not self.constraints_of("drawn") or whole is None or whole > MAX_LISTED:
            return None
        return tuple(index for index in range(whole) if self.allows(self._every[index]))

    @property
    def size(self) -> int | None:
        """Distinct configurations in the space; None when a range without a step makes them endless.

        As far as they can be listed, those alone that meet the constraints.
        """
        return self._every.size if self._allowed is None else len(self._allowed)

    def constraints_of(self, when: Stage) -> tuple[Constraint, ...]:
        """The constraints that are known to hold or not once a configuration is drawn, built or measured."""
        return tuple(one for one, known in self._stages.items() if known == when)

    @cached_property
    def _stages(self) -> dict[Constraint, Stage]:
        return {Constraint(text): self._stage(Constraint(text)) for text in self.constraints}

    def _stage(self, constraint: Constraint) -> Stage:
        measured = [name for name, metric in METRICS.items() if not metric.is_test]
        own = [name for name in constraint.names if is_own(name) and self._may_report(name)]
        return stage(constraint, self.vocabulary.names, (*measured, *own))

    def allows(self, values: Mapping[str, Any]) -> bool:
        """Whether drawn values meet the constraints on hyperparameters."""
        asked = self.constraints_of("drawn")
        if not asked:
            return True
        known = self._constrained(values)
        return all(one.violation(known) <= 0 for one in asked)

    def _constrained(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """What constraints see of drawn values: all hyperparameters that they name."""
        table = self.vocabulary.table.model_validate({**self.params, **self.joined(values)})
        return {name: getattr(table, name) for one in self._stages for name in self._named(one)}

    def _named(self, constraint: Constraint) -> list[str]:
        return [name for name in constraint.names if name in self.vocabulary.names]

    def active(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Of drawn values those that are active, parents first."""
        return conditions.active(self.drawn, values)

    def joined(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Hyperparameters of drawn values, in the space's order; nothing of what is not active."""
        return conditions.joined(self.space, values)

    def apart(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The drawn values of hyperparameters of the space: the reverse of `joined`."""
        return conditions.apart(self.space, values)

    def hyperparameter_table(self) -> TrainingTable:
        """[params] with defaults, before anything is drawn; its values need not go together."""
        return self.vocabulary.table.model_validate(dict(self.params))

    def configuration(self, index: int) -> dict[str, Any]:
        """Drawn values of configuration number `index` of `size`; the last key varies fastest."""
        return self._every[index if self._allowed is None else self._allowed[index]]
