"""A space as it is drawn from: lists taken apart, what depends on what, and the configurations that it has.

A list of layers is a count and a value for each layer, of which those up to the count are active; so it is
nothing but conditions. `drawn` makes of a space a flat one, in which whatever something depends on comes
before it.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from functools import cached_property
from math import ceil, floor
from typing import Any

from hpo.spec.base import RuleError, as_toml, either, plain, suggest
from hpo.spec.dimensions import Choices, Condition, Dimension, Layers, Range, When, ends, exact, size, value

Space = Mapping[str, Dimension | Layers]
Drawn = Mapping[str, Dimension]


def drawn(space: Space) -> dict[str, Dimension]:
    """Every value that is drawn for a configuration, parents before what depends on them.

    >>> units = Layers(1, 2, Choices([32, 64]))
    >>> {name: list(one.when) for name, one in drawn({"hidden_units": units}).items()}
    {'hidden_units_layers': [], 'hidden_units_1': [], 'hidden_units_2': ['hidden_units_layers']}
    """
    flat: dict[str, Dimension] = {}
    for name, dimension in space.items():
        flat |= _apart(name, dimension) if isinstance(dimension, Layers) else {name: dimension}
    ordered: dict[str, Dimension] = {}
    while len(ordered) < len(flat):
        name = next(n for n, d in flat.items() if n not in ordered and d.when.keys() <= ordered.keys())
        ordered[name] = flat[name]
    return ordered


def drawn_for(space: Space, name: str) -> list[str]:
    """What is drawn for one hyperparameter."""
    dimension = space[name]
    return list(_apart(name, dimension)) if isinstance(dimension, Layers) else [name]


def _apart(name: str, layers: Layers) -> dict[str, Dimension]:
    count, found = f"{name}_layers", dict[str, Dimension]()
    if layers.low < layers.high:
        found[count] = Range(layers.low, layers.high, step=1, when=layers.when)
    for layer in range(1, layers.high + 1):
        deep: When = {count: Range(layer, layers.high)} if layer > layers.low else {}
        found[f"{name}_{layer}"] = _on_condition(layers.units, {**layers.when, **deep})
    return found


def _on_condition(dimension: Dimension, when: When) -> Dimension:
    return replace(dimension, when=when) if isinstance(dimension, Range) else Choices(dimension, when)


def holds(condition: Condition, found: Any) -> bool:
    """Whether a value meets a condition."""
    if isinstance(condition, Range):
        return _is_number(found) and condition.low <= found <= condition.high
    return any(
        plain(found) == plain(one) and isinstance(found, bool) == isinstance(one, bool) for one in condition
    )


def is_active(dimension: Dimension | Layers, values: Mapping[str, Any]) -> bool:
    """Whether all conditions of a dimension hold; of a parent that has no value none does."""
    return all(name in values and holds(one, values[name]) for name, one in dimension.when.items())


def active(dimensions: Drawn, values: Mapping[str, Any]) -> dict[str, Any]:
    """Of drawn values those that are active, in the order of `dimensions`."""
    found: dict[str, Any] = {}
    for name, dimension in dimensions.items():
        if name in values and is_active(dimension, found):
            found[name] = values[name]
    return found


def joined(space: Space, values: Mapping[str, Any]) -> dict[str, Any]:
    """Hyperparameters of drawn values: lists put together, nothing of what has no value.

    >>> layers = Layers(1, 2, Choices([32, 64]))
    >>> joined({"hidden_units": layers}, {"hidden_units_layers": 1, "hidden_units_1": 64})
    {'hidden_units': (64,)}
    """
    found: dict[str, Any] = {}
    for name, dimension in space.items():
        if not isinstance(dimension, Layers):
            found |= {name: values[name]} if name in values else {}
            continue
        fixed = dimension.low if dimension.low == dimension.high else None
        count = values.get(f"{name}_layers", fixed)
        layers = [f"{name}_{layer}" for layer in range(1, (count or 0) + 1)]
        if count is not None and all(layer in values for layer in layers):
            found[name] = tuple(values[layer] for layer in layers)
    return found


def apart(space: Space, values: Mapping[str, Any]) -> dict[str, Any]:
    """The drawn values of hyperparameters: the reverse of `joined`."""
    found: dict[str, Any] = {}
    for name, known in values.items():
        dimension = space.get(name)
        if not isinstance(dimension, Layers):
            found |= {name: known} if dimension is not None else {}
            continue
        units = known if isinstance(known, list | tuple) else [known]
        if dimension.low < dimension.high:
            found[f"{name}_layers"] = len(units)
        found |= {f"{name}_{layer}": one for layer, one in enumerate(units, start=1)}
    return found


def check(space: Space, params: Mapping[str, Any], names: tuple[str, ...]) -> None:
    """Raises RuleError for a condition of what does not vary, of itself, in a circle, or that never holds."""
    for name, dimension in space.items():
        if isinstance(dimension, Layers):
            taken = sorted(_apart(name, dimension).keys() & {*space, *names})
            if taken:
                raise RuleError(f"is drawn as {taken[0]!r} too, which is a hyperparameter", name)
        for parent, condition in dimension.when.items():
            try:
                _check_condition(name, parent, condition, space, params, names)
            except RuleError as broken:
                broken.path = (name, "when", parent)
                raise
    _check_circles(space)


def _check_condition(
    name: str,
    parent: str,
    condition: Condition,
    space: Space,
    params: Mapping[str, Any],
    names: tuple[str, ...],
) -> None:
    if parent == name:
        raise RuleError("cannot be a condition of itself", remedy="Name another hyperparameter.")
    of = space.get(parent)
    if of is None:
        if parent in params:
            remedy = "Vary it in [space], or remove the condition."
            raise RuleError(f"must vary, and [params] sets it to {as_toml(params[parent])}", remedy=remedy)
        if parent in names:
            raise RuleError("must vary, and it has its default", remedy=f"Add {parent} to [space].")
        raise RuleError(
            "is no hyperparameter of the space",
            remedy=suggest(parent, space, otherwise=f"It has {either(space)}."),
        )
    if isinstance(of, Layers):
        raise RuleError("cannot be a condition, as it is a list of layers")
    if isinstance(condition, Range):
        if not any(holds(condition, one) for one in _landmarks(of, condition)):
            got = {"low": condition.low, "high": condition.high}
            raise RuleError(f"must be what {parent} can be, {_said(of)}", got=got)
        return
    for one in condition:
        _check_value(parent, of, one)


def _check_value(parent: str, of: Dimension, one: Any) -> None:
    if not _takes(of, one):
        remedy = "" if isinstance(of, Range) else suggest(one, [str(choice) for choice in of])
        raise RuleError(f"must be a value that {parent} can have, {_said(of)}", got=one, remedy=remedy)
    if isinstance(of, Range) and of.step is None and isinstance(of.low, float):
        rule = "must be { low, high } on a range without steps, of which no draw is just one value"
        between = {"low": one, "high": of.high} if one < of.high else {"low": of.low, "high": one}
        raise RuleError(rule, got=one, remedy=f"Write {as_toml(between)}.")


def _said(dimension: Dimension) -> str:
    if not isinstance(dimension, Range):
        return either(map(plain, dimension))
    step = "" if dimension.step is None else f" by steps of {dimension.step}"
    return f"{dimension.low} to {dimension.high}{step}"


def _takes(dimension: Dimension, one: Any) -> bool:
    if not isinstance(dimension, Range):
        return holds(tuple(dimension), one)
    if not _is_number(one) or not dimension.low <= one <= dimension.high:
        return False
    if dimension.step is not None:
        return ((exact(one) - exact(dimension.low)) / exact(dimension.step)).denominator == 1
    return isinstance(dimension.low, float) or isinstance(one, int)


def _check_circles(space: Space) -> None:
    done: set[str] = set()

    def follow(name: str, path: tuple[str, ...]) -> None:
        if name in path:
            circle = " > ".join((*path[path.index(name) :], name))
            raise RuleError(
                f"goes in a circle: {circle}", name, "when", remedy="Remove one of the conditions."
            )
        for parent in space[name].when if name not in done else ():
            follow(parent, (*path, name))
        done.add(name)

    for name in space:
        follow(name, ())


def _is_number(found: Any) -> bool:
    return isinstance(found, int | float) and not isinstance(found, bool)


def _landmarks(dimension: Dimension, condition: Condition) -> tuple[Any, ...]:
    """Values of a parent that meet the condition, if any do, beside its ends."""
    if not isinstance(dimension, Range):
        return tuple(dimension)
    asked = (condition.low, condition.high) if isinstance(condition, Range) else condition
    if dimension.step is not None:
        last, edges = (size(dimension) or 1) - 1, set[int]()
        for number in filter(_is_number, asked):
            at = (exact(number) - exact(dimension.low)) / exact(dimension.step)
            edges |= {ceil(at), floor(at)}
        return (*ends(dimension), *(value(dimension, at) for at in sorted(edges) if 0 <= at <= last))
    kind = type(dimension.low)
    near = [one for n in filter(_is_number, asked) for one in ({ceil(n), floor(n)} if kind is int else {n})]
    return (*ends(dimension), *(kind(one) for one in near if dimension.low <= one <= dimension.high))


def landmarks(dimensions: Drawn, name: str) -> tuple[Any, ...]:
    """Values of a dimension that meet every rule, and of a parent every condition, that any value meets."""
    dimension = dimensions[name]
    of_others = [other.when[name] for other in dimensions.values() if name in other.when]
    found = itertools.chain(ends(dimension), *(_landmarks(dimension, one) for one in of_others))
    distinct = list[Any]()
    for one in found:  # a choice may be a table, which has no hash; and False is not 0 here
        if not any(one == other and type(one) is type(other) for other in distinct):
            distinct.append(one)
    return tuple(distinct)


class Enumeration:
    """The distinct active configurations of a finite space, by their numbers; the last key varies fastest.

    `size` is how many there are, None if a range without a step makes them endless.

    >>> momentum = Choices([0.5, 0.9], {"optimizer": ("sgd",)})
    >>> every = Enumeration({"optimizer": Choices(["sgd", "adam"]), "momentum": momentum})
    >>> every.size, every[1], every[2]
    (3, {'optimizer': 'sgd', 'momentum': 0.9}, {'optimizer': 'adam'})
    """

    def __init__(self, dimensions: Drawn) -> None:
        self._dimensions, self._names = list(dimensions.values()), list(dimensions)
        self._sizes = [size(dimension) for dimension in self._dimensions]
        self._counts: dict[tuple[int, tuple[bool, ...]], int] = {}

    @cached_property
    def size(self) -> int | None:
        return None if None in self._sizes else self._count(0, (True,) * len(self._names))

    def __getitem__(self, index: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        possible = (True,) * len(self._names)
        for at, (name, dimension) in enumerate(zip(self._names, self._dimensions, strict=True)):
            if not possible[at]:
                possible = _without(possible, self._children[at])
                continue
            for start, stop, excluded in self._pieces[at]:
                after = _without(possible, excluded)
                below = self._count(at + 1, after)
                if index < below * (stop - start):
                    break
                index -= below * (stop - start)
            offset, index = divmod(index, below)
            found[name] = value(dimension, start + offset)
            possible = after
        return found

    def _count(self, at: int, possible: tuple[bool, ...]) -> int:
        """Configurations of the dimensions from this one on, of which some are not possible any more."""
        if at == len(self._names):
            return 1
        key = at, possible[at:]
        if key not in self._counts and possible[at]:
            self._counts[key] = sum(
                (stop - start) * self._count(at + 1, _without(possible, excluded))
                for start, stop, excluded in self._pieces[at]
            )
        elif key not in self._counts:
            self._counts[key] = self._count(at + 1, _without(possible, self._children[at]))
        return self._counts[key]

    @cached_property
    def _children(self) -> list[frozenset[int]]:
        """Of each dimension the places of those that depend on it."""
        return [
            frozenset(place for place, one in enumerate(self._dimensions) if name in one.when)
            for name in self._names
        ]

    @cached_property
    def _pieces(self) -> list[list[tuple[int, int, frozenset[int]]]]:
        """Of each dimension its values in pieces, by their numbers, and what each piece excludes."""
        return [self._pieces_of(at) for at in range(len(self._names))]

    def _pieces_of(self, at: int) -> list[tuple[int, int, frozenset[int]]]:
        name, dimension, count = self._names[at], self._dimensions[at], self._sizes[at] or 0
        conditions = {place: self._dimensions[place].when[name] for place in self._children[at]}
        edges = {0, count}.union(*(_edges(dimension, one) for one in conditions.values()))
        return [
            (
                start,
                stop,
                frozenset(p for p, one in conditions.items() if not holds(one, value(dimension, start))),
            )
            for start, stop in itertools.pairwise(sorted(edge for edge in edges if 0 <= edge <= count))
        ]


def _without(possible: tuple[bool, ...], excluded: frozenset[int]) -> tuple[bool, ...]:
    """What is possible yet."""
    if not excluded:
        return possible
    return tuple(still and place not in excluded for place, still in enumerate(possible))


def _edges(dimension: Dimension, condition: Condition) -> set[int]:
    """Numbers of values at which a condition may begin or cease to hold."""
    if not isinstance(dimension, Range):
        return set(range(len(dimension)))
    assert dimension.step is not None
    low, step = exact(dimension.low), exact(dimension.step)

    def number(one: float) -> Fraction:
        return (exact(one) - low) / step

    if isinstance(condition, Range):
        return {ceil(number(condition.low)), floor(number(condition.high)) + 1}
    numbers = [number(one) for one in condition if _is_number(one)]
    return {int(one) + after for one in numbers if one.denominator == 1 for after in (0, 1)}
