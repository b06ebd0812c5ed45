"""Study files and stored studies: TOML, JSON and the JSON Schema."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tomli_w

from hpo.errors import SpecError
from hpo.spec.kinds import WRITTEN, parse
from hpo.spec.study import StudySpec

# A list of strings, numbers and short lists, as tomli_w writes it: an item a line.
_ITEM = r'(?:"(?:[^"\\\n]|\\.)*"|[^\[\]{}"\n]+|\[[^\[\]{}\n]*\])'
_LIST = re.compile(rf"\[\n((?: +{_ITEM},\n)+) *\]")


def load(path: str | Path) -> StudySpec:
    """The spec in a TOML file; a relative path to data is taken from the file's folder. Raises SpecError."""
    path = Path(path)
    spec = loads(_read(path), source=str(path))
    data = Path(spec.data.name)
    if data.suffix != ".npz" or data.is_absolute():
        return spec
    name = str((path.parent / data).resolve())
    return spec.model_copy(update={"data": spec.data.model_copy(update={"name": name})})


def loads(text: str, *, source: str = "study") -> StudySpec:
    """The spec in TOML text. `source` opens the line of a SpecError."""
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        reason, position = _split(str(error), text)
        raise SpecError(f"{source}: {position}", f"not valid TOML: {reason}") from None
    except (ValueError, RecursionError):  # a number of thousands of digits; lists thousands deep
        raise SpecError(source, "not valid TOML: a number is too long or a list too deep") from None
    return parse(table, source=source, kinds=WRITTEN)


def to_toml(spec: StudySpec) -> str:
    """TOML text from which `loads` makes an equal spec; it holds what was set, not the defaults."""
    text, short = "", tomli_w.dumps(to_json(spec))
    while short != text:  # lists of lists take two rounds
        text, short = short, _LIST.sub(_on_one_line, short)
    return text


def to_json(spec: StudySpec) -> dict[str, Any]:
    """JSON values from which `from_json` makes an equal spec; what was set, not the defaults."""
    return spec.model_dump(mode="json", exclude_unset=True, exclude_none=True)


def from_json(values: Mapping[str, Any]) -> StudySpec:
    """The spec that `to_json` stored. Raises SpecError."""
    return parse(values)


def json_schema() -> dict[str, Any]:
    """JSON Schema of a study file of either kind."""
    schema = WRITTEN.json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "hpo study", **schema}


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
