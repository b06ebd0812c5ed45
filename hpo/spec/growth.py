"""How a search's space may grow once it has begun: every value that it had stays one of its values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from hpo.spec.base import as_toml, plain
from hpo.spec.dimensions import Choices, Dimension, Layers, Range, exact
from hpo.spec.starts import lies_in

if TYPE_CHECKING:
    from hpo.spec.search import SearchSpec


def grows(old: Dimension | Layers, new: Dimension | Layers) -> bool:
    """Whether `new` has all values of `old`, under the same conditions.

    >>> grows(Range(0.1, 0.5), Range(0.05, 0.5)), grows(Range(0.1, 0.5), Range(0.2, 0.5))
    (True, False)
    >>> grows(Choices([32, 64]), Choices([16, 32, 64])), grows(Choices([32, 64]), Choices([32]))
    (True, False)
    """
    if type(old) is not type(new) or dict(old.when) != dict(new.when):
        return False
    if isinstance(old, Layers) and isinstance(new, Layers):
        return new.low <= old.low and old.high <= new.high and grows(old.units, new.units)
    if isinstance(old, Range) and isinstance(new, Range):
        return _widens(old, new)
    assert isinstance(old, Choices)
    assert isinstance(new, Choices)
    return all(lies_in(new, choice) for choice in old)


def _widens(old: Range, new: Range) -> bool:
    if old.log != new.log or isinstance(old.low, int) != isinstance(new.low, int):
        return False
    if not (new.low <= old.low and old.high <= new.high):
        return False
    if new.step is None:
        return True
    whole = isinstance(old.low, int) and not old.log
    step = old.step if old.step is not None else (1 if whole else None)
    if step is None:
        return False
    ratios = exact(step) / exact(new.step), (exact(old.low) - exact(new.low)) / exact(new.step)
    return all(ratio.denominator == 1 for ratio in ratios)


def constants(old: SearchSpec, new: SearchSpec) -> dict[str, Any]:
    """Drawn values that all trials of `old` have of what only `new` draws.

    These are hyperparameters that were fixed, and the number of layers of lists that had always as many.
    """
    fixed = old.content()["params"]
    found: dict[str, Any] = {}
    for name in new.space:
        if name not in old.space and name in fixed:
            found[name] = fixed[name]
        before = old.space.get(name)
        if isinstance(before, Layers) and before.low == before.high and f"{name}_layers" in new.drawn:
            found[f"{name}_layers"] = before.low
    return found


def may_move(old: SearchSpec, new: SearchSpec, name: str) -> bool:
    """Whether a hyperparameter that was fixed may vary from now on: its value is one of its values."""
    dimension, fixed = new.space.get(name), old.content()["params"]
    if name in old.space or name not in fixed or dimension is None or dimension.when:
        return False
    if isinstance(dimension, Layers):  # drawn as several values, of which old trials have none
        return False
    value = fixed[name]
    is_real = isinstance(dimension, Range) and isinstance(dimension.low, float)
    return lies_in(dimension, float(value) if is_real and type(value) is int else value)


def may_start(old: SearchSpec, new: SearchSpec) -> bool:
    """Whether what `new` starts with is what `old` does, or more."""
    # A start says lists whole, and no number of their layers.
    fixed = {name: value for name, value in constants(old, new).items() if name in new.space}
    before = [plain({**fixed, **start}) for start in old.start_with]
    after = [plain(dict(start)) for start in new.start_with[: len(before)]]
    return before == after


def growth(old: SearchSpec, new: SearchSpec) -> list[str]:
    """What has grown of a space, in words; empty if nothing has.

    >>> _words("dropout", Range(0.0, 0.5), Range(0.0, 0.7)), _words("l2", Choices([0.0]), Choices([0.0, 0.1]))
    ('dropout up to 0.7', 'l2 may be 0.1')
    """
    found = []
    for name, dimension in new.space.items():
        before = old.space.get(name)
        if before is None:
            found.append(f"{name} varies")
        elif before != dimension:
            found.append(_words(name, before, dimension))
    return [one for one in found if one]


def _words(name: str, old: Dimension | Layers, new: Dimension | Layers) -> str:
    if isinstance(old, Range) and isinstance(new, Range):
        said = [f"down to {new.low}"] * (new.low < old.low) + [f"up to {new.high}"] * (new.high > old.high)
        if new.step != old.step:
            said.append("without steps" if new.step is None else f"in steps of {new.step}")
        return f"{name} {' and '.join(said)}"
    if isinstance(old, Choices) and isinstance(new, Choices):
        added = [_plain(choice) for choice in new if not lies_in(old, choice)]
        return f"{name} may be {' or '.join(added)}" if added else ""
    assert isinstance(old, Layers)
    assert isinstance(new, Layers)
    said = []
    if (old.low, old.high) != (new.low, new.high):
        said.append(f"{name} of {new.low} to {new.high} layers")
    if old.units != new.units:
        said.append(_words(f"a layer of {name}", old.units, new.units))
    return " and ".join(said)


def _plain(choice: Any) -> str:
    """A choice in a sentence."""
    return choice if isinstance(choice, str) else as_toml(choice)


def extends(old: SearchSpec, new: SearchSpec) -> Mapping[str, bool]:
    """Of the keys whose change is a matter of growth, whether a study that has begun may change them so."""
    found: dict[str, bool] = {"start_with": may_start(old, new)}
    for name in {*old.space, *new.space}:
        before, after = old.space.get(name), new.space.get(name)
        moved = may_move(old, new, name)
        if before is not None and after is not None:
            found[f"space.{name}"] = grows(before, after)
        else:
            found[f"space.{name}"] = found[f"params.{name}"] = moved
    return found
