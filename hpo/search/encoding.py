"""Values of hyperparameters as Optuna stores them."""

from __future__ import annotations

import json
from typing import Any


def encode(value: Any) -> Any:
    """A hyperparameter's value as Optuna stores choices: lists and tables become their JSON."""
    return json.dumps(value) if isinstance(value, tuple | list | dict) else value


def decode(value: Any) -> Any:
    """The value that `encode` was given."""
    return json.loads(value) if isinstance(value, str) and value.startswith(("[", "{")) else value
