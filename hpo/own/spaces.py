"""The spaces of KerasTuner and plain Optuna as hpo's [space], from objects of theirs; neither is imported."""

from __future__ import annotations

import contextlib
import inspect
import itertools
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from hpo.errors import SpecError

# Builds in which a hypermodel may show what it asks for; each costs as much as its model.
MOST_BUILDS = 100
TUNER, OPTUNA = "from_keras_tuner: hypermodel", "from_optuna: study"


@dataclass(frozen=True)
class _Asked:
    """A hyperparameter that a hypermodel asks for: its place in [space], or None if it is fixed."""

    default: Any
    dimension: Any
    # Values that between them show what else is asked for.
    tried: tuple[Any, ...]


class _HyperParameters:
    """What a hypermodel takes for KerasTuner's HyperParameters: answers with values, and notes the questions.

    What stands in a conditional scope that is not active is neither noted nor given.
    """

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.values = dict(values)
        self.asked: dict[str, _Asked] = {}
        self._names: list[str] = []
        self._active = [True]

    def Int(  # noqa: N802
        self,
        name: str,
        min_value: int,
        max_value: int,
        step: int | None = None,
        sampling: str = "linear",
        default: int | None = None,
        **condition: Any,
    ) -> Any:
        """See KerasTuner."""
        low, high = int(min_value), int(max_value)
        return self._range(name, low, high, step, sampling, default, condition)

    def Float(  # noqa: N802
        self,
        name: str,
        min_value: float,
        max_value: float,
        step: float | None = None,
        sampling: str = "linear",
        default: float | None = None,
        **condition: Any,
    ) -> Any:
        """See KerasTuner."""
        low, high = float(min_value), float(max_value)
        return self._range(name, low, high, step, sampling, default, condition)

    def Choice(  # noqa: N802
        self,
        name: str,
        values: list[Any],
        ordered: bool | None = None,
        default: Any = None,
        **condition: Any,
    ) -> Any:
        """See KerasTuner."""
        first = values[0] if default is None else default
        return self._answer(name, _Asked(first, list(values), tuple(values)), condition)

    def Boolean(self, name: str, default: bool = False, **condition: Any) -> Any:  # noqa: N802
        """See KerasTuner."""
        return self._answer(name, _Asked(default, [False, True], (False, True)), condition)

    def Fixed(self, name: str, value: Any, **condition: Any) -> Any:  # noqa: N802
        """See KerasTuner."""
        return self._answer(name, _Asked(value, None, ()), condition)

    def get(self, name: str) -> Any:
        """See KerasTuner."""
        return self.values[self._named(name)]

    def __getitem__(self, name: str) -> Any:
        return self.get(name)

    def __contains__(self, name: str) -> bool:
        return self._named(name) in self.values

    @contextlib.contextmanager
    def conditional_scope(self, parent_name: str, parent_values: Any) -> Iterator[None]:
        """See KerasTuner."""
        among = parent_values if isinstance(parent_values, list | tuple) else [parent_values]
        self._active.append(self._active[-1] and self.values.get(self._named(parent_name)) in among)
        try:
            yield
        finally:
            self._active.pop()

    @contextlib.contextmanager
    def name_scope(self, name: str) -> Iterator[None]:
        """See KerasTuner."""
        self._names.append(name)
        try:
            yield
        finally:
            self._names.pop()

    def _named(self, name: str) -> str:
        return "/".join([*self._names, str(name)])

    def _range(
        self,
        name: str,
        low: float,
        high: float,
        step: float | None,
        sampling: str,
        default: Any,
        condition: Any,
    ) -> Any:
        dimension = ranged(low, high, step=step, log=sampling == "log")
        asked = _Asked(low if default is None else default, dimension, (low, high))
        return self._answer(name, asked, condition)

    def _answer(self, name: str, asked: _Asked, condition: Mapping[str, Any]) -> Any:
        with contextlib.ExitStack() as stack:
            if condition.get("parent_name") is not None:
                scope = self.conditional_scope(condition["parent_name"], condition["parent_values"])
                stack.enter_context(scope)
            if not self._active[-1]:
                return None
        full = self._named(name)
        self.asked.setdefault(full, asked)
        return self.values.setdefault(full, asked.default)


def from_keras_tuner(hypermodel: Any) -> tuple[dict[str, Any], Callable[..., Any]]:
    """The keys of a study, and the function that builds its model, of a hypermodel of KerasTuner's.

    `keys, build = hpo.from_keras_tuner(hypermodel)`, then `hpo.create_study({**keys, "name": ..., "kind":
    "search", "trials": ...}, model=build, data=(x, y))`. The keys are `space`, and `params` for what is
    fixed. Models are built to discover the space, none is trained: one with the defaults, and more with the
    ends and choices of each hyperparameter, until no new one is asked for. What is asked for in some cases
    alone is in the space for all of them, and has no effect in the others.

    Args:
        hypermodel: a HyperModel, or a function of `hp`.

    Raises:
        SpecError: it is neither, has a `fit` of its own, which only KerasTuner calls, or asks for what a
            study cannot have.
    """
    build = getattr(hypermodel, "build", hypermodel)
    if not callable(build) or inspect.isclass(hypermodel):
        raise SpecError(TUNER, "must be a HyperModel or a function of hp", got=hypermodel)
    own_fit = getattr(type(hypermodel), "fit", None)
    if own_fit is not None and not own_fit.__module__.startswith(("keras_tuner", "kerastuner")):
        remedy = "Name batch_size and the like in [space], and callbacks by the key callbacks."
        raise SpecError(TUNER, "must leave fit to hpo, and has one of its own", remedy=remedy)
    asked = _discovered(build)
    names = {_identifier(name): name for name in asked}
    if len(names) < len(asked):
        raise SpecError(TUNER, "must have names that differ as names of arguments", got=list(asked))
    space = {ours: asked[name].dimension for ours, name in names.items() if asked[name].dimension is not None}
    params = {ours: asked[name].default for ours, name in names.items() if asked[name].dimension is None}
    return {"params": params, "space": space}, _builder(build, names, asked)


