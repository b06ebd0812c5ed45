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
from hpo.own.session import code_file, function_of_session
from hpo.spec.imports import home_of, imported, look_in
from hpo.spec.own_code import OwnCode, OwnModel, sha256

# The files that are being run.
_RUNNING: list[Path] = []
# What they have imported from beside them: the file of each module, and its digest.
_IMPORTED: dict[str, tuple[Path, str]] = {}


def own_function(code: OwnCode) -> Callable[..., Any]:
    """The function that a study names, of the file as it was when the study was made.

    Raises:
        ModelError: the file is not there, is another one by now, or does not run.
    """
    if isinstance(code, OwnModel) and code.is_of_session:
        return _of_session(code)
    path, content = own_file(code)
    module = _module(path, content)
    function = getattr(module, code.function, None)
    if not callable(function):
        raise ModelError(str(path), "must have the function", got=code.function)
    return function  # type: ignore[no-any-return]


def file_of(code: OwnCode) -> Path:
    """The file that a function is run from, as tracebacks name it: not always where the study has it.

    Raises:
        ModelError: it is not there, or is another one by now.
    """
    if isinstance(code, OwnModel) and code.is_of_session:
        return Path(code_file(_of_session(code)))
    return own_file(code)[0]


def _of_session(model: OwnModel) -> Callable[..., Any]:
    if (function := function_of_session(model)) is not None:
        return function
    rule = "is a function of a Python session, and is trained by that session alone"
    remedy = "Create the study there again, or put the function into a file: model = { file, function }."
    raise ModelError(str(model), rule, remedy=remedy)


def refuse_inside(what: str) -> None:
    """Raises ModelError if a person's file that is being run would, by itself, do this.

    A script that creates a study of its own function is run again by each worker.
    """
    if _RUNNING:
        remedy = 'Put what the script does below: if __name__ == "__main__":'
        rule = f"must not {what} when its functions are imported, as workers do"
        raise ModelError(str(_RUNNING[-1]), rule, remedy=remedy)


def own_names(path: Path, content: bytes) -> dict[str, Any]:
    """What a file defines or imports, once it has run, by name.

    Raises:
        ModelError: it does not run.
    """
    return {name: value for name, value in vars(_module(path, content)).items() if not name.startswith("__")}


def _module(path: Path, content: bytes) -> types.ModuleType:
    """The file run as a module, once for each content; what it imports beside it is found."""
    name = f"hpo_own_{hashlib.sha256(str(path).encode() + content).hexdigest()[:16]}"
    beside = {
        module: (file.resolve(), sha256(file.read_bytes()))
        for module, file in imported(path, content).items()
    }
    for imports, found in beside.items():
        _check_module(path, imports, *found)
    if name in sys.modules:
        return sys.modules[name]
    module = types.ModuleType(name)
    module.__file__ = str(path)
    folder, module.__package__ = home_of(path)
    # Before it is run: Keras looks classes up by their module.
    sys.modules[name] = module
    look_in(folder)
    _RUNNING.append(path)
    try:
        exec(compile(content, str(path), "exec"), module.__dict__)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        if isinstance(error, ModelError):
            raise
        raise ModelError(str(path), "must run without an error", got=told(error, path)) from error
    finally:
        _RUNNING.pop()
        _IMPORTED.update({known: found for known, found in beside.items() if known in sys.modules})
    return module


def _check_module(path: Path, name: str, file: Path, digest: str) -> None:
    """Raises ModelError if this process has another module of a name that a file imports.

    Python has one module of a name: a study would be trained with the files of another one.
    """
    loaded = sys.modules.get(name)
    if loaded is None:
        return
    origin = Path(getattr(loaded, "__file__", None) or "?").resolve()
    if origin != file:
        rule = f"imports {name} from beside it, and this process has imported another file of that name"
        raise ModelError(str(path), rule, got=str(origin), remedy="Train its study by a worker of its own.")
    if _IMPORTED.get(name, (file, digest)) != (file, digest):
        rule = f"imports {file.name}, which has changed since this process imported it"
        raise ModelError(str(path), rule, remedy="Start Python, or the worker, again.")


def told(error: BaseException, path: Path) -> str:
    """An error of a person's code on one line, with the line of their file (`file_of`) where it arose."""
    lines = [
        frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)
    ]
    where = f"line {lines[-1]}: " if lines else ""
    said = " ".join(str(error).split())[:160]
    return f"{where}{type(error).__name__}{f': {said}' if said else ''}"
