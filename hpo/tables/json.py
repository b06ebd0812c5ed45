"""Tables as JSON."""

from __future__ import annotations

import json
from typing import Any

from hpo.tables.table import Table


def rendered(table: Table, *, whole: Any = None) -> str:
    """The rows of a table, or the `whole` that they are a part of."""
    return json.dumps(list(table.rows) if whole is None else whole, indent=2) + "\n"