def from_optuna(source: Any) -> dict[str, Any]:
    """The `space` of a study, and its `params`, of what plain Optuna's trials have asked for.

    `hpo.create_study({**hpo.from_optuna(study), "name": ..., ...}, model=build, data=(x, y))`. What some
    trials alone have asked for is in the space for all; of ranges that differ it is the widest.

    Args:
        source: an Optuna study with trials, or a trial of one.

    Raises:
        SpecError: nothing has been asked for yet, or what a study cannot have.
    """
    found = dict[str, list[Any]]()
    for trial in getattr(source, "trials", [source]):
        for name, distribution in getattr(trial, "distributions", {}).items():
            found.setdefault(name, []).append(distribution)
    if not found:
        remedy = "Run one trial: study.optimize(objective, n_trials=1)."
        raise SpecError(OPTUNA, "must have a trial that has asked for something", got=source, remedy=remedy)
    space, params = dict[str, Any](), dict[str, Any]()
    for name, distributions in found.items():
        if name != _identifier(name):
            raise SpecError(OPTUNA, "must have names of arguments", got=name)
        dimension = _joined(name, distributions)
        is_fixed = isinstance(dimension, list) and len(dimension) == 1
        (params if is_fixed else space)[name] = dimension[0] if is_fixed else dimension
    return {"params": params, "space": space}


def ranged(low: float, high: float, *, step: float | None, log: bool) -> Any:
    """A range as a study file has it: up to the last step, or a list of the one value in it.

    >>> ranged(8, 20, step=8, log=False), ranged(0.1, 1.0, step=None, log=True)
    ({'low': 8, 'high': 16, 'step': 8}, {'low': 0.1, 'high': 1.0, 'log': True})
    """
    is_stepped = step is not None and not log and not (isinstance(low, int) and step == 1)
    if is_stepped:
        first, by = Fraction(str(low)), Fraction(str(step))
        high = type(low)(first + by * ((Fraction(str(high)) - first) // by))
    if low >= high:
        return [low]
    return {"low": low, "high": high, **({"log": True} if log else {"step": step} if is_stepped else {})}


def _discovered(build: Callable[..., Any]) -> dict[str, _Asked]:
    """Whatever a hypermodel asks for: with its defaults, and with each value that may change that."""
    asked = dict[str, _Asked]()
    left: list[dict[str, Any]] = [{}]
    seen = set[str]()
    built = 0
    while left:
        built += 1
        if built > MOST_BUILDS:
            rule = f"must show what it asks for in {MOST_BUILDS} models"
            raise SpecError(TUNER, rule, got=f"{len(asked)} hyperparameters by then")
        values = left.pop(0)
        hp = _HyperParameters(values)
        try:
            build(hp)
        except Exception as error:
            said = f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"
            raise SpecError(
                TUNER, f"must build a model with {hp.values or 'its defaults'}", got=said
            ) from error
        for name, one in hp.asked.items():
            asked.setdefault(name, one)
            if name not in seen:
                seen.add(name)
                # On the way that led here.
                way = {key: value for key, value in hp.values.items() if key != name}
                left += [way | {name: value} for value in one.tried if value != hp.values[name]]
    return asked


def _builder(
    build: Callable[..., Any], names: Mapping[str, str], asked: Mapping[str, _Asked]
) -> Callable[..., Any]:
    """A function of the hyperparameters, by names of arguments, that builds what the hypermodel does."""
    # Held by the function, whose digest so is that of the hypermodel's text and space.
    described = f"{_source(build)} {dict(names)} {dict(asked)}"

    def build_model(**hyperparameters: Any) -> Any:
        _ = described  # no assertion, which python -O would leave out
        return build(_HyperParameters({names[name]: value for name, value in hyperparameters.items()}))

    parameters = [
        inspect.Parameter(ours, inspect.Parameter.KEYWORD_ONLY, default=asked[name].default)
        for ours, name in names.items()
    ]
    build_model.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return build_model


def _source(build: Callable[..., Any]) -> str:
    owner = getattr(build, "__self__", None)
    try:
        return inspect.getsource(build if owner is None else type(owner))
    except (OSError, TypeError):
        return repr(build)


def _identifier(name: str) -> str:
    """A name as that of an argument: conv/filters is conv_filters."""
    made = re.sub(r"\W", "_", name)
    return made if re.match(r"[A-Za-z]", made) else f"n{made}"


def _joined(name: str, distributions: list[Any]) -> Any:
    """A dimension that holds all of Optuna's distributions of one name."""
    first = distributions[0]
    if hasattr(first, "choices"):
        choices = list(dict.fromkeys(itertools.chain(*(one.choices for one in distributions))))
        if None in choices:
            remedy = 'Give it another value, as "none".'
            raise SpecError(
                f"{OPTUNA}: {name}", "must have choices that a study can have", got=None, remedy=remedy
            )
        return choices
    low, high = min(one.low for one in distributions), max(one.high for one in distributions)
    return ranged(low, high, step=first.step, log=first.log)
