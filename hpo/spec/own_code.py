"""Functions of a person's own that a study names: a file, and what it says of the function's arguments.

Nothing here runs the file: what it takes is read from its text. What was read stands in the stored
specification, so that a study can be read where the file is not.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, Field, model_validator

from hpo.spec.base import ABSENT, Model, Must, RuleError, suggest
from hpo.spec.hyperparameters import OF_OPTIMIZER, TrainingTable
from hpo.spec.imports import imported

# What a study gives to a function that builds a model, and no hyperparameter.
GIVEN = ("input_shape", "outputs")
# What a function that gives callbacks may ask for, of the training run that they are for.
OF_RUN = ("study", "trial", "seed", "fold", "folder", "hyperparameters")
SUFFIX = ".py"
# In the place of a file: of a function that only a Python session has, a notebook's or a lambda.
SESSION = "<session>"
# Of these every training run has a value, whichever model it trains.
DEFAULTED = frozenset(TrainingTable.model_fields) - {*OF_OPTIMIZER}
# The text of a file is kept with each study that names it.
MOST_BYTES = 256 * 1024

Identifier = Annotated[
    str, Field(strict=True, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$"), Must("the name of a function")
]
File = Annotated[str, Field(strict=True, min_length=1), Must("the path of a Python file")]


@dataclass(frozen=True)
class Function:
    """What the text of a file says of a function: its arguments, and the values of their defaults.

    `digest` and `beside`: see `OwnCode`.

    A default that is no plain value is None: the function keeps its own.
    """

    digest: str
    required: tuple[str, ...]
    defaults: Mapping[str, Any]
    beside: str | None = None

    @property
    def digests(self) -> dict[str, str]:
        """What a specification knows the file by."""
        return {"digest": self.digest} | ({} if self.beside is None else {"beside": self.beside})


class OwnCode(Model):
    """A function of a person's own. `digest`: SHA-256 of the file as it was when it was read.

    `beside`: `digest_beside` it; None if it imports no file from beside it, or an earlier version has not
    looked. `filled`: what is filled in, and no person writes.
    """

    filled: ClassVar[frozenset[str]] = frozenset({"digest", "beside"})
    file: File = Field(description="A Python file; its path is relative to the study file.")
    function: Identifier = Field(description="The function in it.")
    digest: Annotated[str, Field(strict=True)] | None = Field(
        default=None, description="SHA-256 of the file. Filled in; another file is refused."
    )
    beside: Annotated[str, Field(strict=True)] | None = Field(
        default=None, description="SHA-256 of the files beside it that it imports. Filled in; as digest."
    )

    @property
    def has_file(self) -> bool:
        """Whether `file` is a file, and not what stands for one: <session> and the like."""
        return not self.file.startswith("<")

    def is_same_as(self, other: OwnCode | None) -> bool:
        """Whether it is the same function of the same code, wherever the file is."""
        return other is not None and self.function == other.function and self.has_same_text(other)

    def has_same_text(self, other: OwnCode) -> bool:
        """Whether the files are the same, as far as is known."""
        return self.digest == other.digest and (
            self.beside == other.beside or None in (self.beside, other.beside)
        )

    def __str__(self) -> str:
        """As error messages name it."""
        return f"{Path(self.file).name}: {self.function}"


class OwnModel(OwnCode):
    """A function that builds a Keras model. `required` and `defaults`: the hyperparameters that it takes.

    `structure`: those of them that make another program, as far as it has been tried; None: any of them may.
    `text`: the source of a function that no file has, to be read, if it could be had. Equal are two of the
    same content, wherever their files are.
    """

    filled: ClassVar[frozenset[str]] = OwnCode.filled | {"required", "defaults", "structure", "text"}
    function: Identifier = Field(default="build", description="The function in it that builds a model.")
    required: tuple[str, ...] = Field(default=(), description="Arguments without defaults. Filled in.")
    defaults: Mapping[str, Any] = Field(default={}, description="Arguments with defaults. Filled in.")
    structure: tuple[str, ...] | None = Field(
        default=None, description="Arguments that make another program. Filled in."
    )
    text: Annotated[str, Field(strict=True)] | None = Field(
        default=None, description="The source of a function of a Python session. Filled in."
    )

    @model_validator(mode="before")
    @classmethod
    def _read(cls, table: Any) -> Any:
        """Fill in what the file says, unless that is known; a digest that is given stays."""
        if not isinstance(table, Mapping) or "required" in table or not isinstance(table.get("file"), str):
            return table
        function = table.get("function", "build")
        if not isinstance(function, str):
            return table
        if table["file"] == SESSION:
            remedy = "Give it by hpo.create_study(spec, model=function), or put it into a file."
            raise RuleError("is a function of a Python session, which no file has", remedy=remedy)
        path = Path(table["file"]).absolute()
        read = read_function(path, function)
        return {**read.digests, **table, "file": str(path), **taken(read, function)}

    @property
    def takes(self) -> tuple[str, ...]:
        """The hyperparameters that the function takes."""
        return (*self.required, *self.defaults)

    @property
    def is_of_session(self) -> bool:
        """Whether a Python session has the function, and no file."""
        return self.file == SESSION

    @property
    def identity(self) -> dict[str, Any]:
        """What tells it from others, as JSON values; the file's place alone makes no other."""
        return {"file": self.file, "function": self.function, "digest": self.digest}

    def check_given(self, names: Collection[str]) -> None:
        """Raises RuleError for an argument without a default that is not among the names a study sets."""
        missing = [name for name in self.required if name not in names and name not in DEFAULTED]
        if missing:
            rule = f"must give {', '.join(map(repr, missing))}, which {self} takes and has no default of"
            raise RuleError(rule)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, OwnModel):
            return NotImplemented
        return self.is_same_as(other)

    def __hash__(self) -> int:
        return hash((self.function, self.digest))

    def __str__(self) -> str:
        return f"a Python session: {self.function}" if self.is_of_session else super().__str__()


