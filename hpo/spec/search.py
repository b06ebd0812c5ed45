"""The specification of a search."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from hpo.spec import combinations, conditions, dimensions
from hpo.spec.base import Must, RuleError, within
from hpo.spec.confirmation import Confirm, Confirmed, usual
from hpo.spec.constraints import Constraint, Constraints, Stage, stage
from hpo.spec.dimensions import Dimension, Layers
from hpo.spec.hyperparameters import (
    MAX_COUNT,
    Count,
    TrainingTable,
    check_used,
    fixed_values,
)
from hpo.spec.metrics import METRICS, is_own
from hpo.spec.parts import Pruner, Sampler
from hpo.spec.space import Space, as_json
from hpo.spec.starts import StartWith, check_starts, drawn_start
from hpo.spec.study import StudySpec

Number = Annotated[float, Field(strict=True, allow_inf_nan=False), Must("a finite number")]
# Configurations drawn to see whether any meets the constraints: 0.2 s.
MAX_DRAWN = 10_000
# Configurations of a finite space of which it is listed which meet the constraints: 0.6 s.
MAX_LISTED = 10_000


def _grid_size(search: dict[str, Any]) -> int:
    """The default of `trials`: all of a grid; 0, which is refused later, for other samplers."""
    if search["sampler"].name != "grid":
        return 0
    try:
        conditions.check(search["space"], {}, ())
    except RuleError:  # which is told once all keys are there
        return 0
    size = conditions.Enumeration(conditions.drawn(search["space"])).size or 0
    confirm = search["confirm"]
    return size + confirm.runs if size and confirm else size


class SearchSpec(StudySpec):
    """A search: trials over a space of hyperparameters.

    >>> rates = {"learning_rate": {"low": 1e-3, "high": 0.1, "log": True}, "batch_size": [32, 64]}
    >>> SearchSpec(name="rates", kind="search", data={"name": "digits"}, trials=20, space=rates).planned
    20
    """

    kind: Literal["search"] = Field(description="A search over a space of hyperparameters.")
    seeds: Count = Field(default=1, description="Training runs of each configuration, one per seed.")
    sampler: Sampler = Field(default=Sampler(), description="How hyperparameters are chosen.")
    pruner: Pruner = Field(
        default=Pruner(),
        description="How poor trials are stopped early.",
        json_schema_extra={"default": {"name": "none"}},
    )
    space: Space = Field(description="What varies: for each hyperparameter a list of choices or a range.")
    constraints: Constraints = Field(
        default=(),
        description="What must hold of a configuration: comparisons of hyperparameters, of parameters (the "
        "weights of its network), of train_seconds and other final metrics.",
    )
    confirm: Confirmed = Field(
        default=None,
        description="The race that ends the search: of its trials, those that train its leaders again on "
        "fresh seeds. false: none. Default: by the number of trials, from 10 on; none where every "
        "configuration is tried.",
    )
    start_with: StartWith = Field(
        default=(),
        description="Configurations to train first: a table of every hyperparameter of the space for each.",
    )
    start_from: Annotated[str | None, Must("the name of a study")] = Field(
        default=None,
        description="A study of the same database: its best configuration is trained first, and the sampler "
        "learns from its trials.",
    )
    trials: Count = Field(
        default_factory=_grid_size,
        description="Trials in all, the race included. Required, except with a grid: by default its size.",
    )
    max_epochs_total: Count | None = Field(
        default=None,
        description="Epochs in all, over every training run: no trial begins that might go beyond.",
    )
    stop_at: Number | None = Field(
        default=None, description="No further trial begins once one has reached this value of the objective."
    )
    patience_trials: Count | None = Field(
        default=None, description="No further trial begins once so many have ended without a better value."
    )

    if TYPE_CHECKING:

        def __init__(self, /, **table: Any) -> None: ...

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        self._check_tables()
        self._check_replicates()
        self._check_pruner()
        self._check_constraints()
        self._check_trials()
        self._check_confirmation()
        self._check_combinations()
        check_starts(self)
        return self

    def _check_tables(self) -> None:
        for key in self.space:
            # Of one that is not always active, [params] says what it is else.
            if key in self.params and not self.space[key].when:
                raise RuleError("is set in [params] too", "space", key, remedy="Remove it from one of them.")
        self.check_given({*self.params, *self.space}, remedy="Set it in [params] or vary it in [space].")
        with within("space"):
            conditions.check(self.space, self.params, self.vocabulary.names)

    def _check_replicates(self) -> None:
        if self.seeds > 1 and self.data.folds is not None:
            raise RuleError(
                "must be 1 with data.folds",
                "seeds",
                got=self.seeds,
                remedy="A configuration is repeated either over seeds or over folds.",
            )

    def _check_pruner(self) -> None:
        if self.pruner.name == "none":
            return
        with within("objective"):
            self.objective.check_epoch_metric(f"pruner {self.pruner.name!r}")
        epochs = self.hyperparameter_table().epochs
        if self.pruner.min_epochs > epochs:
            rule = f"must be at most params.epochs ({epochs})"
            raise RuleError(rule, "pruner", "min_epochs", got=self.pruner.min_epochs)

    def _check_trials(self) -> None:
        if self.sampler.name == "grid":
            for key, dimension in self.space.items():
                of = dimension.units if isinstance(dimension, Layers) else dimension
                if dimensions.size(of) is None:
                    got = as_json(self.space)[key]
                    raise RuleError("must have a step in a grid", "space", key, got=got)
            if self.trials > MAX_COUNT:
                rule = f"must have at most {MAX_COUNT} configurations in a grid"
                raise RuleError(rule, "space", got=self.trials)
        if not self.trials:
            raise RuleError("required key 'trials' is missing")
        if not self.is_adaptive and self.size is not None and self.searched > self.size:
            rule = f"must be at most {self.size}, the number of configurations in the space"
            if race := self.trials - self.searched:
                rule = f"must be at most {self.size + race}: the space has {self.size} configurations, and"
                rule += f" {race} trials confirm the best"
            raise RuleError(rule, "trials", got=self.trials)

    def _check_confirmation(self) -> None:
        race = self.race
        if race is not None and self.searched < race.top:
            rule = f"must be at least {race.runs + race.top}, as confirm takes {race.top} leaders on"
            rule += f" {race.seeds} seeds"
            raise RuleError(rule, "trials", got=self.trials, remedy="Or write confirm = false.")
        if self.max_epochs_total is not None and self.max_epochs_total < self.least_epochs:
            rule, remedy = f"must be at least {self.least_epochs}, the epochs of one trial", ""
            if race is not None:
                rule = f"must be at least {self.least_epochs}, of which confirm may take {self.race_epochs}"
                remedy = "Or write confirm = false."
            raise RuleError(rule, "max_epochs_total", got=self.max_epochs_total, remedy=remedy)

    def _check_combinations(self) -> None:
        try:
            check_used(self.params, self.space)
        except RuleError as broken:
            broken.path = ("space" if broken.path[0] in self.space else "params", *broken.path)
            raise
        combinations.check(self.vocabulary.table, self.params, self.space)

    def _check_constraints(self) -> None:
        for index, text in enumerate(self.constraints):
            with within("constraints", index):
                self._stage(Constraint(text))
                for name in self._named(Constraint(text)):
                    self._check_number(name, text)
        if self.constraints_of("drawn"):
            self._check_feasible()

    @property
    def starts(self) -> tuple[dict[str, Any], ...]:
        """The drawn values of the configurations that it starts with."""
        return tuple(drawn_start(self.space, self.drawn, start) for start in self.start_with)

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
                raise RuleError(f"takes numbers, and {name} may be {value!r}", got=text)

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
    def replicates(self) -> int:
        return self.data.splits or self.seeds

    @property
    def planned(self) -> int:
        return self.trials

    @property
    def race(self) -> Confirm | None:
        """How its leaders are confirmed; None if they are not."""
        if self.confirm is not None:
            return self.confirm or None
        is_whole = self.size is not None and self.trials >= self.size
        return None if is_whole else usual(self.trials)

    @property
    def searched(self) -> int:
        """Of its trials those that search; the others confirm what they have found."""
        return self.trials - (self.race.runs if self.race is not None else 0)

    @property
    def race_epochs(self) -> int:
        """Epochs that its race takes at most."""
        runs = self.race.runs if self.race is not None else 0
        return runs * (self.data.splits or 1) * self.hyperparameter_table().epochs

    @property
    def least_epochs(self) -> int:
        """Epochs that its race may take after as many trials as it has leaders."""
        top = self.race.top if self.race is not None else 1
        return self.race_epochs + top * self.replicates * self.hyperparameter_table().epochs

    @property
    def is_limited(self) -> bool:
        """Whether it may end before all its trials have begun."""
        return any(limit is not None for limit in (self.max_epochs_total, self.stop_at, self.patience_trials))

    @property
    def is_adaptive(self) -> bool:
        """Whether configurations follow from the results of trials before them, not from seed and index."""
        return self.sampler.name == "tpe"

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
        known = self.constrained(values)
        return all(one.violation(known) <= 0 for one in asked)

    def constrained(self, values: Mapping[str, Any]) -> dict[str, Any]:
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

    def content(self) -> dict[str, Any]:
        race = False if self.race is None else self.race.model_dump(mode="json")
        return super().content() | {
            "confirm": race,
            "params": fixed_values(self.vocabulary.table, self.params, varied=self.space),
        }
