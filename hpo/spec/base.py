"""What every table of a study file shares: frozen, no unknown keys, errors of one line."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from inspect import Parameter, Signature
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, ValidationError, model_validator
from pydantic.fields import FieldInfo
from pydantic_core import CoreSchema, ErrorDetails, core_schema

from hpo.errors import SpecError

if TYPE_CHECKING:
    from pydantic._internal._model_construction import ModelMetaclass
else:
    ModelMetaclass = type(BaseModel)

ABSENT = object()
SHOWN = 80  # characters of a value that an error message repeats
# Names of union branches, which pydantic puts into an error's location beside the keys.
KINDS_OF_DIMENSION = ("choices", "choices table", "range", "list of layers")
KINDS_OF_RACE = ("race", "no race", "usual race")
BRANCHES = frozenset(
    {*KINDS_OF_DIMENSION, *KINDS_OF_RACE, "comparison", "search", "final", "built", "own model"}
)
CONTAINERS = {"tuple_type": "must be a list", "dict_type": "must be a table"}


class RuleError(ValueError):
    """A rule about one key is broken, found inside a validator; `path` leads there from the table checked."""

    def __init__(self, rule: str, *path: str | int, got: object = ABSENT, remedy: str = "") -> None:
        self.rule = rule
        self.path = path
        self.got = got
        self.remedy = remedy
        super().__init__(rule)


class UnknownKeyError(RuleError):
    """A table has a key that it cannot have."""

    def __init__(self, key: object, *, remedy: str) -> None:
        self.key: Any = key
        super().__init__(f"unknown key {Shown(key)!r}", remedy=remedy)


@contextmanager
def within(*path: str | int) -> Iterator[None]:
    """Prefixes `path` to the path of a `RuleError` raised inside."""
    try:
        yield
    except RuleError as broken:
        broken.path = (*path, *broken.path)
        raise


@dataclass(frozen=True)
class Must:
    """Says in one phrase what a value must be, whichever of its checks failed."""

    be: str

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.custom_error_schema(
            handler(source), custom_error_type="must", custom_error_message=f"must be {self.be}"
        )


class OneOf:
    """One of some strings, by default those that a `Literal` takes; the error suggests the nearest.

    `others` are names of what there is elsewhere, and which are no misspelling of any of these.
    """

    def __init__(self, names: Iterable[str] = (), *, others: Iterable[str] = ()) -> None:
        self.names, self.others = list(names), list(others)

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        schema: Any = core_schema.literal_schema(self.names) if self.names else handler(source)
        names: list[str] = schema["expected"]
        return core_schema.custom_error_schema(
            schema,
            custom_error_type="must",
            custom_error_message=f"must be {either(names)}",
            custom_error_context={"choices": " ".join(names), "others": " ".join(self.others)},
        )


def either(names: Iterable[str]) -> str:
    """`'a', 'b' or 'c'`."""
    *most, last = [as_toml(name) for name in names]
    return f"{', '.join(most)} or {last}" if most else last


def nearest(word: object, names: Iterable[str]) -> str | None:
    """The name that `word` most likely misspells."""
    matches = difflib.get_close_matches(word, list(names), n=1) if isinstance(word, str) else []
    return matches[0] if matches else None


def suggest(word: object, names: Iterable[str], *, otherwise: str = "") -> str:
    """The remedy for a misspelt value."""
    match = nearest(word, names)
    return f"Did you mean {match!r}?" if match else otherwise


def plain(value: Any) -> Any:
    """`value` with lists for tuples, as TOML and JSON have them."""
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    return value


def as_toml(value: Any) -> str:
    """A value as a study file has it, on one line; TOML takes Python's text and numbers, and has no None.

    >>> as_toml({"low": 0.1, "log": True}), as_toml(("a", 1)), as_toml(None)
    ('{ low = 0.1, log = true }', "['a', 1]", 'nothing')
    """
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json", exclude_unset=True)
    if value is None or isinstance(value, bool):
        return {None: "nothing", True: "true", False: "false"}[value]
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(as_toml, value))}]"
    if isinstance(value, Mapping):
        entries = ", ".join(f"{_key(key)} = {as_toml(item)}" for key, item in value.items())
        return f"{{ {entries} }}" if entries else "{}"
    return repr(value)


def _key(key: object) -> str:
    """The key of a table; what is no bare one in quotes."""
    return key if isinstance(key, str) and key.isidentifier() and key.isascii() else repr(key)


class Shown:
    """A value whose repr, that of a study file, fits in a message."""

    def __init__(self, value: object) -> None:
        self.value = value

    def __repr__(self) -> str:
        try:
            text = as_toml(self.value)
        except (ValueError, RecursionError):  # an integer of thousands of digits; lists hundreds deep
            return "a value too long to show"
        return text if len(text) <= SHOWN else text[: SHOWN - 3] + "..."


class _Listed(ModelMetaclass):
    """Tells `help` what a table has of its own: pydantic's two hundred members would fill ten screens."""

    def __dir__(self) -> list[str]:
        inherited = {*dir(BaseModel), *vars(Model), *getattr(self, "unlisted", ())}
        return [name for name in super().__dir__() if name not in inherited and not name.startswith("_")]