def taken(read: Function, function: str) -> dict[str, Any]:
    """The hyperparameters among a function's arguments: those that are required, and defaults of the others.

    Raises:
        RuleError: one has a name that it cannot have.
    """
    names = [name for name in (*read.required, *read.defaults) if name not in GIVEN]
    for name in names:
        _check_name(name, function)
    defaults = {name: value for name, value in read.defaults.items() if name in names}
    return {"required": [name for name in read.required if name in names], "defaults": defaults}


def own_code_in(value: object, key: str = "") -> Iterator[tuple[str, OwnCode]]:
    """The functions of people's files in a part of a specification, each with the dotted key of its table.

    A table that is more than a function's has its function as `code`.
    """
    code = value if isinstance(value, OwnCode) else getattr(value, "code", None)
    if isinstance(code, OwnCode):
        if code.has_file:
            yield key, code
    elif isinstance(value, Model):
        for name in type(value).model_fields:
            yield from own_code_in(getattr(value, name), f"{key}.{name}" if key else name)
    elif isinstance(value, tuple):
        for index, item in enumerate(value):
            yield from own_code_in(item, f"{key}.{index}")


def without(table: Any, key: str, names: Collection[str]) -> Any:
    """A copy of nested tables and lists, in which the table at a dotted key lacks these keys.

    >>> without({"data": {"name": "digits"}, "callbacks": [{"file": "a.py", "digest": "0"}]},
    ...         "callbacks.0", ["digest"])
    {'data': {'name': 'digits'}, 'callbacks': [{'file': 'a.py'}]}
    """
    if not key:
        return {name: value for name, value in table.items() if name not in names}
    first, _, rest = key.partition(".")
    if isinstance(table, Mapping):
        return {**table, first: without(table[first], rest, names)} if first in table else table
    return [without(item, rest, names) if str(at) == first else item for at, item in enumerate(table)]


class OwnCallbacks(OwnCode):
    """A function that gives Keras callbacks for a training run. `takes`: what of the run it asks for."""

    filled: ClassVar[frozenset[str]] = OwnCode.filled | {"takes"}
    function: Identifier = Field(default="callbacks", description="The function in it that gives callbacks.")
    takes: tuple[str, ...] = Field(default=(), description="What of a run it asks for. Filled in.")

    @model_validator(mode="before")
    @classmethod
    def _read(cls, table: Any) -> Any:
        """Fill in what the file says, unless that is known."""
        if not isinstance(table, Mapping) or "takes" in table or not isinstance(table.get("file"), str):
            return table
        function = table.get("function", "callbacks")
        if not isinstance(function, str):
            return table
        path = Path(table["file"]).absolute()
        read = read_function(path, function)
        for name in read.required:
            if name not in OF_RUN:
                remedy = suggest(name, OF_RUN, otherwise=f"It may take {', '.join(OF_RUN)}.")
                raise RuleError(f"{function} takes what no run has", "function", got=name, remedy=remedy)
        takes = [name for name in OF_RUN if name in (*read.required, *read.defaults)]
        return {**read.digests, **table, "file": str(path), "takes": takes}


