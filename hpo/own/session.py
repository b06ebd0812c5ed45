"""Functions that only this process has, of a notebook's cell, closures, lambdas: what their text says.

They are known by the digest of their source. So a study is found again by a later session whose function has
the same text; what a closure holds is told apart as far as it is plain values.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import json
import sys
import textwrap
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hpo.errors import SpecError
from hpo.own.files import own_file
from hpo.spec.base import ABSENT, RuleError
from hpo.spec.own_code import SESSION, SUFFIX, Function, OwnModel, is_plain, read_function, taken

PLACE = "create_study: model"
FUNCTIONS = (types.FunctionType, types.MethodType, functools.partial)
_FUNCTIONS: dict[str, Callable[..., Any]] = {}


def model_of(function: Any) -> OwnModel:
    """The model that a function builds: of its file, if it can be imported from there, else of this session.

    Raises:
        SpecError: it is no function, or takes what none may take.
    """
    if not isinstance(function, FUNCTIONS):
        remedy = "Give the function itself, and not what it returns."
        raise SpecError(PLACE, "must be a function that builds a Keras model", got=function, remedy=remedy)
    try:
        if (written := _written_in(function)) is not None:
            path, name = written
            return OwnModel.model_validate({"file": str(path), "function": name})
        return _of_session(function)
    except RuleError as broken:
        got = {} if broken.got is ABSENT else {"got": broken.got}
        raise SpecError(PLACE, broken.rule, remedy=broken.remedy, **got) from None


def is_here(model: OwnModel) -> bool:
    """Whether this process has the function of a session."""
    return model.digest in _FUNCTIONS


def function_of_session(model: OwnModel) -> Callable[..., Any] | None:
    """The function of a session, if it is this one."""
    return _FUNCTIONS.get(model.digest or "")


def given_names(model: OwnModel, names: tuple[str, ...]) -> list[str]:
    """Which of these names the function takes."""
    if not model.is_of_session:
        read = read_function(own_file(model)[0], model.function)
        return [name for name in names if name in (*read.required, *read.defaults)]
    function = function_of_session(model)
    return (
        [] if function is None else [name for name in names if name in inspect.signature(function).parameters]
    )


def _written_in(function: Any) -> tuple[Path, str] | None:
    """The Python file that has the function, for other processes too, and its name there."""
    if not isinstance(function, types.FunctionType) or function.__qualname__ != function.__name__:
        return None
    name, module = function.__name__, sys.modules.get(function.__module__)
    if module is None or getattr(module, name, None) is not function:
        return None
    # Not the file of the code, which is another one's if the function is decorated.
    path = Path(getattr(module, "__file__", None) or "")
    if path.suffix != SUFFIX or not path.is_file():
        return None
    try:
        read_function(path, name)
    except RuleError as broken:
        # Made there, and not written there by this name.
        if broken.path == ("function",) and "must be a function of" in broken.rule:
            return None
        raise
    return path.resolve(), name


def _of_session(function: Callable[..., Any]) -> OwnModel:
    text = _source(function)
    name = str(getattr(_written(function), "__name__", "function")).strip("<>")
    read = _read(function, name, _digest(function, text))
    _FUNCTIONS[read.digest] = function
    table = {"file": SESSION, "function": name, "digest": read.digest, **taken(read, name)}
    return OwnModel.model_validate(table | ({} if text is None else {"text": text}))


def _read(function: Callable[..., Any], name: str, digest: str) -> Function:
    """What the signature says of a function."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        raise RuleError(f"{name} must be a function that says what it takes") from None
    for parameter in parameters:
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            rule = f"{name} must take arguments by name, each of its own"
            raise RuleError(rule, got=str(parameter), remedy="Write out which it takes.")
    required = tuple(one.name for one in parameters if one.default is one.empty)
    defaults = {
        one.name: one.default if is_plain(one.default) else None
        for one in parameters
        if one.default is not one.empty
    }
    return Function(digest, required, defaults)


def code_file(function: Callable[..., Any]) -> str:
    """The file, or what stands for one, in which tracebacks see a function."""
    code = getattr(_written(function), "__code__", None)
    return SESSION if code is None else str(code.co_filename)


def _written(function: Any) -> Any:
    """What somebody wrote, of which a function was made."""
    while isinstance(function, functools.partial | types.MethodType):
        function = function.func if isinstance(function, functools.partial) else function.__func__
    return inspect.unwrap(function)


def _source(function: Callable[..., Any]) -> str | None:
    try:
        return textwrap.dedent(inspect.getsource(_written(function)))
    except (OSError, TypeError):
        return None


def _digest(function: Any, text: str | None) -> str:
    """By its text, else by its instructions; and by the plain values that it holds."""
    written = _written(function)
    code = getattr(written, "__code__", None)
    held = [cell.cell_contents for cell in getattr(written, "__closure__", None) or () if _is_filled(cell)]
    if isinstance(function, functools.partial):
        held += [*function.args, *function.keywords.values()]
    plain = [value for value in held if is_plain(value)]
    said = text if text is not None else "" if code is None else f"{code.co_code.hex()} {_constants(code)}"
    return hashlib.sha256(json.dumps([said, plain]).encode()).hexdigest()


def _is_filled(cell: types.CellType) -> bool:
    try:
        return cell.cell_contents is not cell
    except ValueError:
        return False


def _constants(code: types.CodeType) -> list[Any]:
    """Numbers and text of a function, and of those inside it."""
    return [_constants(one) if isinstance(one, types.CodeType) else repr(one) for one in code.co_consts]
