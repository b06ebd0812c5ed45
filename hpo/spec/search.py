"""The specification of a search."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from hpo.spec import combinations, conditions, dimensions
from hpo.spec.base import Must, RuleError, plain, within
from hpo.spec.confirmation import Confirm, Confirmed, usual
from hpo.spec.dimensions import Layers, Range
from hpo.spec.hyperparameters import (
    MAX_COUNT,
    Count,
    Flag,
    check_used,
    fixed_values,
)
from hpo.spec.parts import Objective, Pruner, Sampler
from hpo.spec.space import as_json
from hpo.spec.spaced import SpaceSpec
from hpo.spec.starts import StartWith, check_starts, drawn_start
from hpo.spec.strategies import ABILITIES, AUTO, Ability
from hpo.tables.numbers import counted

Number = Annotated[float, Field(strict=True, allow_inf_nan=False), Must("a finite number")]


def _is_whole(sampler: Sampler) -> bool:
    return sampler.name != AUTO and ABILITIES[sampler.name].is_whole


def _grid_size(search: dict[str, Any]) -> int:
    """The default of `trials`: all of a grid; 0, which is refused later, for other samplers."""
    if not _is_whole(search["sampler"]):
        return 0
    try:
        conditions.check(search["space"], {}, ())
    except RuleError:  # which is told once all keys are there
        return 0
    size = conditions.Enumeration(conditions.drawn(search["space"])).size or 0
    confirm = search["confirm"]
    return size + confirm.runs if size and confirm else size


class SearchSpec(SpaceSpec):
    """A search: trials over a space of hyperparameters.

    >>> rates = {"learning_rate": {"low": 1e-3, "high": 0.1, "log": True}, "batch_size": [32, 64]}
    >>> SearchSpec(name="rates", kind="search", data={"name": "digits"}, trials=20, space=rates).planned
    20
    """

    unlisted: ClassVar[tuple[str, ...]] = (
        *("drawn", "active", "allows", "apart", "joined", "constraints_of"),
        *("is_limited", "least_epochs", "race_epochs", "sets", "tables", "values_of"),
        *("configuration", "judged_by", "reported", "starts", "why"),
    )

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
    repeats: Flag = Field(
        default=False,
        description="Whether a configuration that the study has already may be trained again.",
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
        """`objective` is the first of `objectives`, where those are given; a whole dump has both of one."""
        given = study.get("objectives") if isinstance(study, Mapping) else None
        if not isinstance(given, list | tuple) or not given:
            return study
        if "objective" not in study:
            return {**study, "objective": given[0]}
        if len(given) == 1 and given[0] == study["objective"]:
            return {key: value for key, value in study.items() if key != "objectives"}
        return study

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        self._check_objectives()
        self._check_tables()
        self._check_replicates()
        self._check_pruner()
        self._check_constraints()
        self._check_trials()
        self._check_confirmation()
        self._check_combinations()
        self._check_size()
        check_starts(self)
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
        for key in ("confirm", "stop_at", "patience_trials", "start_from"):
            got = getattr(self, key)
            if got is not None and got is not False:  # 0.0 == False
                rule, remedy = "needs one objective", f"Leave it out, or choose one of {self._every_metric}."
                raise RuleError(rule, key, got=plain(got), remedy=remedy)

    @property
    def _every_metric(self) -> str:
        return " and ".join(objective.metric for objective in self.objectives)

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
        for index, objective in enumerate(self.objectives):
            several = len(self.objectives) > 1
            # Known before the first epoch, and after it.
            if not several or objective.metric not in ("parameters", "train_seconds"):
                with within(*(("objectives", index) if several else ("objective",))):
                    objective.check_epoch_metric(f"pruner {self.pruner.name!r}")
        epochs = self.hyperparameter_table().epochs
        if self.pruner.min_epochs > epochs:
            rule = f"must be at most params.epochs ({epochs})"
            raise RuleError(rule, "pruner", "min_epochs", got=self.pruner.min_epochs)

    def _check_trials(self) -> None:
        ability = ABILITIES[self.strategy]
        if ability.is_whole:
            for key, dimension in self.space.items():
                of = dimension.units if isinstance(dimension, Layers) else dimension
                if dimensions.size(of) is None:
                    raise self._endless(key, of)
            if self.trials > MAX_COUNT:
                rule = f"must have at most {MAX_COUNT} configurations in a grid"
                raise RuleError(rule, "space", got=self.trials)
        if not self.trials:
            raise RuleError("required key 'trials' is missing")
        self._check_ability(ability)

    def _endless(self, key: str, of: dimensions.Dimension) -> RuleError:
        """The error for a range of which a grid cannot try every value."""
        got = as_json(self.space)[key]
        assert isinstance(of, Range)
        if not of.log:
            remedy = "Or write a list of choices."
            return RuleError("must have a step in a grid", "space", key, got=got, remedy=remedy)
        # Such a range takes no step.
        remedy = f"Write [{of.low}, {of.high}] and what is to be between."
        return RuleError("must be a list of choices in a grid", "space", key, got=got, remedy=remedy)

    def _check_size(self) -> None:
        if not self.repeats and self.size is not None and self.searched > self.size:
            rule = f"must be at most {self.size}, the number of configurations in the space"
            if race := self.trials - self.searched:
                rule = f"must be at most {self.size + race}: the space has"
                rule += f" {counted(self.size, 'configuration')}, and {race} trials confirm the best"
            raise RuleError(rule, "trials", got=self.trials)

    def _check_ability(self, ability: Ability) -> None:
        name = self.sampler.name
        if len(self.objectives) > 1 and not ability.takes_several:
            able = ", ".join(name for name, one in ABILITIES.items() if one.takes_several)
            rule, remedy = "cannot take several objectives", f"Write one of: {AUTO}, {able}."
            raise RuleError(rule, "sampler", "name", got=name, remedy=remedy)
        for key, one in self.drawn.items():
            if not ability.takes_conditions and one.when:
                rule = f"cannot have conditions with sampler {name!r}"
                raise RuleError(rule, "space", key, "when", remedy='Write sampler = { name = "auto" }.')
            if not ability.takes_choices and not isinstance(one, Range):
                rule, got = f"must be a range with sampler {name!r}", as_json(self.space).get(key)
                raise RuleError(rule, "space", key, got=got, remedy='Or write sampler = { name = "auto" }.')
        if self.repeats and not ability.learns:
            remedy = "Remove it, or ask for more seeds."
            raise RuleError(f"has no effect with sampler {name!r}", "repeats", got=True, remedy=remedy)

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

    @property
    def starts(self) -> tuple[dict[str, Any], ...]:
        """The drawn values of the configurations that it starts with."""
        return tuple(drawn_start(self.space, self.drawn, start) for start in self.start_with)

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
        return ABILITIES[self.strategy].learns

    @property
    def strategy(self) -> str:
        """The name of its strategy: its sampler's, or what `auto` is for it."""
        return self.sampler.name if self.sampler.name != AUTO else self._auto[0]

    @property
    def why(self) -> str:
        """Why `auto` is the strategy that it is; empty of one that is named."""
        return "" if self.sampler.name != AUTO else self._auto[1]

    @property
    def _auto(self) -> tuple[str, str]:
        if len(self.objectives) > 1:
            return "tpe", "it takes several objectives"
        if any(one.when for one in self.drawn.values()):
            # It is not misled there: regret 0.001, of gp and forest 0.03 (python -m tests.benchmarks.search).
            return "tpe", "some hyperparameters are active on conditions"
        return "gp", "of trials with one seed's noise it finds more than the others"

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
