"""Functions of a person's own that a study names: a file, and what it says of the function's arguments.

Nothing here runs the file: what it takes is read from its text. What was read stands in the stored
specification, so that a study can be read where the file is not.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, Field, model_validator

from hpo.spec.base import ABSENT, Model, Must, RuleError, suggest

# What a study gives to a function that builds a model, and no hyperparameter.
GIVEN = ("input_shape", "outputs")
# What a function that gives callbacks may ask for, of the training run that they are for.
OF_RUN = ("study", "trial", "seed", "fold", "folder", "hyperparameters")
SUFFIX = ".py"

Identifier = Annotated[
    str, Field(strict=True, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$"), Must("the name of a function")
]
File = Annotated[str, Field(strict=True, min_length=1), Must("the path of a Python file")]


@dataclass(frozen=True)
class Function:
    """What the text of a file says of a function: its arguments, and the values of their defaults.

    A default that is no plain value is None: the function keeps its own.
    """

    digest: str
    required: tuple[str, ...]
    defaults: Mapping[str, Any]


class OwnCode(Model):
    """A function of a person's own. `digest`: SHA-256 of the file as it was when it was read."""

    file: File = Field(description="A Python file; its path is relative to the study file.")
    function: Identifier = Field(description="The function in it.")
    digest: Annotated[str, Field(strict=True)] | None = Field(
        default=None, description="SHA-256 of the file. Filled in; another file is refused."
    )


class OwnModel(OwnCode):
    """A function that builds a Keras model. `required` and `defaults`: the hyperparameters that it takes.

    `structure`: those of them that make another program, as far as it has been tried; None: any of them may.
    """

    function: Identifier = Field(default="build", description="The function in it that builds a model.")
    required: tuple[str, ...] = Field(default=(), description="Arguments without defaults. Filled in.")
    defaults: Mapping[str, Any] = Field(default={}, description="Arguments with defaults. Filled in.")
    structure: tuple[str, ...] | None = Field(
        default=None, description="Arguments that make another program. Filled in."
    )

    @model_validator(mode="before")
    @classmethod
    def _read(cls, table: Any) -> Any:
        """Fill in what the file says, unless that is known."""
        if not isinstance(table, Mapping) or "digest" in table or not isinstance(table.get("file"), str):
            return table
        function = table.get("function", "build")
        if not isinstance(function, str):
            return table
        read = read_function(Path(table["file"]), function)
        takes = [name for name in (*read.required, *read.defaults) if name not in GIVEN]
        for name in takes:
            _check_name(name, function)
        defaults = {name: value for name, value in read.defaults.items() if name in takes}
        required = [name for name in read.required if name in takes]
        return {**table, "digest": read.digest, "required": required, "defaults": defaults}

    @property
    def takes(self) -> tuple[str, ...]:
        """The hyperparameters that the function takes."""
        return (*self.required, *self.defaults)

    def __str__(self) -> str:
        return f"{Path(self.file).name}: {self.function}"


class OwnCallbacks(OwnCode):
    """A function that gives Keras callbacks for a training run. `takes`: what of the run it asks for."""

    function: Identifier = Field(default="callbacks", description="The function in it that gives callbacks.")
    takes: tuple[str, ...] = Field(default=(), description="What of a run it asks for. Filled in.")

    @model_validator(mode="before")
    @classmethod
    def _read(cls, table: Any) -> Any:
        """Fill in what the file says, unless that is known."""
        if not isinstance(table, Mapping) or "digest" in table or not isinstance(table.get("file"), str):
            return table
        function = table.get("function", "callbacks")
        if not isinstance(function, str):
            return table
        read = read_function(Path(table["file"]), function)
        for name in read.required:
            if name not in OF_RUN:
                remedy = suggest(name, OF_RUN, otherwise=f"It may take {', '.join(OF_RUN)}.")
                raise RuleError(f"{function} takes what no run has", "function", got=name, remedy=remedy)
        takes = [name for name in OF_RUN if name in (*read.required, *read.defaults)]
        return {**table, "digest": read.digest, "takes": takes}

    def __str__(self) -> str:
        return f"{Path(self.file).name}: {self.function}"


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
        hashlib.sha256(content).hexdigest(),
        tuple(name for name, default in pairs if default is None),
        {name: _value(default) for name, default in pairs if default is not None},
    )


def read_code(path: Path) -> bytes:
    """The bytes of a Python file. Raises RuleError."""
    if path.suffix != SUFFIX:
        raise RuleError(f"must be a Python file, which ends in {SUFFIX}", "file", got=str(path))
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise RuleError("there is no such file", "file", got=str(path)) from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise RuleError(f"cannot be read: {reason}", "file", got=str(path)) from None


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

    keys = {key for kind in WRITTEN_KINDS.values() for key in kind.model_fields}
    if name in keys or name.startswith("_") or hasattr(BaseModel, name):
        rule = f"{function} must take no argument named {name!r}, which is taken"
        raise RuleError(rule, "function", got=ABSENT, remedy="Give it another name.")
