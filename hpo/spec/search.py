"""The specification of a search."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from itertools import islice, product
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from hpo.spec import space as dimensions
from hpo.spec.base import Must, RuleError, plain, within
from hpo.spec.confirmation import Confirm, Confirmed, usual
from hpo.spec.hyperparameters import (
    MAX_COUNT,
    Count,
    TrainingTable,
    check_used,
    fixed_values,
)
from hpo.spec.parts import Objective, Pruner, Sampler
from hpo.spec.space import Space
from hpo.spec.study import StudySpec

Number = Annotated[float, Field(strict=True, allow_inf_nan=False), Must("a finite number")]
# Combinations tried of keys that rules tie together; hyperparameters_for checks each trial's again.
MAX_CHECKED = 10_000


def _grid_size(search: dict[str, Any]) -> int:
    """The default of `trials`: all of a grid; 0, which is refused later, for other samplers."""
    if search["sampler"].name != "grid":
        return 0
    size, confirm = _size(search["space"]) or 0, search["confirm"]
    return size + confirm.runs if size and confirm else size


def _size(space: Mapping[str, dimensions.Dimension]) -> int | None:
    sizes = [dimensions.size(dimension) for dimension in space.values()]
    return None if None in sizes else math.prod(size for size in sizes if size)


class SearchSpec(StudySpec):
    """A search: trials over a space of hyperparameters.

    >>> rates = {"learning_rate": {"low": 1e-3, "high": 0.1, "log": True}, "batch_size": [32, 64]}
    >>> SearchSpec(name="rates", kind="search", data={"name": "digits"}, trials=20, space=rates).planned
    20
    """

    kind: Literal["search"] = Field(description="A search over a space of hyperparameters.")
    objectives: tuple[Objective, ...] = Field(
        default_factory=lambda given: (given["objective"],),
        description="Instead of objective: at least two, of which none is given up for another, as "
        "val_accuracy and parameters. A trial's value is the first one's.",
    )
    seeds: Count = Field(default=1, description="Training runs of each configuration, one per seed.")
    sampler: Sampler = Field(default=Sampler(), description="How hyperparameters are chosen.")
    pruner: Pruner = Field(
        default=Pruner(),
        description="How poor trials are stopped early.",
        json_schema_extra={"default": {"name": "none"}},
    )
    space: Space = Field(description="What varies: for each hyperparameter a list of choices or a range.")
    confirm: Confirmed = Field(
        default=None,
        description="The race that ends the search: of its trials, those that train its leaders again on "
        "fresh seeds. false: none. Default: by the number of trials, from 10 on; none where every "
        "configuration is tried.",
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

    @model_validator(mode="before")
    @classmethod
    def _first_objective(cls, study: Any) -> Any:
        """`objective` is the first of `objectives`, where those are given."""
        given = study.get("objectives") if isinstance(study, Mapping) else None
        if isinstance(given, list | tuple) and given and "objective" not in study:
            return {**study, "objective": given[0]}
        return study

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        self._check_objectives()
        self._check_tables()
        self._check_replicates()
        self._check_pruner()
        self._check_trials()
        self._check_confirmation()
        self._check_combinations()
        return self

    def _check_objectives(self) -> None:
        if "objectives" not in self.model_fields_set:
            return
        if len(self.objectives) < 2:
            remedy = "Of one, write objective = { metric = ... }."
            raise RuleError("must be at least two", "objectives", got=len(self.objectives), remedy=remedy)
        for index, objective in enumerate(self.objectives):
            if "metric" not in objective.model_fields_set:
                raise RuleError("required key 'metric' is missing", "objectives", index)
            if objective.metric in [other.metric for other in self.objectives[:index]]:
                raise RuleError("repeats an earlier one", "objectives", index, "metric", got=objective.metric)
            if objective.at != "last":
                # One epoch would have to be the best by all of them.
                rule = "must be 'last' with several objectives"
                raise RuleError(rule, "objectives", index, "at", got=objective.at)
        if self.objective != self.objectives[0]:
            remedy = "Leave objective out beside objectives."
            raise RuleError("must be the first of objectives", "objective", remedy=remedy)
        for key in ("confirm", "stop_at", "patience_trials"):
            if (got := getattr(self, key)) not in (None, False):
                rule, remedy = "needs one objective", f"Leave it out, or choose one of {self._named}."
                raise RuleError(rule, key, got=plain(got), remedy=remedy)

    @property
    def _named(self) -> str:
        return " and ".join(objective.metric for objective in self.objectives)

    def _check_tables(self) -> None:
        for key in self.space:
            if key in self.params:
                raise RuleError("is set in [params] too", "space", key, remedy="Remove it from one of them.")
        self.check_given({*self.params, *self.space}, remedy="Set it in [params] or vary it in [space].")

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
        if len(self.objectives) > 1:
            rule, remedy = "cannot judge several objectives", 'Write pruner = { name = "none" }.'
            raise RuleError(rule, "pruner", "name", got=self.pruner.name, remedy=remedy)
        with within("objective"):
            self.objective.check_epoch_metric(f"pruner {self.pruner.name!r}")
        epochs = self.hyperparameter_table().epochs
        if self.pruner.min_epochs > epochs:
            rule = f"must be at most params.epochs ({epochs})"
            raise RuleError(rule, "pruner", "min_epochs", got=self.pruner.min_epochs)

    def _check_trials(self) -> None:
        if self.sampler.name == "grid":
            for key, dimension in self.space.items():
                if dimensions.size(dimension) is None:
                    got = dimensions.as_json(self.space)[key]
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
        for fixed, varied in self._combinations():
            self._check_combination(fixed, varied)

    def _combinations(self) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
        """Fixed and varied values of each group of keys that rules tie together."""
        for group in self.vocabulary.table.coupled:
            fixed = {key: self.params[key] for key in group if key in self.params}
            varied = [key for key in group if key in self.space]
            ends = product(*(dimensions.ends(self.space[key]) for key in varied))
            for values in islice(ends, MAX_CHECKED):
                yield fixed, dict(zip(varied, values, strict=True))

    def _check_combination(self, fixed: dict[str, Any], varied: dict[str, Any]) -> None:
        try:
            self.vocabulary.table.model_validate(fixed | varied).check_together()
        except RuleError as broken:
            if not varied:
                broken.path = ("params", *broken.path)
                raise
            raise RuleError(
                f"{broken.path[0]} {broken.rule}",
                "space",
                got=fixed | varied,
                remedy=f"{broken.remedy} Every combination must be valid.".strip(),
            ) from None

    def values_of(self, name: str) -> tuple[Any, ...]:
        varied = self.space.get(name, ())
        return (*super().values_of(name), *(varied if isinstance(varied, tuple) else ()))

    def sets(self, name: str) -> bool:
        return name in self.params or name in self.space

    def tables(self) -> Iterator[TrainingTable]:
        for fixed, varied in self._combinations():
            yield self.vocabulary.table.model_validate(fixed | varied)

    @property
    def judged_by(self) -> tuple[Objective, ...]:
        return self.objectives

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
        if len(self.objectives) > 1:
            return None
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
    def size(self) -> int | None:
        """Configurations in the space; None when a range without a step makes them endless."""
        return _size(self.space)

    def hyperparameter_table(self) -> TrainingTable:
        """[params] with defaults, before anything is drawn; its values need not go together."""
        return self.vocabulary.table.model_validate(dict(self.params))

    def configuration(self, index: int) -> dict[str, Any]:
        """Configuration number `index` of the `size` that a finite space has; the last key varies fastest."""
        values = {}
        for key, dimension in reversed(list(self.space.items())):
            size = dimensions.size(dimension)
            if size is None:
                raise ValueError(f"{key} has no finite number of values")
            index, position = divmod(index, size)
            values[key] = dimensions.value(dimension, position)
        return {key: values[key] for key in self.space}

    def content(self) -> dict[str, Any]:
        race = False if self.race is None else self.race.model_dump(mode="json")
        content = super().content()
        if len(self.objectives) == 1:
            # As `objective` says.
            del content["objectives"]
        return content | {
            "confirm": race,
            "params": fixed_values(self.vocabulary.table, self.params, varied=self.space),
        }
