"""What is wrong with a storage as a table."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict

from hpo.doctor.findings import Finding
from hpo.tables import Column, Table
from hpo.tables.kinds import Kind

# Names of files are long digests.
DIGEST = re.compile(r"([0-9a-f]{12})[0-9a-f]{20,}((-[0-9a-f]{16})?-[0-9a-f]{32})?")


def findings_table(findings: Sequence[Finding]) -> Table:
    """A row a fault; people see files by the beginnings of their names."""
    columns = (
        Column("place", Kind(_short, wraps=True)),
        Column("fault", Kind(_told, wraps=True), ("fault", "remedy")),
    )
    keys = ("place", "fault", "remedy", "repaired")
    return Table("Faults", columns, [asdict(finding) for finding in findings], keys=keys)


def _told(fault: str, remedy: str) -> str:
    return _short(f"{fault}. {remedy[:1].upper()}{remedy[1:]}")


def _short(text: str) -> str:
    return DIGEST.sub(r"\1…", text)