class Model(BaseModel, metaclass=_Listed):
    """One table. Its constructor raises SpecError; unknown keys are errors that suggest the right one."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    source: ClassVar[str] = "study"
    # Names that are for other rooms, and that `help` leaves out.
    unlisted: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def __pydantic_init_subclass__(cls, **_: Any) -> None:
        # Pydantic's own repeats every rule of every key.
        cls.__signature__ = Signature([_parameter(name, field) for name, field in cls.model_fields.items()])

    def __init__(self, /, **data: Any) -> None:
        try:
            super().__init__(**data)
        except ValidationError as error:
            raise explain(error, data, source=self.source) from None

    # Lets pydantic validate a nested table without this constructor, which would lose its place.
    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined]

    @model_validator(mode="before")
    @classmethod
    def _check_keys(cls, table: Any) -> Any:
        if isinstance(table, cls):
            return table
        if not isinstance(table, Mapping):
            main = next(iter(cls.model_fields))
            named = isinstance(table, str) and main in ("name", "metric")
            remedy = f'Write {{ {main} = "{table}" }}.' if named and len(table) <= SHOWN else ""
            raise RuleError("must be a table", got=table, remedy=remedy if remedy.isprintable() else "")
        for key in table:
            if key not in cls.model_fields:
                raise cls.unknown_key(key)
        return table

    @classmethod
    def unknown_key(cls, key: object) -> RuleError:
        """The error for a key that this table does not have."""
        match = nearest(key, cls.model_fields)
        remedy = f"Did you mean {match}?" if match else f"Known keys: {', '.join(cls.model_fields)}."
        return UnknownKeyError(key, remedy=remedy)


class _Unsaid:
    """A default that is longer than a key, or follows from other keys."""

    def __repr__(self) -> str:
        return "..."


def _parameter(name: str, field: FieldInfo) -> Parameter:
    """A key as a constructor takes it."""
    default = Parameter.empty if field.is_required() else field.default
    is_short = default is Parameter.empty or isinstance(default, str | int | float | None)
    return Parameter(name, Parameter.KEYWORD_ONLY, default=default if is_short else _Unsaid())


def explain(error: ValidationError, data: object, *, source: str) -> SpecError:
    """What is wrong: a line for the first fault, which holds those for the `further` ones.

    `data` is what was checked, `source` its file or what it is.
    """
    first, *further = faults(error, data, source=source)
    return first.with_further(further)


def faults(error: ValidationError, data: object, *, source: str) -> list[SpecError]:
    """Everything that a check has found wrong, a line each."""
    errors = [e for e in error.errors(include_url=False) if e["type"] != "default_factory_not_called"]
    found: dict[str, SpecError] = {}
    for one in errors:
        told = _told(one, errors, data, source=source)
        # Keys that are missing in one table are one line.
        found.setdefault(str(told), told)
    return list(found.values())


def _told(error: ErrorDetails, errors: list[ErrorDetails], data: object, *, source: str) -> SpecError:
    broken = error.get("ctx", {}).get("error")
    if error["type"] == "missing":
        broken = _missing(errors, error["loc"][:-1])
    elif not isinstance(broken, RuleError):
        broken = _wrong_value(error)
    place = ": ".join(filter(None, (source, key_path((*_keys(error), *broken.path), data))))
    if broken.got is ABSENT:
        return SpecError(place, broken.rule, remedy=broken.remedy)
    return SpecError(place, broken.rule, got=Shown(broken.got), remedy=broken.remedy)


def unknown_keys(error: ValidationError) -> list[tuple[str | int, ...]]:
    """Where the keys are that a table does not have: each hides what else is wrong with its table."""
    found = []
    for one in error.errors(include_url=False):
        broken = one.get("ctx", {}).get("error")
        if isinstance(broken, UnknownKeyError):
            found.append((*_keys(one), *broken.path, broken.key))
    return found


def _keys(error: ErrorDetails) -> tuple[str | int, ...]:
    """The keys that lead to the table or value in error."""
    loc = error["loc"]
    if error["type"] == "missing":
        loc = loc[:-1]
    elif loc[-1:] == ("[key]",):  # a key of a dict: the error is about the dict
        loc = loc[:-2]
    return tuple(item for item in loc if item not in BRANCHES)


def _missing(errors: list[ErrorDetails], table: tuple[str | int, ...]) -> RuleError:
    names = [repr(e["loc"][-1]) for e in errors if e["type"] == "missing" and e["loc"][:-1] == table]
    if len(names) == 1:
        return RuleError(f"required key {names[0]} is missing")
    return RuleError(f"required keys {', '.join(names)} are missing")


def _wrong_value(error: ErrorDetails) -> RuleError:
    rule = error["msg"] if error["type"] == "must" else CONTAINERS.get(error["type"], "is not allowed")
    rule = f"key {rule}" if error["loc"][-1:] == ("[key]",) else rule
    context, got = error.get("ctx", {}), error["input"]
    if isinstance(got, str) and got.lower() in context.get("others", "").split():
        return RuleError(rule, got=got, remedy=f"This version has no {got}.")
    return RuleError(rule, got=got, remedy=suggest(got, context.get("choices", "").split()))


def key_path(path: tuple[str | int, ...], data: object = None) -> str:
    """`params.dropout`, `space.dropout[2]`, `arms[2] "RMSprop": dropout`; positions count from one."""
    text = ""
    for item in path:
        text += f"[{item + 1}]" if isinstance(item, int) else f".{item}" if text else item
    if len(path) < 2 or path[0] != "arms" or not isinstance(path[1], int):
        return text
    rest = key_path(path[2:])
    return f"arms[{path[1] + 1}]{_arm_name(data, path[1])}" + (f": {rest}" if rest else "")


def _arm_name(data: object, index: int) -> str:
    try:
        arm = data["arms"][index]  # type: ignore[index]
        name = arm["name"] if isinstance(arm, Mapping) else arm.name
        return f' "{name}"' if name.isprintable() and len(name) <= SHOWN else ""
    except (KeyError, IndexError, TypeError, AttributeError):
        return ""
