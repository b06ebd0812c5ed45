"""Study files and stored studies: TOML and JSON."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from string import Template
from typing import Any

import tomli_w

from hpo.errors import SpecError
from hpo.spec.base import Shown
from hpo.spec.kinds import WRITTEN, parse
from hpo.spec.own_code import SESSION, OwnCallbacks, OwnModel, without
from hpo.spec.parts import Data
from hpo.spec.study import StudySpec

# A list of strings, numbers and short lists, as tomli_w writes it: an item a line.
_ITEM = r'(?:"(?:[^"\\\n]|\\.)*"|[^\[\]{}"\n]+|\[[^\[\]{}\n]*\])'
_LIST = re.compile(rf"\[\n((?: +{_ITEM},\n)+) *\]")
# Of stored specifications. A version that gives one another meaning counts on; those of versions that stored
# none are of format 0, and mean the same as 1. Since 2 a search that says nothing of it confirms its leaders,
# since 3 its sampler is auto; it was tpe.
FORMAT = 3
FORMAT_KEY = "format"
# Of a search of format 1. Then TPE could be given more trials than there are configurations.
_MEANT_BEFORE = {"confirm": False, "repeats": True}
# Tables that may name a Python file.
OWN_CODE = ("model", "data", "callbacks")
# A digest may be written: that file is meant.
FILLED = (OwnModel.filled | OwnCallbacks.filled) - {"digest"}


def load(
    path: str | Path, *, data: Mapping[str, Any] | None = None, model: Mapping[str, OwnModel] | None = None
) -> StudySpec:
    """The spec in a TOML file, of which `data` are keys of the data table that are set. Raises SpecError.

    `model` is as in `with_model`.

    In the data's `name` and `test`, and in the file of own code, `~` and `$VARIABLE` are what a shell makes
    of them, `$$` is a dollar sign; a relative path is taken from the file's folder.
    """
    path = Path(path)
    table = _with_located_code(as_written(_table(_read(path), source=str(path))), path)
    table = with_model(table, model or {}, source=str(path))
    spec = parse(with_data(table, data, source=str(path)), source=str(path), kinds=WRITTEN)
    if spec.data.file is not None:
        return spec
    written = [key for key in ("name", "test") if key not in (data or {})]
    said = {key: value for key in written if isinstance(value := getattr(spec.data, key), str)}
    found = {key: _located(value, path, key=key) for key, value in said.items()}
    if found == said:
        return spec
    return spec.model_copy(update={"data": spec.data.model_copy(update=found)})


def _located(name: str, file: Path, *, key: str) -> str:
    """Where a study file's data are: a path as seen from the file, or a name as it is."""
    name = _expanded(name, source=f"{file}: data.{key}")
    is_path = Path(name).suffix or "/" in name or os.sep in name
    return str((file.parent / name).resolve()) if is_path and not Path(name).is_absolute() else name


def as_written(table: Mapping[str, Any]) -> dict[str, Any]:
    """A study's table without what is filled in of people's code: their files say it, and nobody else."""
    own = {key: code for key in OWN_CODE if isinstance(code := table.get(key), Mapping) and "file" in code}
    return {
        **table,
        **{
            key: {name: value for name, value in code.items() if name not in FILLED}
            for key, code in own.items()
        },
    }


def _with_located_code(table: dict[str, Any], path: Path) -> dict[str, Any]:
    """A study's table with the absolute paths of the Python files that it names, which to parse it reads."""
    for key in OWN_CODE:
        code = table.get(key)
        if (
            isinstance(code, Mapping)
            and isinstance(file := code.get("file"), str)
            and file not in ("", SESSION)
        ):
            expanded = _expanded(file, source=f"{path}: {key}.file")
            table = {**table, key: {**code, "file": str((path.parent / expanded).resolve())}}
    return table


def loads(text: str, *, source: str = "study", data: Mapping[str, Any] | None = None) -> StudySpec:
    """The spec in TOML text. `source` opens the line of a SpecError; `data` as in `load`."""
    table = _table(text, source=source)
    return parse(with_data(table, data, source=source), source=source, kinds=WRITTEN)