def read_function(path: Path, function: str) -> Function:
    """What a file says of one of its functions, without running it.

    Raises:
        RuleError: the file cannot be read, is no Python, or has no such function.
    """
    content = read_code(path)
    try:
        module = ast.parse(content, filename=str(path))
    except (SyntaxError, ValueError, RecursionError) as error:
        line = getattr(error, "lineno", None)
        where = f"line {line}: " if line else ""
        raise RuleError(f"must be Python, but {where}{getattr(error, 'msg', error)}", "file") from None
    functions = {node.name: node for node in module.body if isinstance(node, ast.FunctionDef)}
    if function not in functions:
        there = f"It has {', '.join(functions)}." if functions else "It has no function."
        remedy = suggest(function, functions, otherwise=there)
        raise RuleError(f"must be a function of {path.name}", "function", got=function, remedy=remedy)
    taken = functions[function].args
    if taken.posonlyargs or taken.vararg or taken.kwarg:
        rule = f"{function} must take arguments by name, each of its own"
        star = next((f"*{a.arg}" for a in (taken.vararg, taken.kwarg) if a), "/")
        raise RuleError(rule, "function", got=star, remedy="Write out which it takes.")
    names = [argument.arg for argument in taken.args]
    without = len(names) - len(taken.defaults)
    pairs: list[tuple[str, ast.expr | None]] = [(name, None) for name in names[:without]]
    pairs += list(zip(names[without:], taken.defaults, strict=True))
    pairs += list(zip((argument.arg for argument in taken.kwonlyargs), taken.kw_defaults, strict=True))
    return Function(
        sha256(content),
        tuple(name for name, default in pairs if default is None),
        {name: _value(default) for name, default in pairs if default is not None},
        digest_beside(path, content),
    )


def digest_beside(path: Path, content: bytes) -> str | None:
    """SHA-256 of the names and digests of the modules that a file imports from beside it; None of none.

    Raises:
        RuleError: one of their files cannot be read, or is too large.
    """
    lines = [f"{name} {sha256(read_code(file))}" for name, file in imported(path, content).items()]
    return sha256("\n".join(lines).encode()) if lines else None


def sha256(content: bytes) -> str:
    """The digest that stands in specifications."""
    return hashlib.sha256(content).hexdigest()


def read_code(path: Path) -> bytes:
    """The bytes of a Python file. Raises RuleError."""
    if path.suffix != SUFFIX:
        raise RuleError(f"must be a Python file, which ends in {SUFFIX}", "file", got=str(path))
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except FileNotFoundError:
        raise RuleError("there is no such file", "file", got=str(path)) from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise RuleError(f"cannot be read: {reason}", "file", got=str(path)) from None
    if len(content) > MOST_BYTES:
        rule = (
            f"must be a Python file of at most {MOST_BYTES // 1024} KiB, as its text is kept with the study"
        )
        raise RuleError(rule, "file", got=str(path), remedy="Read what is large from files of its own.")
    return content


def _value(default: ast.expr) -> Any:
    """A default that a study file could have, else None."""
    try:
        value = ast.literal_eval(default)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return None
    return value if is_plain(value) else None


def is_plain(value: object) -> bool:
    """Whether a study file can have such a value: text, a finite number, true, false, or a list of such."""
    if isinstance(value, list | tuple):
        return all(map(is_plain, value))
    if isinstance(value, float):
        return value - value == 0
    return isinstance(value, bool | int | str)


def _check_name(name: str, function: str) -> None:
    from hpo.spec.kinds import WRITTEN_KINDS
    from hpo.spec.vocabulary import OwnHyperparameters

    keys = {key for kind in WRITTEN_KINDS.values() for key in kind.model_fields}
    ours = hasattr(OwnHyperparameters, name) and name not in OwnHyperparameters.model_fields
    if name in keys or name.startswith("_") or hasattr(BaseModel, name) or ours:
        rule = f"{function} must take no argument named {name!r}, which is taken"
        raise RuleError(rule, "function", got=ABSENT, remedy="Give it another name.")
