"""A function of a file, run on the machine where the file is."""

from __future__ import annotations

import hashlib
import sys
import traceback
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hpo.errors import ModelError
from hpo.own.files import own_file
from hpo.spec.own_code import OwnCode


def own_function(code: OwnCode) -> Callable[..., Any]:
    """The function that a study names, of the file as it was when the study was made.

    Raises:
        ModelError: the file is not there, is another one by now, or does not run.
    """
    path, content = own_file(code)
    module = _module(path, content)
    function = getattr(module, code.function, None)
    if not callable(function):
        raise ModelError(str(path), "must have the function", got=code.function)
    return function  # type: ignore[no-any-return]


def own_names(path: Path, content: bytes) -> dict[str, Any]:
    """What a file defines or imports, once it has run, by name.

    Raises:
        ModelError: it does not run.
    """
    return {name: value for name, value in vars(_module(path, content)).items() if not name.startswith("__")}


def _module(path: Path, content: bytes) -> types.ModuleType:
    """The file run as a module, once for each content; what it imports beside it is found."""
    name = f"hpo_own_{hashlib.sha256(str(path).encode() + content).hexdigest()[:16]}"
    if name in sys.modules:
        return sys.modules[name]
    module = types.ModuleType(name)
    module.__file__ = str(path)
    # Before it is run: Keras looks classes up by their module.
    sys.modules[name] = module
    folder = str(path.parent)
    if folder not in sys.path:
        sys.path.append(folder)
    try:
        exec(compile(content, str(path), "exec"), module.__dict__)
    except Exception as error:
        del sys.modules[name]
        raise ModelError(str(path), "must run without an error", got=told(error, path)) from error
    return module


def told(error: BaseException, path: Path) -> str:
    """An error of a person's code on one line, with the line of their file where it arose."""
    lines = [
        frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)
    ]
    where = f"line {lines[-1]}: " if lines else ""
    said = " ".join(str(error).split())[:160]
    return f"{where}{type(error).__name__}: {said}"
