"""What code a .keras file needs to be loaded, told from its configuration without loading it."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CONFIG_MEMBER = "config.json"
MAX_CONFIG_BYTES = 2**28
KERAS = ("keras", "builtins")
# Where Keras looks functions up by themselves.
PLACES = ("activations", "constraints", "initializers", "losses", "metrics", "optimizers", "regularizers")


@dataclass(frozen=True)
class Needs:
    """Classes and functions by name that are not Keras's, and whether the file itself holds code.

    The latter is the bytecode of Lambda layers.
    """

    names: tuple[str, ...] = ()
    has_lambdas: bool = False

    def __bool__(self) -> bool:
        return bool(self.names) or self.has_lambdas

    def __str__(self) -> str:
        return " and ".join(filter(None, [", ".join(self.names), "a Lambda layer" * self.has_lambdas]))


def needs_of(path: Path) -> Needs:
    """What a file needs; nothing, as far as it cannot be read."""
    try:
        with zipfile.ZipFile(path) as archive, archive.open(CONFIG_MEMBER) as member:
            config = json.loads(member.read(MAX_CONFIG_BYTES))
        objects = list(_objects(config))
    except Exception:  # zipfile, zlib and json each have their own of a damaged file
        return Needs()
    names = [_name(found) for found in objects if _is_foreign(found)]
    has_lambdas = any(found["class_name"] == "__lambda__" for found in objects)
    return Needs(tuple(dict.fromkeys(names)), has_lambdas)


def _objects(config: Any) -> Iterator[dict[str, Any]]:
    """Everything in a configuration that Keras makes an object or a function of; not how it was compiled."""
    if isinstance(config, dict):
        if isinstance(config.get("class_name"), str):
            yield config
        for key, value in config.items():
            if key != "compile_config":
                yield from _objects(value)
    elif isinstance(config, list):
        for value in config:
            yield from _objects(value)


def _is_foreign(found: dict[str, Any]) -> bool:
    module = found.get("module")
    if found["class_name"] == "function" and module in (None, "builtins"):
        # Keras's own and others are written alike.
        from hpo.training.device import prepare_tensorflow

        prepare_tensorflow(1)
        import keras

        places = (getattr(keras, place) for place in PLACES)
        return not any(hasattr(place, str(found.get("config"))) for place in places)
    return isinstance(module, str) and module.split(".", maxsplit=1)[0] not in KERAS


def _name(found: dict[str, Any]) -> str:
    named = found.get("config") if found["class_name"] == "function" else found["class_name"]
    return str(named)[:80]