def _table(text: str, *, source: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        reason, position = _split(str(error), text)
        raise SpecError(f"{source}: {position}", f"not valid TOML: {reason}") from None
    except (ValueError, RecursionError):  # a number of thousands of digits; lists thousands deep
        raise SpecError(source, "not valid TOML: a number is too long or a list too deep") from None


def with_data(
    table: Mapping[str, Any], data: Mapping[str, Any] | None, *, source: str = "study"
) -> Mapping[str, Any]:
    """A study's table with keys of its data table set. Raises SpecError if it says otherwise."""
    held = table.get("data", {})
    if isinstance(held, Data):
        held = held.model_dump(mode="json", exclude_unset=True)
    if data is None or not isinstance(held, Mapping):
        return table
    for key, value in data.items():
        said = [held[key]] if key == "target" and isinstance(held.get(key), str) else held.get(key, value)
        if (list(said) if isinstance(said, tuple) else said) != value:
            rule = f"must be left out or {value!r}, as the data are given"
            raise SpecError(f"{source}: data.{key}", rule, got=Shown(held[key]))
    return {**table, "data": {**held, **data}}


def with_model(
    table: Mapping[str, Any], model: Mapping[str, OwnModel], *, source: str = "study"
) -> dict[str, Any]:
    """A study's table with the `model` that is given, if one is. Raises SpecError if it has another one."""
    held = table.get("model")
    if model and held is not None and not (isinstance(held, Mapping) and held.get("file") == SESSION):
        rule = "must be left out, as the model is given"
        raise SpecError(f"{source}: model", rule, got=Shown(held))
    return {**table, **model}


def to_toml(spec: StudySpec) -> str:
    """TOML text from which `loads` makes an equal spec; it holds what was set, not the defaults."""
    table = to_table(spec)
    filled = {key: code.filled - {"digest"} for key, code in spec.own_code.items()}
    if isinstance(spec.model, OwnModel) and spec.model.is_of_session:
        filled["model"] = spec.model.filled
    for key, names in filled.items():
        # The digest alone of what is filled in: that says which file it is, and the file says the rest.
        table = without(table, key, names)
    text, short = "", tomli_w.dumps(table)
    while short != text:  # lists of lists take two rounds
        text, short = short, _LIST.sub(_on_one_line, short)
    return text


def reread(spec: StudySpec) -> StudySpec:
    """The same study of its people's files as they are now. Raises SpecError if they no longer go with it."""
    table = to_table(spec)
    for key, code in spec.own_code.items():
        table = without(table, key, code.filled)
    return parse(table, source=f"study {spec.name!r}")


def to_json(spec: StudySpec) -> dict[str, Any]:
    """JSON values from which `from_json` makes an equal spec; what was set, not the defaults."""
    return {FORMAT_KEY: FORMAT, **to_table(spec)}


def from_json(values: object, *, source: str = "study") -> StudySpec:
    """The spec that `to_json` stored, of this version of hpo or an earlier one.

    `source` opens the line of the SpecError that says why this version cannot read it.
    """
    if not isinstance(values, Mapping):
        raise SpecError(source, "its specification must be a table", got=Shown(values))
    stored = values.get(FORMAT_KEY, 0)
    if type(stored) is not int or not 0 <= stored <= FORMAT:
        rule = (
            f"its specification is of format {Shown(stored)!r}, and this version of hpo reads up to {FORMAT}"
        )
        raise SpecError(source, rule, remedy="Update hpo.")
    table = {key: value for key, value in values.items() if key != FORMAT_KEY}
    if stored < 2 and table.get("kind") == "search":
        table = {**_MEANT_BEFORE, **table}
        sampler = table.get("sampler")
        if isinstance(sampler, Mapping) and sampler.get("name") in ("random", "grid"):
            del table["repeats"]
    if (
        stored < 3
        and table.get("kind") == "search"
        and isinstance(sampler := table.get("sampler", {}), Mapping)
    ):
        table["sampler"] = {"name": "tpe", **sampler}
    return parse(table, source=f"{source}: its specification")


def to_table(spec: StudySpec) -> dict[str, Any]:
    """The study file as a mapping of JSON values; what was set, not the defaults."""
    table = spec.model_dump(mode="json", exclude_unset=True, exclude_none=True)
    if len(table.get("objectives", ())) > 1:
        # The first of them.
        del table["objective"]
    else:
        # Of one, as a full dump has it, `objective` says all.
        table.pop("objectives", None)
    return table


def _expanded(name: str, *, source: str) -> str:
    try:
        return os.path.expanduser(Template(name).substitute(os.environ))  # noqa: PTH111
    except KeyError as missing:
        rule = f"names the environment variable {missing.args[0]}, which is not set"
        raise SpecError(source, rule, got=Shown(name), remedy="Set it, or write the path.") from None
    except ValueError:
        rule = "has a dollar sign that begins no name of a variable"
        raise SpecError(source, rule, got=Shown(name), remedy="Write $$ for a dollar sign.") from None


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise SpecError(str(path), "no such file", remedy="`hpo init` writes an example.") from None
    except IsADirectoryError:
        raise SpecError(str(path), "must be a file, but is a directory") from None
    except UnicodeDecodeError as error:
        raise SpecError(str(path), f"must be UTF-8 text, but byte {error.start + 1} is not") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise SpecError(str(path), f"cannot be read: {reason}") from None


def _on_one_line(found: re.Match[str]) -> str:
    return f"[{', '.join(line.strip().removesuffix(',') for line in found[1].splitlines())}]"


def _split(message: str, text: str) -> tuple[str, str]:
    """The parser's reason, and the line and column where it stopped."""
    found = re.fullmatch(r"(.*) \(at (?:line (\d+), column (\d+)|end of document)\)", message, re.DOTALL)
    reason, line, column = found.groups() if found else (message, None, None)
    if line is None:
        lines = text.split("\n")
        line, column = len(lines), len(lines[-1]) + 1
    return reason[:1].lower() + reason[1:], f"line {line}, column {column}"
